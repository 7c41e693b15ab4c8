// A line of the last hour with its scale. Where nothing is known the line is interrupted; pointing at it gives the value.

import { h, put, svg } from "./page-dom.js";
import { timeOfDay } from "./ops-moments.js";

const [WIDTH, HEIGHT] = [300, 48];
export const HOUR_MS = 3_600_000;

/** `name` is said to those who can't see it; `write(value)` makes a text of a value. */
export class Plot {
  #lines = [svg("path", { class: "second" }), svg("path", { class: "first" })];
  #area = svg("path", { class: "area" });
  #cursor = svg("line", { class: "cursor", y1: 0, y2: HEIGHT, visibility: "hidden" });
  #top = h("span", { class: "top" });
  #from = h("span", {}, "1 h ago");
  #to = h("span", {}, "now");
  #points = [];
  #now = 0;
  #end = "now"; // what the right end is

  constructor(name, write) {
    [this.name, this.write] = [name, write];
    const frame = [0, HEIGHT].map((y) => svg("line", { class: "rule", x1: 0, x2: WIDTH, y1: y, y2: y }));
    const box = { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" };
    this.drawing = svg("svg", box, frame, this.#area, this.#lines, this.#cursor);
    this.drawing.addEventListener("pointermove", (event) => this.#point(event));
    this.drawing.addEventListener("pointerleave", () => this.#leave());
    const scale = h("div", { class: "scale" }, this.#top, h("span", { class: "bottom" }, "0"));
    const times = h("div", { class: "times" }, this.#from, this.#to);
    this.element = h("div", { class: "plot" }, this.drawing, scale, times);
  }

  /** `points`: {at, value} in order of `at`, value null where nothing is known; `second` another line on the same scale. */
  show(points, second, now) {
    [this.#points, this.#now, this.#end] = [points, now, "now"];
    if (!this.element.classList.contains("pointed")) put(this.#to, this.#end);
    const values = [...points, ...second].map(({ value }) => value).filter(Number.isFinite);
    const top = roundUp(Math.max(0, ...values));
    const lines = [second, points].map((each) => this.#runs(each, top));
    this.#lines.forEach((line, index) => line.setAttribute("d", lines[index].map(pathOf).join("")));
    this.#area.setAttribute("d", lines[1].map(areaOf).join(""));
    put(this.#top, this.write(top));
    this.drawing.setAttribute("aria-label", this.#inWords(points));
  }

  /** Stretches without a gap, in units of the drawing. */
  #runs(points, top) {
    const runs = [];
    let open = false;
    for (const { at, value } of points) {
      const isKnown = Number.isFinite(value);
      if (isKnown && !open) runs.push([]);
      if (isKnown) runs.at(-1).push([this.#x(at).toFixed(1), (HEIGHT * (1 - value / top)).toFixed(1)]);
      open = isKnown;
    }
    return runs;
  }

  #x(at) {
    return WIDTH * (1 - (this.#now - at) / HOUR_MS);
  }

  #inWords(points) {
    const values = points.map(({ value }) => value).filter(Number.isFinite);
    if (!values.length) return `${this.name} in the last hour: not known`;
    return `${this.name} in the last hour: ${this.write(Math.min(...values))} to ${this.write(Math.max(...values))}`;
  }

  #point(event) {
    const box = this.drawing.getBoundingClientRect();
    const at = this.#now - HOUR_MS * (1 - (event.clientX - box.left) / box.width);
    const near = nearest(this.#points.filter(({ value }) => Number.isFinite(value)), at);
    if (!near) return;
    for (const end of ["x1", "x2"]) this.#cursor.setAttribute(end, this.#x(near.at));
    this.#cursor.setAttribute("visibility", "visible");
    put(this.#from, timeOfDay(near.at));
    put(this.#to, this.write(near.value));
    this.element.classList.add("pointed");
  }

  #leave() {
    this.#cursor.setAttribute("visibility", "hidden");
    put(this.#from, "1 h ago");
    put(this.#to, this.#end);
    this.element.classList.remove("pointed");
  }

  /** Nothing new comes: the right end is no longer now. */
  age() {
    if (this.#now) this.#end = timeOfDay(this.#now);
    this.#leave();
  }
}

function nearest(points, at) {
  return points.reduce((best, each) => (best && Math.abs(best.at - at) <= Math.abs(each.at - at) ? best : each), null);
}

/** The next of 1, 2, 5, 10, 20, …: a scale that stays while values move a little. */
export function roundUp(value) {
  if (value <= 1) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value);
}

function pathOf(run) {
  // A single sample is a dot, which a line of no length with round ends is.
  const ends = run.length === 1 ? [...run, run[0]] : run;
  return `M${ends.map((point) => point.join(",")).join("L")}`;
}

function areaOf(run) {
  return `M${run[0][0]},${HEIGHT}L${run.map((point) => point.join(",")).join("L")}L${run.at(-1)[0]},${HEIGHT}Z`;
}
