// One chat, one user, or the dead letters, beside the totals.

import "./meterd-clock.js";
import { balanceAt, leftMsAt } from "./meterd-draw.js";
import { api, get, says, token } from "./page-api.js";
import { facts, h, put, table } from "./page-dom.js";
import { ChatTable } from "./ops-chats.js";
import { PagedList } from "./ops-list.js";
import { chatLink, count, credits, duration, micro, moment, rate, short, userLink } from "./ops-show.js";

// Records follow within a second of what happened.
const RECORDS_AFTER_MS = 1_200;

/** Each has a title, an element, `open()`, `refresh()` every few seconds, `draw(now)` many times a second, `close()`. */
export function detailOf(kind, id, fail) {
  if (kind === "chat") return new ChatDetail(id, fail);
  if (kind === "user") return new UserDetail(id, fail);
  return new DeadLetters(fail);
}

class ChatDetail {
  #facts = h("div");
  #later = null;

  constructor(id, fail) {
    this.title = `Chat ${id}`;
    this.history = new PagedList({ path: api`v1/chats/${id}/history`, field: "history", show: historyTable, fail });
    const clock = h("meterd-clock", { chat: id, label: `Clock of chat ${id}`, digits: 6 });
    clock.token = token;
    clock.addEventListener("meterd-change", (event) => this.#heard(event.detail));
    this.element = h("div", {}, clock, this.#facts, h("h3", {}, "Its history"), this.history.element);
  }

  open() {
    return this.history.refresh();
  }

  // Its history changes when its clock says so, and is dear to tell.
  refresh() {}

  draw() {}

  close() {
    clearTimeout(this.#later);
  }

  #heard({ snapshot, message }) {
    if (snapshot) this.#facts.replaceChildren(chatFacts(snapshot));
    if (!message) return;
    clearTimeout(this.#later);
    this.#later = setTimeout(() => this.open(), RECORDS_AFTER_MS);
  }
}

function chatFacts(chat) {
  return facts([
    ["User", userLink(chat.user_id)],
    ["Advisor", chat.advisor_id],
    ["Started", moment(chat.started_at ?? undefined)],
    ["Ended", moment(chat.ended_at ?? undefined)],
    ["Reason", chat.end_reason ?? chat.pause_reason],
    ["Billed", duration(chat.billed_ms)],
    ["Refunded", chat.refunded === "0.000000" ? null : credits(chat.refunded)],
    ["Free", freeTime(chat)],
    ["At least", chat.min_ms ? short(chat.min_ms) : null],
    ["In steps of", steps(chat)],
    ["Idle after", chat.idle_ms ? short(chat.idle_ms) : null],
    ["Abandoned after", chat.abandon_ms ? short(chat.abandon_ms) : null],
    ["At most", chat.max_ms ? short(chat.max_ms) : null],
  ]);
}

const SHARED_WITH = { advisor: "shared with the user's chats with this advisor", user: "shared with the user's other chats" };

function freeTime({ free_ms: free, free_scope: scope }) {
  if (scope in SHARED_WITH) return `${short(free)}, ${SHARED_WITH[scope]}`;
  return free ? short(free) : null;
}

function steps({ increment_ms: step, increment_due: due }) {
  if (step <= 1) return null;
  return due === "end" ? `${short(step)}, each owed once complete` : short(step);
}

function historyTable(lines) {
  if (!lines.length) return h("p", { class: "soft" }, "Nothing has happened in it.");
  const rows = lines.map((line) => [
    moment(line.at),
    h("span", { class: line.event === "refused" ? "bad" : "" }, line.event),
    line.why,
    duration(line.active_ms),
    credits(line.cost),
  ]);
  return table("Its history", ["at", "event", "why", "active", "cost"], rows);
}

class UserDetail {
  #wallet = null;
  #balance = h("span");
  #left = h("span");
  #facts = h("div");
  #answer = h("p", { role: "status", class: "soft" });
  #rate = h("input", { id: "what-if-rate", inputmode: "decimal", autocomplete: "off", value: "1.50" });

  constructor(id, fail) {
    [this.id, this.title, this.fail] = [id, `User ${id}`, fail];
    const chats = h("div");
    this.table = new ChatTable(chats, `Chats of ${id}`, { user: false });
    const show = (found, now) => this.#chats(found, now);
    this.chats = new PagedList({ path: "v1/chats", field: "chats", parameters: { user_id: id }, show, fail });
    this.ledger = new PagedList({ path: api`v1/users/${id}/ledger`, field: "entries", show: ledgerTable, fail });
    this.element = h(
      "div",
      {},
      this.#facts,
      this.#form(),
      h("h3", {}, "Its chats"),
      this.chats.element,
      h("h3", {}, "Ledger"),
      this.ledger.element,
    );
  }

  #form() {
    const label = h("label", { for: "what-if-rate" }, "One more chat at");
    const ask = h("button", {}, "What if?");
    const submit = (event) => {
      event.preventDefault();
      this.#whatIf();
    };
    return h("div", {}, h("form", { id: "what-if", class: "row", submit }, label, this.#rate, "a minute", ask), this.#answer);
  }

  open() {
    return this.refresh();
  }

  async refresh() {
    try {
      this.#wallet = await get(api`v1/users/${this.id}/wallet`);
      this.#facts.replaceChildren(this.#walletFacts());
      this.draw(this.#wallet.now);
    } catch (error) {
      this.fail(error);
    }
    return Promise.all([this.chats.refresh(), this.ledger.refresh()]);
  }

  #walletFacts() {
    const { burn_rate: burn, open_chats: open, zero_at: end } = this.#wallet;
    return facts([
      ["Credits left", this.#balance],
      ["Burns a minute", rate(burn)],
      ["Open chats", count(open)],
      ["Lasts for", end === null ? null : this.#left],
      ["Until", end === null ? "nothing burns" : moment(end)],
    ]);
  }

  draw(now) {
    this.table.draw(now);
    if (!this.#wallet || now === null) return;
    put(this.#balance, micro(balanceAt(this.#wallet, now)));
    put(this.#left, duration(leftMsAt(this.#wallet, now) ?? 0));
  }

  close() {}

  #chats(found, now) {
    if (!found.length) return h("p", { class: "soft" }, "None.");
    this.table.show(found);
    this.table.draw(now);
    return this.table.place;
  }

  async #whatIf() {
    try {
      const { what_if: what } = await get(api`v1/users/${this.id}/wallet`, { with_rate: this.#rate.value.trim() });
      put(this.#answer, whatIf(what));
    } catch (error) {
      put(this.#answer, says(error));
    }
  }
}

function whatIf({ rate: more, left_ms: left }) {
  const at = `With one more chat at ${rate(more)} a minute`;
  if (left === null) return `${at} nothing would burn.`;
  return left ? `${at} the credits would last for ${duration(left)}.` : `${at}: it could not start, the credits do not suffice.`;
}

function ledgerTable(entries) {
  if (!entries.length) return h("p", { class: "soft" }, "No movement yet.");
  const rows = entries.map((entry) => [moment(entry.at), entry.kind, credits(entry.amount), chatLink(entry.chat_id)]);
  return table("Ledger", ["at", "kind", "amount", "chat"], rows);
}

class DeadLetters {
  title = "Dead letters";

  constructor(fail) {
    this.letters = new PagedList({ path: "v1/dead", field: "letters", show: letterList, fail });
    const how = h("p", { class: "soft" }, "Entries that were set aside. Send them again or drop them with ", h("code", {}, "meterd dead"), ".");
    this.element = h("div", {}, how, this.letters.element);
  }

  open() {
    return this.refresh();
  }

  refresh() {
    return this.letters.refresh();
  }

  draw() {}

  close() {}
}

function letterList(letters) {
  if (!letters.length) return h("p", { class: "soft" }, "There are none.");
  const items = letters.map(({ letter, entry, outcome, reason, fields }) =>
    h(
      "div",
      { class: "letter" },
      h("div", {}, h("strong", {}, outcome ?? ""), ` ${reason ?? ""}`),
      h("div", { class: "soft" }, `letter ${letter}, entry ${entry}`),
      h("pre", {}, JSON.stringify(fields, null, 2)),
    ),
  );
  return h("div", {}, items);
}
