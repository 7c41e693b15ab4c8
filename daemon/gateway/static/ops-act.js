// What an admin does by hand. A dialog says what will happen, wants a reason, and shows what came of it; nothing is
// sent before its button is pressed.

import { formatMicro, readMicro } from "./meterd-draw.js";
import { hasRole, newId, post, says } from "./page-api.js";
import { facts, h, put } from "./page-dom.js";
import { moment } from "./ops-moments.js";
import { micro, spaced } from "./ops-show.js";

const REASON_MAX = 500;
const UNCERTAIN =
  "It may be done or not. Press again: it is done once. If you cancel, check whether it is done before you start again.";
const AMOUNT = { plain: /^\d{1,9}(\.\d{1,6})?$/, signed: /^-?\d{1,9}(\.\d{1,6})?$/ };

// `will(subject, micro)` says what the button does; `amount`: whether there is one, and whether it may be negative.
const ACTS = {
  "chat.end": {
    verb: "End chat",
    will: () => "The chat ends now, and its cost is charged to the account. An ended chat can't go on.",
    done: () => "The chat has ended.",
    isGrave: true,
  },
  "chat.refund": {
    verb: "Refund",
    will: ({ user_id: user }, amount) => `${shown(amount)} credits of what this chat has cost go back to ${user}.`,
    done: (amount) => `${shown(amount)} credits have been given back.`,
    amount: "plain",
  },
  "account.adjust": {
    verb: "Adjust",
    will: ({ user_id: user }, amount) =>
      amount < 0n ? `${shown(-amount)} credits are taken from ${user}.` : `${shown(amount)} credits are given to ${user}.`,
    done: () => "The account has been corrected.",
    amount: "signed",
    hint: "Below 0, such as -2.50, takes credits away.",
    mayBePartial: true,
  },
  "account.top_up": {
    verb: "Top up",
    will: ({ user_id: user }, amount) => `${shown(amount)} credits are added to the account of ${user}.`,
    done: (amount) => `${shown(amount)} credits have been added.`,
    amount: "plain",
  },
  "dead.retry": {
    verb: "Send again",
    will: () => "The entry goes into the queue again, as a new command of now. If it is refused again, there is a new dead letter.",
    done: () => "The entry is in the queue again.",
  },
  "dead.drop": {
    verb: "Drop",
    will: () => "The dead letter is removed for good. What it asked for is never done.",
    done: () => "The dead letter is gone.",
    isGrave: true,
  },
};

const shown = (amount) => (amount === null ? "…" : micro(amount));

/** A button for an operation; null for whoever may not do it. `subject()` has its fields, `about()` facts to show. */
export function actButton(operation, { subject, about = () => [], after }) {
  if (!hasRole("admin")) return null;
  const { verb, isGrave } = ACTS[operation];
  const click = () => new ActDialog(operation, subject(), about(), after).open();
  return h("button", { type: "button", class: isGrave ? "grave" : null, click }, `${verb}…`);
}

class ActDialog {
  #amount = h("input", { id: "act-amount", inputmode: "decimal", autocomplete: "off", required: true, "aria-describedby": "act-hint" });
  #partial = h("input", { id: "act-partial", type: "checkbox" });
  #reason = h("textarea", { id: "act-reason", rows: 3, maxlength: REASON_MAX, required: true });
  #will = h("p", { class: "will", "aria-live": "polite" });
  #problem = h("p", { class: "problem", role: "alert" });
  #submit = h("button", { class: "main" });
  #cancel = h("button", { type: "button", click: () => this.#close() }, "Cancel");
  #form = h("form", { novalidate: true });
  #sent = null; // what was sent last without a definite answer, as JSON, and its id
  #id = "";

