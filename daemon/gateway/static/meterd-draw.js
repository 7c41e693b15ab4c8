// What a snapshot shows at a later moment, if nothing else happens. Pure functions over exact integers: times are
// milliseconds (Numbers below 2^53), credits are micro-credits (BigInt), because 0.1 is not 0.1 in floating point.
// The daemon's rules are the same; the tests compare the two.

const MS_PER_MINUTE = 60_000n;
const MICRO = 1_000_000n;
// The gateway lists no more running chats than this; beyond, the balance falls evenly by burn_rate.
const LISTED_MAX = 100;

/** Micro-credits of a decimal string with up to six places, such as "-0.016833". */
export function readMicro(text) {
  const [, sign, whole, fraction = ""] = /^(-?)(\d+)(?:\.(\d{1,6}))?$/.exec(text) ?? fail(text);
  const micro = BigInt(whole) * MICRO + BigInt(fraction.padEnd(6, "0"));
  return sign ? -micro : micro;
}

function fail(text) {
  throw new RangeError(`not an amount of credits: ${text}`);
}

/** Micro-credits as a decimal string; `digits` (0 to 6) places, what is beyond is cut off, never rounded up. */
export function formatMicro(micro, digits = 6) {
  const size = micro < 0n ? -micro : micro;
  const kept = size / 10n ** BigInt(6 - digits);
  const text = kept.toString().padStart(digits + 1, "0");
  const sign = micro < 0n && kept > 0n ? "-" : "";
  return digits ? `${sign}${text.slice(0, -digits)}.${text.slice(-digits)}` : sign + text;
}

/** Billed time of an active time: free time, minimum and the increments that are owed. */
export function billedMs(terms, activeMs) {
  const counted = activeMs - terms.free_ms;
  if (counted <= 0) return 0;
  return Math.max(terms.min_ms, owedIncrements(terms, counted));
}

function owedIncrements(terms, counted) {
  // By remainder, which is exact; a quotient of large numbers would be rounded.
  const beyond = counted % increment(terms);
  return counted - beyond + (beyond && !isDueAtEnd(terms) ? increment(terms) : 0);
}

function isDueAtEnd(terms) {
  return terms.increment_due === "end"; // what has no increment_due owes an increment as it begins
}

function increment(terms) {
  return terms.increment_ms || 1; // 0 where it is not known
}

/** Time running up to `now`, on the queue's clock. */
export function activeMsAt(chat, now) {
  if (chat.status !== "running" || chat.as_of === null) return chat.active_ms;
  return chat.active_ms + Math.max(0, now - chat.as_of);
}

/** Cost up to `now` in micro-credits; may be one less than the daemon's, which keeps fractions of them. */
export function costAt(chat, now) {
  return readMicro(chat.cost) + costBetween(chat, chat.active_ms, activeMsAt(chat, now));
}

function costBetween(terms, fromMs, toMs) {
  const grown = BigInt(billedMs(terms, toMs) - billedMs(terms, fromMs));
  return (grown * readMicro(terms.rate)) / MS_PER_MINUTE;
}

/** Balance at `now` in micro-credits: what each running chat has cost since is gone; it stops at `zero_at`. */
export function balanceAt(wallet, now) {
  const balance = readMicro(wallet.balance);
  if (wallet.as_of === null || now <= wallet.as_of) return balance;
  const until = wallet.zero_at === null ? now : Math.min(now, wallet.zero_at);
  const left = balance - burntUntil(wallet, Math.max(until, wallet.as_of));
  return left > 0n || balance < 0n ? left : 0n;
}

function burntUntil(wallet, until) {
  const running = wallet.running ?? [];
  if (!wallet.running || running.length >= LISTED_MAX) {
    return (BigInt(until - wallet.as_of) * readMicro(wallet.burn_rate)) / MS_PER_MINUTE;
  }
  return running.reduce((sum, each) => sum + costBetween(each, ranMs(each, wallet.as_of), ranMs(each, until)), 0n);
}

function ranMs(running, now) {
  return running.active_ms + Math.max(0, now - running.as_of);
}

/** Milliseconds until the credits end; null if nothing burns. */
export function leftMsAt(wallet, now) {
  return wallet.zero_at === null ? null : Math.max(0, wallet.zero_at - now);
}

/**
 * The moment up to which the chat can have run by `now`. When the credits end, chats whose next millisecond costs
 * stop, exactly then; a free or paid stretch goes on to its end. The daemon says so too, a moment later.
 */
export function runsUntil(chat, wallet, now) {
  const end = wallet?.zero_at ?? null;
  if (end === null || now <= end || chat.status !== "running" || readMicro(chat.rate) === 0n) return now;
  const atEnd = activeMsAt(chat, end);
  return Math.min(now, end + Math.max(0, paidUpTo(chat, atEnd) - atEnd));
}

/** The active time, from `activeMs` on, whose next millisecond costs. */
function paidUpTo(terms, activeMs) {
  const billed = billedMs(terms, activeMs);
  const complete = terms.free_ms + billed - (billed % increment(terms));
  const isInFreeTime = activeMs <= terms.free_ms;
  if (!isDueAtEnd(terms) || (isInFreeTime && terms.min_ms > 0)) return complete;
  return complete + increment(terms) - 1; // the millisecond that completes the next increment costs
}

/** Everything to be shown of a chat and its wallet (null where it may not be seen) at `now`. */
export function figuresAt(chat, wallet, now) {
  const until = runsUntil(chat, wallet, now);
  return {
    now,
    activeMs: activeMsAt(chat, until),
    cost: costAt(chat, until),
    rate: readMicro(chat.rate),
    balance: wallet ? balanceAt(wallet, now) : null,
    leftMs: wallet ? leftMsAt(wallet, now) : null,
  };
}

/** Of two snapshots of the same thing, the newer one: a lower `seq` never replaces a higher. */
export function newer(kept, fresh) {
  if (!fresh) return kept ?? null;
  return kept && kept.seq > fresh.seq ? kept : fresh;
}
