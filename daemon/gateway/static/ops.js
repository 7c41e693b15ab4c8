// The operations page: polls what there is, follows the address, listens to the keyboard. It uses the public API only.

import { clockOf, keepDrawing } from "./meterd-time.js";
import { get, says } from "./page-api.js";
import { byId, put } from "./page-dom.js";
import { askForToken, withToken } from "./page-token.js";
import { isActing } from "./ops-act.js";
import { showActors } from "./ops-actors.js";
import { ChatView } from "./ops-chat.js";
import { DeadLetters } from "./ops-dead.js";
import { Find } from "./ops-find.js";
import { copyButton, cutText } from "./ops-ids.js";
import { currentZone, moment, setZone } from "./ops-moments.js";
import { Operations } from "./ops-operations.js";
import { AdvisorView, UserView } from "./ops-people.js";
import { count } from "./ops-show.js";
import { Tiles } from "./ops-tiles.js";
import { Verdict } from "./ops-verdict.js";

const STATUS_MS = 2_000;
const LIST_MS = 4_000;
const HISTORY_MS = 10_000;
// Several questions have had no answer by then.
const STALE_MS = 7_000;

const DETAILS = { chat: ChatView, user: UserView, advisor: AdvisorView };
const clock = clockOf(new URL("../", import.meta.url).href);

let verdict = null;
let tiles = null;
let find = null;
let lists = {};
let shown = null; // the view beside the overview: has a title, an element, open, refresh, draw and close
let back = ""; // the address of the last view that is not a detail
let opener = null; // the link that led from there to a detail
let known = null; // {now, steady} of the last status
let viewKnown = null; // of the last answer that the view had
let seenSince = 0; // since when somebody looks at the page; before, nothing was asked

// --- what is asked for again and again

/** One at a time; nobody looks at a hidden page, and without a token there is nothing to ask. */
function every(pause, work) {
  const again = async () => {
    if (document.visibilityState === "visible" && !byId("work").hidden) await work();
    setTimeout(again, pause);
  };
  again();
}

async function poll() {
  const askedAt = clock.steady();
  try {
    const status = await get("v1/status");
    clock.learn(status.now, askedAt);
    known = { now: status.now, steady: clock.steady() };
    verdict.show(status);
    tiles.show(status);
    showActors(status);
    showDead(status.queue?.dead);
    byId("work").classList.remove("stale");
  } catch (error) {
    lose(error);
  }
}

function lose(error) {
  if (error.status === 401) return askForToken(says(error));
  byId("work").classList.add("stale");
  verdict.lose(says(error), known?.now ?? null);
  tiles.lose();
}

async function pollHistory() {
  if (shown) return;
  try {
    tiles.keep(await get("v1/status/history"));
  } catch {
    // A gateway before 0.2 has none; then the plots begin with this page. Any other failure is the status' too.
  }
}

function showDead(number) {
  byId("dead-count").hidden = !number;
  put(byId("dead-count"), count(number));
}

function draw(steady) {
  const isLate = known !== null && steady - Math.max(known.steady, seenSince) > STALE_MS;
  if (isLate && !isStale()) lose({ name: "TimeoutError" });
  const now = clock.now(steady);
  if (!isStale()) verdict.age(now);
  shown?.draw(now);
}

function isStale() {
  return byId("work").classList.contains("stale");
}

/**
 * A function that is told of each answer to a view: an error, or null. Of several questions of a view one may fail, so
 * they are told apart by their paths; what the view shows is as of its last answer then.
 */
function tellOf(view) {
  const errors = new Map();
  return (error, path = "") => {
    if (error === null) errors.delete(path);
    else errors.set(path, error);
    if (view() === shown) showProblem([...errors.values()][0] ?? null);
  };
}

function showProblem(error) {
  if (error?.status === 401) return askForToken(says(error));
  if (error === null) viewKnown = clock.now();
  const isOld = error !== null && viewKnown !== null;
  byId("view").classList.toggle("stale", isOld);
  const text = error === null ? "" : `${says(error)} ${isOld ? "What is shown is as of " : ""}`;
  const place = byId("problem");
  if (place.dataset.text === text) return;
  place.dataset.text = text;
  place.replaceChildren(text, isOld ? moment(viewKnown) : "");
}

// --- which view is shown

