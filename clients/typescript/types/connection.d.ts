/**
 * One connection to Redis that repeats nothing by itself, and never waits for ever.
 *
 * The library's own reconnecting and its queue for commands without a connection are switched off:
 * whoever sends a command decides whether it may be sent again. After an error the connection is
 * thrown away; the next command makes a new one.
 */
/** How long one read waits in Redis; below ANSWER_MS_MAX, which ends a dead connection. */
export declare const BLOCK_MS = 1000;
export type Client = ReturnType<typeof client_at>;
export type Arg = string | number;
/** A connection, made when it is first needed, and again after it was lost. */
export declare class Connection {
    #private;
    /** @param {string} url */
    constructor(url: string);
    /**
     * Do one Redis command, once.
     *
     * @param {...Arg} command
     * @returns {Promise<unknown>}
     */
    send(...command: Arg[]): Promise<unknown>;
    /**
     * Do several in one transaction; an error of one is a result in its place.
     *
     * @param {...Arg[]} commands
     * @returns {Promise<unknown[]>}
     */
    send_together(...commands: Arg[][]): Promise<unknown[]>;
    /** Let go at once; what waits for an answer is told. */
    close(): void;
}
/**
 * Whether an error may soon be over: a lost connection, a server that restarts or fails over.
 *
 * @param {unknown} error
 */
export declare function is_passing(error: unknown): boolean;
/**
 * A message for a URL that can't be one of Redis; null if it can. Does not repeat it: it may
 * hold a password.
 *
 * @param {unknown} url
 */
export declare function fault_of_url(url: unknown): string | null;
/** @param {string} url */
declare function client_at(url: string): import("redis").RedisClientType<{}, {}, {}, 2, {}>;
export {};
