// The figures of the service, each with its last hour. A tile has the colour of the worst alarm that is about it; what is
// not known any more stays, in grey, with the moment of which it is.

import { byId, h, put } from "./page-dom.js";
import { moment } from "./ops-moments.js";
import { Plot } from "./ops-plot.js";
import { Series } from "./ops-series.js";
import { capital, count, memory, roughly, short, UNKNOWN } from "./ops-show.js";

const FAST_MS = 60_000;

// `of(status, before)` reads a figure of the status: null if there is nothing to measure, undefined if it is not known.
const TILES = [
  { name: "open_chats", label: "Open chats", of: (now) => now.open_chats, write: count, href: "#chats" },
  { name: "commands_per_s", label: "Commands handled per second", of: commandsPerS, write: roughly },
  { name: "latency_p99_ms", label: "Time to handle a command, p99", of: (now) => now.recent?.latency_p99_ms, write: short,
    second: { name: "latency_p50_ms", label: "p50", of: (now) => now.recent?.latency_p50_ms } },
  { name: "lateness_p99_ms", label: "Lateness of timed changes, p99", of: (now) => now.recent?.lateness_p99_ms, write: short },
  { name: "queue_oldest_ms", label: "Wait of the oldest command", of: (now) => now.queue?.oldest_ms, write: short },
  { name: "queue_lag", label: "Commands not read yet", of: (now) => now.queue?.lag, write: count },
  { name: "pending", label: "Commands being handled", of: (now) => now.queue?.pending, write: count },
  { name: "outbox", label: "Changes waiting for PostgreSQL", of: (now) => now.queue?.outbox, write: count },
  { name: "refused", label: "Changes refused by PostgreSQL", of: (now) => now.queue?.refused, write: count },
  { name: "dead", label: "Dead letters", of: (now) => now.queue?.dead, write: count, href: "#dead" },
  { name: "memory_bytes", label: "Memory of Redis", of: (now) => now.memory?.used_bytes, write: memory },
];

/** Commands handled a second since the answer before; the counters start at 0 with each daemon. */
function commandsPerS(now, before) {
  const passed = now.now - before?.now;
  const handled = total(now) - total(before);
  return passed > 0 && passed < FAST_MS && handled >= 0 ? (handled * 1000) / passed : now.recent?.commands_per_s;
}

function total(status) {
  const numbers = Object.values(status?.outcomes ?? {});
  return numbers.length ? numbers.reduce((sum, number) => sum + number, 0) : NaN;
}

/** The worst alarm about a tile; critical ones come first. */
function alarmOf(status, name) {
  const alarms = (status.alarms ?? []).filter(({ tile }) => tile === name);
  return alarms.find(({ severity }) => severity === "critical") ?? alarms[0] ?? null;
}

export class Tiles {
  #series = new Series();
  #tiles = TILES.map((tile) => new Tile(tile));
  #status = null;

  constructor() {
    byId("tiles").replaceChildren(...this.#tiles.map((tile) => tile.element));
  }

  show(status) {
    TILES.forEach(({ name, of }, index) => {
      const value = of(status, this.#status);
      if (value !== undefined) this.#series.see(name, status.now, value);
      this.#tiles[index].show(value, alarmOf(status, name), status);
    });
    this.#status = status;
    this.#plot();
  }

  keep(history) {
    this.#series.keep(history);
    if (this.#status) this.#plot();
  }

  #plot() {
    const { now } = this.#status;
    for (const tile of this.#tiles) tile.plot((name) => (name ? this.#series.points(name, now) : []), now);
  }

  /** No answer comes any more. */
  lose() {
    for (const tile of this.#tiles) tile.lose();
  }
}

class Tile {
  #number = h("span", { class: "number" }, UNKNOWN);
  #also = h("span", { class: "also soft" });
  #note = h("span", { class: "note" });
  #plot;
  #known = null; // when the number was known last

  constructor({ name, label, write, second, href }) {
    Object.assign(this, { name, write, second });
    this.#plot = new Plot(label, write);
    const title = h("h3", { class: "label" }, href ? h("a", { href }, label) : label);
    this.element = h("li", { class: "tile" }, title, h("div", { class: "figure" }, this.#number, this.#also, this.#note), this.#plot.element);
  }

  show(value, alarm, status) {
    if (value === undefined && this.#known !== null) return this.age();
    if (value !== undefined) this.#known = status.now;
    put(this.#number, this.write(value));
    const beside = this.second?.of(status);
    put(this.#also, Number.isFinite(beside) ? `${this.second.label} ${this.write(beside)}` : "");
    this.element.classList.remove("stale");
    this.#say(alarm);
  }

  #say(alarm) {
    for (const severity of ["critical", "warning"]) this.element.classList.toggle(severity, alarm?.severity === severity);
    put(this.#note, alarm ? capital(alarm.severity) : "");
  }

  /** What is shown is not of now; an alarm about it goes on until something else is known. */
  age() {
    if (this.#known === null || this.element.classList.contains("stale")) return;
    this.element.classList.add("stale");
    this.#note.replaceChildren("as of ", moment(this.#known));
  }

  /** No answer comes: that holds for the plot, too. */
  lose() {
    this.age();
    this.#plot.age();
  }

  plot(pointsOf, now) {
    const points = pointsOf(this.name);
    this.#plot.show(points, pointsOf(this.second?.name), now);
    if (this.#known === null) this.#remember(points.findLast(({ value }) => Number.isFinite(value)));
  }

  /** Opened when the daemon is down: what was known last is more than nothing. */
  #remember(last) {
    if (!last) return;
    this.#known = last.at;
    put(this.#number, this.write(last.value));
    this.age();
  }
}