/** `#chat/c1`, `#user/ann`, `#advisor/bob`, `#chats?…`, `#dead`, `#operations`; anything else is the overview. */
function route() {
  const [, kind, , id, query = ""] = /^#?([^/?]*)(\/([^?]*))?(?:\?(.*))?$/s.exec(location.hash) ?? [];
  if (Object.hasOwn(DETAILS, kind) && id) openDetail(kind, decoded(id));
  else if (Object.hasOwn(lists, kind)) openList(kind, new URLSearchParams(query));
  else openOverview();
  mark(kind);
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function openDetail(kind, id) {
  if (byId("view-close").hidden) opener = document.activeElement?.getAttribute("href") ?? null;
  let mine = null;
  mine = new DETAILS[kind](id, tellOf(() => mine));
  show(mine, true);
  title(mine.kind, id, kind);
  byId("view-title").focus();
  mine.open();
}

/** The heading: a word, or a word and an id that can be copied. */
function title(word, id = "", kind = "") {
  byId("view-title").setAttribute("aria-label", `${word} ${id}`.trim());
  byId("view-title").replaceChildren(word, ...(id ? [" ", cutText(id)] : []));
  byId("view-copy").replaceChildren(...(id ? [copyButton(id, "tab", kind)] : []));
}

function openList(kind, query) {
  back = location.hash;
  if (shown !== lists[kind]) {
    show(lists[kind], false);
    title(lists[kind].title);
  }
  lists[kind].open(query);
  focusOpener();
}

function openOverview() {
  back = location.hash;
  show(null, false);
  pollHistory();
  focusOpener();
}

function show(view, isDetail) {
  shown?.close();
  shown = view;
  viewKnown = null;
  byId("overview").hidden = view !== null;
  byId("view").hidden = view === null;
  byId("view").classList.remove("stale");
  byId("view-close").hidden = !isDetail;
  byId("view-body").replaceChildren(...(view ? [view.element] : []));
  put(byId("problem"), "");
  delete byId("problem").dataset.text;
  scrollTo(0, 0);
}

function mark(kind) {
  const list = Object.hasOwn(DETAILS, kind) ? "chats" : kind;
  const current = Object.hasOwn(lists, list) ? `#${list}` : "#";
  for (const link of byId("views").querySelectorAll("a")) {
    if (link.getAttribute("href") === current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

/** Back to the link that led to a detail, or the one that stands for it by now. */
function focusOpener() {
  const link = opener && [...document.querySelectorAll("main a")].find((each) => each.getAttribute("href") === opener && each.checkVisibility());
  link?.focus();
  opener = null;
}

function close() {
  location.hash = back || "#";
}

/** To an address; a list that is only asked for something else leaves no step to go back to. */
function go(address) {
  if (shown !== lists.chats) location.hash = address;
  else {
    history.replaceState(null, "", address);
    route();
  }
}

// --- the keyboard

function key(event) {
  if (isActing()) return;
  const isTyping = event.target.matches("input, select, textarea");
  if (event.key === "Escape") escape(isTyping, event.target);
  if (event.key === "/" && !isTyping && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    byId("search").focus();
    byId("search").select();
  }
}

function escape(isTyping, target) {
  if (isTyping) target.blur();
  else if (!byId("view-close").hidden) close();
}

/** Somebody looks again: what is shown is old, and nobody has asked. */
function lookedAt() {
  if (document.visibilityState !== "visible") return;
  seenSince = clock.steady();
  poll();
  shown?.refresh();
}

function markZone() {
  for (const button of byId("zones").children) button.setAttribute("aria-pressed", button.dataset.zone === currentZone());
}

function begin() {
  verdict = new Verdict();
  tiles = new Tiles();
  find = new Find(go, tellOf(() => find));
  const others = { dead: DeadLetters, operations: Operations };
  lists = { chats: find };
  for (const [kind, View] of Object.entries(others)) lists[kind] = new View(tellOf(() => lists[kind]));
  window.addEventListener("hashchange", route);
  document.addEventListener("keydown", key);
  document.addEventListener("visibilitychange", lookedAt);
  byId("view-close").addEventListener("click", close);
  every(STATUS_MS, poll);
  every(LIST_MS, () => shown?.refresh());
  every(HISTORY_MS, pollHistory);
  keepDrawing(draw);
  route();
}

for (const button of byId("zones").children) {
  button.addEventListener("click", () => {
    setZone(button.dataset.zone);
    markZone();
  });
}
markZone();
withToken(begin);
