/** What the client gives back: frozen, credits as decimal strings, times as integer milliseconds. */
export type ChatStatus = "running" | "paused" | "suspended" | "ended" | "not_started";
export type FreeScope = "chat" | "advisor" | "user";
export type IncrementDue = "begin" | "end";
export type Raw = Readonly<Record<string, unknown>>;
/** @typedef {"running" | "paused" | "suspended" | "ended" | "not_started"} ChatStatus */
/** @typedef {"chat" | "advisor" | "user"} FreeScope Which chats share one allowance of free time. */
/** @typedef {"begin" | "end"} IncrementDue When an increment is owed: as it begins, or once complete. */
/** @typedef {Readonly<Record<string, unknown>>} Raw Something that was JSON, or a stream entry's fields. */
/** A chat as it was at `as_of`. Of a chat that never started: zeros and null. */
export declare class ChatSnapshot {
    #private;
    /** @readonly @type {string} */
    readonly chat_id: string;
    /** @readonly @type {string | null} */
    readonly user_id: string | null;
    /** @readonly @type {string | null} */
    readonly advisor_id: string | null;
    /** @readonly @type {ChatStatus} */
    readonly status: ChatStatus;
    /** @readonly @type {number | null} */
    readonly as_of: number | null;
    /** @readonly @type {number | null} */
    readonly started_at: number | null;
    /** @readonly @type {number | null} */
    readonly ended_at: number | null;
    /** @readonly @type {string | null} */
    readonly end_reason: string | null;
    /** @readonly @type {string | null} */
    readonly pause_reason: string | null;
    /** @readonly @type {number} */
    readonly active_ms: number;
    /** @readonly @type {number} */
    readonly paused_ms: number;
    /** @readonly @type {number} */
    readonly billed_ms: number;
    /** @readonly @type {string} */
    readonly cost: string;
    /** @readonly @type {string} */
    readonly refunded: string;
    /**
     * Credits a minute, the last in force.
     *
     * @readonly
     * @type {string}
     */
    readonly rate: string;
    /**
     * Free time; where chats share it, what this one has used and will still get.
     *
     * @readonly
     * @type {number}
     */
    readonly free_ms: number;
    /** @readonly @type {FreeScope} */
    readonly free_scope: FreeScope;
    /** @readonly @type {number} */
    readonly min_ms: number;
    /**
     * 0 where it is not known.
     *
     * @readonly
     * @type {number}
     */
    readonly increment_ms: number;
    /** @readonly @type {IncrementDue} */
    readonly increment_due: IncrementDue;
    /** @readonly @type {number} */
    readonly idle_ms: number;
    /** @readonly @type {number} */
    readonly abandon_ms: number;
    /** @readonly @type {number} */
    readonly max_ms: number;
    /**
     * Grows with every change of the chat: of two snapshots, the higher is the newer.
     *
     * @readonly
     * @type {number}
     */
    readonly seq: number;
    /** @param {Raw} raw as it stands in Redis */
    constructor(raw: Raw);
    /** Whether the clock runs. */
    get is_running(): boolean;
    /**
     * `live`: metered here; `migrated`: imported after it had ended in another system; null: it never started.
     *
     * @returns {"live" | "migrated" | null}
     */
    get source(): "live" | "migrated" | null;
    /** Whether the chat has started and not ended. */
    get is_open(): boolean;
    /**
     * Time running up to `now_ms` (of the queue's clock), if nothing else happens.
     *
     * @param {number} now_ms milliseconds since 1970
     */
    active_ms_at(now_ms: number): number;
    /**
     * Cost up to `now_ms`, if nothing else happens; to show it, not to charge it.
     *
     * May be a micro-credit less than the daemon's figure, which keeps fractions of them.
     *
     * @param {number} now_ms milliseconds since 1970
     */
    cost_at(now_ms: number): string;
}
/** A user's account as it was at `as_of`. Of a user without one: zeros and null. */
export declare class WalletSnapshot {
    /** @readonly @type {string} */
    readonly user_id: string;
    /** @readonly @type {number | null} */
    readonly as_of: number | null;
    /** @readonly @type {string} */
    readonly balance: string;
    /**
     * Credits a minute, of all chats that cost at `as_of`.
     *
     * @readonly
     * @type {string}
     */
    readonly burn_rate: string;
    /**
     * The last millisecond that the account can pay for, if nothing else happens.
     *
     * @readonly
     * @type {number | null}
     */
    readonly zero_at: number | null;
    /** @readonly @type {number} */
    readonly open_chats: number;
    /** @readonly @type {number} */
    readonly seq: number;
    /** @param {Raw} raw as it stands in Redis */
    constructor(raw: Raw);
    /**
     * Balance at `now_ms` if nothing else happens, falling evenly; to show it.
     *
     * Chats billed in increments take their credits in steps; this line runs between them.
     *
     * @param {number} now_ms milliseconds since 1970
     */
    balance_at(now_ms: number): string;
}
export type Snapshot = ChatSnapshot | WalletSnapshot;
/** @typedef {ChatSnapshot | WalletSnapshot} Snapshot */
/**
 * The daemon's answer to a command.
 *
 * @template {Snapshot} S
 */
export declare class Reply<S extends Snapshot> {
    /** @readonly @type {string} */
    readonly id: string;
    /** @readonly @type {string} */
    readonly outcome: string;
    /**
     * For a person.
     *
     * @readonly
     * @type {string}
     */
    readonly message: string;
    /**
     * The command's place in the queue; it happened at `at`.
     *
     * @readonly
     * @type {string}
     */
    readonly entry: string;
    /**
     * The id was handled before, in an earlier attempt (of yours, or of the client's own after
     * a lost connection); this entry had no effect, and `outcome` is that of the first.
     *
     * @readonly
     * @type {boolean}
     */
    readonly replayed: boolean;
    /**
     * The chat (or for `top_up` and `adjust` the wallet); null where there is none.
     *
     * @readonly
     * @type {S | null}
     */
    readonly snapshot: S | null;
    /**
     * @param {Raw} fields of its stream entry
     * @param {S | null} snapshot
     */
    constructor(fields: Raw, snapshot: S | null);
    /** The millisecond at which the command happened. */
    get at(): number;
    /** Whether the command was accepted. */
    get is_ok(): boolean;
}
/** A command that is in the queue, sent by `enqueue`: nobody waits for its reply. */
export declare class Sent {
    /**
     * The idempotency key: send the command again with it to learn its outcome.
     *
     * @readonly
     * @type {string}
     */
    readonly id: string;
    /**
     * The command's place in the queue.
     *
     * @readonly
     * @type {string}
     */
    readonly entry: string;
    /**
     * @param {string} id
     * @param {string} entry
     */
    constructor(id: string, entry: string);
}
/** Something that happened. `id` is its place in the stream: `events({ after: event.id })`. */
export declare class Event {
    /** @readonly @type {string} */
    readonly id: string;
    /**
     * Such as `chat.started` or `credits.low`.
     *
     * @readonly
     * @type {string}
     */
    readonly event: string;
    /**
     * When, in milliseconds since 1970.
     *
     * @readonly
     * @type {number}
     */
    readonly at: number;
    /** @readonly @type {string} */
    readonly user_id: string;
    /** @readonly @type {string | null} */
    readonly chat_id: string | null;
    /** @readonly @type {number} */
    readonly seq: number;
    /** @readonly @type {string | null} */
    readonly reason: string | null;
    /** @readonly @type {number | null} */
    readonly threshold_ms: number | null;
    /**
     * @param {string} id
     * @param {Raw} fields of its stream entry; those of later releases are left out
     */
    constructor(id: string, fields: Raw);
}
