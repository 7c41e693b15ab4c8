/** What the client gives back: frozen, credits as decimal strings, times as integer milliseconds. */

import { MS_PER_MINUTE, divide_to_nearest, format_micro, parse_micro } from "./money.js";

/** @typedef {"running" | "paused" | "suspended" | "ended" | "not_started"} ChatStatus */
/** @typedef {"chat" | "advisor" | "user"} FreeScope Which chats share one allowance of free time. */
/** @typedef {"begin" | "end"} IncrementDue When an increment is owed: as it begins, or once complete. */
/** @typedef {Readonly<Record<string, unknown>>} Raw Something that was JSON, or a stream entry's fields. */

/** A chat as it was at `as_of`. Of a chat that never started: zeros and null. */
export class ChatSnapshot {
  /** @readonly @type {string} */
  chat_id;
  /** @readonly @type {string | null} */
  user_id;
  /** @readonly @type {string | null} */
  advisor_id;
  /** @readonly @type {ChatStatus} */
  status;
  /** @readonly @type {number | null} */
  as_of;
  /** @readonly @type {number | null} */
  started_at;
  /** @readonly @type {number | null} */
  ended_at;
  /** @readonly @type {string | null} */
  end_reason;
  /** @readonly @type {string | null} */
  pause_reason;
  /** @readonly @type {number} */
  active_ms;
  /** @readonly @type {number} */
  paused_ms;
  /** @readonly @type {number} */
  billed_ms;
  /** @readonly @type {string} */
  cost;
  /** @readonly @type {string} */
  refunded;
  /**
   * Credits a minute, the last in force.
   *
   * @readonly
   * @type {string}
   */
  rate;
  /**
   * Free time; where chats share it, what this one has used and will still get.
   *
   * @readonly
   * @type {number}
   */
  free_ms;
  /** @readonly @type {FreeScope} */
  free_scope;
  /** @readonly @type {number} */
  min_ms;
  /**
   * 0 where it is not known.
   *
   * @readonly
   * @type {number}
   */
  increment_ms;
  /** @readonly @type {IncrementDue} */
  increment_due;
  /** @readonly @type {number} */
  idle_ms;
  /** @readonly @type {number} */
  abandon_ms;
  /** @readonly @type {number} */
  max_ms;
  /**
   * Grows with every change of the chat: of two snapshots, the higher is the newer.
   *
   * @readonly
   * @type {number}
   */
  seq;

  /** @param {Raw} raw as it stands in Redis */
  constructor(raw) {
    const read = new Reader({ ...SINCE_0_2, ...raw });
    this.chat_id = read.text("chat_id");
    this.user_id = read.text_or_null("user_id");
    this.advisor_id = read.text_or_null("advisor_id");
    this.status = /** @type {ChatStatus} */ (read.text("status"));
    this.as_of = read.integer_or_null("as_of");
    this.started_at = read.integer_or_null("started_at");
    this.ended_at = read.integer_or_null("ended_at");
    this.end_reason = read.text_or_null("end_reason");
    this.pause_reason = read.text_or_null("pause_reason");
    this.active_ms = read.integer("active_ms");
    this.paused_ms = read.integer("paused_ms");
    this.billed_ms = read.integer("billed_ms");
    this.cost = read.credits("cost");
    this.refunded = read.credits("refunded");
    this.rate = read.credits("rate");
    this.free_ms = read.integer("free_ms");
    this.free_scope = /** @type {FreeScope} */ (read.text("free_scope"));
    this.min_ms = read.integer("min_ms");
    this.increment_ms = read.integer("increment_ms");
    this.increment_due = /** @type {IncrementDue} */ (read.text("increment_due"));
    this.idle_ms = read.integer("idle_ms");
    this.abandon_ms = read.integer("abandon_ms");
    this.max_ms = read.integer("max_ms");
    this.seq = read.integer("seq");
    Object.freeze(this);
  }

  /** Whether the clock runs. */
  get is_running() {
    return this.status === "running";
  }

  /**
   * `live`: metered here; `migrated`: imported after it had ended in another system; null: it never started.
   *
   * @returns {"live" | "migrated" | null}
   */
  get source() {
    if (this.status === "not_started") return null;
    // Of an imported chat nobody knows by which increments it was billed.
    return this.increment_ms === 0 ? "migrated" : "live";
  }

  /** Whether the chat has started and not ended. */
  get is_open() {
    return this.status !== "not_started" && this.status !== "ended";
  }

  /**
   * Time running up to `now_ms` (of the queue's clock), if nothing else happens.
   *
   * @param {number} now_ms milliseconds since 1970
   */
  active_ms_at(now_ms) {
    return this.active_ms + this.#since(now_ms);
  }

