/** The names of everything in Redis that a client uses. */
/** The keys of one partition, which share its hash tag. */
export declare class Keys {
    /** @readonly */
    partition: number;
    /** @readonly */
    prefix: string;
    /** @param {number} [partition] */
    constructor(partition?: number);
    /** Stream: backends → daemon. */
    get commands(): string;
    /** String, JSON: `partition` and `partitions`; absent where there is one partition. */
    get layout(): string;
    /** Stream: what happened, in order. */
    get events(): string;
    /**
     * Stream: replies to whoever asked for them.
     *
     * @param {string} reply_to
     */
    reply(reply_to: string): string;
    /**
     * String, JSON: the chat's snapshot.
     *
     * @param {string} chat_id
     */
    chat(chat_id: string): string;
    /**
     * String, JSON: the account's snapshot.
     *
     * @param {string} user_id
     */
    wallet(user_id: string): string;
}
