/** What can go wrong, by what the caller can do about it. */

/** @typedef {import("./results.js").Reply<import("./results.js").Snapshot>} AnyReply */

/** Everything that this package throws, except for arguments of a wrong type. */
export class MeterError extends Error {}

// An error prints the name of its own class.
Object.defineProperty(MeterError.prototype, "name", {
  get() {
    return this.constructor.name;
  },
});

/** The client was closed before; make a new one. Nothing was sent. */
export class ClosedError extends MeterError {}

/** Redis did not answer a query, in several attempts. Nothing was asked to change. */
export class UnavailableError extends MeterError {}

/** `in_flight_max` commands were waiting for replies all the time; nothing was sent. */
export class BusyError extends MeterError {}

/**
 * The events stream no longer holds everything after `after`, so some may be missing.
 *
 * Read the snapshots of the chats you follow, then go on with `events({ after: "0" })`.
 */
export class EventsLostError extends MeterError {
  /** @readonly @type {string} */
  after;

  /** @param {string} after the last event that was read */
  constructor(after) {
    super(
      `events after ${after} have left the stream: read the snapshots of what you follow, ` +
        'then go on with events({ after: "0" })',
    );
    this.after = after;
  }
}

/**
 * The command may take effect, now or later. Send it again with `id: error.id` to find out.
 *
 * The same id with the same content has one effect, however often it is sent.
 */
export class UncertainError extends MeterError {
  /** @readonly @type {string} */
  id;

  /**
   * @param {string} message
   * @param {string} id the command's
   * @param {ErrorOptions} [options]
   */
  constructor(message, id, options) {
    super(message, options);
    this.id = id;
  }
}

/** Redis did not confirm that the command is in the queue; it may be there. */
export class NotConfirmedError extends UncertainError {}

/**
 * The command is in the queue as `entry`, but no reply came in time.
 *
 * It stays there and takes effect as of the millisecond in `entry` when the daemon gets to it.
 */
export class NoReplyError extends UncertainError {
  /** @readonly @type {string} */
  entry;

  /**
   * @param {string} id the command's
   * @param {string} entry its place in the queue
   * @param {number} timeout_s how long the call took, in seconds
   * @param {ErrorOptions} [options]
   */
  constructor(id, entry, timeout_s, options) {
    super(
      `no reply to command ${id} within ${timeout_s} s; it is in the queue as ${entry} and ` +
        "may still take effect: to learn what came of it, send it again with the same id",
      id,
      options,
    );
    this.entry = entry;
  }
}

/** The command had no effect; `outcome` says why in the contract's words. */
export class CommandRefusedError extends MeterError {
  /** @readonly @type {string} */
  outcome;
  /** @readonly @type {string} */
  id;
  /** @readonly @type {AnyReply | null} */
  reply;

  /**
   * @param {string} outcome
   * @param {string} message
   * @param {string} id the command's
   * @param {AnyReply | null} [reply] null where the client itself refused
   */
  constructor(outcome, message, id, reply = null) {
    super(message);
    this.outcome = outcome;
    this.id = id;
    this.reply = reply;
  }
}

/** A field is missing, unknown or of a wrong form. Thrown before sending where possible. */
export class InvalidCommandError extends CommandRefusedError {}

/** The id was used before with other content. */
export class IdConflictError extends CommandRefusedError {}

/** No start has been accepted for this chat. */
export class UnknownChatError extends CommandRefusedError {}

/** The chat belongs to another user. */
export class UserMismatchError extends CommandRefusedError {}

/** The chat was started before. */
export class AlreadyStartedError extends CommandRefusedError {}

/** The chat has ended. */
export class AlreadyEndedError extends CommandRefusedError {}

/** `pause` wants a running chat. */
export class NotRunningError extends CommandRefusedError {}

/** `resume` wants a paused or suspended chat. */
export class NotPausedError extends CommandRefusedError {}

/** `refund` wants an ended chat. */
export class NotEndedError extends CommandRefusedError {}

/** The account can't pay for it: for the next millisecond, or for what an `adjust` takes. */
export class InsufficientCreditsError extends CommandRefusedError {}

/** A refund of more than was paid. */
export class ExceedsCostError extends CommandRefusedError {}

/**
 * The operator's limit on open chats, in all or of this user, is reached.
 *
 * Try later, with a new id.
 */
export class AtCapacityError extends CommandRefusedError {}

/** The user's account is in another partition; the message names it. */
export class WrongPartitionError extends CommandRefusedError {}

/** The daemon failed on this entry again and again and set it aside. */
export class InternalError extends CommandRefusedError {}

/** @type {ReadonlyMap<string, typeof CommandRefusedError>} */
const REFUSALS = new Map([
  ["invalid_command", InvalidCommandError],
  ["id_conflict", IdConflictError],
  ["unknown_chat", UnknownChatError],
  ["user_mismatch", UserMismatchError],
  ["already_started", AlreadyStartedError],
  ["already_ended", AlreadyEndedError],
  ["not_running", NotRunningError],
  ["not_paused", NotPausedError],
  ["not_ended", NotEndedError],
  ["insufficient_credits", InsufficientCreditsError],
  ["exceeds_cost", ExceedsCostError],
  ["at_capacity", AtCapacityError],
  ["wrong_partition", WrongPartitionError],
  ["internal_error", InternalError],
]);

/**
 * The error that a reply with an outcome other than `ok` stands for.
 *
 * @param {AnyReply} reply
 * @returns {CommandRefusedError}
 * @internal
 */
export function refusal(reply) {
  const Kind = REFUSALS.get(reply.outcome) ?? CommandRefusedError;
  return new Kind(reply.outcome, `${reply.outcome}: ${reply.message}`, reply.id, reply);
}
