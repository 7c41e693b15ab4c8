// Find any chat, user or advisor, open or ended. What is asked for stands in the address, so it can be kept and sent.

import { api, get } from "./page-api.js";
import { byId, h, put, replace } from "./page-dom.js";
import { ChatTable } from "./ops-chats.js";
import { advisorLink, chatLink, userLink } from "./ops-ids.js";
import { Lasts } from "./ops-lasts.js";
import { Pages } from "./ops-list.js";
import { count, credits } from "./ops-show.js";

const TYPING_MS = 250;
const IDENTIFIER = /^[A-Za-z0-9_.:@/+=-]{1,128}$/;
const STATUSES = { open: "Open", running: "Running", paused: "Paused", suspended: "Suspended", ended: "Ended", all: "All" };
// The API's sorts, by the column that shows them; `first` is the order that somebody wants to see first.
// Only what runs burns, and has a time left.
const SORTS = {
  Started: { sort: "started", first: "desc", words: "Newest" },
  Cost: { sort: "cost", first: "desc", words: "Highest cost" },
  Time: { sort: "active_ms", first: "desc", words: "Longest time" },
  "Burn a minute": { sort: "rate", first: "desc", words: "Highest burn", isOfRunning: true },
  "Time left": { sort: "left", first: "asc", words: "Least time left", isOfRunning: true },
};
const DEFAULT = { status: "open", sort: "started", order: "", search: "" };
const byWords = Object.values(SORTS);

export class Find {
  title = "Chats";
  #wanted = sound(DEFAULT);
  #typing = null;
  #said = h("p", { class: "unseen", role: "status" });
  #exact = h("div", { class: "exact" });
  #statuses = {};
  #select = h("select", { id: "sort", change: () => this.#sort(this.#select.value) });
  #table = new ChatTable("Chats", { head: (name) => this.#head(name), empty: "No chat is so." });
  #pages;
  #lasts = new Lasts();
  #searched = "";

