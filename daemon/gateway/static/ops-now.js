// A chat at a later moment than its snapshot's, as `meterd top` shows it: nothing is added up here, it is only drawn.

import { activeMsAt, billedMs, costAt, leftMsAt, runsUntil } from "./meterd-draw.js";

/**
 * Time, billed time and cost up to `now`, and what is left until the credits or its limit end it (null: neither does).
 * `zeroAt`: when the credits of its account end; null if they do not, or if that is not known.
 */
export function chatNow(chat, zeroAt, now) {
  const wallet = { zero_at: zeroAt };
  const limit = limitOf(chat);
  const until = Math.min(runsUntil(chat, wallet, now), limit ?? now);
  const activeMs = activeMsAt(chat, until);
  const billed = chat.billed_ms + billedMs(chat, activeMs) - billedMs(chat, chat.active_ms);
  return { activeMs, billedMs: billed, cost: costAt(chat, until), leftMs: leftOf(chat, wallet, limit, now) };
}

function limitOf(chat) {
  return chat.status === "running" && chat.max_ms ? chat.as_of + chat.max_ms - chat.active_ms : null;
}

function leftOf(chat, wallet, limit, now) {
  if (chat.status !== "running") return null;
  const ends = [leftMsAt(wallet, now), limit === null ? null : Math.max(0, limit - now)].filter((each) => each !== null);
  return ends.length ? Math.min(...ends) : null;
}
