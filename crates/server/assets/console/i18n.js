// The language of the page: what was chosen here, else what the browser asks for, else English.
import { TEXT } from "./text.js";

export const LANGUAGES = [["en", "English"], ["zh", "中文"]];
const KEPT = "millpond-console-language";

/** A browser that keeps nothing for this page (blocked storage) has nothing to say. */
export function kept(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

export function keep(name, value) {
  try {
    if (value === null) localStorage.removeItem(name);
    else localStorage.setItem(name, value);
  } catch {
    // The choice then lives as long as the page.
  }
}

const known = (code) => LANGUAGES.some(([one]) => one === code);

function preferred() {
  const chosen = kept(KEPT);
  if (known(chosen)) return chosen;
  const wanted = (globalThis.navigator?.languages ?? []).map((one) => one.slice(0, 2).toLowerCase());
  return wanted.find(known) ?? "en";
}

let current = preferred();

export const language = () => current;

/** How figures and dates are written: as the browser writes them where its language is the page's. */
export function locale() {
  const own = globalThis.navigator?.language ?? "";
  return own.toLowerCase().startsWith(current) ? own : { en: "en", zh: "zh-CN" }[current];
}

export function chooseLanguage(code) {
  current = known(code) ? code : "en";
  keep(KEPT, current);
}

/** The text of a key with `{name}` replaced. A key that the table does not have shows itself, which a test looks for. */
export function t(key, values = {}) {
  const text = TEXT[key]?.[current === "zh" ? 1 : 0] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

/** The same for one and for several: `key.one` where `count` is 1 and there is such a key. */
export const tn = (key, count, values = {}) => t(count === 1 && `${key}.one` in TEXT ? `${key}.one` : key, { count, ...values });

/** The text of a key, or a fallback where the table has none: for codes that the server may come to know. */
export const tOr = (key, fallback) => (key in TEXT ? t(key) : fallback);

/** The text in pieces, with nodes in the places of their names. */
export function tx(key, nodes) {
  return t(key).split(/(\{\w+\})/).map((piece) => (/^\{\w+\}$/.test(piece) && piece.slice(1, -1) in nodes ? nodes[piece.slice(1, -1)] : piece));
}
