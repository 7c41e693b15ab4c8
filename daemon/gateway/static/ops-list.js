// A list that comes page by page. `PagedList` grows by a button; `Pages` turns them.

import { get } from "./page-api.js";
import { h, put, replace } from "./page-dom.js";
import { count } from "./ops-show.js";

const LIMIT = 50;
const LIMIT_MAX = 200;

export class PagedList {
  #items = [];
  #next = null;
  #shown = null;
  #more = h("button", { hidden: true, click: () => this.#load(this.#next) }, "More");
  #body = h("div");

  /** `show(items)` makes an element of all items so far; `fail(error, path)` is told what went wrong, or null. */
  constructor({ path, field, parameters = {}, show, fail }) {
    Object.assign(this, { path, field, parameters, show, fail });
    this.element = h("div", { class: "list" }, this.#body, this.#more);
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
      this.fail(null, this.path);
    } catch (error) {
      this.fail(error, this.path);
    }
  }

  #show(now) {
    const shown = JSON.stringify(this.#items);
    if (shown === this.#shown) return; // what has the focus or is selected stays where it is
    this.#shown = shown;
    replace(this.#body, this.show(this.#items, now));
  }

  #limit() {
    return Math.min(LIMIT_MAX, Math.max(LIMIT, this.#items.length));
  }
}

/** Pages of a list, one at a time, each asked for again every few seconds. */
export class Pages {
  #pages = [{ after: null, first: 1 }]; // where each begins, as far as they are known, and the number of its first item
  #number = 0;
  #asked = 0;
  #previous = h("button", { click: () => this.#turn(-1) }, "Previous");
  #following = h("button", { click: () => this.#turn(1) }, "Next");
  #said = h("p", { class: "soft" });

  /** `show(answer)` shows a page; `fail(error)` as above. `parameters()` are those of the question. */
  constructor({ path, field, parameters, show, fail }) {
    Object.assign(this, { path, field, parameters, show, fail });
    this.element = h("nav", { class: "pages row", "aria-label": "Pages of the list", hidden: true }, this.#said, this.#previous, this.#following);
  }

  /** Other parameters: from the first page on. */
  restart() {
    [this.#pages, this.#number] = [this.#pages.slice(0, 1), 0];
    return this.refresh();
  }

  #turn(by) {
    this.#number += by;
    return this.refresh();
  }

  /** An answer to an older question is dropped. */
  async refresh() {
    const asked = (this.#asked += 1);
    const number = this.#number;
    try {
      const found = await get(this.path, { ...this.parameters(), after: this.#pages[number].after, limit: LIMIT });
      if (asked !== this.#asked) return;
      this.show(found);
      this.#count(found[this.field].length, found.next);
      this.fail(null, this.path);
    } catch (error) {
      if (asked === this.#asked) this.fail(error, this.path);
    }
  }

  #count(length, next) {
    const { first } = this.#pages[this.#number];
    const last = first + length - 1;
    this.#pages.length = this.#number + 1;
    if (next !== null) this.#pages.push({ after: next, first: last + 1 });
    // A search may have looked at much, found nothing, and not be at the end.
    const none = next === null ? "" : "Nothing so far, go on";
    put(this.#said, length ? `${count(first)} to ${count(last)}` : none);
    this.#previous.disabled = this.#number === 0;
    this.#following.disabled = next === null;
    this.element.hidden = this.#number === 0 && next === null;
  }
}
