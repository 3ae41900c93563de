// Users of the account, their keys and policies, and temporary keys: the management API.
import { manage, now } from "./api.js";
import { moment } from "./format.js";
import { t } from "./i18n.js";
import { Icon } from "./icons.js";
import { PolicyEditor } from "./page-policy.js";
import { Act, Card, confirm, Dialog, Empty, Field, Line, Loaded, PageHead, Refused, say, SelectField, TextField } from "./parts.js";
import { check, userTemplates } from "./policy.js";
import { link } from "./route.js";
import { html, useLoad, useState } from "./view.js";

/** The name that stands for the account itself. */
const ROOT = "root";
const RIGHT = "millpond:ManageUsers";
const PREDEFINED = ["AliyunOSSFullAccess", "AliyunOSSReadOnlyAccess"];

export function Users({ rest }) {
  return rest[0] ? html`<${User} name=${rest[0]} />` : html`<${All} />`;
}

function All() {
  const found = useLoad(async () => (await manage("GET", ["users"])).users, []);
  const [making, setMaking] = useState(false);
  const [temporary, setTemporary] = useState(false);
  return html`<${PageHead} title=${t("rail.users")} sub=${t("users.sub")}>
      <button type="button" class="plain" onClick=${() => setTemporary(true)}><${Icon} name="clock" /><span>${t("users.temporary")}</span></button>
      <${Act} right=${RIGHT} icon="plus" run=${() => setMaking(true)}>${t("users.new")}<//>
    <//>
    ${found.error ? html`<${Refused} error=${found.error}><p>${t("users.onlyRoot")}</p><//>` : html`<${Loaded} of=${found}>${(users) => html`
      <ul class="list">
        <li><a href=${link(["users", ROOT])}><${Icon} name="shield" size=${18} /><span class="main">root<span class="quiet about">${t("users.root")}</span></span>
          <${Icon} name="chevron-right" /></a></li>
        ${users.map((user) => html`<li key=${user.uid}><a href=${link(["users", user.name])}><${Icon} name="user" size=${18} />
          <span class="main">${user.name}<span class="quiet about">${user.policies.length ? user.policies.join(", ") : t("users.mayNothing")}</span></span>
          <span class="quiet number">${user.uid}</span>${!user.enabled && html`<span class="chip">${t("users.disabled")}</span>`}<${Icon} name="chevron-right" /></a></li>`)}
      </ul>
      ${users.length === 0 && html`<${Empty} icon="users" title=${t("users.none")}><p>${t("users.noneHint")}</p><//>`}`}<//>`}
    ${making && html`<${NewUser} onClose=${() => setMaking(false)} />`}
    ${temporary && html`<${Temporary} onClose=${() => setTemporary(false)} users=${found.data ?? []} />`}`;
}

function NewUser({ onClose }) {
  const [name, setName] = useState("");
  const [trouble, setTrouble] = useState(null);
  const submit = async (event) => {
    event.preventDefault();
    try {
      await manage("POST", ["users"], { body: { name: name.trim() } });
      onClose();
      location.hash = link(["users", name.trim()]);
    } catch (error) {
      setTrouble(error);
    }
  };
  return html`<${Dialog} title=${t("users.new")} onClose=${onClose}><form onSubmit=${submit}>
    <${TextField} label=${t("field.name")} hint=${t("users.nameHint")} required value=${name} onInput=${setName} />
    <${Refused} error=${trouble} />
    <div class="buttons end"><button type="button" class="plain" onClick=${onClose}>${t("action.cancel")}</button><button type="submit">${t("users.create")}</button></div>
  </form><//>`;
}

