// How the operations page writes numbers and words, in the document's language.

import { readMicro } from "./meterd-draw.js";
import { Voice, langOf } from "./meterd-words.js";
import { h } from "./page-dom.js";

const voice = new Voice(langOf(document.documentElement), 6);
const whole = new Intl.NumberFormat(document.documentElement.lang);
const tenths = new Intl.NumberFormat(document.documentElement.lang, { maximumFractionDigits: 1 });

export const UNKNOWN = "–";
export const credits = (text) => voice.credits(readMicro(text));
export const micro = (amount) => voice.credits(amount);
export const rate = (text) => voice.rate(readMicro(text));
export const duration = (ms) => voice.duration(ms);

/** A count; a dash where it is not known. */
export function count(number) {
  return Number.isFinite(number) ? whole.format(number) : UNKNOWN;
}

/** A number with one place, such as a rate of commands. */
export function roughly(number) {
  return Number.isFinite(number) ? tenths.format(number) : UNKNOWN;
}

/** A short time, such as how long something waits. */
export function short(ms) {
  if (!Number.isFinite(ms)) return UNKNOWN;
  if (ms < 1000) return `${whole.format(ms)} ms`;
  return ms < 60_000 ? `${tenths.format(ms / 1000)} s` : duration(ms);
}

/** An amount of memory in MiB. */
export function memory(bytes) {
  return Number.isFinite(bytes) ? `${tenths.format(bytes / 2 ** 20)} MiB` : UNKNOWN;
}

/** A word of the API's as text: `credits_exhausted` becomes `credits exhausted`. */
export function spaced(word) {
  return word.replaceAll("_", " ");
}

/** The first letter large, as at the beginning of a sentence. */
export function capital(text) {
  return text && text[0].toUpperCase() + text.slice(1);
}

/** A chat's status with its colour; the word says it too. */
export function status(chat) {
  const reason = chat.end_reason ?? chat.pause_reason;
  const why = reason && !["ended", "command"].includes(reason) ? h("small", {}, ` (${spaced(reason)})`) : null;
  return h("span", { class: `status ${chat.status}` }, spaced(chat.status), why);
}
