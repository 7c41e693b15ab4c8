/** Reading events: in order, each once, and an error rather than a gap. */
import { Event } from "./results.js";
export type EventsOptions = {
    /**
     * `after` of the events that were read last, which is the id of the last
     * one; `$`, the default: those from now on; `0`: all that the stream still holds
     */
    after?: string | undefined;
    /**
     * those of one user only
     */
    user_id?: string | undefined;
};
export type Found = {
    number: number;
    info: unknown;
    entries: unknown;
};
/**
 * An endless asynchronous iterator over events; `close` ends it, and so does leaving a
 * `for await` loop.
 *
 * `$` means from the first event asked for, or from `begin` on.
 *
 * @implements {AsyncIterableIterator<Event>}
 */
export declare class Events implements AsyncIterableIterator<Event> {
    #private;
    /** The place up to which everything was given out: where to go on another time. */
    get after(): string;
    /**
     * Fix what `$` means, now: events that happen after this will be read.
     *
     * @returns {Promise<this>}
     */
    begin(): Promise<this>;
    /**
     * The next event, as soon as there is one.
     *
     * @returns {Promise<IteratorResult<Event, undefined>>}
     */
    next(): Promise<IteratorResult<Event, undefined>>;
    /**
     * The next events, as many as have come: for who follows everything. Empty once closed.
     *
     * @returns {Promise<Event[]>}
     */
    batch(): Promise<Event[]>;
    /** End the iteration. */
    close(): void;
    /**
     * What leaving a `for await` loop calls: ends the iteration.
     *
     * @returns {Promise<IteratorResult<Event, undefined>>}
     */
    return(): Promise<IteratorResult<Event, undefined>>;
    [Symbol.asyncIterator](): this;
}
