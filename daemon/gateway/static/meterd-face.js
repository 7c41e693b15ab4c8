// The clock's face: its elements and its style. It is told what to show and changes what differs, nothing else.

const STYLE = `
:host { display: inline-block; vertical-align: top; }
:host([hidden]) { display: none; }
[part~="clock"] {
  box-sizing: border-box;
  inline-size: var(--meterd-width, 17rem);
  max-inline-size: 100%;
  padding: var(--meterd-padding, 0.9rem 1rem);
  border: var(--meterd-border, 1px solid color-mix(in srgb, currentColor 20%, transparent));
  border-radius: var(--meterd-radius, 0.75rem);
  background: var(--meterd-background, transparent);
  color: var(--meterd-color, inherit);
  font-family: var(--meterd-font, inherit);
  line-height: 1.4;
  text-align: start;
}
[part~="head"] { display: flex; align-items: center; gap: 0.5em; font-size: 0.875em; }
[part~="dot"] {
  flex: none; inline-size: 0.65em; block-size: 0.65em; border-radius: 50%;
  background: var(--meterd-idle-color, #8a8f98);
}
.running > * > [part~="dot"] { background: var(--meterd-running-color, #1a8f4c); }
.paused > * > [part~="dot"], .suspended > * > [part~="dot"] { background: var(--meterd-paused-color, #b7791f); }
.refused > * > [part~="dot"], .lost > * > [part~="dot"] { background: var(--meterd-alert-color, #c2362b); }
[part~="time"] {
  display: block; font-size: var(--meterd-time-size, 2.25em); font-weight: 600; line-height: 1.25;
}
[part~="value"], [part~="time"] {
  font-variant-numeric: tabular-nums; direction: ltr; unicode-bidi: isolate;
  text-align: match-parent; text-align: -webkit-match-parent; /* the start of the lines around it; browsers differ in the name */
}
[part~="figure"] { display: flex; justify-content: space-between; gap: 1em; }
[part~="label"] { color: var(--meterd-label-color, color-mix(in srgb, currentColor 75%, transparent)); }
[part~="note"] { margin: 0.5em 0 0; font-size: 0.875em; }
.low [part~="left"], .low [part~="balance"], .low [part~="note"] {
  color: var(--meterd-low-color, light-dark(#a3281f, #ff9d94)); font-weight: 600;
}
[hidden] { display: none !important; }
.said, .compact [part~="label"] {
  position: absolute; inline-size: 1px; block-size: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap;
}
.compact {
  display: inline-flex; flex-wrap: wrap; align-items: baseline; gap: 0 0.75em; inline-size: auto;
  padding: var(--meterd-padding, 0.25rem 0.6rem);
}
.compact [part~="time"] { font-size: inherit; }
.compact [part~="figure"][data-name="rate"] { display: none; }
.compact [part~="note"] { margin: 0; }
`;

const FIGURES = ["cost", "rate", "balance", "left"];
let sheet = null;

/** One sheet for all clocks of a page, made by script: a Content-Security-Policy of 'self' lets it pass. */
function style() {
  if (sheet === null) {
    sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
  }
  return sheet;
}

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export class Face {
  #box;
  #state = make("span", { part: "state" });
  #time = make("span", { part: "time", role: "timer", "aria-live": "off" });
  #note = make("p", { part: "note", hidden: "" });
  #said = make("div", { class: "said", role: "status", "aria-live": "polite" });
  #figures = {};

  constructor(host) {
    const root = host.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [style()];
    const head = make("div", { part: "head" }, make("span", { part: "dot", "aria-hidden": "true" }), this.#state);
    const figures = FIGURES.map((name) => this.#figure(name));
    this.#box = make("div", { part: "clock", role: "group" }, head, this.#time, ...figures, this.#note);
    root.append(this.#box, this.#said);
  }

  #figure(name) {
    const label = make("span", { part: "label", id: name });
    // What ticks is a timer that keeps silent: nobody wants to hear every second.
    const ticks = name === "rate" ? {} : { role: "timer", "aria-live": "off", "aria-labelledby": name };
    const value = make("span", { part: `value ${name}`, ...ticks });
    const row = make("div", { part: "figure", "data-name": name, hidden: "" }, label, value);
    this.#figures[name] = { row, label, value };
    return row;
  }

  /** Names in the clock's language. */
  name(voice, title) {
    this.#box.setAttribute("aria-label", title ?? voice.say("title"));
    this.#time.setAttribute("aria-label", voice.say("time"));
    for (const name of FIGURES) put(this.#figures[name].label, voice.say(name));
  }

  /** `marks` are the states that hold: they become parts and classes, to be styled by. */
  show({ marks, state, time, figures, note }) {
    const parts = ["clock", ...marks].join(" ");
    if (this.#box.getAttribute("part") !== parts) {
      this.#box.setAttribute("part", parts);
      this.#box.className = marks.join(" ");
    }
    put(this.#state, state);
    put(this.#time, time);
    for (const name of FIGURES) this.#showFigure(this.#figures[name], figures[name]);
    put(this.#note, note);
    this.#note.hidden = !note;
  }

  #showFigure({ row, value }, text) {
    put(value, text ?? "");
    row.hidden = text === null || text === undefined;
  }

  /** Sentences to whoever listens to the page, once; without any, what was said last stays. */
  announce(news) {
    if (news.length) this.#said.textContent = news.join(". ");
  }
}
