// The policy of a bucket: a document, with examples and a check.
import { deletePolicy, policy, putPolicy } from "./api-bucket.js";
import { t } from "./i18n.js";
import { Act, AreaField, Card, confirm, Loaded, PageHead, Refused, say } from "./parts.js";
import { bucketTemplates, check } from "./policy.js";
import { TryIt } from "./try.js";
import { html, useLoad, useState } from "./view.js";

export function Policy({ bucket }) {
  const stored = useLoad(() => policy(bucket), [bucket]);
  const [draft, setDraft] = useState(null);
  const [trouble, setTrouble] = useState(null);
  const on = { bucket, onError: setTrouble };
  const done = async () => {
    await stored.reload();
    setDraft(null);
    say(t("said.saved"));
  };
  const save = async () => {
    setTrouble(null);
    await putPolicy(bucket, draft);
    await done();
  };
  const remove = async () => {
    if (!(await confirm({ title: t("policy.deleteTitle"), text: t("policy.deleteText"), action: t("action.delete") }))) return;
    await deletePolicy(bucket);
    await done();
  };
  return html`<${PageHead} title=${t("access.policy")} sub=${bucket} />
    <${Card} title=${t("access.policy")} hint=${t("policy.hint")}>
      <${Loaded} of=${stored}>${(text) => html`
        <${PolicyEditor} text=${draft ?? text} onInput=${setDraft} templates=${bucketTemplates(bucket)} bucket=${bucket} />
        <${Refused} error=${trouble} />
        <div class="buttons">
          <${Act} ...${on} right="oss:PutBucketPolicy" disabled=${draft === null || draft === text} run=${save}>${t("action.save")}<//>
          ${draft !== null && draft !== text && html`<button type="button" class="plain" onClick=${() => setDraft(null)}>${t("action.cancel")}</button>`}
          ${text && html`<${Act} ...${on} class="plain danger" icon="trash-2" right="oss:DeleteBucketPolicy" run=${remove}>${t("policy.delete")}<//>`}
        </div>`}<//>
    <//>
    <${TryIt} bucket=${bucket} about="access" />`;
}

/** A document with examples above it and what is wrong below it. */
export function PolicyEditor({ text, onInput, templates, bucket }) {
  const wrong = text.trim() ? check(text, bucket) : [];
  return html`<div class="toolbar">
    <span class="quiet">${t("policy.examples")}</span>${templates.map(([name, document_]) => html`<button type="button" class="small" key=${name} onClick=${() => onInput(document_)}>${t(name)}</button>`)}</div>
    <${AreaField} label=${t("policy.document")} class="policy" rows="14" value=${text} onInput=${onInput} />
    <div aria-live="polite" class="policy-check">${wrong.length > 0
      ? html`<div class="warning"><ul>${wrong.slice(0, 6).map((one) => html`<li key=${one}>${one}</li>`)}</ul></div>`
      : text.trim() && html`<p class="hint">${t("policy.fine")}</p>`}</div>`;
}
