// Lifecycle: what is deleted by itself, and when.
import { lifecycle, lifecycleDue, putLifecycle } from "./api-bucket.js";
import { bytes, count } from "./format.js";
import { t } from "./i18n.js";
import { clean, Pairs } from "./lists.js";
import { Act, Card, Check, confirm, Dialog, Empty, Loaded, PageHead, Refused, say, SelectField, TextField } from "./parts.js";
import { html, useLoad, useState } from "./view.js";
import { all, child, text, write } from "./xml.js";

const KNOWN = ["ID", "Prefix", "Status", "Tag", "Expiration", "AbortMultipartUpload"];

/** A rule as fields; `more` are elements that this page has no fields for. */
function read(rule) {
  const [expiration, abort] = [child(rule, "Expiration"), child(rule, "AbortMultipartUpload")];
  return {
    id: text(rule, "ID"), prefix: text(rule, "Prefix"), enabled: text(rule, "Status") === "Enabled",
    tags: all(rule, "Tag").map((one) => [text(one, "Key"), text(one, "Value")]),
    kind: text(expiration, "Days") ? "days" : text(expiration, "CreatedBeforeDate") || text(expiration, "Date") ? "date" : "never",
    days: text(expiration, "Days"), date: (text(expiration, "CreatedBeforeDate") || text(expiration, "Date")).slice(0, 10),
    parts: text(abort, "Days"),
    more: [...rule.children].map((one) => one.nodeName).filter((name) => !KNOWN.includes(name) || (name === "Expiration" && text(expiration, "Date"))),
  };
}

const documentOf = (rule) => write("Rule", [
  rule.id && ["ID", rule.id], ["Prefix", rule.prefix], ["Status", rule.enabled ? "Enabled" : "Disabled"],
  ...clean(rule.tags).map(([name, value]) => ["Tag", [["Key", name], ["Value", value]]]),
  rule.kind === "days" && ["Expiration", [["Days", rule.days.trim()]]],
  rule.kind === "date" && ["Expiration", [["CreatedBeforeDate", `${rule.date}T00:00:00.000Z`]]],
  rule.parts.trim() && ["AbortMultipartUpload", [["Days", rule.parts.trim()]]],
]);

/** A stored rule as text, the root's namespace left out. */
const kept = (rule) => new XMLSerializer().serializeToString(rule).replace(/ xmlns="[^"]*"/g, "");

const FRESH = { id: "", prefix: "", enabled: true, tags: [], kind: "days", days: "30", date: "", parts: "7", more: [] };

