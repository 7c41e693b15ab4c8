/**
 * The client of meterd: send commands, read snapshots and follow events.
 *
 * @module
 */

export { Commands } from "./commands.js";
export {
  AlreadyEndedError,
  AlreadyStartedError,
  AtCapacityError,
  BusyError,
  ClosedError,
  CommandRefusedError,
  EventsLostError,
  ExceedsCostError,
  IdConflictError,
  InsufficientCreditsError,
  InternalError,
  InvalidCommandError,
  MeterError,
  NoReplyError,
  NotConfirmedError,
  NotEndedError,
  NotPausedError,
  NotRunningError,
  UnavailableError,
  UncertainError,
  UnknownChatError,
  UserMismatchError,
  WrongPartitionError,
} from "./errors.js";
export { Events } from "./events.js";
export { Meter } from "./meter.js";
export { format_micro, parse_micro } from "./money.js";
export { ChatSnapshot, Event, Reply, Sent, WalletSnapshot } from "./results.js";

/** @typedef {import("./commands.js").AdjustOptions} AdjustOptions */
/** @typedef {import("./commands.js").AdoptOptions} AdoptOptions */
/** @typedef {import("./commands.js").ChatOptions} ChatOptions */
/** @typedef {import("./commands.js").ReasonOptions} ReasonOptions */
/** @typedef {import("./commands.js").Sending} Sending */
/** @typedef {import("./commands.js").StartOptions} StartOptions */
/** @typedef {import("./commands.js").TariffOptions} TariffOptions */
/** @typedef {import("./events.js").EventsOptions} EventsOptions */
/** @typedef {import("./fields.js").Amount} Amount */
/** @typedef {import("./meter.js").MeterOptions} MeterOptions */
/** @typedef {import("./meter.js").ReadRecord} ReadRecord */
/** @typedef {import("./results.js").ChatStatus} ChatStatus */
/** @typedef {import("./results.js").FreeScope} FreeScope */
/** @typedef {import("./results.js").IncrementDue} IncrementDue */
/** @typedef {import("./results.js").Snapshot} Snapshot */
