// Small editors that several settings have: values one a line, and pairs of names and values.
import { t } from "./i18n.js";
import { Icon } from "./icons.js";
import { html } from "./view.js";

export const lines = (text) => text.split("\n").map((one) => one.trim()).filter(Boolean);

/** Names with values, in rows; empty rows are left out by `clean`. */
export function Pairs({ pairs, onInput, nameLabel = t("pairs.name"), valueLabel = t("pairs.value"), limit = 20, disabled }) {
  const set = (index, at, value) => onInput(pairs.map((pair, one) => (one === index ? pair.map((old, which) => (which === at ? value : old)) : pair)));
  return html`<div class="pairs">
    ${pairs.map(([name, value], index) => html`<div class="pair" key=${index}>
      <input aria-label=${`${nameLabel} ${index + 1}`} placeholder=${nameLabel} value=${name} disabled=${disabled} spellcheck=${false} onInput=${(event) => set(index, 0, event.target.value)} />
      <input aria-label=${`${valueLabel} ${index + 1}`} placeholder=${valueLabel} value=${value} disabled=${disabled} spellcheck=${false} onInput=${(event) => set(index, 1, event.target.value)} />
      <button type="button" class="plain icon-only" aria-label=${t("pairs.remove", { number: index + 1 })} disabled=${disabled} onClick=${() => onInput(pairs.filter((_, one) => one !== index))}><${Icon} name="x" /></button>
    </div>`)}
    ${pairs.length < limit && html`<button type="button" class="small" disabled=${disabled} onClick=${() => onInput([...pairs, ["", ""]])}><${Icon} name="plus" />
      <span>${t("action.add")}</span></button>`}
  </div>`;
}

export const clean = (pairs) => pairs.map(([name, value]) => [name.trim(), value]).filter(([name]) => name);
