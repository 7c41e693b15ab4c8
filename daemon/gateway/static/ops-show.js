// How the operations page writes what it shows.

import { readMicro } from "./meterd-draw.js";
import { Voice, langOf } from "./meterd-words.js";
import { h } from "./page-dom.js";

const voice = new Voice(langOf(document.documentElement), 6);
const whole = new Intl.NumberFormat(document.documentElement.lang);

export const credits = (text) => voice.credits(readMicro(text));
export const micro = (amount) => voice.credits(amount);
export const rate = (text) => voice.rate(readMicro(text));
export const duration = (ms) => voice.duration(ms);

/** A count; a dash where it is not known. */
export function count(number) {
  return Number.isFinite(number) ? whole.format(number) : "–";
}

/** A short time, such as how long something waits. */
export function short(ms) {
  if (!Number.isFinite(ms)) return "–";
  if (ms < 1000) return `${whole.format(ms)} ms`;
  return ms < 60_000 ? `${(ms / 1000).toFixed(1)} s` : duration(ms);
}

/** A moment, in the reader's time zone. */
export function moment(ms) {
  if (!Number.isFinite(ms)) return null;
  const at = new Date(ms);
  return h("time", { datetime: at.toISOString() }, at.toLocaleString(undefined, { dateStyle: "short", timeStyle: "medium" }));
}

export function chatLink(id) {
  return id ? h("a", { href: `#chat/${encodeURIComponent(id)}` }, id) : null;
}

export function userLink(id) {
  return id ? h("a", { href: `#user/${encodeURIComponent(id)}` }, id) : null;
}

/** A chat's status with its colour; the word says it too. */
export function status(chat) {
  const reason = chat.end_reason ?? chat.pause_reason;
  const why = reason && !["ended", "command"].includes(reason) ? ` (${reason.replaceAll("_", " ")})` : "";
  return h("span", { class: `status ${chat.status}` }, chat.status.replaceAll("_", " ") + why);
}
