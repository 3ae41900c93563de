// Elements from words. Text becomes text nodes and nothing else: names, descriptions and what encoders call themselves
// come from strangers.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (typeof value === "function") element.addEventListener(name, value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** `h("a", { href: "#/" }, "Home")`; a function as an attribute listens to the event of that name. */
export const h = (name, attributes = {}, ...children) => fill(document.createElement(name), attributes, children);

/** The same for drawings. */
export const svg = (name, attributes = {}, ...children) => fill(document.createElementNS(SVG, name), attributes, children);

/** Replaces what an element holds. */
export const show = (element, ...children) => element.replaceChildren(...children.flat(Infinity).filter(Boolean));

/** A label above a field, with what is to be known about it below. */
export function field(label, input, hint) {
  const id = `field-${label.toLowerCase().replace(/[^a-z]+/g, "-")}`;
  input.id = id;
  const told = hint && h("span", { class: "hint", id: `${id}-hint` }, hint);
  if (told) input.setAttribute("aria-describedby", `${id}-hint`);
  return h("div", { class: "field" }, h("label", { for: id }, label), input, told);
}

/** Says something short at the edge of the page, also to those who listen. */
export function say(text) {
  const said = document.getElementById("said");
  said.textContent = text;
  said.classList.add("shown");
  clearTimeout(say.timer);
  say.timer = setTimeout(() => said.classList.remove("shown"), 2500);
}

async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // Pages over plain HTTP have no clipboard of their own.
  const area = h("textarea", { class: "offstage", readonly: true }, text);
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (!done) throw new Error("not copied");
}

/** A line of text to take along. */
export const line = (label, text, id) =>
  h("div", { class: "line" },
    h("span", { class: "name" }, label),
    h("code", { id }, text),
    h("button", {
      type: "button", class: "small", "aria-label": `Copy ${label}`,
      click: () => copy(text).then(() => say(`${label} copied`), () => say("Copying failed: select the text instead")),
    }, "Copy"));

/** Asks before something that cannot be taken back; the promise holds whether it was confirmed. */
export function confirm(title, text, action) {
  return new Promise((resolve) => {
    const dialog = h("dialog", { "aria-labelledby": "question", close: () => { resolve(dialog.returnValue === "yes"); dialog.remove(); } },
      h("h2", { id: "question" }, title),
      h("p", {}, text),
      h("div", { class: "buttons" },
        h("button", { type: "button", class: "plain", click: () => dialog.close("no") }, "Cancel"),
        h("button", { type: "button", class: "danger", id: "confirm", click: () => dialog.close("yes") }, action)));
    document.body.append(dialog);
    dialog.showModal();
  });
}
