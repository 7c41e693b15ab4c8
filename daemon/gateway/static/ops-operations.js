// What was done by hand: when, by whom, to what, why, and what came of it.

import { h, nothing, table } from "./page-dom.js";
import { nameOf } from "./ops-act.js";
import { chatLink, idText, userLink } from "./ops-ids.js";
import { PagedList } from "./ops-list.js";
import { moment } from "./ops-moments.js";
import { spaced } from "./ops-show.js";

const COLUMNS = ["At", "Operation", "To", "Reason", "Outcome", "By"];

export class Operations {
  title = "Operations";

  constructor(fail) {
    this.list = listOf({}, COLUMNS, fail);
    const how = h("p", { class: "soft" }, "What people did by hand, on this page and on the command line, the newest first.");
    this.element = h("div", { class: "card" }, how, this.list.element);
  }

  open() {
    return this.refresh();
  }

  refresh() {
    return this.list.refresh();
  }

  draw() {}

  close() {}
}

/** The operations on one chat or account: a section that is hidden while there are none. */
export function operationsOf(subject, fail) {
  const columns = COLUMNS.filter((name) => name !== "To");
  const section = h("section", { class: "card", hidden: true }, h("h3", {}, "Done by hand"));
  const found = (items) => {
    section.hidden = items.length === 0;
  };
  // A gateway before 0.2 knows no operations; what is shown of the subject does not depend on them.
  const list = listOf({ subject }, columns, (error, path) => error?.status !== 404 && fail(error, path), found);
  section.append(list.element);
  return { section, refresh: () => list.refresh() };
}

function listOf(parameters, columns, fail, found = () => {}) {
  const show = (operations) => {
    found(operations);
    return operations.length ? operationTable(operations, columns) : nothing("Nothing was done by hand.");
  };
  return new PagedList({ path: "v1/operations", field: "operations", parameters, show, fail });
}

const CELLS = {
  At: ({ at }) => moment(at),
  Operation: (each) => whatOf(each),
  To: (each) => subjectOf(each),
  Reason: ({ reason, details }) => reason ?? details?.why,
  Outcome: (each) => outcomeOf(each),
  By: ({ done_by: by }) => by,
};

function operationTable(operations, columns) {
  return table("Operations", columns, operations.map((each) => columns.map((name) => CELLS[name](each))), "records");
}

function whatOf({ operation, details }) {
  const amount = details?.command?.amount;
  return h("span", { title: operation }, amount ? `${nameOf(operation)} ${amount}` : nameOf(operation));
}

function subjectOf({ operation, subject }) {
  if (operation.startsWith("chat.")) return chatLink(subject);
  if (operation.startsWith("account.")) return userLink(subject);
  return idText(subject, { copy: "pointer" });
}

/** Of a command, what the journal says; null while it does not say anything yet, and of what is no command. */
function outcomeOf({ outcome }) {
  return outcome && h("span", { class: outcome === "ok" ? "good" : "bad" }, spaced(outcome));
}
