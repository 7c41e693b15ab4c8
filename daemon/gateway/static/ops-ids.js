// Ids: cut in the middle where there is no room, whole in the title, with a button that copies them.

import { h } from "./page-dom.js";

// The end tells ids apart as often as the beginning does; the style sheet cuts what is before it.
const TAIL = 6;
const COPIED_MS = 1_500;

/** An id. `href` makes it a link; `copy`: `tab` for a button that Tab reaches, `pointer` for one in a long list. */
export function idText(id, { href = null, copy = "tab", kind = "ID" } = {}) {
  return id ? h("span", { class: "id" }, cutText(id, href), copyButton(id, copy, kind)) : null;
}

/** The id alone. */
export function cutText(id, href = null) {
  const cut = id.length > 2 * TAIL ? id.length - TAIL : 0;
  const [head, tail] = [id.slice(0, cut), id.slice(cut)];
  const parts = [head && h("span", { class: "head" }, head), h("span", { class: "tail" }, tail)];
  return href
    ? h("a", { class: "cut", href, title: id, "aria-label": id }, parts)
    : h("span", { class: "cut", title: id }, parts);
}

export function copyButton(id, copy, kind) {
  const label = `Copy ${kind} ${id}`;
  const button = h("button", { class: "copy", type: "button", "aria-label": label, title: "Copy", tabindex: copy === "tab" ? null : -1 });
  button.addEventListener("click", async () => {
    const text = (await isCopied(id)) ? "Copied" : "Not copied";
    button.dataset.said = text;
    button.setAttribute("aria-label", text);
    setTimeout(() => {
      delete button.dataset.said;
      button.setAttribute("aria-label", label);
    }, COPIED_MS);
  });
  return button;
}

async function isCopied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return isCopiedByCommand(text); // a page that came over plain HTTP has no clipboard
  }
}

function isCopiedByCommand(text) {
  const field = h("textarea", { class: "unseen", "aria-hidden": "true" });
  field.value = text;
  const focused = document.activeElement;
  document.body.append(field);
  field.select();
  const isDone = document.execCommand("copy");
  field.remove();
  focused?.focus();
  return isDone;
}

const linkOf = (kind, name) => (id, copy = "pointer") => idText(id, { href: `#${kind}/${encodeURIComponent(id)}`, copy, kind: name });

export const chatLink = linkOf("chat", "chat");
export const userLink = linkOf("user", "user");
export const advisorLink = linkOf("advisor", "advisor");
