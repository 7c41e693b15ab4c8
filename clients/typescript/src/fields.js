/** From arguments to the fields of a stream entry, refused here with the daemon's own words. */

import { InvalidCommandError } from "./errors.js";
import { CREDITS } from "./money.js";

/**
 * Credits, exactly: `"12.5"`, `"12"` or `12n`. Never a number: 0.1 is not 0.1.
 *
 * @typedef {string | bigint} Amount
 */

/** @typedef {{ readonly needs: readonly string[], readonly may_have: readonly string[] }} Shape */
/** @typedef {(name: string, value: string) => string | null} Check What is wrong with a value. */

const ENTRY_BYTES_MAX = 16 * 1024;
const SHOWN_MAX = 40;
const IDENTIFIER = /^[A-Za-z0-9_.:@/+=-]{1,128}$/;
const NAME = /^[A-Za-z0-9_.:@/+=-]{1,64}$/;
const DURATION = /^[0-9]{1,12}$/;
const TIMESTAMP = /^[0-9]{1,15}$/;

const OPENING = ["id", "chat_id", "user_id", "advisor_id"];
const TARIFF = [
  "rate",
  "free_ms",
  "free_scope",
  "min_ms",
  "increment_ms",
  "increment_due",
  "idle_ms",
  "abandon_ms",
  "max_ms",
];

/** Fields that every type may have. */
const ALWAYS = ["type", "id", "reply_to", "user_id"];

/**
 * Command types with the fields each needs and may have.
 *
 * @type {Readonly<Record<string, Shape>>}
 */
export const SHAPES = {
  start: { needs: OPENING, may_have: TARIFF },
  adopt: {
    needs: [...OPENING, "started_at", "carried_ms", "carried_cost"],
    may_have: [...TARIFF, "carried_free_ms"],
  },
  pause: { needs: ["id", "chat_id"], may_have: [] },
  resume: { needs: ["id", "chat_id"], may_have: [] },
  heartbeat: { needs: ["id", "chat_id"], may_have: [] },
  set_rate: { needs: ["id", "chat_id", "rate"], may_have: [] },
  end: { needs: ["id", "chat_id"], may_have: ["reason"] },
  top_up: { needs: ["id", "user_id", "amount"], may_have: [] },
  refund: { needs: ["id", "chat_id", "amount"], may_have: ["reason"] },
  adjust: { needs: ["id", "user_id", "amount"], may_have: ["reason", "partial"] },
};

const CREDIT_FIELDS = new Set(["rate", "carried_cost", "amount"]);
const TIME_FIELDS = new Set([
  ...["free_ms", "min_ms", "increment_ms", "idle_ms", "abandon_ms", "max_ms"],
  ...["started_at", "carried_ms", "carried_free_ms"],
]);

/** @type {Readonly<Record<string, Check>>} */
const CHECKS = {
  type: () => null,
  id: identifier,
  chat_id: identifier,
  user_id: identifier,
  advisor_id: identifier,
  reply_to: short_name,
  reason: short_name,
  rate: credits,
  carried_cost: credits,
  amount,
  free_ms: duration,
  min_ms: duration,
  idle_ms: duration,
  abandon_ms: duration,
  max_ms: duration,
  carried_ms: duration,
  carried_free_ms: duration,
  free_scope: one_of("chat", "advisor", "user"),
  increment_due: one_of("begin", "end"),
  partial: one_of("0", "1"),
  increment_ms: increment,
  started_at: timestamp,
};

/**
 * A command's fields as they are sent; those that are undefined or null are left out.
 *
 * @param {Readonly<Record<string, unknown>>} given
 * @returns {Record<string, string>}
 * @throws {TypeError} a value of a wrong type, such as a number for credits
 * @throws {InvalidCommandError} what the daemon would refuse as `invalid_command`
 */
export function sent_fields(given) {
  /** @type {Record<string, string>} */
  const fields = {};
  for (const [name, value] of Object.entries(given)) {
    if (value !== undefined && value !== null) fields[name] = as_text(name, value);
  }
  const fault = fault_of(fields);
  if (fault !== null) throw new InvalidCommandError("invalid_command", fault, fields["id"] ?? "");
  return fields;
}

/**
 * Whether a chat or a user can be called so.
 *
 * @param {string} name for the error
 * @param {unknown} value
 * @throws {TypeError} it is no string
 */
export function is_identifier(name, value) {
  if (typeof value !== "string") throw new TypeError(`${name}: send a string, not ${kind(value)}`);
  return IDENTIFIER.test(value);
}

/**
 * @param {string} name
 * @param {unknown} value
 */
function as_text(name, value) {
  if (CREDIT_FIELDS.has(name)) return credits_text(name, value);
  if (TIME_FIELDS.has(name)) return milliseconds_text(name, value);
  if (name === "partial" && typeof value === "boolean") return value ? "1" : "0";
  if (typeof value !== "string") throw new TypeError(`${name}: send a string, not ${kind(value)}`);
  return value;
}

/**
 * @param {string} name
 * @param {unknown} value
 */
function credits_text(name, value) {
  if (typeof value === "number") {
    throw new TypeError(`${name}: a number may not be exact; send "${value}" instead of ${value}`);
  }
  if (typeof value !== "string" && typeof value !== "bigint") {
    throw new TypeError(`${name}: send a string or bigint, not ${kind(value)}`);
  }
  return String(value);
}

/**
 * @param {string} name
 * @param {unknown} value
 */
function milliseconds_text(name, value) {
  if (!Number.isSafeInteger(value)) {
    const what = typeof value === "number" ? String(value) : kind(value);
    throw new TypeError(`${name}: send milliseconds as an integer number, not ${what}`);
  }
  return String(value);
}