  /** `go(address)` follows an address; `fail(error, path)` is told what went wrong, or null. */
  constructor(go, fail) {
    this.go = go;
    this.#pages = new Pages({ path: "v1/chats", field: "chats", parameters: () => this.#parameters(), show: (found) => this.#show(found), fail });
    for (const [name, word] of Object.entries(STATUSES)) {
      this.#statuses[name] = h("button", { type: "button", click: () => this.#filter(name) }, word);
    }
    this.#select.append(...byWords.map(({ sort, words }) => h("option", { value: sort }, words)));
    this.element = this.#build();
    byId("search").addEventListener("input", () => this.#typed());
    byId("search-form").addEventListener("submit", (event) => this.#submitted(event));
  }

  #build() {
    const filters = h("div", { class: "switch", role: "group", "aria-label": "Status" }, Object.values(this.#statuses));
    const sort = h("div", { class: "sort row" }, h("label", { for: "sort" }, "Sort by"), this.#select);
    const bar = h("div", { class: "row between bar" }, filters, sort);
    return h("div", { class: "card" }, bar, this.#exact, this.#table.element, this.#pages.element, this.#said);
  }

  /** `query`: what the address asks for. */
  open(query) {
    const wanted = sound({ ...DEFAULT, ...Object.fromEntries(query) });
    const isSame = JSON.stringify(wanted) === JSON.stringify(this.#wanted);
    this.#wanted = wanted;
    this.#mark();
    if (byId("search").value.trim() !== wanted.search) byId("search").value = wanted.search;
    return isSame ? this.#pages.refresh() : this.#restart();
  }

  #restart() {
    this.#findExact(this.#wanted.search);
    return this.#pages.restart();
  }

  #mark() {
    for (const [name, button] of Object.entries(this.#statuses)) button.setAttribute("aria-pressed", name === this.#wanted.status);
    this.#statuses.all.disabled = !this.#wanted.search;
    this.#select.value = this.#wanted.sort;
  }

  refresh() {
    return this.#pages.refresh();
  }

  draw(now) {
    this.#table.draw(now);
  }

  close() {
    clearTimeout(this.#typing);
  }

  #parameters() {
    const { status, sort, order, search } = this.#wanted;
    const isUsual = sort === DEFAULT.sort && order === SORTS.Started.first;
    return { status: status === "all" ? "" : status, search, ...(isUsual ? {} : { sort, order }) };
  }

  #show(found) {
    this.#table.show(found.chats, (chat) => this.#lasts.of(chat));
    this.#table.draw(found.now);
    this.#lasts.ask(found.chats);
    const { search } = this.#wanted;
    // Chats come and go by themselves; only what somebody has searched for is announced.
    if (search !== this.#searched) put(this.#said, search ? saidOf(found, search) : "");
    this.#searched = search;
  }

  // --- what is asked for

  /** A heading that sorts by its column, and says how it is sorted. */
  #head(name) {
    const known = SORTS[name];
    if (!known) return name;
    const isSorted = known.sort === this.#wanted.sort;
    const sorted = this.#wanted.order === "asc" ? "ascending" : "descending";
    const button = h("button", { type: "button", class: "head", click: () => this.#sort(known.sort) }, name);
    return h("th", { scope: "col", "data-name": name, "aria-sort": isSorted ? sorted : null }, button);
  }

  #sort(sort) {
    const { first } = byWords.find((each) => each.sort === sort);
    const isAgain = sort === this.#wanted.sort;
    const other = { asc: "desc", desc: "asc" };
    this.#change({ sort, order: isAgain ? other[this.#wanted.order] : first });
  }

  #filter(status) {
    const { isOfRunning } = byWords.find(({ sort }) => sort === this.#wanted.sort);
    const isOther = isOfRunning && status !== "running";
    this.#change({ status, ...(isOther && { sort: DEFAULT.sort, order: DEFAULT.order }) });
  }

  #change(change) {
    this.go(addressOf(sound({ ...this.#wanted, ...change })));
  }

  #typed() {
    clearTimeout(this.#typing);
    this.#typing = setTimeout(() => this.#search(), TYPING_MS);
  }

  #search() {
    clearTimeout(this.#typing);
    const search = byId("search").value.trim();
    // Whoever looks for a name wants it wherever it is; without one, open chats are what there is to see.
    const status = search && !this.#wanted.search ? "all" : !search && this.#wanted.search ? DEFAULT.status : this.#wanted.status;
    this.#change({ search, status });
  }

  /** Enter: to what has exactly this id, if there is one. */
  async #submitted(event) {
    event.preventDefault();
    this.#search();
    const [first] = await this.#findExact(byId("search").value.trim());
    if (first) location.hash = first;
  }

  // --- ids that are exactly what was typed

  /** Shows what has exactly this id; returns the addresses. */
  async #findExact(id) {
    const found = IDENTIFIER.test(id) ? await exactly(id) : [];
    if (id !== byId("search").value.trim()) return [];
    replace(this.#exact, ...found.map(({ element }) => element));
    return found.map(({ address }) => address);
  }
}

/** The same, as far as the API has such a list. */
function sound(wanted) {
  const { search } = wanted;
  const sort = byWords.find((each) => each.sort === wanted.sort) ?? SORTS.Started;
  const isFound = sort === SORTS.Started && search !== ""; // what is called exactly so comes first
  let status = Object.hasOwn(STATUSES, wanted.status) ? wanted.status : DEFAULT.status;
  if (status === "all" && !search) status = DEFAULT.status; // all chats of a name, not all there ever were
  if (sort.isOfRunning) status = "running";
  const order = isFound || !["asc", "desc"].includes(wanted.order) ? sort.first : wanted.order;
  return { status, sort: sort.sort, order, search };
}

function addressOf(wanted) {
  const usual = { ...DEFAULT, order: byWords.find(({ sort }) => sort === wanted.sort).first };
  const changed = Object.entries(wanted).filter(([name, value]) => value !== usual[name]);
  const query = new URLSearchParams(changed).toString();
  return query ? `#chats?${query}` : "#chats";
}

function saidOf({ chats, next }, search) {
  if (!chats.length) return `No chat matches “${search}”.`;
  return `${count(chats.length)}${next === null ? "" : " or more"} match “${search}”.`;
}

/** The chat, the user and the advisor of this id, as far as there are any. */
async function exactly(id) {
  const asked = [get(api`v1/chats/${id}`), get(api`v1/users/${id}/wallet`), get(api`v1/advisors/${id}`)];
  const [chat, wallet, advisor] = await Promise.all(asked.map((each) => each.catch(() => null)));
  return [
    chat && chat.status !== "not_started" && exact("chat", id, chatLink(id, "tab"), `Chat, ${chat.status}`),
    wallet?.seq > 0 && exact("user", id, userLink(id, "tab"), `User, ${credits(wallet.balance)} credits left`),
    advisor && isKnown(advisor) && exact("advisor", id, advisorLink(id, "tab"), `Advisor, ${count(openOf(advisor))} open chats`),
  ].filter(Boolean);
}

function exact(kind, id, link, text) {
  return { address: `#${kind}/${encodeURIComponent(id)}`, element: h("p", { class: "hit" }, link, h("span", { class: "soft" }, text)) };
}

function openOf({ open }) {
  return Object.values(open).reduce((sum, number) => sum + number, 0);
}

function isKnown(advisor) {
  return openOf(advisor) > 0 || advisor.totals.chats > 0;
}
