/** Where a command, a chat and an account are: with several partitions, in that of the user. */
import { Keys } from "./keys.js";
import type { Raw } from "./results.js";
import type { RedisServers } from "./servers.js";
export type Call = (partition: number, ...command: string[]) => Promise<unknown>;
/**
 * The number of a user's partition, of so many: CRC-32 (zlib's) of the UTF-8 bytes, modulo.
 *
 * @param {string} user_id
 * @param {number} partitions a power of two
 */
export declare function partition_of(user_id: string, partitions: number): number;
/** What one client knows of the partitions; nothing is asked before the first call. */
export declare class Routing {
    #private;
    servers: RedisServers;
    /** @param {RedisServers} servers */
    constructor(servers: RedisServers);
    /**
     * How many partitions there are.
     *
     * @param {Call} call
     */
    count(call: Call): Promise<number>;
    /**
     * The keys of each partition. How many there are is fixed when the data is made: what Redis has is
     * asked for once.
     *
     * @param {Call} call
     */
    all_keys(call: Call): Promise<Keys[]>;
    /**
     * The keys of the user's partition.
     *
     * @param {string} user_id
     * @param {Call} call
     */
    of_user(user_id: string, call: Call): Promise<Keys>;
    /**
     * Where a command belongs, and whose it is where that has to be added; null if nobody knows whose the
     * chat is.
     *
     * @param {Raw} fields the command's
     * @param {Call} call
     * @param {(chat_id: string) => Promise<string>} owner the user of a chat that Redis does not have, or ""
     * @returns {Promise<{ keys: Keys, added: Record<string, string> } | null>}
     */
    of_command(fields: Raw, call: Call, owner: (chat_id: string) => Promise<string>): Promise<{
        keys: Keys;
        added: Record<string, string>;
    } | null>;
    /**
     * A chat's snapshot, in whichever partition it is; null if it is in none.
     *
     * @param {string} chat_id
     * @param {Call} call
     */
    snapshot(chat_id: string, call: Call): Promise<string | null>;
}
