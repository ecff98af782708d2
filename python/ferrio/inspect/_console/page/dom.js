/**
 * Makes elements. Text of the program only ever becomes text nodes, never markup; styles are set one by one, which the
 * content security policy permits.
 */

const SVG = "http://www.w3.org/2000/svg";

/**
 * An element with attributes and children. Attributes that begin with "on" are listeners; null and false are left out.
 * @param {string} name the tag's name; "svg:line" makes an element of SVG
 */
export function element(name, attributes = {}, ...children) {
  const made = name.startsWith("svg:")
    ? document.createElementNS(SVG, name.slice(4))
    : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value === true ? "" : String(value));
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

/** Replaces what is in an element. */
export function fill(parent, ...children) {
  parent.replaceChildren(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
}

/** A titled part of the page, with a sentence that says what it shows. */
export function panel(title, tells, ...children) {
  return element(
    "section",
    { class: "panel" },
    element("h2", {}, title),
    element("p", { class: "tells" }, tells),
    ...children,
  );
}

/** What stands where there is nothing to show, and why. */
export function empty(...text) {
  return element("p", { class: "empty" }, ...text);
}

/** A link to a task's details. */
export function taskLink(task) {
  return element("button", { type: "button", class: "link", "data-task": task.id }, task.name);
}
