// Dead letters: entries that can't be commands, or that were set aside.

import { h, nothing } from "./page-dom.js";
import { actButton } from "./ops-act.js";
import { PagedList } from "./ops-list.js";
import { moment } from "./ops-moments.js";
import { idText } from "./ops-ids.js";
import { spaced } from "./ops-show.js";

export class DeadLetters {
  title = "Dead letters";

  constructor(fail) {
    this.letters = new PagedList({ path: "v1/dead", field: "letters", show: (letters) => this.#show(letters), fail });
    const how = h("p", { class: "soft" }, "Entries of the queue that can't be a command, or that made the daemon fail. ",
      "An admin sends them again or drops them, here or with ", h("code", {}, "meterd dead"), ".");
    this.element = h("div", { class: "card" }, how, this.letters.element);
  }

  open() {
    return this.refresh();
  }

  refresh() {
    return this.letters.refresh();
  }

  draw() {}

  close() {}

  #show(letters) {
    if (!letters.length) return nothing("There are none.");
    return h("ul", { class: "letters" }, letters.map((letter) => this.#item(letter)));
  }

  #item({ letter, entry, outcome, reason, fields }) {
    const subject = () => ({ letter });
    const about = () => [
      ["Letter", letter],
      ["Why it is here", reason],
    ];
    const after = () => this.refresh();
    const buttons = ["dead.retry", "dead.drop"].map((operation) => actButton(operation, { subject, about, after }));
    return h(
      "li",
      { class: "letter" },
      h("div", { class: "row between" }, h("strong", {}, spaced(outcome ?? "")), h("div", { class: "row acts" }, buttons)),
      h("p", {}, reason ?? ""),
      h(
        "p",
        { class: "soft row" },
        h("span", {}, "Set aside ", moment(momentOf(letter))),
        h("span", {}, "letter ", idText(letter, { kind: "letter" })),
        h("span", {}, "entry ", idText(entry, { kind: "entry" })),
      ),
      h("pre", { tabindex: 0, "aria-label": "Fields" }, JSON.stringify(fields, null, 2)),
    );
  }
}

/** A stream's entry ID begins with the millisecond in which it was written. */
function momentOf(entry) {
  return Number.parseInt(entry, 10);
}
