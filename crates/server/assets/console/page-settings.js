// Access logs, web site and tags of a bucket: a form each.
import { allBuckets, logging, putLogging, putTags, putWebsite, tags, website } from "./api-bucket.js";
import { t } from "./i18n.js";
import { clean, Pairs } from "./lists.js";
import { Act, Card, Check, Field, Loaded, PageHead, Refused, say, SelectField, TextField } from "./parts.js";
import { html, useLoad, useState } from "./view.js";

/** A setting with its form: what is stored, a draft of it, and Save. */
function Setting({ bucket, title, hint, load, save, right, children, id }) {
  const stored = useLoad(() => load(bucket), [bucket]);
  const [draft, setDraft] = useState(null);
  const [trouble, setTrouble] = useState(null);
  const run = async () => {
    setTrouble(null);
    await save(bucket, draft);
    await stored.reload();
    setDraft(null);
    say(t("said.saved"));
  };
  return html`<${PageHead} title=${title} sub=${bucket} />
    <${Card} id=${id} hint=${hint}><${Loaded} of=${stored}>${(data) => html`
      ${children(draft ?? data, setDraft)}
      <${Refused} error=${trouble} />
      <div class="buttons">
        <${Act} right=${right} bucket=${bucket} disabled=${draft === null} run=${run} onError=${setTrouble}>${t("action.save")}<//>
        ${draft !== null && html`<button type="button" class="plain" onClick=${() => setDraft(null)}>${t("action.cancel")}</button>`}
      </div>`}<//><//>`;
}

export function Logging({ bucket }) {
  const known = useLoad(() => allBuckets().catch(() => []), []);
  return html`<${Setting} bucket=${bucket} id="logging" title=${t("bucket.logging")} hint=${t("logging.hint")} load=${logging} save=${putLogging} right="oss:PutBucketLogging">${(data, change) => html`
    <${Field} label=${t("logging.target")} hint=${t("logging.targetHint")}>${(of) => html`<input ...${of} list="buckets-known" spellcheck=${false} autocomplete="off" value=${data.target} onInput=${(event) => change({ ...data, target: event.target.value.trim() })} />
      <datalist id="buckets-known">${(known.data ?? []).map(({ name }) => html`<option value=${name} />`)}</datalist>`}<//>
    <${TextField} label=${t("logging.prefix")} hint=${t("logging.prefixHint")} value=${data.prefix} onInput=${(prefix) => change({ ...data, prefix })} placeholder="log/" />`}<//>`;
}

export const Website = ({ bucket }) => html`<${Setting} bucket=${bucket} id="website" title=${t("bucket.website")} hint=${t("website.hint")} load=${website} save=${putWebsite} right="oss:PutBucketWebsite">${(data, change) => {
  const set = (name) => (value) => change({ ...data, [name]: value });
  return html`
    <${TextField} label=${t("website.index")} hint=${t("website.indexHint")} value=${data.index} onInput=${set("index")} placeholder="index.html" />
    <p><${Check} label=${t("website.subDir")} on=${data.subDir} onInput=${set("subDir")} /></p>
    ${data.subDir && html`<${SelectField} label=${t("website.type")} value=${data.type} onInput=${set("type")} options=${["0", "1", "2"].map((one) => [one, t(`website.type${one}`)])} />`}
    <div class="columns">
      <${TextField} label=${t("website.error")} value=${data.error} onInput=${set("error")} placeholder="error.html" />
      <${SelectField} label=${t("website.status")} value=${data.status} onInput=${set("status")} options=${["404", "200"].map((one) => [one, one])} />
    </div>`;
}}<//>`;

export const Tags = ({ bucket }) => html`<${Setting} bucket=${bucket} id="tags" title=${t("bucket.tags")} hint=${t("tags.hint")} load=${tags} save=${(name, pairs) => putTags(name, clean(pairs))} right="oss:PutBucketTagging">
  ${(data, change) => html`<${Pairs} pairs=${data} onInput=${change} />`}<//>`;