export function Lifecycle({ bucket }) {
  const stored = useLoad(() => lifecycle(bucket), [bucket]);
  const [edited, setEdited] = useState(null);
  const [trouble, setTrouble] = useState(null);
  const change = async (work) => {
    setTrouble(null);
    await putLifecycle(bucket, work(await lifecycle(bucket)));
    await stored.reload();
    say(t("said.saved"));
  };
  const swap = (id, wanted) => change((rules) => rules.flatMap((rule) => (text(rule, "ID") === id ? wanted(rule) : [kept(rule)])));
  const remove = async (id) => {
    if (await confirm({ title: t("lifecycle.deleteTitle"), text: t("lifecycle.deleteText"), action: t("action.delete") })) await swap(id, () => []);
  };
  const toggle = (id) => swap(id, (rule) => {
    child(rule, "Status").textContent = text(rule, "Status") === "Enabled" ? "Disabled" : "Enabled";
    return [kept(rule)];
  });
  const right = { right: "oss:PutBucketLifecycle", bucket, onError: setTrouble };
  return html`<${PageHead} title=${t("bucket.lifecycle")} sub=${bucket}><${Act} ...${right} icon="plus" run=${() => setEdited({ ...FRESH, fresh: true })}>${t("cors.create")}<//><//>
    <${Refused} error=${trouble} />
    <${Loaded} of=${stored}>${(rules) => (rules.length === 0
      ? html`<${Empty} icon="recycle" title=${t("lifecycle.none")}><p>${t("lifecycle.noneHint")}</p><//>`
      : html`<${Card}><div class="scroller" tabindex="0" role="group" aria-label=${t("bucket.lifecycle")}><table>
        <thead><tr><th>ID</th><th>${t("lifecycle.prefix")}</th><th>${t("lifecycle.what")}</th><th>${t("lifecycle.status")}</th><th>
          <span class="offstage">${t("cors.change")}</span></th></tr></thead>
        <tbody>${rules.map(read).map((rule) => html`<tr key=${rule.id}>
          <td><code>${rule.id}</code></td><td>${rule.prefix ? html`<code>${rule.prefix}</code>` : t("lifecycle.whole")}</td><td><${Told} rule=${rule} /></td>
          <td><span class="chip ${rule.enabled ? "on" : ""}">${t(rule.enabled ? "state.on" : "state.off")}</span></td>
          <td class="tools"><${Act} ...${right} class="small" run=${() => toggle(rule.id)}>${t(rule.enabled ? "lifecycle.turnOff" : "lifecycle.turnOn")}<//>
            <${Act} ...${right} class="small icon-only" icon="pencil" label=${t("lifecycle.edit", { id: rule.id })} disabled=${rule.more.length > 0} run=${() => setEdited(rule)} />
            <${Act} ...${right} class="small icon-only" icon="trash-2" label=${t("lifecycle.delete", { id: rule.id })} run=${() => remove(rule.id)} /></td></tr>`)}</tbody></table></div>
        <p class="hint">${t("lifecycle.hourly")}</p><//>
        <${DryRun} bucket=${bucket} />`)}<//>
    ${edited && html`<${Rule} start=${edited} onClose=${() => setEdited(null)} onSave=${async (rule) => {
      if (edited.fresh) await change((rules) => [...rules.map(kept), documentOf(rule)]);
      else await swap(edited.id, () => [documentOf(rule)]);
      setEdited(null);
    }} />`}`;
}

function Told({ rule }) {
  const told = [
    rule.kind === "days" && t("lifecycle.afterDays", { days: rule.days }), rule.kind === "date" && t("lifecycle.beforeDate", { date: rule.date }),
    rule.parts && t("lifecycle.afterParts", { days: rule.parts }), ...rule.tags.map(([name, value]) => t("lifecycle.onlyTag", { tag: `${name}=${value}` })),
    rule.more.length > 0 && t("lifecycle.more", { what: rule.more.join(", ") }),
  ].filter(Boolean);
  return html`${told.map((one) => html`<div key=${one}>${one}</div>`)}`;
}

function Rule({ start, onClose, onSave }) {
  const [rule, setRule] = useState(start);
  const [trouble, setTrouble] = useState(null);
  const set = (name) => (value) => setRule((old) => ({ ...old, [name]: value }));
  const submit = async (event) => {
    event.preventDefault();
    try {
      await onSave(rule);
    } catch (error) {
      setTrouble(error);
    }
  };
  return html`<${Dialog} title=${start.fresh ? t("cors.create") : t("lifecycle.edit", { id: start.id })} onClose=${onClose}><form onSubmit=${submit}>
    <${TextField} label="ID" hint=${t("lifecycle.idHint")} disabled=${!start.fresh} value=${rule.id} onInput=${set("id")} />
    <${TextField} label=${t("lifecycle.prefix")} hint=${t("lifecycle.prefixHint")} value=${rule.prefix} onInput=${set("prefix")} placeholder="cam1/" />
    <${SelectField} label=${t("lifecycle.expire")} value=${rule.kind} onInput=${set("kind")} options=${["days", "date", "never"].map((one) => [one, t(`lifecycle.${one}`)])} />
    ${rule.kind === "days" && html`<${TextField} label=${t("lifecycle.daysLabel")} inputmode="numeric" required value=${rule.days} onInput=${set("days")} />`}
    ${rule.kind === "date" && html`<${TextField} label=${t("lifecycle.dateLabel")} type="date" required value=${rule.date} onInput=${set("date")} />`}
    <${TextField} label=${t("lifecycle.partsLabel")} hint=${t("lifecycle.partsHint")} inputmode="numeric" value=${rule.parts} onInput=${set("parts")} />
    <fieldset><legend>${t("lifecycle.tags")}</legend><${Pairs} pairs=${rule.tags} onInput=${set("tags")} limit=${10} /></fieldset>
    <${Check} label=${t("lifecycle.enabled")} on=${rule.enabled} onInput=${set("enabled")} />
    <${Refused} error=${trouble} />
    <div class="buttons end"><button type="button" class="plain" onClick=${onClose}>${t("action.cancel")}</button><button type="submit">${t("action.ok")}</button></div>
  </form><//>`;
}

/** What the rules would delete if they ran now. */
function DryRun({ bucket }) {
  const [answer, setAnswer] = useState(null);
  const [trouble, setTrouble] = useState(null);
  return html`<${Card} title=${t("lifecycle.dry")} hint=${t("lifecycle.dryHint")}>
    <div class="buttons"><${Act} class="plain" icon="flask-conical" onError=${setTrouble} run=${async () => {
      setTrouble(null);
      setAnswer(await lifecycleDue(bucket));
    }}>${t("lifecycle.dryRun")}<//></div>
    <${Refused} error=${trouble} />
    <div aria-live="polite">${answer && html`<ul class="rows">${answer.rules.map((one) => html`<li key=${one.id}>
      <p><code>${one.id}</code> ${t("lifecycle.due", { objects: count(one.objects), size: bytes(one.bytes), uploads: count(one.uploads) })}</p>
      ${one.examples?.length > 0 && html`<p class="hint">${one.examples.join(", ")}</p>`}</li>`)}</ul>`}</div>
  <//>`;
}
