// A table of chats whose times and costs run on.

import { chatNow } from "./ops-now.js";
import { h, nothing, put, replace, table } from "./page-dom.js";
import { advisorLink, chatLink, userLink } from "./ops-ids.js";
import { moment } from "./ops-moments.js";
import { duration, micro, rate, status, UNKNOWN } from "./ops-show.js";

const CELLS = {
  Chat: ({ chat }) => chatLink(chat.chat_id),
  User: ({ chat }) => userLink(chat.user_id),
  Advisor: ({ chat }) => advisorLink(chat.advisor_id),
  Status: ({ chat }) => status(chat),
  Started: ({ chat }) => moment(chat.started_at),
  Time: ({ time }) => time,
  Cost: ({ cost }) => cost,
  "Burn a minute": ({ chat }) => (chat.status === "running" ? rate(chat.rate) : UNKNOWN),
  "Time left": ({ left }) => left,
};

export class ChatTable {
  element = h("div", { class: "chats" });
  #rows = [];
  #shown = "";
  #zeroAt = () => null;

  /** `without`: columns that all rows have in common; `head(name)` gives a column's heading, a name by default. */
  constructor(caption, { without = [], head = (name) => name, empty = "None." } = {}) {
    Object.assign(this, { caption, head, empty });
    this.columns = Object.keys(CELLS).filter((name) => !without.includes(name));
  }

  /** `zeroAt(chat)`: when the credits of its account end, or null. */
  show(chats, zeroAt = () => null) {
    this.#zeroAt = zeroAt;
    const shown = JSON.stringify([chats, this.columns.map((name) => headOf(this.head(name)))]);
    if (shown === this.#shown) return; // what has the focus or is selected stays where it is
    this.#shown = shown;
    this.#rows = chats.map((chat) => ({ chat, time: h("span"), cost: h("span"), left: h("span") }));
    const cells = this.#rows.map((row) => this.columns.map((name) => CELLS[name](row)));
    const heads = this.columns.map((name) => this.head(name));
    replace(this.element, chats.length ? table(this.caption, heads, cells) : nothing(this.empty));
    // Where there is little room, the column that it is sorted by stays.
    this.element.dataset.sorted = heads.find((head) => head.ariaSort)?.dataset.name ?? "";
  }

  draw(now) {
    if (now === null) return;
    this.element.dataset.now = now;
    for (const { chat, time, cost, left } of this.#rows) {
      const figures = chatNow(chat, this.#zeroAt(chat), now);
      put(time, duration(figures.activeMs));
      put(cost, micro(figures.cost));
      put(left, figures.leftMs === null ? UNKNOWN : duration(figures.leftMs));
    }
  }
}

function headOf(head) {
  return head.outerHTML ?? head;
}
