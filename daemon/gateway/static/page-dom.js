// Elements out of texts. Whatever comes from the gateway becomes text or an attribute's value, never markup.

const SVG = "http://www.w3.org/2000/svg";

/** An element: attributes (functions become listeners, null and false are left out), then children. */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** An element of a drawing. */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) set(element, name, value);
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

function set(element, name, value) {
  if (typeof value === "function") element.addEventListener(name, value);
  else if (value === true) element.setAttribute(name, "");
  else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
}

export function byId(id) {
  return document.getElementById(id);
}

/** Changes a text only where it differs, so that a selection or a screen reader's place is not lost. */
export function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Replaces what is in an element; the link or button that had the focus gets it again, if there still is one like it. */
export function replace(element, ...children) {
  const focused = element.contains(document.activeElement) ? nameOf(document.activeElement) : null;
  element.replaceChildren(...children);
  if (focused === null) return;
  for (const each of element.querySelectorAll("a, button")) if (nameOf(each) === focused) return each.focus();
}

function nameOf(element) {
  return [element.tagName, element.getAttribute("href"), element.getAttribute("aria-label"), element.textContent].join(" ");
}

/**
 * A table of texts and elements, with a caption for those who can't see its heading. `columns` are names, or elements
 * with the name in `data-name`; a cell's style follows from its column's name. With the style `records` each row is a
 * list of names and values where there is little room.
 */
export function table(caption, columns, rows, style = null) {
  const names = columns.map((column) => column.dataset?.name ?? column);
  const head = h("tr", {}, columns.map((column) => (column.dataset ? column : h("th", { scope: "col", "data-name": column }, column))));
  const body = rows.map((cells) => h("tr", {}, cells.map((cell, n) => h("td", { "data-name": names[n] }, cell ?? "–"))));
  return h("table", { class: style }, h("caption", { class: "unseen" }, caption), h("thead", {}, head), h("tbody", {}, body));
}

/** Names and values. */
export function facts(pairs) {
  const shown = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return h("dl", { class: "facts" }, shown.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

/** A sentence in place of a list that is empty. */
export function nothing(text) {
  return h("p", { class: "soft nothing" }, text);
}
