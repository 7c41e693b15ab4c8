// A list that comes page by page, with a button for the next one.

import { get } from "./page-api.js";
import { h } from "./page-dom.js";

export class PagedList {
  #items = [];
  #next = null;
  #more = h("button", { hidden: true, click: () => this.#load(this.#next) }, "More");
  #body = h("div");

  /** `show(items)` makes an element of all items so far; `fail(error)` shows what went wrong. */
  constructor({ path, field, parameters = {}, show, fail }) {
    Object.assign(this, { path, field, parameters, show, fail });
    this.element = h("div", {}, this.#body, this.#more);
  }

  /** From the first page on, as far as it was read. */
  refresh() {
    return this.#load(null);
  }

  async #load(after) {
    try {
      const found = await get(this.path, { ...this.parameters, after, limit: after ? 50 : this.#limit() });
      this.#items = after ? [...this.#items, ...found[this.field]] : found[this.field];
      this.#next = found.next;
      this.#more.hidden = found.next === null;
      this.#body.replaceChildren(this.show(this.#items, found.now));
    } catch (error) {
      this.fail(error);
    }
  }

  #limit() {
    return Math.min(200, Math.max(50, this.#items.length));
  }
}
