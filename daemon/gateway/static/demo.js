// The demonstration: one user, one advisor, two chats, one wallet, and every button is one command to the daemon.

import "./meterd-clock.js";
import { leftMsAt, readMicro } from "./meterd-draw.js";
import { keepDrawing } from "./meterd-time.js";
import { Voice } from "./meterd-words.js";
import { claims, command, newId, says, token } from "./page-api.js";
import { byId, h, put } from "./page-dom.js";
import { askForToken, withToken } from "./page-token.js";

const LINES_MAX = 200;
const RUN = "meterd-demo-run";
const NAMES = ["A", "B"];
const BUTTONS = ["start", "pause", "resume", "end"];
const CAN = {
  start: ["not_started"],
  pause: ["running"],
  resume: ["paused", "suspended"],
  end: ["running", "paused", "suspended"],
};

const EVENTS = {
  "chat.started": "started",
  "chat.paused": "paused",
  "chat.resumed": "goes on",
  "chat.suspended": "waits for credits",
  "chat.ended": "ended",
  "chat.rate_changed": "has another rate",
  "chat.snapshot": "has another share of the free time",
  "wallet.topped_up": "Credits have arrived",
  "wallet.adjusted": "The credits were corrected",
  "credits.low": "Credits are low",
  "credits.exhausted": "The credits are used up",
};

const LANG = document.documentElement.lang;
const CLOCK = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };
const timeOfDay = new Intl.DateTimeFormat(LANG, CLOCK);
const voice = new Voice(LANG, 6);

const user = () => claims().sub ?? "";
// What an advisor's chats have used of their free time is remembered, so each run has an advisor of its own.
const advisor = () => `demo-advisor-${run()}`;
const chats = NAMES.map((name) => ({ name, id: "", clock: null, caption: null, free: null, buttons: {} }));
const told = new Set();

/** The chats of this run; the same ones after a reload. */
function run() {
  const kept = sessionStorage.getItem(RUN);
  return kept ?? newRun();
}

function newRun() {
  const made = newId().slice(0, 8);
  sessionStorage.setItem(RUN, made);
  return made;
}

/** `at` is the queue's time, if the daemon has told it. */
function say(text, kind = "", at = new Date()) {
  const time = h("time", { datetime: at.toISOString() }, timeOfDay.format(at));
  const log = byId("log");
  log.prepend(h("li", { class: kind }, time, text));
  if (log.children.length > LINES_MAX) log.lastChild.remove();
}

/** Sends one command and says in a line what came of it. */
async function act(what, fields) {
  try {
    const reply = await command({ ...fields, user_id: user() });
    say(`${what}: done`, "good", new Date(Number.parseInt(reply.entry, 10)));
    return reply;
  } catch (error) {
    say(`${what}: ${error.status ? "refused" : "failed"}, ${says(error)}`, "bad");
    if (error.status === 401) askForToken(says(error));
    return null;
  }
}

function topUp(amount) {
  return act(`Top up ${amount}`, { type: "top_up", amount });
}

function start(chat) {
  const rate = byId("rate").value;
  // Every part of the tariff, so that it is the same whatever the operator has configured.
  const free = { free_ms: Number(byId("free").value), free_scope: "advisor" };
  const steps = { min_ms: 0, increment_ms: 1, increment_due: "begin" };
  const tariff = { rate, ...free, ...steps, idle_ms: 0, abandon_ms: 0, max_ms: 0 };
  const fields = { type: "start", chat_id: chat.id, advisor_id: advisor(), ...tariff };
  return act(`Start chat ${chat.name} at ${rate} a minute`, fields);
}

function tell(chat, type) {
  const what = `${type[0].toUpperCase()}${type.slice(1)} chat ${chat.name}`;
  return act(what, { type, chat_id: chat.id });
}

