// One chat: its clock, what it costs, what is agreed, what happened in it, and what may be done to it.

import "./meterd-clock.js";
import { formatMicro, readMicro } from "./meterd-draw.js";
import { api, token } from "./page-api.js";
import { facts, h, nothing, put, replace, table } from "./page-dom.js";
import { actButton } from "./ops-act.js";
import { advisorLink, userLink } from "./ops-ids.js";
import { PagedList } from "./ops-list.js";
import { moment } from "./ops-moments.js";
import { chatNow } from "./ops-now.js";
import { operationsOf } from "./ops-operations.js";
import { credits, duration, rate, short, spaced } from "./ops-show.js";

// Records follow within a second of what happened.
const RECORDS_AFTER_MS = 1_200;

export class ChatView {
  kind = "Chat";
  #facts = h("div");
  #acts = h("div", { class: "row acts" });
  #billed = h("span");
  #later = null;
  #shown = "";

  constructor(id, fail) {
    this.id = id;
    this.history = new PagedList({ path: api`v1/chats/${id}/history`, field: "history", show: historyTable, fail });
    this.operations = operationsOf(id, fail);
    this.clock = h("meterd-clock", { chat: id, label: `Clock of chat ${id}`, digits: 6 });
    this.clock.token = token;
    this.clock.addEventListener("meterd-change", (event) => this.#heard(event.detail));
    const first = h("section", { class: "card" }, this.clock, this.#acts, this.#facts);
    const second = h("section", { class: "card" }, h("h3", {}, "History"), this.history.element);
    this.element = h("div", { class: "columns" }, first, h("div", { class: "stack" }, second, this.operations.section));
  }

  open() {
    return this.#records();
  }

  // Its history changes when its clock says so, and is dear to tell.
  refresh() {}

  draw() {
    const { figures, snapshot, wallet } = this.clock;
    if (!figures || !snapshot) return;
    put(this.#billed, duration(chatNow(snapshot, wallet?.zero_at ?? null, figures.now).billedMs));
    this.#billed.dataset.now = figures.now;
  }

  close() {
    clearTimeout(this.#later);
  }

  #records() {
    return Promise.all([this.history.refresh(), this.operations.refresh()]);
  }

  #heard({ snapshot, message }) {
    const shown = JSON.stringify(snapshot);
    if (snapshot && shown !== this.#shown) {
      this.#shown = shown;
      replace(this.#facts, this.#chatFacts(snapshot));
      replace(this.#acts, ...this.#actsOf(snapshot));
    }
    if (message) this.#soon();
  }

  #soon() {
    clearTimeout(this.#later);
    this.#later = setTimeout(() => this.#records(), RECORDS_AFTER_MS);
  }

  #actsOf(chat) {
    if (chat.status === "not_started") return [];
    const subject = () => chat;
    const about = () => [
      ["Chat", this.id],
      ["User", chat.user_id],
      ...(chat.status === "ended" ? [["Cost", credits(chat.cost)], ["May be refunded", refundable(chat)]] : []),
    ];
    const operation = chat.status === "ended" ? "chat.refund" : "chat.end";
    return [actButton(operation, { subject, about, after: () => this.#soon() })].filter(Boolean);
  }

  #chatFacts(chat) {
    return facts([
      ["User", chat.user_id && userLink(chat.user_id, "tab")],
      ["Advisor", chat.advisor_id && advisorLink(chat.advisor_id, "tab")],
      ["Started", moment(chat.started_at ?? undefined)],
      ["Ended", moment(chat.ended_at ?? undefined)],
      ["Reason", reasonOf(chat)],
      ["Billed time", this.#billed],
      ["Paused", chat.paused_ms ? duration(chat.paused_ms) : null],
      ["Rate a minute", rate(chat.rate)],
      ["Refunded", isZero(chat.refunded) ? null : credits(chat.refunded)],
      ["Free time", freeTime(chat)],
      ["Billed at least", chat.min_ms ? short(chat.min_ms) : null],
      ["Billed in steps of", steps(chat)],
      ["Idle after", chat.idle_ms ? short(chat.idle_ms) : null],
      ["Abandoned after", chat.abandon_ms ? short(chat.abandon_ms) : null],
      ["Ends after", chat.max_ms ? short(chat.max_ms) : null],
    ]);
  }
}

function reasonOf(chat) {
  const reason = chat.end_reason ?? chat.pause_reason;
  return reason && spaced(reason);
}

function isZero(text) {
  return readMicro(text) === 0n;
}

function refundable({ cost, refunded, carried_cost: carried }) {
  const paid = readMicro(cost) - readMicro(carried ?? "0.000000");
  return credits(formatMicro(paid - readMicro(refunded)));
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
  if (!lines.length) return nothing("Nothing has happened in it.");
  const rows = lines.map((line) => [
    moment(line.at),
    h("span", { class: line.event === "refused" ? "bad" : "" }, line.event),
    line.why,
    duration(line.active_ms),
    credits(line.cost),
  ]);
  return table("History", ["At", "Event", "Why", "Active", "Cost"], rows, "records");
}
