// The table of open chats: searched by the gateway, drawn on here, asked for again every few seconds.

import { activeMsAt, costAt } from "./meterd-draw.js";
import { get } from "./page-api.js";
import { byId, h, put, table } from "./page-dom.js";
import { chatLink, count, duration, micro, rate, status, userLink } from "./ops-show.js";

const PAGE = 50;
const SHOWN_MAX = 200;
const TYPING_MS = 250;

const COLUMNS = ["chat", "user", "advisor", "status", "time", "cost", "a minute"];

/** A table of chats whose figures run on; `draw(now)` writes them as they are then. */
export class ChatTable {
  #cells = [];
  #shown = "";

  /** `user`: whether it is of more users than one. */
  constructor(place, caption, { user = true } = {}) {
    [this.place, this.caption, this.user] = [place, caption, user];
  }

  show(chats) {
    const shown = JSON.stringify(chats);
    if (shown === this.#shown) return; // a focused link stays where it is
    this.#shown = shown;
    const focused = this.place.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    this.#cells = chats.map((chat) => ({ chat, time: h("span"), cost: h("span") }));
    const columns = this.user ? COLUMNS : COLUMNS.filter((name) => name !== "user");
    const rows = this.#cells.map(({ chat, time, cost }) => columns.map((name) => cell(name, chat, time, cost)));
    this.place.replaceChildren(table(this.caption, columns, rows));
    if (focused) this.#focus(focused);
  }

  #focus(href) {
    for (const link of this.place.querySelectorAll("a")) if (link.getAttribute("href") === href) return link.focus();
    return null;
  }

  draw(now) {
    if (now === null) return;
    for (const { chat, time, cost } of this.#cells) {
      put(time, duration(activeMsAt(chat, now)));
      put(cost, micro(costAt(chat, now)));
    }
  }
}

function cell(name, chat, time, cost) {
  const cells = {
    chat: () => chatLink(chat.chat_id),
    user: () => userLink(chat.user_id),
    advisor: () => chat.advisor_id,
    status: () => status(chat),
    time: () => time,
    cost: () => cost,
    "a minute": () => rate(chat.rate),
  };
  return cells[name]();
}

export class OpenChats {
  #table = new ChatTable(byId("chats"), "Open chats");
  #limit = PAGE;
  #asked = 0;
  #typing = null;
  #found = "";

  /** `fail(error)` shows what went wrong. */
  constructor(fail) {
    this.fail = fail;
    byId("search").addEventListener("input", () => this.#typed());
    byId("search-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#search();
    });
    byId("chats-more").addEventListener("click", () => this.#more());
  }

  draw(now) {
    this.#table.draw(now);
  }

  #typed() {
    clearTimeout(this.#typing);
    this.#typing = setTimeout(() => this.#search(), TYPING_MS);
  }

  #search() {
    clearTimeout(this.#typing);
    this.#limit = PAGE;
    return this.refresh();
  }

  #more() {
    this.#limit = Math.min(this.#limit + PAGE, SHOWN_MAX);
    return this.refresh();
  }

  /** Ask again for what is shown; an answer to an older question is dropped. */
  async refresh() {
    const asked = (this.#asked += 1);
    try {
      const search = byId("search").value.trim();
      const found = await get("v1/chats", { status: "open", search, limit: this.#limit });
      if (asked === this.#asked) this.#show(found, search);
    } catch (error) {
      if (asked === this.#asked) this.fail(error);
    }
  }

  #show({ now, chats, next }, search) {
    this.#table.show(chats);
    this.#table.draw(now);
    byId("chats-more").hidden = next === null || this.#limit >= SHOWN_MAX;
    const more = next !== null && this.#limit >= SHOWN_MAX ? "; search for those that are not shown" : "";
    const what = search ? `match “${search}”` : "are shown";
    const said = chats.length ? `${count(chats.length)} ${what}${more}.` : nothing(search);
    put(byId("chats-said"), said);
    // Chats come and go by themselves; only what somebody has searched for is announced.
    if (search !== this.#found) put(byId("search-said"), said);
    this.#found = search;
  }
}

function nothing(search) {
  return search ? `No open chat matches “${search}”.` : "No chat is open.";
}