/** Leave the chat that runs and go to the other: pause one, then start the other or go on with it. */
async function switchChats() {
  const from = chats.find((chat) => chat.clock.state === "running") ?? chats[1];
  const to = chats.find((chat) => chat !== from);
  if (from.clock.state === "running" && !(await tell(from, "pause"))) return;
  if (to.clock.state === "not_started") await start(to);
  else if (to.clock.state !== "running") await tell(to, "resume");
}

async function reset() {
  for (const chat of chats) if (CAN.end.includes(chat.clock.state)) await tell(chat, "end");
  newRun();
  show();
  say("New chats, with new ids; the old ones keep their records");
}

const DO = { start, pause: (chat) => tell(chat, "pause"), resume: (chat) => tell(chat, "resume"), end: (chat) => tell(chat, "end") };

function build(chat) {
  // With its user, both clocks share one stream, and show the credits before anything has started.
  chat.clock = h("meterd-clock", { user: user(), label: `Chat ${chat.name}`, digits: 6 });
  chat.clock.token = token;
  chat.clock.addEventListener("meterd-change", (event) => hear(chat, event.detail));
  for (const type of BUTTONS) {
    const label = `${type[0].toUpperCase()}${type.slice(1)}`;
    chat.buttons[type] = h("button", { "aria-label": `${label} chat ${chat.name}`, click: () => DO[type](chat) }, label);
  }
  [chat.caption, chat.free] = [h("span", { class: "soft" }), h("p", { class: "soft" })];
  const title = h("h2", { id: `chat-${chat.name}` }, `Chat ${chat.name}`);
  const buttons = h("div", { class: "row" }, Object.values(chat.buttons));
  return h("section", { class: "card", "aria-labelledby": title.id }, title, chat.clock, chat.free, buttons, chat.caption);
}

/** The wallet as both clocks have it: the newer of the two. */
function drawWallet() {
  const clock = chats.map((chat) => chat.clock).reduce((a, b) => ((a.wallet?.seq ?? -1) >= (b.wallet?.seq ?? -1) ? a : b));
  const { wallet, figures } = clock;
  if (!wallet || !figures) return;
  put(byId("balance"), voice.credits(figures.balance));
  put(byId("burn"), voice.rate(readMicro(wallet.burn_rate)));
  const left = leftMsAt(wallet, figures.now);
  put(byId("lasts"), left === null ? "nothing burns" : voice.duration(left, { up: true }));
}

/** Which buttons make sense now, and what is free. */
function hear(chat, { event, message, state, snapshot }) {
  for (const type of BUTTONS) chat.buttons[type].disabled = !CAN[type].includes(state);
  chat.free.textContent = snapshot?.free_ms ? `Free time: ${(snapshot.free_ms / 1000).toFixed(3)} s` : "";
  if (event in EVENTS) logEvent(message);
}

/** What the daemon says has happened, once: both clocks hear of everything. */
function logEvent({ event, at, chat_id: id, seq, reason }) {
  const key = [event, id, seq].join(" ");
  const chat = chats.find((each) => each.id === id);
  if (told.has(key) || (id && !chat)) return;
  if (told.size > LINES_MAX) told.clear();
  told.add(key);
  const why = reason && !["command", "ended"].includes(reason) ? ` (${reason.replaceAll("_", " ")})` : "";
  say(id ? `Chat ${chat.name} ${EVENTS[event]}${why}` : EVENTS[event], "", new Date(at));
}

function show() {
  byId("who").textContent = `user ${user()}, advisor ${advisor()}`;
  for (const chat of chats) {
    chat.id = `demo-${run()}-${chat.name}`;
    chat.clock.setAttribute("chat", chat.id);
    chat.caption.textContent = chat.id;
  }
}

function begin() {
  byId("chats").append(...chats.map(build));
  byId("top-up-1").addEventListener("click", () => topUp("1"));
  byId("top-up-10").addEventListener("click", () => topUp("10"));
  byId("switch").addEventListener("click", switchChats);
  byId("reset").addEventListener("click", reset);
  show();
  keepDrawing(drawWallet);
}

withToken(begin);
