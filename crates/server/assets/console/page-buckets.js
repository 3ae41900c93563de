// All buckets, or the way to one for those who may not list them.
import { buckets, createBucket } from "./api-bucket.js";
import { moment } from "./format.js";
import { t } from "./i18n.js";
import { Icon } from "./icons.js";
import { Act, Dialog, Empty, Field, PageHead, Refused, TextField } from "./parts.js";
import { bucketLink, go } from "./route.js";
import { html, useEffect, useState } from "./view.js";

export function Buckets() {
  const [found, setFound] = useState(null);
  const [next, setNext] = useState("");
  const [trouble, setTrouble] = useState(null);
  const [making, setMaking] = useState(false);
  const [search, setSearch] = useState("");
  const load = async (marker) => {
    try {
      const page = await buckets(marker);
      setFound((old) => [...(old ?? []), ...page.items]);
      setNext(page.next);
    } catch (error) {
      setTrouble(error);
    }
  };
  useEffect(() => void load(""), []);
  const shown = (found ?? []).filter(({ name }) => name.includes(search.trim().toLowerCase()));
  return html`<${PageHead} title=${t("buckets.title")}>
      <${Act} right="oss:PutBucket" icon="plus" run=${() => setMaking(true)}>${t("buckets.new")}<//>
    <//>
    <${Refused} error=${trouble} />
    ${trouble?.code === "AccessDenied" && html`<${OpenByName} />`}
    ${found?.length === 0 && html`<${Empty} icon="database" title=${t("buckets.none")}><p>${t("buckets.noneHint")}</p><//>`}
    ${found?.length > 8 && html`<div class="toolbar"><${Search} label=${t("buckets.search")} value=${search} onInput=${setSearch} /></div>`}
    ${found?.length > 0 && html`<ul class="list">${shown.map((one) => html`<li key=${one.name}><a href=${bucketLink(one.name)}>
      <${Icon} name="database" size=${18} /><span class="main">${one.name}</span>
        <span class="quiet">${t("buckets.since", { date: moment(one.made, { dateStyle: "medium" }) })}</span><${Icon} name="chevron-right" /></a></li>`)}</ul>`}
    ${next && html`<button type="button" class="plain" onClick=${() => load(next)}>${t("more")}</button>`}
    ${making && html`<${NewBucket} onClose=${() => setMaking(false)} />`}`;
}

/** A field that narrows what is shown. */
export const Search = ({ label, value, onInput, ...rest }) => html`<div class="search"><${Icon} name="search" />
  <input type="search" aria-label=${label} placeholder=${label} value=${value} onInput=${(event) => onInput(event.target.value)} ...${rest} /></div>`;

function OpenByName() {
  const [name, setName] = useState("");
  const submit = (event) => {
    event.preventDefault();
    go(bucketLink(name.trim(), "channels"));
  };
  return html`<form class="card" onSubmit=${submit}>
    <p>${t("buckets.mayNotList")}</p>
    <${TextField} label=${t("buckets.bucket")} required value=${name} onInput=${setName} />
    <div class="buttons"><button type="submit">${t("action.open")}</button></div>
  </form>`;
}

function NewBucket({ onClose }) {
  const [name, setName] = useState("");
  const [acl, setAcl] = useState("private");
  const [trouble, setTrouble] = useState(null);
  const submit = async (event) => {
    event.preventDefault();
    try {
      await createBucket(name.trim(), acl);
      onClose();
      go(bucketLink(name.trim()));
    } catch (error) {
      setTrouble(error);
    }
  };
  return html`<${Dialog} title=${t("buckets.new")} onClose=${onClose}><form onSubmit=${submit}>
    <${TextField} label=${t("field.name")} hint=${t("buckets.nameHint")} required value=${name} onInput=${setName} />
    <${Field} label=${t("buckets.acl")} hint=${t(`acl.${acl}.hint`)}>${(of) => html`<select ...${of} value=${acl} onChange=${(event) => setAcl(event.target.value)}>
      ${["private", "public-read", "public-read-write"].map((one) => html`<option value=${one} selected=${one === acl}>${t(`acl.${one}`)}</option>`)}
    </select>`}<//>
    <${Refused} error=${trouble} />
    <div class="buttons end"><button type="button" class="plain" onClick=${onClose}>${t("action.cancel")}</button><button type="submit">${t("buckets.create")}</button></div>
  </form><//>`;
}
