// One user with wallet, chats and ledger; one advisor with totals and chats.

import { balanceAt, leftMsAt } from "./meterd-draw.js";
import { api, get, says } from "./page-api.js";
import { facts, h, nothing, put, replace, table } from "./page-dom.js";
import { actButton } from "./ops-act.js";
import { ChatTable } from "./ops-chats.js";
import { chatLink } from "./ops-ids.js";
import { Lasts } from "./ops-lasts.js";
import { PagedList } from "./ops-list.js";
import { moment } from "./ops-moments.js";
import { operationsOf } from "./ops-operations.js";
import { count, credits, duration, micro, rate, spaced } from "./ops-show.js";

/** The chats of a user or an advisor. */
class Chats {
  #lasts = new Lasts();

  constructor(of, without, parameters, fail, empty) {
    this.table = new ChatTable(`Chats of ${of}`, { without, empty });
    this.list = new PagedList({ path: "v1/chats", field: "chats", parameters, show: (found, now) => this.#show(found, now), fail });
    this.element = this.list.element;
  }

  #show(found, now) {
    this.table.show(found, (chat) => this.#lasts.of(chat));
    this.table.draw(now);
    this.#lasts.ask(found);
    return this.table.element;
  }
}

export class UserView {
  kind = "User";
  #wallet = null;
  #balance = h("span", { class: "balance" });
  #left = h("span");
  #facts = h("div");
  #answer = h("p", { role: "status", class: "soft" });
  #rate = h("input", { id: "what-if-rate", inputmode: "decimal", autocomplete: "off", value: "1.50" });

  constructor(id, fail) {
    [this.id, this.fail] = [id, fail];
    this.chats = new Chats(id, ["User"], { user_id: id }, fail, "This user has had no chat.");
    this.ledger = new PagedList({ path: api`v1/users/${id}/ledger`, field: "entries", show: ledgerTable, fail });
    this.operations = operationsOf(id, fail);
    const wallet = h("section", { class: "card" }, h("h3", {}, "Wallet"), this.#facts, this.#acts(), this.#form());
    const chats = h("section", { class: "card" }, h("h3", {}, "Chats"), this.chats.element);
    const ledger = h("section", { class: "card" }, h("h3", {}, "Ledger"), this.ledger.element);
    this.element = h("div", { class: "stack" }, wallet, chats, ledger, this.operations.section);
  }

  #acts() {
    const subject = () => ({ user_id: this.id });
    const about = () => [
      ["User", this.id],
      ["Credits left", this.#balance.textContent],
    ];
    const after = () => this.refresh();
    const buttons = ["account.top_up", "account.adjust"].map((operation) => actButton(operation, { subject, about, after }));
    return h("div", { class: "row acts" }, buttons);
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
      replace(this.#facts, this.#walletFacts());
      this.draw(this.#wallet.now);
      this.fail(null);
    } catch (error) {
      this.fail(error);
    }
    return Promise.all([this.chats.list.refresh(), this.ledger.refresh(), this.operations.refresh()]);
  }

  #walletFacts() {
    const { burn_rate: burn, open_chats: open, zero_at: end } = this.#wallet;
    return facts([
      ["Credits left", this.#balance],
      ["Burn a minute", rate(burn)],
      ["Open chats", count(open)],
      ["Lasts for", end === null ? "nothing burns" : this.#left],
      ["Until", end === null ? null : moment(end)],
    ]);
  }

  draw(now) {
    this.chats.table.draw(now);
    if (!this.#wallet || now === null) return;
    put(this.#balance, micro(balanceAt(this.#wallet, now)));
    put(this.#left, duration(leftMsAt(this.#wallet, now) ?? 0));
  }

  close() {}

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
  if (!entries.length) return nothing("No movement yet.");
  const rows = entries.map((entry) => [moment(entry.at), spaced(entry.kind), credits(entry.amount), entry.chat_id && chatLink(entry.chat_id)]);
  return table("Ledger", ["At", "Kind", "Amount", "Chat"], rows, "records");
}

export class AdvisorView {
  kind = "Advisor";
  #facts = h("div");
  #shown = "";

  constructor(id, fail) {
    [this.id, this.fail] = [id, fail];
    this.chats = new Chats(id, ["Advisor"], { advisor_id: id }, fail, "This advisor has had no chat.");
    const totals = h("section", { class: "card" }, h("h3", {}, "Totals"), this.#facts);
    const chats = h("section", { class: "card" }, h("h3", {}, "Chats"), this.chats.element);
    this.element = h("div", { class: "stack" }, totals, chats);
  }

  open() {
    return this.refresh();
  }

  async refresh() {
    try {
      this.#show(await get(api`v1/advisors/${this.id}`));
      this.fail(null);
    } catch (error) {
      this.fail(error);
    }
    return this.chats.list.refresh();
  }

  #show({ open, burn_rate: burn, totals }) {
    const shown = JSON.stringify([open, burn, totals]);
    if (shown === this.#shown) return;
    this.#shown = shown;
    replace(
      this.#facts,
      facts([
        ...["running", "paused", "suspended"].map((name) => [`Chats ${name}`, count(open[name] ?? 0)]),
        ["Burn a minute", rate(burn)],
        ["Chats ended", count(totals.chats)],
        ["Time of ended chats", duration(totals.active_ms)],
        ["Billed time of them", duration(totals.billed_ms)],
        ["Cost of them", credits(totals.cost)],
        ["Refunded of that", credits(totals.refunded)],
      ]),
    );
  }

  draw(now) {
    this.chats.table.draw(now);
  }

  close() {}
}
