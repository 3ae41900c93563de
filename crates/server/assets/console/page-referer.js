// Hotlink protection: which pages may link to what is in the bucket. The steps are those of the OSS console.
import { putReferer, referer } from "./api-bucket.js";
import { t } from "./i18n.js";
import { Icon } from "./icons.js";
import { lines } from "./lists.js";
import { isOn } from "./page-overview.js";
import { Act, AreaField, Card, Facts, Loaded, PageHead, Refused, say, Switch } from "./parts.js";
import { TryIt } from "./try.js";
import { html, useLoad, useState } from "./view.js";

export function Referer({ bucket }) {
  const stored = useLoad(() => referer(bucket), [bucket]);
  const [draft, setDraft] = useState(null);
  const [trouble, setTrouble] = useState(null);
  const open = async () => {
    const now = stored.data ?? (await referer(bucket));
    setDraft({ ...now, whitelist: now.whitelist.join("\n"), blacklist: now.blacklist.join("\n") });
  };
  const save = async () => {
    setTrouble(null);
    await putReferer(bucket, { ...draft, whitelist: lines(draft.whitelist), blacklist: lines(draft.blacklist) });
    await stored.reload();
    setDraft(null);
    say(t("said.saved"));
  };
  const right = { right: "oss:PutBucketReferer", bucket, onError: setTrouble };
  return html`<${PageHead} title=${t("access.referer")} sub=${bucket} />
    <${Card} title=${t("access.referer")} id="referer" hint=${t("referer.hint")}
      actions=${!draft && html`<${Act} ...${right} class="plain" icon="settings" run=${open}>${t("action.configure")}<//>`}>
      <${Refused} error=${trouble} />
      <${Loaded} of=${stored}>${(data) => (draft ? html`<${Form} draft=${draft} change=${setDraft} cancel=${() => setDraft(null)} save=${save} right=${right} />` : html`<${Shown} data=${data} />`)}<//>
    <//>
    <${TryIt} bucket=${bucket} about="referer" />`;
}

function Shown({ data }) {
  const list = (values) => (values.length ? values.map((one) => html`<code>${one}</code><br />`) : "–");
  return html`<${Facts} rows=${[
      [t("referer.state"), t(isOn(data) ? "state.on" : "state.off")],
      [t("referer.whitelist"), list(data.whitelist)],
      [t("referer.allowEmpty"), t(data.allowEmpty ? "state.yes" : "state.no")],
      data.blacklist.length > 0 && [t("referer.blacklist"), list(data.blacklist)],
    ]} />
    ${!data.allowEmpty && !data.whitelist.length && html`<div class="note"><p><strong>${t("referer.note")}</strong> ${t("referer.noteEmpty")}</p></div>`}`;
}

function Form({ draft, change, cancel, save, right }) {
  const set = (name) => (value) => change({ ...draft, [name]: value });
  const list = lines(draft.whitelist);
  // Patterns match from the start and are open at the end (access control 6.3).
  const open = list.filter((one) => /^https?:\/\/[^/*?]+$/.test(one) || (/^[^/*?]+$/.test(one) && one.includes(".")));
  return html`<form onSubmit=${(event) => event.preventDefault()}>
    <${AreaField} label=${t("referer.whitelist")} hint=${t("referer.whitelistHint")} rows="4" value=${draft.whitelist} onInput=${set("whitelist")} placeholder="*.example.com" />
    ${open.length > 0 && html`<div class="warning"><${Icon} name="triangle-alert" /><span>${t("referer.open", { pattern: open[0] })}
      <button type="button" class="link" onClick=${() => set("whitelist")(list.map((one) => (open.includes(one) ? `${one}/` : one)).join("\n"))}>${t("referer.openFix")}</button></span></div>`}
    <${Switch} label=${t("referer.allowEmpty")} hint=${t("referer.allowEmptyHint")} on=${draft.allowEmpty} onInput=${set("allowEmpty")} />
    ${!draft.allowEmpty && html`<div class="note" id="referer-note"><p><strong>${t("referer.note")}</strong></p><ul>
      <li>${list.length ? t("referer.noteList") : t("referer.noteEmpty")}</li></ul></div>`}
    <details class="more-fields"><summary>${t("referer.more")}</summary>
      <${AreaField} label=${t("referer.blacklist")} hint=${t("referer.blacklistHint")} rows="3" value=${draft.blacklist} onInput=${set("blacklist")} />
      <${Switch} label=${t("referer.truncateQuery")} hint=${t("referer.truncateQueryHint")} on=${draft.truncateQuery} onInput=${set("truncateQuery")} />
      <${Switch} label=${t("referer.truncatePath")} hint=${t("referer.truncatePathHint")} on=${draft.truncatePath} onInput=${set("truncatePath")} />
    </details>
    <div class="buttons"><${Act} ...${right} run=${save}>${t("action.save")}<//><button type="button" class="plain" onClick=${cancel}>${t("action.cancel")}</button></div>
  </form>`;
}
