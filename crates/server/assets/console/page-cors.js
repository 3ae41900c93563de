// Cross-origin resource sharing: which pages of other origins may read the bucket. The steps are those of the OSS console.
import { cors, putCors } from "./api-bucket.js";
import { t } from "./i18n.js";
import { Icon } from "./icons.js";
import { lines } from "./lists.js";
import { Act, AreaField, Card, Check, confirm, Dialog, Empty, Loaded, PageHead, Refused, say, TextField } from "./parts.js";
import { TryIt } from "./try.js";
import { html, useLoad, useState } from "./view.js";

const METHODS = ["GET", "POST", "PUT", "DELETE", "HEAD"];
const MOST = 10;
const FRESH = { origins: "", methods: ["GET", "HEAD"], headers: "*", exposed: "ETag\nContent-Length\nContent-Range\nDate\nx-oss-request-id", maxAge: "600" };

export function Cors({ bucket }) {
  const stored = useLoad(() => cors(bucket), [bucket]);
  const [isOpen, setIsOpen] = useState(false);
  const [edited, setEdited] = useState(null);
  const [trouble, setTrouble] = useState(null);
  /** Changes what is stored now, which may be newer than what is shown. */
  const change = async (work) => {
    setTrouble(null);
    await putCors(bucket, work(await cors(bucket)));
    await stored.reload();
    say(t("said.saved"));
  };
  const remove = async (index) => {
    if (await confirm({ title: t("cors.deleteTitle"), text: t("cors.deleteText"), action: t("action.delete") })) {
      await change((old) => ({ ...old, rules: old.rules.filter((_, one) => one !== index) }));
    }
  };
  const right = { right: "oss:PutBucketCors", bucket, onError: setTrouble };
  return html`<${PageHead} title=${t("access.cors")} sub=${bucket} />
    <${Card} title=${t("access.cors")} id="cors" hint=${t("cors.hint")}
      actions=${isOpen
        ? html`<${Act} ...${right} icon="plus" disabled=${stored.data?.rules.length >= MOST} run=${() => setEdited({ index: -1, ...FRESH, vary: stored.data?.vary ?? false })}>${t("cors.create")}<//>`
        : html`<${Act} ...${right} class="plain" icon="settings" run=${() => setIsOpen(true)}>${t("action.configure")}<//>`}>
      <${Refused} error=${trouble} />
      <${Loaded} of=${stored}>${({ rules, vary }) => html`
        ${rules.length === 0 ? html`<${Empty} icon="globe" title=${t("cors.none")}><p>${t(isOpen ? "cors.noneOpen" : "cors.noneHint")}</p><//>` : html`
        <div class="scroller" tabindex="0" role="group" aria-label=${t("cors.rules")}><table>
          <thead><tr><th>${t("cors.sources")}</th><th>${t("cors.methods")}</th><th>${t("cors.headers")}</th><th>${t("cors.exposed")}</th>
            <th>${t("cors.cache")}</th>${isOpen && html`<th><span class="offstage">${t("cors.change")}</span></th>`}</tr></thead>
          <tbody>${rules.map((rule, index) => html`<tr key=${index}>
            <td>${rule.origins.map((one) => html`<code>${one}</code>`)}</td><td>${rule.methods.join(", ")}</td>
            <td>${rule.headers.map((one) => html`<code>${one}</code>`)}</td><td>${rule.exposed.map((one) => html`<code>${one}</code>`)}</td><td class="number">${rule.maxAge || "–"}</td>
            ${isOpen && html`<td class="tools">
              <${Act} ...${right} class="small icon-only" icon="pencil" label=${t("cors.edit", { number: index + 1 })} run=${() => setEdited({ index, ...shown(rule), vary })} />
              <${Act} ...${right} class="small icon-only" icon="trash-2" label=${t("cors.delete", { number: index + 1 })} run=${() => remove(index)} /></td>`}</tr>`)}</tbody></table></div>
        <p class="hint">${t("cors.order")} ${t(vary ? "cors.varyOn" : "cors.varyOff")}</p>
        ${isOpen && rules.length >= MOST && html`<p class="hint">${t("cors.full", { count: MOST })}</p>`}`}`}<//>
    <//>
    <${TryIt} bucket=${bucket} about="cors" />
    ${edited && html`<${Rule} start=${edited} onClose=${() => setEdited(null)} onSave=${async ({ vary, ...rule }) => {
      await change((old) => ({ vary, rules: edited.index < 0 ? [...old.rules, rule] : old.rules.map((one, at) => (at === edited.index ? rule : one)) }));
      setEdited(null);
    }} />`}`;
}

const shown = (rule) => ({ ...rule, origins: rule.origins.join("\n"), headers: rule.headers.join("\n"), exposed: rule.exposed.join("\n") });

/** The rule as fields. Sources that browsers never send are pointed out, not refused: the API takes them. */
function Rule({ start, onClose, onSave }) {
  const [rule, setRule] = useState(start);
  const [trouble, setTrouble] = useState(null);
  const set = (name) => (value) => setRule((old) => ({ ...old, [name]: value }));
  const bare = lines(rule.origins).filter((one) => one !== "*" && !one.includes("://"));
  const slashed = lines(rule.origins).filter((one) => /:\/\/[^/]+\//.test(one));
  const submit = async (event) => {
    event.preventDefault();
    try {
      await onSave({ origins: lines(rule.origins), methods: rule.methods, headers: lines(rule.headers), exposed: lines(rule.exposed), maxAge: rule.maxAge.trim(), vary: rule.vary });
    } catch (error) {
      setTrouble(error);
    }
  };
  return html`<${Dialog} title=${t(start.index < 0 ? "cors.create" : "cors.editRule")} onClose=${onClose}><form onSubmit=${submit}>
    <${AreaField} label=${t("cors.sources")} hint=${t("cors.sourcesHint")} required rows="3" value=${rule.origins} onInput=${set("origins")} placeholder="http://198.51.100.7:8080" />
    ${bare.length > 0 && html`<div class="warning"><${Icon} name="triangle-alert" /><span>${t("cors.bare", { origin: bare[0] })}
      <button type="button" class="link" onClick=${() => set("origins")(lines(rule.origins).flatMap((one) => (bare.includes(one) ? [`http://${one}`, `https://${one}`] : [one])).join("\n"))}>${t("cors.bareFix")}</button></span></div>`}
    ${slashed.length > 0 && html`<div class="warning"><${Icon} name="triangle-alert" /><span>${t("cors.slashed", { origin: slashed[0] })}</span></div>`}
    <fieldset><legend>${t("cors.methods")}</legend><div class="checks">${METHODS.map((one) => html`<${Check} key=${one} label=${one} on=${rule.methods.includes(one)}
      onInput=${(on) => set("methods")(METHODS.filter((each) => (each === one ? on : rule.methods.includes(each))))} />`)}</div></fieldset>
    <${AreaField} label=${t("cors.headers")} hint=${t("cors.headersHint")} rows="2" value=${rule.headers} onInput=${set("headers")} />
    <${AreaField} label=${t("cors.exposed")} hint=${t("cors.exposedHint")} rows="3" value=${rule.exposed} onInput=${set("exposed")} />
    <${TextField} label=${t("cors.cache")} hint=${t("cors.cacheHint")} inputmode="numeric" value=${rule.maxAge} onInput=${set("maxAge")} />
    <${Check} label=${t("cors.vary")} on=${rule.vary} onInput=${set("vary")} />
    <p class="hint">${t("cors.varyHint")}</p>
    <${Refused} error=${trouble} />
    <div class="buttons end"><button type="button" class="plain" onClick=${onClose}>${t("action.cancel")}</button><button type="submit">${t("action.ok")}</button></div>
  </form><//>`;
}
