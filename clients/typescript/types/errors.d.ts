/** What can go wrong, by what the caller can do about it. */
export type AnyReply = import("./results.js").Reply<import("./results.js").Snapshot>;
/** @typedef {import("./results.js").Reply<import("./results.js").Snapshot>} AnyReply */
/** Everything that this package throws, except for arguments of a wrong type. */
export declare class MeterError extends Error {
}
/** The client was closed before; make a new one. Nothing was sent. */
export declare class ClosedError extends MeterError {
}
/** Redis did not answer a query, in several attempts. Nothing was asked to change. */
export declare class UnavailableError extends MeterError {
}
/** `in_flight_max` commands were waiting for replies all the time; nothing was sent. */
export declare class BusyError extends MeterError {
}
/**
 * The events stream no longer holds everything after `after`, so some may be missing.
 *
 * Read the snapshots of the chats you follow, then go on with `events({ after: "0" })`.
 */
export declare class EventsLostError extends MeterError {
    /** @readonly @type {string} */
    readonly after: string;
    /** @param {string} after the last event that was read */
    constructor(after: string);
}
/**
 * The command may take effect, now or later. Send it again with `id: error.id` to find out.
 *
 * The same id with the same content has one effect, however often it is sent.
 */
export declare class UncertainError extends MeterError {
    /** @readonly @type {string} */
    readonly id: string;
    /**
     * @param {string} message
     * @param {string} id the command's
     * @param {ErrorOptions} [options]
     */
    constructor(message: string, id: string, options?: ErrorOptions);
}
/** Redis did not confirm that the command is in the queue; it may be there. */
export declare class NotConfirmedError extends UncertainError {
}
/**
 * The command is in the queue as `entry`, but no reply came in time.
 *
 * It stays there and takes effect as of the millisecond in `entry` when the daemon gets to it.
 */
export declare class NoReplyError extends UncertainError {
    /** @readonly @type {string} */
    readonly entry: string;
    /**
     * @param {string} id the command's
     * @param {string} entry its place in the queue
     * @param {number} timeout_s how long the call took, in seconds
     * @param {ErrorOptions} [options]
     */
    constructor(id: string, entry: string, timeout_s: number, options?: ErrorOptions);
}
/** The command had no effect; `outcome` says why in the contract's words. */
export declare class CommandRefusedError extends MeterError {
    /** @readonly @type {string} */
    readonly outcome: string;
    /** @readonly @type {string} */
    readonly id: string;
    /** @readonly @type {AnyReply | null} */
    readonly reply: AnyReply | null;
    /**
     * @param {string} outcome
     * @param {string} message
     * @param {string} id the command's
     * @param {AnyReply | null} [reply] null where the client itself refused
     */
    constructor(outcome: string, message: string, id: string, reply?: AnyReply | null);
}
/** A field is missing, unknown or of a wrong form. Thrown before sending where possible. */
export declare class InvalidCommandError extends CommandRefusedError {
}
/** The id was used before with other content. */
export declare class IdConflictError extends CommandRefusedError {
}
/** No start has been accepted for this chat. */
export declare class UnknownChatError extends CommandRefusedError {
}
/** The chat belongs to another user. */
export declare class UserMismatchError extends CommandRefusedError {
}
/** The chat was started before. */
export declare class AlreadyStartedError extends CommandRefusedError {
}
/** The chat has ended. */
export declare class AlreadyEndedError extends CommandRefusedError {
}
/** `pause` wants a running chat. */
export declare class NotRunningError extends CommandRefusedError {
}
/** `resume` wants a paused or suspended chat. */
export declare class NotPausedError extends CommandRefusedError {
}
/** `refund` wants an ended chat. */
export declare class NotEndedError extends CommandRefusedError {
}
/** The account can't pay for it: for the next millisecond, or for what an `adjust` takes. */
export declare class InsufficientCreditsError extends CommandRefusedError {
}
/** A refund of more than was paid. */
export declare class ExceedsCostError extends CommandRefusedError {
}
/**
 * The operator's limit on open chats, in all or of this user, is reached.
 *
 * Try later, with a new id.
 */
export declare class AtCapacityError extends CommandRefusedError {
}
/** The user's account is in another partition; the message names it. */
export declare class WrongPartitionError extends CommandRefusedError {
}
/** The daemon failed on this entry again and again and set it aside. */
export declare class InternalError extends CommandRefusedError {
}
