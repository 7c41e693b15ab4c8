/** The client. */
import { Commands } from "./commands.js";
import { Events } from "./events.js";
import type { EventsOptions } from "./events.js";
import type { ChatSnapshot, Reply, Sent, WalletSnapshot } from "./results.js";
export type ReadRecord = (chat_id: string) => Promise<object | null> | object | null;
export type MeterOptions = {
    /**
     * commands that may wait for their replies at once, 5 000 by default
     */
    in_flight_max?: number | undefined;
    /**
     * where `snapshot` finds chats that ended more than a day ago
     */
    read_record?: ReadRecord | undefined;
};
/**
 * Commands, snapshots and events; any number of calls may share one client.
 *
 * Nothing is connected before the first call. `close` it, or its connections keep the process
 * alive.
 *
 * @extends {Commands<Reply<ChatSnapshot>, Reply<WalletSnapshot>>}
 */
export declare class Meter extends Commands<Reply<ChatSnapshot>, Reply<WalletSnapshot>> {
    #private;
    /**
     * Name the server; nothing is connected yet.
     *
     * @param {string | readonly string[]} redis_url the queue; several URLs, in the daemon's order, if several servers share it
     * @param {MeterOptions} [options]
     */
    constructor(redis_url: string | readonly string[], { in_flight_max, read_record }?: MeterOptions);
    /**
     * The same commands without waiting for replies.
     *
     * Each method gives `Sent`, the command's id and its place in the queue, as soon as Redis has
     * confirmed it. What the daemon makes of it is seen in the events and the journal only.
     */
    get enqueue(): Commands<Sent, Sent>;
    /**
     * The chat as it is, or was; `not_started` if it never was.
     *
     * A day after its end a chat leaves Redis. A client with `read_record` then asks that; **a
     * client without answers** `not_started` **as if it had never been.**
     *
     * `UnavailableError`: Redis or `read_record` did not answer. `ClosedError`: the client was closed.
     *
     * @param {string} chat_id
     * @returns {Promise<ChatSnapshot>}
     */
    snapshot(chat_id: string): Promise<ChatSnapshot>;
    /**
     * The account as of its last change; zeros if it never had a credit.
     *
     * `UnavailableError`: Redis did not answer. `ClosedError`: the client was closed.
     *
     * @param {string} user_id
     * @returns {Promise<WalletSnapshot>}
     */
    wallet(user_id: string): Promise<WalletSnapshot>;
    /**
     * Events in order, for ever: `for await (const event of meter.events())`.
     *
     * `EventsLostError`, from the iterator: events may have left the stream unread.
     * `UnavailableError`, from the iterator: Redis did not answer for 10 seconds.
     *
     * @param {EventsOptions} [options]
     * @returns {Events}
     */
    events(options?: EventsOptions): Events;
    /**
     * Let go of everything, at once; commands that still wait for replies get `NoReplyError`.
     *
     * @returns {Promise<void>}
     */
    close(): Promise<void>;
}
