/** What the client does: commands with replies, commands without, snapshots. */
import { Connection } from "./connection.js";
import { Pending } from "./pending.js";
import { ChatSnapshot, Sent, WalletSnapshot } from "./results.js";
import { Routing } from "./routing.js";
import type { Sending } from "./commands.js";
import type { AnyReply } from "./errors.js";
import type { ReadRecord } from "./meter.js";
import type { Raw } from "./results.js";
import type { RedisServers } from "./servers.js";
export type Entries = readonly (readonly [string, readonly string[]])[];
/** @import { Sending } from "./commands.js" */
/** @import { AnyReply } from "./errors.js" */
/** @import { ReadRecord } from "./meter.js" */
/** @import { Raw } from "./results.js" */
/** @import { Call } from "./routing.js" */
/** @import { RedisServers } from "./servers.js" */
/** Entries of a stream as Redis gives them: id, and names and values in turn. */
/** @typedef {readonly (readonly [string, readonly string[]])[]} Entries */
export declare const TIMEOUT_S = 10;
/** One client: its reply stream, its connections, and the commands that wait for replies. */
export declare class Core {
    #private;
    routing: Routing;
    reply_to: string;
    pending: Pending;
    /**
     * Nothing is connected yet.
     *
     * @param {RedisServers} servers
     * @param {number} in_flight_max
     * @param {ReadRecord | undefined} read_record
     */
    constructor(servers: RedisServers, in_flight_max: number, read_record: ReadRecord | undefined);
    get is_closed(): boolean;
    /** No more replies, no more commands; whoever waits is told. */
    close(): void;
    /**
     * A connection of its own to a server, for what waits in Redis; closed with the client.
     *
     * @param {string} url
     */
    open(url: string): Connection;
    /**
     * Close a connection that `open` gave.
     *
     * @param {Connection} connection
     */
    release(connection: Connection): void;
    /**
     * Send a command and wait for its reply. Throws the error of an outcome that is not ok.
     *
     * @param {Raw} fields
     * @param {Sending} sending
     * @returns {Promise<AnyReply>}
     */
    command(fields: Raw, { id, timeout_s }: Sending): Promise<AnyReply>;
    /**
     * Send a command and wait for no reply: none is asked for.
     *
     * @param {Raw} fields
     * @param {Sending} sending
     */
    enqueue(fields: Raw, { id, timeout_s }: Sending): Promise<Sent>;
    /**
     * The chat's snapshot: Redis, then whatever reads old records, else `not_started`.
     *
     * @param {string} chat_id
     */
    chat(chat_id: string): Promise<ChatSnapshot>;
    /**
     * The account's snapshot.
     *
     * @param {string} user_id
     */
    wallet(user_id: string): Promise<WalletSnapshot>;
    /**
     * Try until it works, until it can't, or until the deadline: of nothing but what may be repeated.
     *
     * @template T
     * @param {number} deadline_ms of `now_ms`
     * @param {() => Promise<T>} attempt
     * @returns {Promise<T>}
     */
    persist<T>(deadline_ms: number, attempt: () => Promise<T>): Promise<T>;
    /**
     * Ask what may be asked twice, for as long as a query may take.
     *
     * @param {Connection} connection
     * @param {...(string | number)} command
     */
    query(connection: Connection, ...command: (string | number)[]): Promise<unknown>;
    check_open(): void;
}
/**
 * The fields of a stream entry.
 *
 * @param {readonly string[]} parts names and values in turn
 * @returns {Record<string, string>}
 */
export declare function fields_of(parts: readonly string[]): Record<string, string>;
/**
 * What a query gives; UnavailableError if Redis does not answer it.
 *
 * @template T
 * @param {() => Promise<T>} ask
 */
export declare function unless_unavailable<T>(ask: () => Promise<T>): Promise<T>;