/** @param {unknown} value */
function kind(value) {
  if (Array.isArray(value)) return "an array";
  return value === null ? "null" : typeof value;
}

/**
 * Why the daemon would refuse these fields; null if it would not.
 *
 * @param {Readonly<Record<string, string>>} fields
 */
function fault_of(fields) {
  const texts = Object.entries(fields).flat();
  const bytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
  if (bytes > ENTRY_BYTES_MAX) {
    return `the entry is over ${ENTRY_BYTES_MAX} bytes; send only the fields it needs`;
  }
  if (texts.some((text) => /\p{Cs}/u.test(text))) {
    return "the entry is not UTF-8; send plain ASCII fields";
  }
  const type = fields["type"] ?? "";
  const shape = Object.hasOwn(SHAPES, type) ? SHAPES[type] : undefined;
  if (shape === undefined) {
    return `type: ${shown(type)} is not one of ${Object.keys(SHAPES).join(", ")}`;
  }
  return fault_of_shape(shape, fields) ?? fault_of_values(type, fields) ?? fault_of_carried(fields);
}

/**
 * @param {Shape} shape
 * @param {Readonly<Record<string, string>>} fields
 */
function fault_of_shape(shape, fields) {
  const known = [...shape.needs, ...shape.may_have, ...ALWAYS];
  const unknown = Object.keys(fields).find((name) => !known.includes(name));
  if (unknown !== undefined) {
    return `${shown(unknown)}: ${fields["type"]} has no such field; leave it out`;
  }
  const missing = shape.needs.find((name) => !Object.hasOwn(fields, name));
  if (missing !== undefined) {
    return `${missing}: missing; ${fields["type"]} needs ${shape.needs.join(", ")}`;
  }
  return null;
}

/**
 * @param {string} type
 * @param {Readonly<Record<string, string>>} fields
 */
function fault_of_values(type, fields) {
  for (const [name, value] of Object.entries(fields)) {
    const check = type === "adjust" && name === "amount" ? signed_amount : CHECKS[name];
    const fault = check?.(name, value) ?? null;
    if (fault !== null) return fault;
  }
  return null;
}

/**
 * How the times of an `adopt` go together. When it happens is for the daemon to compare.
 *
 * @param {Readonly<Record<string, string>>} fields
 */
function fault_of_carried(fields) {
  if (Number(fields["carried_free_ms"] ?? 0) > Number(fields["carried_ms"] ?? 0)) {
    return "carried_free_ms: it is more than carried_ms; send how much of that time was free";
  }
  return null;
}

/** @type {Check} */
function identifier(name, value) {
  if (IDENTIFIER.test(value)) return null;
  return `${name}: ${shown(value)} is not an identifier; send 1 to 128 of A-Z a-z 0-9 _ . : @ / + = -`;
}

/** @type {Check} */
function short_name(name, value) {
  if (NAME.test(value)) return null;
  return `${name}: ${shown(value)} won't do; send 1 to 64 of A-Z a-z 0-9 _ . : @ / + = -`;
}

/** @type {Check} */
function credits(name, value) {
  if (CREDITS.test(value)) return null;
  return (
    `${name}: ${shown(value)} is not an amount of credits; ` +
    "send up to 9 digits, then optionally a point and up to 6, as in 12.5"
  );
}

/** @type {Check} */
function amount(name, value) {
  return credits(name, value) ?? (/[1-9]/.test(value) ? null : `${name}: must be more than 0`);
}

/** @type {Check} */
function signed_amount(name, value) {
  return amount(name, value.startsWith("-") ? value.slice(1) : value);
}

/** @type {Check} */
function duration(name, value) {
  if (DURATION.test(value)) return null;
  return `${name}: ${shown(value)} is not milliseconds; send up to 12 digits`;
}

/** @type {Check} */
function increment(name, value) {
  const fault = duration(name, value);
  return fault ?? (/[1-9]/.test(value) ? null : `${name}: must be at least 1; 1 bills by the millisecond`);
}

/** @type {Check} */
function timestamp(name, value) {
  if (TIMESTAMP.test(value)) return null;
  return `${name}: ${shown(value)} is not a time in ms since 1970; send up to 15 digits`;
}

/**
 * @param {...string} words
 * @returns {Check}
 */
function one_of(...words) {
  return (name, value) =>
    words.includes(value) ? null : `${name}: ${shown(value)} won't do; send one of ${words.join(", ")}`;
}

/**
 * Foreign text in a message: quoted, escaped and cut, as the daemon does it.
 *
 * @param {string} text
 */
function shown(text) {
  const characters = [...text];
  const cut = characters.length > SHOWN_MAX ? [...characters.slice(0, SHOWN_MAX), "…"] : characters;
  const quote = cut.includes("'") && !cut.includes('"') ? '"' : "'";
  return quote + cut.map((character) => escaped(character, quote)).join("") + quote;
}

/**
 * @param {string} character
 * @param {string} quote
 */
function escaped(character, quote) {
  const named = { "\t": "\\t", "\n": "\\n", "\r": "\\r", "\\": "\\\\", [quote]: `\\${quote}` };
  if (Object.hasOwn(named, character)) return named[character];
  const code = character.codePointAt(0) ?? 0;
  if (code >= 0x20 && code < 0x7f) return character;
  const digits = code.toString(16);
  if (code < 0x100) return `\\x${digits.padStart(2, "0")}`;
  return code < 0x10000 ? `\\u${digits.padStart(4, "0")}` : `\\U${digits.padStart(8, "0")}`;
}
