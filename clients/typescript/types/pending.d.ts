/**
 * Commands that wait for their replies, however many at once over one reply stream.
 *
 * A reply belongs to a command if both the id and the entry are the same: the id alone is not
 * enough, since a late reply to an earlier attempt of the same id may still come. As the reply
 * can overtake the answer to XADD, replies of an id whose entry is not known yet are kept.
 */
import type { AnyReply } from "./errors.js";
/** One command that waits. */
export declare class Waiting {
    #private;
    id: string;
    /** @type {Promise<AnyReply>} */
    reply: Promise<AnyReply>;
    /** @param {string} id */
    constructor(id: string);
    /**
     * The command is in the queue as `entry`: its reply may already be here.
     *
     * @param {string} entry
     */
    expect(entry: string): void;
    /**
     * Take the reply if it is the one; keep it if that can't be told yet.
     *
     * @param {AnyReply} reply
     */
    offer(reply: AnyReply): void;
    /**
     * Wake whoever waits, in vain.
     *
     * @param {unknown} error
     */
    fail(error: unknown): void;
}
/** The commands that wait, by id. */
export declare class Pending {
    #private;
    get is_empty(): boolean;
    /**
     * Begin to wait; before sending, since the reply may be faster than XADD's answer.
     *
     * @param {string} id
     */
    add(id: string): Waiting;
    /**
     * A reply has come; if nobody waits for it, it is dropped.
     *
     * @param {string} id under which it is waited for
     * @param {AnyReply} reply
     */
    deliver(id: string, reply: AnyReply): void;
    /**
     * Wait no longer.
     *
     * @param {Waiting} waiting
     */
    remove(waiting: Waiting): void;
    /**
     * Wake everybody, in vain.
     *
     * @param {unknown} error
     */
    fail_all(error: unknown): void;
}
