// Properties that stand for attributes. Frameworks set properties, markup sets attributes: both have to do the same, in
// whatever order script, element and values come.

/** How a property is read from its attribute (null: there is none) and written to it. */
const TEXT = { read: (text) => text, write: String };
const FLAG = { read: (text) => text !== null, write: (value) => (value ? "" : null) };

/** A whole number within bounds; `standard` without an attribute, and for what is no number. */
function whole(standard, max) {
  const bounded = (number) => (Number.isNaN(number) ? standard : Math.min(max, Math.max(0, number)));
  return { read: (text) => bounded(Number.parseInt(text, 10)), write: String };
}

const DIGITS = 2;
const DIGITS_MAX = 6;

/** By property: the attribute's name, and its form. */
const REFLECTED = {
  chat: ["chat", TEXT],
  user: ["user", TEXT],
  src: ["src", TEXT],
  label: ["label", TEXT],
  digits: ["digits", whole(DIGITS, DIGITS_MAX)],
  compact: ["compact", FLAG],
  lowMs: ["low-ms", whole(0, Number.MAX_SAFE_INTEGER)],
};

/** Gives an element's class the properties; null and undefined take the attribute away. */
export function reflect(Element) {
  for (const [property, [attribute, form]] of Object.entries(REFLECTED)) {
    Object.defineProperty(Element.prototype, property, {
      configurable: true,
      enumerable: true,
      get() {
        return form.read(this.getAttribute(attribute));
      },
      set(value) {
        const text = value === null || value === undefined ? null : form.write(value);
        if (text === null) this.removeAttribute(attribute);
        else this.setAttribute(attribute, text);
      },
    });
  }
}

/** Properties that were set before the class was there hide its setters: sets them once more. */
export function takeEarly(element, ...others) {
  for (const name of [...Object.keys(REFLECTED), ...others]) {
    if (!Object.hasOwn(element, name)) continue;
    const value = element[name];
    delete element[name];
    element[name] = value;
  }
}
