// The documents of OSS, read and written. Reading looks at children by name; writing escapes all text, so that none of it
// can be taken for a tag.

export const parse = (text) => new DOMParser().parseFromString(text, "application/xml").documentElement;
const children = (node) => [...(node?.children ?? [])];

/** The text of a child, empty where there is none. */
export const text = (node, name) => children(node).find((child) => child.nodeName === name)?.textContent ?? "";
export const child = (node, name) => children(node).find((one) => one.nodeName === name);
export const all = (node, name) => children(node).filter((one) => one.nodeName === name);
export const texts = (node, name) => all(node, name).map((one) => one.textContent);
export const number = (node, name) => Number(text(node, name)) || 0;
export const flag = (node, name, otherwise = false) => (child(node, name) ? text(node, name).trim() === "true" : otherwise);

const escape = (value) => String(value).replace(/[&<>"]/g, (sign) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[sign]);

/** `write("A", [["B", 1], ["C", [["D", "x"]]], false && …])`: elements in order; `undefined` values leave theirs out. */
export function write(name, content) {
  const inner = Array.isArray(content)
    ? content.filter((one) => one && one[1] !== undefined && one[1] !== null).map(([tag, value]) => write(tag, value)).join("")
    : escape(content);
  return `<${name}>${inner}</${name}>`;
}