  constructor(operation, subject, about, after) {
    Object.assign(this, { operation, subject, after });
    this.act = ACTS[operation];
    this.dialog = h("dialog", { "aria-labelledby": "act-title" });
    put(this.#submit, this.act.verb);
    if (this.act.isGrave) this.#submit.classList.add("grave");
    this.#form.append(...this.#fields(about));
    this.#form.addEventListener("submit", (event) => this.#submitted(event));
    this.#form.addEventListener("input", () => this.#say());
    this.dialog.append(h("h2", { id: "act-title" }, this.act.verb), this.#form);
    // Escape must not throw away what is on its way.
    this.dialog.addEventListener("cancel", (event) => this.#submit.disabled && event.preventDefault());
    this.dialog.addEventListener("close", () => this.dialog.remove());
  }

  #fields(about) {
    const { amount, hint, mayBePartial } = this.act;
    return [
      facts(about),
      amount && field("act-amount", "Amount, in credits", this.#amount, hint),
      mayBePartial && h("p", { class: "row" }, this.#partial, h("label", { for: "act-partial" }, "If less is there, take what is there")),
      field("act-reason", "Reason, for the record", this.#reason),
      this.#will,
      this.#problem,
      h("div", { class: "row end" }, this.#cancel, this.#submit),
    ].filter(Boolean);
  }

  open() {
    document.body.append(this.dialog);
    this.#say();
    this.dialog.showModal();
    (this.act.amount ? this.#amount : this.#reason).focus();
  }

  #close() {
    this.dialog.close();
  }

  #say() {
    put(this.#will, this.act.will(this.subject, this.#micro()));
  }

  /** The amount; null if it is none. */
  #micro() {
    const text = this.#amount.value.trim();
    return AMOUNT[this.act.amount]?.test(text) ? readMicro(text) : null;
  }

  #wrong() {
    if (this.act.amount && !this.#micro()) return [this.#amount, "An amount is digits, a point and up to 6 places, and not 0."];
    if (!this.#reason.value.trim()) return [this.#reason, "A reason is needed: whoever looks at this later wants to know why."];
    return null;
  }

  #body() {
    const { amount, mayBePartial } = this.act;
    return {
      operation: this.operation,
      ...fieldsOf(this.operation, this.subject),
      ...(amount && { amount: formatMicro(this.#micro()) }),
      ...(mayBePartial && this.#partial.checked && { partial: true }),
      reason: this.#reason.value.trim().replaceAll(/\s+/g, " "),
    };
  }

  async #submitted(event) {
    event.preventDefault();
    const wrong = this.#wrong();
    if (wrong) return this.#refused(...wrong);
    const body = this.#body();
    const text = JSON.stringify(body);
    // The same again after an answer that got lost has no second effect; anything else is another operation.
    if (text !== this.#sent) [this.#sent, this.#id] = [text, newId()];
    put(this.#problem, "");
    this.#lock({ fields: true, buttons: true });
    try {
      const answer = await post("v1/operations", { id: this.#id, ...body });
      this.#done(answer);
    } catch (error) {
      this.#failed(error);
    }
  }

  #lock({ fields, buttons }) {
    for (const each of [this.#amount, this.#partial, this.#reason]) each.disabled = fields;
    for (const each of [this.#submit, this.#cancel]) each.disabled = buttons;
  }

  #refused(element, text) {
    put(this.#problem, text);
    element.focus();
  }

  #failed(error) {
    const isRefused = error.status && error.status < 500;
    if (isRefused) this.#sent = null; // the same id would get the same refusal again
    // What may be done already is only to be sent as it was: anything else would be done beside it.
    this.#lock({ fields: !isRefused, buttons: false });
    put(this.#problem, isRefused ? `Refused: ${says(error)}` : `${says(error)} ${UNCERTAIN}`);
    this.#submit.focus();
  }

  #done({ now, operation, reply, entry }) {
    const wallet = reply?.snapshot?.balance;
    const done = this.act.done(this.act.amount ? this.#micro() : null);
    const close = h("button", { type: "button", class: "main", click: () => this.#close() }, "Close");
    const told = facts([
      ["At", moment(now)],
      ["By", operation.done_by],
      ["Balance now", wallet && micro(readMicro(wallet))],
      ["Cost", reply?.snapshot?.cost && micro(readMicro(reply.snapshot.cost))],
      ["Entry", entry ?? reply?.entry],
    ]);
    this.#form.replaceChildren(h("p", { class: "done", role: "status" }, done), told, h("div", { class: "row end" }, close));
    close.focus();
    this.after();
  }
}

/** The fields that name what an operation is about. */
function fieldsOf(operation, { chat_id: chat, user_id: user, letter }) {
  if (operation.startsWith("chat.")) return { chat_id: chat };
  return operation.startsWith("dead.") ? { letter } : { user_id: user };
}

function field(id, label, input, hint) {
  return h("p", { class: "field" }, h("label", { for: id }, label), input, hint && h("span", { id: "act-hint", class: "soft" }, hint));
}

/** What an operation is called; one that this page does not offer by its own name. */
export function nameOf(operation) {
  return ACTS[operation]?.verb ?? spaced(operation);
}

/** Whether a dialog is open: keys are its own then. */
export function isActing() {
  return document.querySelector("dialog[open]") !== null;
}