  /**
   * Cost up to `now_ms`, if nothing else happens; to show it, not to charge it.
   *
   * May be a micro-credit less than the daemon's figure, which keeps fractions of them.
   *
   * @param {number} now_ms milliseconds since 1970
   */
  cost_at(now_ms) {
    const elapsed_ms = this.#since(now_ms);
    if (elapsed_ms === 0) return this.cost;
    const billed_ms = this.#billed_ms(this.active_ms + elapsed_ms);
    const grown_ms = BigInt(billed_ms - this.#billed_ms(this.active_ms));
    const grown_micro = (grown_ms * parse_micro(this.rate)) / MS_PER_MINUTE;
    return format_micro(parse_micro(this.cost) + grown_micro);
  }

  /**
   * Billed time of an active time: free time, minimum and increments that are owed.
   *
   * @param {number} active_ms
   */
  #billed_ms(active_ms) {
    const counted_ms = active_ms - this.free_ms;
    if (this.increment_ms === 0) return active_ms; // it came from another system
    if (counted_ms <= 0) return 0;
    const rest_ms = counted_ms % this.increment_ms;
    const is_begun = rest_ms > 0 && this.increment_due === "begin";
    const whole_ms = counted_ms - rest_ms + (is_begun ? this.increment_ms : 0);
    return Math.max(this.min_ms, whole_ms);
  }

  /**
   * For how long the clock has run since the snapshot; a clock that is behind is no debt.
   *
   * @param {number} now_ms
   */
  #since(now_ms) {
    if (!this.is_running || this.as_of === null) return 0;
    return Math.max(0, now_ms - this.as_of);
  }
}

/** A user's account as it was at `as_of`. Of a user without one: zeros and null. */
export class WalletSnapshot {
  /** @readonly @type {string} */
  user_id;
  /** @readonly @type {number | null} */
  as_of;
  /** @readonly @type {string} */
  balance;
  /**
   * Credits a minute, of all chats that cost at `as_of`.
   *
   * @readonly
   * @type {string}
   */
  burn_rate;
  /**
   * The last millisecond that the account can pay for, if nothing else happens.
   *
   * @readonly
   * @type {number | null}
   */
  zero_at;
  /** @readonly @type {number} */
  open_chats;
  /** @readonly @type {number} */
  seq;

  /** @param {Raw} raw as it stands in Redis */
  constructor(raw) {
    const read = new Reader(raw);
    this.user_id = read.text("user_id");
    this.as_of = read.integer_or_null("as_of");
    this.balance = read.credits("balance");
    this.burn_rate = read.credits("burn_rate");
    this.zero_at = read.integer_or_null("zero_at");
    this.open_chats = read.integer("open_chats");
    this.seq = read.integer("seq");
    Object.freeze(this);
  }

  /**
   * Balance at `now_ms` if nothing else happens, falling evenly; to show it.
   *
   * Chats billed in increments take their credits in steps; this line runs between them.
   *
   * @param {number} now_ms milliseconds since 1970
   */
  balance_at(now_ms) {
    if (this.as_of === null || now_ms <= this.as_of) return this.balance;
    const until_ms = this.zero_at === null ? now_ms : Math.min(now_ms, this.zero_at);
    const elapsed_ms = BigInt(Math.max(0, until_ms - this.as_of));
    const burnt = parse_micro(this.burn_rate) * elapsed_ms;
    const left = parse_micro(this.balance) * MS_PER_MINUTE - burnt;
    return format_micro(left > 0n ? divide_to_nearest(left, MS_PER_MINUTE) : 0n);
  }
}

/** @typedef {ChatSnapshot | WalletSnapshot} Snapshot */

/**
 * The daemon's answer to a command.
 *
 * @template {Snapshot} S
 */
export class Reply {
  /** @readonly @type {string} */
  id;
  /** @readonly @type {string} */
  outcome;
  /**
   * For a person.
   *
   * @readonly
   * @type {string}
   */
  message;
  /**
   * The command's place in the queue; it happened at `at`.
   *
   * @readonly
   * @type {string}
   */
  entry;
  /**
   * The id was handled before, in an earlier attempt (of yours, or of the client's own after
   * a lost connection); this entry had no effect, and `outcome` is that of the first.
   *
   * @readonly
   * @type {boolean}
   */
  replayed;
  /**
   * The chat (or for `top_up` and `adjust` the wallet); null where there is none.
   *
   * @readonly
   * @type {S | null}
   */
  snapshot;

  /**
   * @param {Raw} fields of its stream entry
   * @param {S | null} snapshot
   */
  constructor(fields, snapshot) {
    const read = new Reader(fields);
    this.id = read.text("id");
    this.outcome = read.text("outcome");
    this.message = read.text_or_null("message") ?? "";
    this.entry = read.text("entry");
    this.replayed = fields["replayed"] === "1";
    this.snapshot = snapshot;
    Object.freeze(this);
  }

  /** The millisecond at which the command happened. */
  get at() {
    return Number.parseInt(this.entry, 10);
  }

  /** Whether the command was accepted. */
  get is_ok() {
    return this.outcome === "ok";
  }
}