function User({ name }) {
  const isRoot = name === ROOT;
  const user = useLoad(async () => (isRoot ? { name, enabled: true, policies: [] } : manage("GET", ["users", name])), [name]);
  const [trouble, setTrouble] = useState(null);
  const on = { right: RIGHT, onError: setTrouble };
  const toggle = async () => {
    const isOff = !user.data.enabled;
    if (!isOff && !(await confirm({ title: t("users.disableTitle", { name }), text: t("users.disableText"), action: t("users.disable") }))) return;
    await manage("PATCH", ["users", name], { body: { enabled: isOff } });
    await user.reload();
  };
  const remove = async () => {
    if (!(await confirm({ title: t("users.deleteTitle", { name }), text: t("users.deleteText"), action: t("action.delete") }))) return;
    await manage("DELETE", ["users", name]);
    say(t("said.deleted"));
    location.hash = "#/users";
  };
  return html`<p class="crumbs"><a href="#/users">${t("rail.users")}</a><${Icon} name="chevron-right" /></p>
    <${PageHead} title=${name} sub=${isRoot ? t("users.root") : user.data && t("users.about", { uid: user.data.uid, date: moment(user.data.created, { dateStyle: "medium" }) })}
      status=${user.data && !user.data.enabled && html`<span class="chip">${t("users.disabled")}</span>`}>
      ${!isRoot && user.data && html`<${Act} ...${on} class="plain" icon="power" run=${toggle}>${t(user.data.enabled ? "users.disable" : "users.enable")}<//>
        <${Act} ...${on} class="plain danger" icon="trash-2" run=${remove} id="delete-user">${t("action.delete")}<//>`}
    <//>
    <${Refused} error=${trouble} />
    ${user.error ? html`<${Refused} error=${user.error} />` : html`<${Keys} name=${name} />${!isRoot && html`<${Policies} name=${name} />`}`}`;
}

function Keys({ name }) {
  const found = useLoad(async () => (await manage("GET", ["users", name, "keys"])).keys, [name]);
  const [made, setMade] = useState(null);
  const [trouble, setTrouble] = useState(null);
  const on = { right: RIGHT, onError: setTrouble };
  const add = async () => {
    setTrouble(null);
    setMade(await manage("POST", ["users", name, "keys"], { body: { description: "" } }));
    await found.reload();
  };
  const toggle = async (key) => {
    if (key.enabled && !(await confirm({ title: t("keys.disableTitle"), text: t("keys.disableText", { id: key.access_key_id }), action: t("users.disable") }))) return;
    await manage("PATCH", ["users", name, "keys", key.access_key_id], { body: { enabled: !key.enabled } });
    await found.reload();
  };
  const remove = async (key) => {
    if (!(await confirm({ title: t("keys.deleteTitle"), text: t("keys.deleteText", { id: key.access_key_id }), action: t("action.delete") }))) return;
    await manage("DELETE", ["users", name, "keys", key.access_key_id]);
    await found.reload();
  };
  return html`<${Card} title=${t("keys.title")} id="keys" hint=${t("keys.hint")} actions=${html`<${Act} ...${on} class="plain" icon="plus" run=${add}>${t("keys.new")}<//>`}>
    <${Refused} error=${trouble} />
    <${Loaded} of=${found}>${(keys) => (keys.length === 0 ? html`<p class="quiet">${t("keys.none")}</p>` : html`<div class="scroller" tabindex="0" role="group" aria-label=${t("keys.title")}><table>
      <thead><tr><th>${t("signIn.id")}</th><th>${t("keys.made")}</th><th>${t("lifecycle.status")}</th><th><span class="offstage">${t("cors.change")}</span></th></tr></thead>
      <tbody>${keys.map((key) => html`<tr key=${key.access_key_id}><td>
        <code>${key.access_key_id}</code>${key.description && html`<span class="quiet">${key.description}</span>`}</td><td>${moment(key.created)}</td>
        <td><span class="chip ${key.enabled ? "on" : ""}">${t(key.enabled ? "keys.on" : "users.disabled")}</span></td>
        <td class="tools"><${Act} ...${on} class="small" run=${() => toggle(key)}>${t(key.enabled ? "users.disable" : "users.enable")}<//>
          <${Act} ...${on} class="small icon-only" icon="trash-2" label=${t("keys.delete", { id: key.access_key_id })} run=${() => remove(key)} /></td></tr>`)}</tbody></table></div>`)}<//>
    ${made && html`<${Secret} title=${t("keys.made.title")} values=${made} onClose=${() => setMade(null)} />`}
  <//>`;
}

/** A key with its secret, the only time that it is shown. */
const Secret = ({ title, values, onClose }) => html`<${Dialog} title=${title} onClose=${onClose}>
  <div class="note"><p>${t("keys.once")}</p></div>
  <${Line} label=${t("signIn.id")} text=${values.access_key_id} id="new-id" />
  <${Line} label=${t("signIn.secret")} text=${values.access_key_secret} id="new-secret" />
  ${values.security_token && html`<${Line} label=${t("signIn.token")} text=${values.security_token} id="new-token" />`}
  ${values.expiration && html`<p class="hint">${t("keys.until", { date: moment(values.expiration) })}</p>`}
  <div class="buttons end"><button type="button" onClick=${onClose}>${t("keys.kept")}</button></div>
<//>`;

