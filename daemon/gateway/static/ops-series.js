// The last hour of each figure: what the daemon has kept, and after that what this page has seen itself.

import { HOUR_MS } from "./ops-plot.js";

const STEP_MS = 10_000;

export class Series {
  #kept = { from: 0, step_ms: STEP_MS, series: {} };
  #seen = new Map();

  /** An answer of GET /v1/status/history. */
  keep(history) {
    this.#kept = history;
  }

  /** A figure of an answer of GET /v1/status; of each step the last one stays. */
  see(name, at, value) {
    const seen = this.#seen.get(name) ?? [];
    const last = seen.at(-1);
    if (last && Math.floor(last.at / STEP_MS) === Math.floor(at / STEP_MS)) seen.pop();
    seen.push({ at, value });
    while (seen[0].at < at - HOUR_MS) seen.shift();
    this.#seen.set(name, seen);
  }

  /** {at, value} of the last hour before `now`; value is null where nothing is known. */
  points(name, now) {
    const { from, step_ms: step, series } = this.#kept;
    const kept = (series[name] ?? []).map((value, index) => ({ at: from + index * step, value }));
    const known = kept.findLast(({ value }) => Number.isFinite(value))?.at ?? 0;
    const seen = (this.#seen.get(name) ?? []).filter(({ at }) => at > known);
    return [...kept.filter(({ at }) => at <= known), ...seen].filter(({ at }) => at >= now - HOUR_MS);
  }
}
