// The actors: which process has how many chats, and what is wrong with it.

import { byId, h, nothing, replace, table } from "./page-dom.js";
import { chatLink } from "./ops-ids.js";
import { count } from "./ops-show.js";

const SHOWN_CHATS = 3;
const NODE_SHOWN = 8;
const COLUMNS = ["Actor", "State", "Open chats", "Restarts", "Node", "Process", "Some of its chats"];

export function showActors({ actors = [], alarms = [] }) {
  byId("actors-card").classList.toggle("warning", alarms.some(({ tile }) => tile === "actors"));
  const shown = JSON.stringify(actors);
  const place = byId("actors");
  if (place.dataset.shown === shown) return; // so that a link keeps the focus while nothing changes
  place.dataset.shown = shown;
  replace(place, actors.length ? table("Actors", COLUMNS, actors.map(rowOf)) : nothing("None is known."));
}

function rowOf(actor) {
  return [
    actor.name,
    stateOf(actor),
    count(actor.chats),
    count(actor.restarts),
    actor.node ? h("span", { title: actor.node }, actor.node.slice(0, NODE_SHOWN)) : null,
    actor.pid === null || actor.pid === undefined ? null : String(actor.pid),
    someOf(actor),
  ];
}

function stateOf({ up, pid, trouble, waiting }) {
  const isStarting = up === false && !pid; // it has had no process yet
  const state = up === false ? (isStarting ? "starting" : "down") : "up";
  const texts = [state, trouble, waiting > 0 && (waiting === 1 ? "1 batch waits" : `${count(waiting)} batches wait`)].filter(Boolean);
  return h("span", { class: state === "down" || trouble ? "bad" : "" }, texts.join(", "));
}

function someOf({ chats = 0, chat_ids: ids = [] }) {
  const links = ids.slice(0, SHOWN_CHATS).map((id) => chatLink(id));
  return h("span", { class: "some" }, links, chats > SHOWN_CHATS && links.length ? h("span", { class: "soft" }, "…") : null);
}
