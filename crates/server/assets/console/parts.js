// Pieces that several pages have.
import { t } from "./i18n.js";
import { Icon } from "./icons.js";
import { learnRefusal, useRights } from "./rights.js";
import { html, useEffect, useId, useRef, useState } from "./view.js";

/** The state of a channel as a coloured badge. */
export const Badge = ({ status }) =>
  html`<span class="badge ${status.toLowerCase()}" data-status=${status}>${status ? t(`status.${status}`) : "…"}</span>`;

/** A refusal: what it means, what the server said, and the number to look for in its log. */
export function Refused({ error, children }) {
  if (!error) return null;
  const code = error.code ?? error.name ?? "Error";
  const told = error.hint ? error.message : "";
  return html`<div class="refusal" role="alert">
    <${Icon} name="circle-alert" size=${18} />
    <div>
      <strong>${error.hint || error.message}</strong>
      <p><code>${code}</code>${error.ec ? html` <code>${error.ec}</code>` : ""} ${told}</p>
      ${error.requestId && html`<p class="quiet">${t("refusal.request")} <code>${error.requestId}</code></p>`}
      ${children}
    </div>
  </div>`;
}

/** What to do where there is nothing yet. */
export const Empty = ({ icon, title, children }) => html`<div class="empty">
  ${icon && html`<${Icon} name=${icon} size=${32} />`}
  <h2>${title}</h2>
  <div>${children}</div>
</div>`;

export const PageHead = ({ title, children, sub, status }) => html`<div class="title">
  <div class="title-text"><h1 tabindex="-1">${title}</h1>${status}${sub && html`<p class="description">${sub}</p>`}</div>
  <div class="actions">${children}</div>
</div>`;

/** A part of a page. */
export const Card = ({ title, id, children, actions, class: more = "", hint }) => html`<section class="card ${more}" id=${id} aria-label=${typeof title === "string" ? title : undefined}>
  ${title && html`<div class="card-head"><h2>${title}</h2>${actions && html`<div class="actions">${actions}</div>`}</div>`}
  ${hint && html`<p class="hint">${hint}</p>`}
  ${children}
</section>`;

/** A label above a field, with what is to be known about it below; the field is made by a function that gets its ids. */
export function Field({ label, hint, children, class: more = "" }) {
  const id = useId();
  const of = { id, "aria-describedby": hint ? `${id}-hint` : undefined };
  return html`<div class="field ${more}">
    <label for=${id}>${label}</label>
    ${children(of)}
    ${hint && html`<span class="hint" id="${id}-hint">${hint}</span>`}
  </div>`;
}

const plain = { spellcheck: false, autocomplete: "off", autocapitalize: "off" };

/** A field of one line. */
export const TextField = ({ label, hint, value, onInput, class: more, ...rest }) =>
  html`<${Field} label=${label} hint=${hint} class=${more}>${(of) => html`<input ...${plain} ...${of} ...${rest} value=${value} onInput=${(event) => onInput(event.target.value)} />`}<//>`;

export const AreaField = ({ label, hint, value, onInput, class: more, ...rest }) =>
  html`<${Field} label=${label} hint=${hint} class=${more}>${(of) => html`<textarea ...${plain} ...${of} ...${rest} value=${value} onInput=${(event) => onInput(event.target.value)}></textarea>`}<//>`;

export const SelectField = ({ label, hint, value, onInput, options, class: more, ...rest }) =>
  html`<${Field} label=${label} hint=${hint} class=${more}>${(of) => html`<select ...${of} ...${rest} value=${value} onChange=${(event) => onInput(event.target.value)}>
    ${options.map(([one, text]) => html`<option value=${one} selected=${one === value}>${text}</option>`)}
  </select>`}<//>`;

/** A choice in a line of text: its label stands before it. */
export const Choice = ({ label, value, onInput, options, ...rest }) => html`<label class="choice">${label}
  <select ...${rest} value=${value} onChange=${(event) => onInput(event.target.value)}>
    ${options.map(([one, text]) => html`<option value=${one} selected=${one === value}>${text}</option>`)}
  </select></label>`;

/** On or off. */
export function Switch({ label, hint, on, onInput, disabled }) {
  const id = useId();
  return html`<div class="switch">
    <button type="button" role="switch" id=${id} aria-checked=${on ? "true" : "false"} disabled=${disabled} aria-describedby=${hint ? `${id}-hint` : undefined}
      onClick=${() => onInput(!on)}><span class="knob"></span><span>${label}</span></button>
    ${hint && html`<span class="hint" id="${id}-hint">${hint}</span>`}
  </div>`;
}

export const Check = ({ label, on, onInput, ...rest }) =>
  html`<label class="check"><input type="checkbox" checked=${on} onChange=${(event) => onInput(event.target.checked)} ...${rest} /> <span>${label}</span></label>`;

/**
 * A button that needs a right. Without it the button stays where it is, can be reached by keyboard, does nothing, and says
 * which right is missing. `run` may be a promise: the button waits for it, and refusals go to `onError`.
 */
