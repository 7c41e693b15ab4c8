// Totals with their last minutes, and the actors: all of it from one answer of GET /v1/status, any part of which may
// be missing.

import { byId, h, put, svg, table } from "./page-dom.js";
import { chatLink, count, duration, short } from "./ops-show.js";

const KEPT_MS = 300_000;
const [WIDTH, HEIGHT] = [100, 30];
const SHOWN_CHATS = 5;
const NODE_SHOWN = 8;

const TILES = [
  { name: "Open chats", of: (now) => now.open_chats, write: count },
  { name: "Commands / s", of: (now, before) => pace(now, before), write: (number) => rounded(number) },
  { name: "Not read yet", of: (now) => now.queue?.lag, write: count },
  { name: "Oldest waits", of: (now) => now.queue?.oldest_ms, write: short },
  { name: "In hand", of: (now) => now.queue?.pending, write: count },
  { name: "For PostgreSQL", of: (now) => now.queue?.outbox, write: count },
  { name: "Refused by it", of: (now) => now.queue?.refused, write: count },
  { name: "Dead letters", of: (now) => now.queue?.dead, write: count, href: "#dead" },
];

/** Commands handled a second since the answer before; the counters begin anew with each daemon. */
function pace(now, before) {
  const passed = now.now - before?.now;
  const handled = total(now) - total(before);
  return passed > 0 && handled >= 0 ? (handled * 1000) / passed : undefined;
}

function total(status) {
  return Object.values(status?.outcomes ?? {}).reduce((sum, number) => sum + number, 0);
}

function rounded(number) {
  return Number.isFinite(number) ? count(Math.round(number * 10) / 10) : "–";
}

export class Glance {
  #samples = TILES.map(() => []);
  #tiles = TILES.map((tile) => this.#tile(tile));
  #before = null;

  constructor() {
    byId("tiles").replaceChildren(...this.#tiles.map((tile) => tile.item));
  }

  #tile({ name, href }) {
    const number = h("div", { class: "number" }, "–");
    const line = svg("polyline", { points: "" });
    const floor = svg("line", { x1: 0, y1: HEIGHT, x2: WIDTH, y2: HEIGHT });
    const plot = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" }, floor, line);
    const label = h("div", { class: "label" }, href ? h("a", { href }, name) : name);
    return { number, line, plot, item: h("li", { class: "card tile" }, label, number, plot) };
  }

  show(status) {
    showState(status);
    showActors(status.actors);
    TILES.forEach((tile, index) => this.#showTile(tile, index, status));
    this.#before = status;
  }

  #showTile({ name, of, write }, index, status) {
    const value = of(status, this.#before);
    const { number, line, plot } = this.#tiles[index];
    put(number, write(value));
    const samples = this.#samples[index];
    if (Number.isFinite(value)) samples.push({ at: status.now, value });
    while (samples.length && samples[0].at < status.now - KEPT_MS) samples.shift();
    line.setAttribute("points", pointsOf(samples, status.now));
    plot.setAttribute("aria-label", inWords(name, samples, write));
  }
}

/** The newest at the right end; the highest value touches the top. */
function pointsOf(samples, now) {
  const highest = Math.max(1, ...samples.map(({ value }) => value));
  const x = (at) => WIDTH * (1 - (now - at) / KEPT_MS);
  return samples.map(({ at, value }) => `${x(at).toFixed(1)},${(HEIGHT * (1 - value / highest)).toFixed(1)}`).join(" ");
}

function inWords(name, samples, write) {
  if (!samples.length) return `${name}: not known`;
  const values = samples.map(({ value }) => value);
  return `${name} in the last five minutes: ${write(Math.min(...values))} to ${write(Math.max(...values))}`;
}

function showState({ state = "unknown", why = "", uptime_ms: uptime }) {
  const shown = byId("state");
  shown.className = state === "ready" ? "good" : "bad";
  put(shown, why ? `${state}: ${why}` : state);
  put(byId("uptime"), Number.isFinite(uptime) ? `for ${duration(uptime)}` : "");
}

function showActors(actors = []) {
  const columns = ["actor", "node", "process", "chats", "restarts", "trouble", "some of them"];
  const rows = actors.map((actor) => [
    actor.name,
    actor.node ? h("span", { title: actor.node }, actor.node.slice(0, NODE_SHOWN)) : null,
    actor.pid === null || actor.pid === undefined ? null : String(actor.pid),
    count(actor.chats),
    count(actor.restarts),
    trouble(actor),
    someOf(actor),
  ]);
  const shown = JSON.stringify(actors);
  const place = byId("actors");
  if (place.dataset.shown === shown) return; // so that a link keeps the focus while nothing changes
  place.dataset.shown = shown;
  place.replaceChildren(actors.length ? table("Actors", columns, rows) : h("p", { class: "soft" }, "None is known."));
}

function trouble({ up, trouble: what, waiting }) {
  const texts = [up === false && "down", what, waiting > 0 && `${waiting} wait`].filter(Boolean);
  return texts.length ? h("span", { class: up === false || what ? "bad" : "soft" }, texts.join(", ")) : "none";
}

function someOf({ chats = 0, chat_ids: ids = [] }) {
  const links = ids.slice(0, SHOWN_CHATS).flatMap((id, index) => [index ? ", " : "", chatLink(id)]);
  return h("span", {}, links, chats > SHOWN_CHATS ? " …" : "");
}
