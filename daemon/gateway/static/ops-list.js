// A list that comes page by page, with a button for the next one.

import { get } from "./page-api.js";
import { h } from "./page-dom.js";

const LIMIT = 50;
const LIMIT_MAX = 200;

export class PagedList {
  #items = [];
  #next = null;
  #shown = null;
  #more = h("button", { hidden: true, click: () => this.#load(this.#next) }, "More");
  #body = h("div");

  /** `show(items)` makes an element of all items so far; `fail(error)` shows what went wrong. */
  constructor({ path, field, parameters = {}, show, fail }) {
    Object.assign(this, { path, field, parameters, show, fail });
    this.element = h("div", {}, this.#body, this.#more);
  }

  /** From the first page on, as far as it was read; a list that is longer than one answer stays as it is. */
  async refresh() {
    if (this.#items.length <= LIMIT_MAX) await this.#load(null);
  }

  async #load(after) {
    try {
      const found = await get(this.path, { ...this.parameters, after, limit: after ? LIMIT : this.#limit() });
      this.#items = after ? [...this.#items, ...found[this.field]] : found[this.field];
      this.#next = found.next;
      this.#more.hidden = found.next === null;
      this.#show(found.now);
    } catch (error) {
      this.fail(error);
    }
  }

  #show(now) {
    const shown = JSON.stringify(this.#items);
    if (shown === this.#shown) return; // what has the focus or is selected stays where it is
    this.#shown = shown;
    this.#body.replaceChildren(this.show(this.#items, now));
  }

  #limit() {
    return Math.min(LIMIT_MAX, Math.max(LIMIT, this.#items.length));
  }
}