export function Act({ right, bucket = "", objectKey = "", run, onError, icon, children, class: kind = "", disabled, label, ...rest }) {
  const may = useRights(bucket, objectKey);
  const id = useId();
  const [busy, setBusy] = useState(false);
  const alive = useRef(true);
  useEffect(() => () => void (alive.current = false), []);
  const missing = right && !may(right) ? t("right.missing", { right }) : "";
  const click = async (event) => {
    event.preventDefault();
    if (missing || busy) return missing && say(missing);
    setBusy(true);
    try {
      await run?.(event);
    } catch (error) {
      if (right && error.code === "AccessDenied") learnRefusal(right, bucket, objectKey);
      if (onError) onError(error);
      else say(error.hint || error.message);
    } finally {
      if (alive.current) setBusy(false);
    }
  };
  return html`<span class="act"><button type="button" class=${kind} disabled=${disabled} aria-disabled=${missing ? "true" : undefined} aria-busy=${busy ? "true" : undefined}
      aria-label=${label} title=${missing || label || undefined} aria-describedby=${missing ? id : undefined} ...${rest} onClick=${click}>
      ${(missing || icon) && html`<${Icon} name=${missing ? "lock" : icon} />`}${children && html`<span>${children}</span>`}
    </button>${missing && html`<span class="offstage" id=${id}>${missing}</span>`}</span>`;
}

/** A window over the page. Escape and its buttons close it; focus goes back to where it was. */
export function Dialog({ title, onClose, children, wide }) {
  const element = useRef(), isShown = useRef(true);
  const id = useId();
  useEffect(() => {
    const dialog = element.current;
    if (!dialog.open) dialog.showModal();
    return () => {
      // The page that it belonged to was left: nothing is answered, and nobody is led back.
      isShown.current = false;
      if (dialog.open) dialog.close();
    };
  }, []);
  const close = () => isShown.current && onClose();
  return html`<dialog ref=${element} class=${wide ? "wide" : ""} aria-labelledby=${id} onClose=${close}>
    <div class="dialog-head"><h2 id=${id}>${title}</h2>
      <button type="button" class="plain icon-only" aria-label=${t("action.close")} onClick=${onClose}><${Icon} name="x" /></button></div>
    ${children}
  </dialog>`;
}

let askHost = null;

/** Asks before something that cannot be taken back; the promise holds whether it was confirmed. */
export const confirm = ({ title, text, action, calm }) => new Promise((resolve) => askHost?.({ title, text, action, calm, resolve }));

/** Where questions appear; one for the whole page. */
export function Questions() {
  const [question, setQuestion] = useState(null);
  askHost = setQuestion;
  useEffect(() => {
    const close = () => setQuestion((open) => void open?.resolve(false) ?? null);
    window.addEventListener("hashchange", close);
    return () => window.removeEventListener("hashchange", close);
  }, []);
  if (!question) return null;
  const answer = (yes) => {
    setQuestion(null);
    question.resolve(yes);
  };
  return html`<${Dialog} title=${question.title} onClose=${() => answer(false)}>
    <div class="question">${question.text}</div>
    <div class="buttons end">
      <button type="button" class="plain" onClick=${() => answer(false)}>${t("action.cancel")}</button>
      <button type="button" class=${question.calm ? "" : "danger"} id="confirm" onClick=${() => answer(true)}>${question.action}</button>
    </div>
  <//>`;
}

/** Says something short at the edge of the page, also to those who listen. */
export function say(text) {
  const said = document.getElementById("said");
  said.textContent = text;
  said.classList.add("shown");
  clearTimeout(say.timer);
  say.timer = setTimeout(() => said.classList.remove("shown"), 3500);
}

export async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // Pages over plain HTTP have no clipboard of their own.
  const area = Object.assign(document.createElement("textarea"), { value: text, className: "offstage", readOnly: true });
  (document.querySelector("dialog[open]") ?? document.body).append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (!done) throw new Error("not copied");
}

/** A line of text to take along. */
export const Line = ({ label, text, id, secret }) => html`<div class="line">
  <span class="name">${label}</span>
  <code id=${id} class=${secret ? "secret" : ""} tabindex="0">${text}</code>
  <button type="button" class="small" aria-label=${t("copy.label", { what: label })}
    onClick=${() => copy(text).then(() => say(t("copy.done", { what: label })), () => say(t("copy.failed")))}><${Icon} name="copy" /><span>${t("action.copy")}</span></button>
</div>`;

/** Terms and what they are. */
export const Facts = ({ rows, class: more = "facts" }) => html`<dl class=${more}>${rows.filter(Boolean).map(([term, value, id, title]) =>
  html`<div key=${term}><dt>${term}</dt><dd id=${id} title=${title}>${value}</dd></div>`)}</dl>`;

export const Busy = () => html`<p class="busy quiet" role="status">${t("busy")}</p>`;

/** Draws one of three: the refusal, the wait, or what was loaded. */
export const Loaded = ({ of, children }) =>
  of.error && of.data === undefined ? html`<${Refused} error=${of.error} />` : of.data === undefined ? html`<${Busy} />` : children(of.data);
