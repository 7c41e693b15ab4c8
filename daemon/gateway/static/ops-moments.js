// Times as text: in UTC or in the reader's zone, always with the zone's name and milliseconds, in the document's language.

import { h } from "./page-dom.js";

const LANG = document.documentElement.lang;
const KEY = "meterd-zone";
const ZONES = { utc: "UTC", local: undefined };
const WHOLE = {
  day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit",
  fractionalSecondDigits: 3, hourCycle: "h23", timeZoneName: "short",
};
const CLOCK = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23", timeZoneName: "short" };

const formatsOf = (options) =>
  Object.fromEntries(Object.entries(ZONES).map(([name, timeZone]) => [name, new Intl.DateTimeFormat(LANG, { ...options, timeZone })]));
const whole = formatsOf(WHOLE);
const clock = formatsOf(CLOCK);
let zone = kept();

function kept() {
  try {
    return localStorage.getItem(KEY) === "local" ? "local" : "utc";
  } catch {
    return "utc"; // a browser that keeps nothing for this page
  }
}

/** `utc` or `local`. */
export function currentZone() {
  return zone;
}

/** Shows all times in another zone, and remembers it. */
export function setZone(name) {
  zone = name;
  try {
    localStorage.setItem(KEY, name);
  } catch {
    // as above
  }
  for (const element of document.querySelectorAll("time[data-ms]")) write(element, Number(element.dataset.ms));
}

/** A moment; null where there is none. Its title has the other zone. */
export function moment(ms) {
  if (!Number.isFinite(ms)) return null;
  const element = h("time", { "data-ms": ms, datetime: new Date(ms).toISOString() });
  write(element, ms);
  return element;
}

function write(element, ms) {
  element.textContent = whole[zone].format(ms);
  element.title = whole[zone === "utc" ? "local" : "utc"].format(ms);
}

/** The time of day of a moment that is not long ago. */
export function timeOfDay(ms) {
  return clock[zone].format(ms);
}

const UNITS = [
  [86_400_000, "d"],
  [3_600_000, "h"],
  [60_000, "min"],
  [1_000, "s"],
];

/** How long, in its two largest units: "2 d 3 h", "26 min 3 s". */
export function span(ms) {
  const first = UNITS.findIndex(([unit]) => ms >= unit);
  if (first < 0) return `0 ${UNITS.at(-1)[1]}`;
  let rest = ms;
  const parts = UNITS.slice(first, first + 2).map(([unit, name]) => {
    const number = Math.floor(rest / unit);
    rest -= number * unit;
    return number ? `${number} ${name}` : "";
  });
  return parts.filter(Boolean).join(" ");
}
