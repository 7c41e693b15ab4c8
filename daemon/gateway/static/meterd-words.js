// What the clock says, and how it writes numbers in the page's language. The sentences are English; a page in another
// language sets `clock.words = {...}` with those it wants to say otherwise.

import { formatMicro } from "./meterd-draw.js";

export const WORDS = {
  title: "Chat clock",
  time: "Time",
  cost: "Cost",
  rate: "Per minute",
  balance: "Credits left",
  left: "Time left",
  connecting: "Connecting",
  not_started: "Not started",
  running: "Running",
  paused: "Paused",
  suspended: "Waiting for credits",
  ended: "Ended",
  refused: "Not available",
  because_idle: "no sign of life",
  because_credits_exhausted: "credits used up",
  because_abandoned: "nobody was there any more",
  because_limit_reached: "longest time reached",
  low: "Credits are low: {left} left",
  lost: "Connection lost. The figures go on from what was known last.",
  again: "Connected again",
  no_chat: "The page names no chat.",
  no_token: "The page gives no token.",
  token_awaited: "The page gives no token. Trying again.",
  unreached: "The gateway is not reached. Trying again.",
};

/** Language, words and number of places of one clock. */
export class Voice {
  #words;
  #digits;
  #twoDigits;
  #wholes;
  #credits;

  constructor(lang, digits, words) {
    this.#words = { ...WORDS, ...words };
    this.#digits = digits;
    const plain = { useGrouping: false };
    this.#wholes = numbers(lang, plain);
    this.#twoDigits = numbers(lang, { ...plain, minimumIntegerDigits: 2 });
    this.#credits = numbers(lang, { minimumFractionDigits: digits, maximumFractionDigits: digits });
  }

  say(name) {
    return this.#words[name];
  }

  /** Credits, cut off after the clock's places: never more than there is. */
  credits(micro) {
    // As a string: Intl takes its digits as they are, where a Number would have been rounded before.
    return this.#credits.format(formatMicro(micro, this.#digits));
  }

  /** A rate as it was set: all its places, no idle zeros. */
  rate(micro) {
    const text = formatMicro(micro).replace(/0{1,4}$/, "");
    return numbers(this.#credits.resolvedOptions().locale, {
      minimumFractionDigits: 2,
      maximumFractionDigits: 6,
    }).format(text);
  }

  /** h:mm:ss in the digits of the language. `up`: a rest of a second counts as one, for what is counted down. */
  duration(ms, { up = false } = {}) {
    const seconds = up ? Math.ceil(ms / 1000) : Math.floor(ms / 1000);
    const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
    const two = (number) => this.#twoDigits.format(number);
    return `${this.#wholes.format(hours)}:${two(minutes)}:${two(seconds % 60)}`;
  }

  /** The state with its reason; one that has no words here is a backend's own, and is shown as it is. */
  state(name, reason) {
    if (!reason) return this.say(name);
    const known = `because_${reason}`;
    return `${this.say(name)}: ${Object.hasOwn(this.#words, known) ? this.say(known) : reason}`;
  }

  low(leftMs) {
    return this.say("low").replace("{left}", this.duration(leftMs, { up: true }));
  }
}

function numbers(lang, options) {
  try {
    return new Intl.NumberFormat(lang || undefined, options);
  } catch {
    return new Intl.NumberFormat(undefined, options); // a `lang` that is not a language's name
  }
}

/** The language of the nearest element that names one, out of as many shadow roots as it takes. */
export function langOf(element) {
  for (let at = element; at; at = at.parentElement ?? at.getRootNode().host) {
    if (at.lang) return at.lang;
  }
  return document.documentElement.lang;
}