/** A command that is in the queue, sent by `enqueue`: nobody waits for its reply. */
export class Sent {
  /**
   * The idempotency key: send the command again with it to learn its outcome.
   *
   * @readonly
   * @type {string}
   */
  id;
  /**
   * The command's place in the queue.
   *
   * @readonly
   * @type {string}
   */
  entry;

  /**
   * @param {string} id
   * @param {string} entry
   */
  constructor(id, entry) {
    this.id = id;
    this.entry = entry;
    Object.freeze(this);
  }
}

/** Something that happened. `id` is its place in the stream: `events({ after: event.id })`. */
export class Event {
  /** @readonly @type {string} */
  id;
  /**
   * Such as `chat.started` or `credits.low`.
   *
   * @readonly
   * @type {string}
   */
  event;
  /**
   * When, in milliseconds since 1970.
   *
   * @readonly
   * @type {number}
   */
  at;
  /** @readonly @type {string} */
  user_id;
  /** @readonly @type {string | null} */
  chat_id;
  /** @readonly @type {number} */
  seq;
  /** @readonly @type {string | null} */
  reason;
  /** @readonly @type {number | null} */
  threshold_ms;

  /**
   * @param {string} id
   * @param {Raw} fields of its stream entry; those of later releases are left out
   */
  constructor(id, fields) {
    const read = new Reader(fields);
    this.id = id;
    this.event = read.text("event");
    this.at = read.digits("at");
    this.user_id = read.text("user_id");
    this.chat_id = read.text_or_null("chat_id");
    this.seq = read.digits("seq");
    this.reason = read.text_or_null("reason");
    this.threshold_ms = fields["threshold_ms"] === undefined ? null : read.digits("threshold_ms");
    Object.freeze(this);
  }
}

/** What a snapshot says that was written by version 0.1. */
const SINCE_0_2 = { free_scope: "chat", increment_due: "begin", abandon_ms: 0, max_ms: 0 };

const NO_CREDITS = "0.000000";

/**
 * The answer for a chat that never started: an answer, not an error.
 *
 * @param {string} chat_id
 * @internal
 */
export function not_started(chat_id) {
  const zeros = { active_ms: 0, paused_ms: 0, billed_ms: 0, free_ms: 0, min_ms: 0, idle_ms: 0 };
  const credits = { cost: NO_CREDITS, refunded: NO_CREDITS, rate: NO_CREDITS };
  return new ChatSnapshot({
    chat_id,
    status: "not_started",
    ...zeros,
    ...credits,
    increment_ms: 0,
    seq: 0,
  });
}

/**
 * The answer for an account that never had a credit.
 *
 * @param {string} user_id
 * @internal
 */
export function no_wallet(user_id) {
  const credits = { balance: NO_CREDITS, burn_rate: NO_CREDITS };
  return new WalletSnapshot({ user_id, ...credits, open_chats: 0, seq: 0 });
}

/**
 * A reply from the fields of its stream entry.
 *
 * @param {Raw} fields
 * @returns {Reply<Snapshot>}
 * @internal
 */
export function read_reply(fields) {
  const json = fields["snapshot"];
  return new Reply(fields, json ? read_snapshot(parse_json(String(json))) : null);
}

/**
 * An object from its JSON.
 *
 * @param {string} json
 * @returns {Raw}
 * @internal
 */
export function parse_json(json) {
  const value = JSON.parse(json);
  if (typeof value !== "object" || value === null) throw new TypeError(`not an object: ${json}`);
  return value;
}

/**
 * @param {Raw} raw
 * @returns {Snapshot}
 */
function read_snapshot(raw) {
  return "chat_id" in raw ? new ChatSnapshot(raw) : new WalletSnapshot(raw);
}

/** Reads fields of an object, each as what it must be. */
class Reader {
  /** @param {Raw} raw */
  constructor(raw) {
    this.raw = raw;
  }

  /** @param {string} name */
  text(name) {
    const value = this.raw[name];
    if (typeof value !== "string") throw new TypeError(`${name}: not text`);
    return value;
  }

  /** @param {string} name */
  text_or_null(name) {
    return this.raw[name] === undefined || this.raw[name] === null ? null : this.text(name);
  }

  /** @param {string} name */
  integer(name) {
    const value = this.raw[name];
    if (!Number.isSafeInteger(value)) throw new TypeError(`${name}: not an integer`);
    return /** @type {number} */ (value);
  }

  /** @param {string} name */
  integer_or_null(name) {
    return this.raw[name] === undefined || this.raw[name] === null ? null : this.integer(name);
  }

  /**
   * An integer that is written as text.
   *
   * @param {string} name
   */
  digits(name) {
    const text = this.text(name);
    if (!/^-?[0-9]{1,15}$/.test(text)) throw new TypeError(`${name}: not an integer`);
    return Number(text);
  }

  /** @param {string} name */
  credits(name) {
    const text = this.text(name);
    parse_micro(text);
    return text;
  }
}