function Policies({ name }) {
  const found = useLoad(async () => (await manage("GET", ["users", name, "policies"])).policies, [name]);
  const [edited, setEdited] = useState(null);
  const [trouble, setTrouble] = useState(null);
  const on = { right: RIGHT, onError: setTrouble };
  const attach = async (policy) => {
    await manage("PUT", ["users", name, "policies", policy]);
    await found.reload();
  };
  const remove = async (policy) => {
    if (!(await confirm({ title: t("policies.deleteTitle", { policy }), text: t("policies.deleteText"), action: t("action.remove") }))) return;
    await manage("DELETE", ["users", name, "policies", policy]);
    await found.reload();
  };
  return html`<${Card} title=${t("policies.title")} id="policies" hint=${t("policies.hint")} actions=${html`<${Act} ...${on} class="plain" icon="plus" run=${() => setEdited({ name: "", document: "", fresh: true })}>${t("policies.new")}<//>`}>
    <${Refused} error=${trouble} />
    <${Loaded} of=${found}>${(policies) => html`
      ${policies.length === 0 && html`<p class="quiet">${t("users.mayNothing")}</p>`}
      ${policies.map((policy) => html`<details class="session" key=${policy.name}><summary><${Icon} name="chevron-right" /><span class="main">${policy.name}</span>
        <span class="quiet encoder">${policy.document ? t("policies.own") : t("policies.predefined")}</span></summary>
        ${policy.document && html`<pre class="document" tabindex="0">${JSON.stringify(policy.document, null, 2)}</pre>`}
        <div class="buttons">${policy.document && html`<${Act} ...${on} class="small" icon="pencil" run=${() => setEdited({ name: policy.name, document: JSON.stringify(policy.document, null, 2) })}>${t("action.edit")}<//>`}
          <${Act} ...${on} class="small" icon="x" run=${() => remove(policy.name)}>${t("action.remove")}<//></div></details>`)}
      <p class="buttons more-policies">${PREDEFINED.filter((one) => !policies.some((policy) => policy.name === one)).map((one) => html`<${Act} ...${on} key=${one} class="small" icon="plus" run=${() => attach(one)}>${one}<//>`)}</p>`}<//>
    ${edited && html`<${PolicyDialog} start=${edited} user=${name} onClose=${() => setEdited(null)} onDone=${() => (setEdited(null), found.reload())} />`}
  <//>`;
}

function PolicyDialog({ start, user, onClose, onDone }) {
  const [policy, setPolicy] = useState(start);
  const [trouble, setTrouble] = useState(null);
  const submit = async (event) => {
    event.preventDefault();
    try {
      await manage("PUT", ["users", user, "policies", policy.name.trim()], { body: policy.document });
      say(t("said.saved"));
      onDone();
    } catch (error) {
      setTrouble(error);
    }
  };
  return html`<${Dialog} wide title=${start.fresh ? t("policies.new") : start.name} onClose=${onClose}><form onSubmit=${submit}>
    ${start.fresh && html`<${TextField} label=${t("field.name")} required value=${policy.name} onInput=${(name) => setPolicy({ ...policy, name })} />`}
    <${PolicyEditor} text=${policy.document} onInput=${(document_) => setPolicy((old) => ({ ...old, document: document_ }))} templates=${userTemplates()} bucket="" />
    <${Refused} error=${trouble} />
    <div class="buttons end"><button type="button" class="plain" onClick=${onClose}>${t("action.cancel")}</button>
      <button type="submit" disabled=${check(policy.document, "").length > 0}>${t("action.save")}</button></div>
  </form><//>`;
}

const LENGTHS = [["expiry.quarter", 900], ["expiry.hour", 3600], ["expiry.12hours", 43_200]];

function Temporary({ onClose, users }) {
  const [user, setUser] = useState("");
  const [seconds, setSeconds] = useState("3600");
  const [policy, setPolicy] = useState("");
  const [made, setMade] = useState(null);
  const [trouble, setTrouble] = useState(null);
  const submit = async (event) => {
    event.preventDefault();
    try {
      setMade(await manage("POST", ["sessions"], { body: { ...(user ? { user } : {}), duration_s: Number(seconds), session_name: `console-${now().getTime()}`, ...(policy.trim() ? { policy: JSON.parse(policy) } : {}) } }));
    } catch (error) {
      setTrouble(error);
    }
  };
  if (made) return html`<${Secret} title=${t("users.temporary")} values=${made} onClose=${onClose} />`;
  return html`<${Dialog} wide title=${t("users.temporary")} onClose=${onClose}><form onSubmit=${submit}>
    <p class="hint">${t("temporary.hint")}</p>
    <${Field} label=${t("temporary.user")}>${(of) => html`<select ...${of} value=${user} onChange=${(event) => setUser(event.target.value)}>
      <option value="">${t("temporary.self")}</option>${users.map((one) => html`<option value=${one.name}>${one.name}</option>`)}</select>`}<//>
    <${SelectField} label=${t("expiry.label")} value=${seconds} onInput=${setSeconds} options=${LENGTHS.map(([name, value]) => [String(value), t(name)])} />
    <details class="more-fields"><summary>${t("temporary.narrow")}</summary><${PolicyEditor} text=${policy} onInput=${setPolicy} templates=${userTemplates()} bucket="" /></details>
    <${Refused} error=${trouble} />
    <div class="buttons end"><button type="button" class="plain" onClick=${onClose}>${t("action.cancel")}</button>
      <button type="submit" disabled=${policy.trim() && check(policy, "").length > 0}>${t("temporary.make")}</button></div>
  </form><//>`;
}
