// The operations page: polls what there is, follows the address, listens to the keyboard. It reads the public API only.

import { clockOf, keepDrawing } from "./meterd-time.js";
import { get, says } from "./page-api.js";
import { byId, put } from "./page-dom.js";
import { askForToken, withToken } from "./page-token.js";
import { OpenChats } from "./ops-chats.js";
import { detailOf } from "./ops-detail.js";
import { Glance } from "./ops-glance.js";

const STATUS_MS = 2_000;
const LIST_MS = 4_000;

const clock = clockOf(new URL("../", import.meta.url).href);
let glance = null;
let chats = null;
let detail = null;
let opener = null;

function fail(error, place = "problem") {
  if (error.status === 401) return askForToken(says(error));
  return put(byId(place), `${says(error)}.`.replace(/\.\.$/, "."));
}

/** Again and again, one at a time; nobody looks at a hidden page, and without a token there is nothing to ask. */
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
    glance.show(status);
    put(byId("problem"), "");
  } catch (error) {
    fail(error);
  }
}

function draw(steady) {
  const now = clock.now(steady);
  chats.draw(now);
  detail?.draw(now);
}

/** `#chat/c1`, `#user/ann`, `#dead`; anything else is the totals alone. */
function route() {
  const [kind, id = ""] = location.hash.slice(1).split("/");
  const isDetail = kind === "dead" || (["chat", "user"].includes(kind) && id !== "");
  if (isDetail) open(kind, decoded(id));
  else shut();
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function open(kind, id) {
  detail?.close();
  if (!byId("detail").contains(document.activeElement)) opener = document.activeElement?.getAttribute("href") ?? null;
  const mine = detailOf(kind, id, (error) => mine === detail && fail(error, "detail-problem"));
  detail = mine;
  byId("detail").hidden = false;
  put(byId("detail-problem"), "");
  put(byId("detail-title"), mine.title);
  byId("detail-body").replaceChildren(mine.element);
  byId("detail-title").focus();
  mine.open();
}

function shut() {
  detail?.close();
  detail = null;
  byId("detail").hidden = true;
  byId("detail-body").replaceChildren();
  // Back to the link that led there, or the one that stands for it by now.
  const link = opener && [...document.querySelectorAll("main a")].find((each) => each.getAttribute("href") === opener);
  link?.focus();
  opener = null;
}

function close() {
  history.pushState(null, "", location.pathname + location.search);
  route();
}

function key(event) {
  const isTyping = event.target.matches("input, select, textarea");
  if (event.key === "Escape" && detail) close();
  if (event.key === "/" && !isTyping && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    byId("search").focus();
  }
}

function begin() {
  glance = new Glance();
  chats = new OpenChats(fail);
  window.addEventListener("hashchange", route);
  window.addEventListener("popstate", route);
  document.addEventListener("keydown", key);
  byId("detail-close").addEventListener("click", close);
  every(STATUS_MS, poll);
  every(LIST_MS, () => Promise.all([chats.refresh(), detail?.refresh()]));
  keepDrawing(draw);
  route();
}

withToken(begin);
