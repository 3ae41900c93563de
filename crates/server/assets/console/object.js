// One file: what is in it, what is kept with it, who may read it, and addresses for others.
import { objectTags, putObjectTags } from "./api-bucket.js";
import { head, objectAcl, putHeaders, putObjectAcl, remove } from "./api-files.js";
import { mediaOrigin } from "./api.js";
import { bytes, moment } from "./format.js";
import { t } from "./i18n.js";
import { Icon } from "./icons.js";
import { clean, Pairs } from "./lists.js";
import { Act, confirm, Dialog, Facts, Line, Loaded, Refused, say, SelectField, TextField } from "./parts.js";
import { kindOf, Preview } from "./preview.js";
import { key } from "./session.js";
import { Expiry, expiresIn } from "./share.js";
import { encode, encodePath, signedPath } from "./sign.js";
import { html, useEffect, useLoad, useState } from "./view.js";

export function ObjectDialog({ bucket, objectKey, onClose, onChange }) {
  const found = useLoad(() => head(bucket, objectKey), [bucket, objectKey]);
  const [trouble, setTrouble] = useState(null);
  const on = { bucket, objectKey, onError: setTrouble };
  const drop = async () => {
    if (!(await confirm({ title: t("object.deleteTitle"), text: objectKey, action: t("action.delete") }))) return;
    await remove(bucket, objectKey);
    say(t("said.deleted"));
    onClose();
    onChange();
  };
  const download = async () => {
    const name = objectKey.split("/").pop();
    const parameters = { "response-content-disposition": `attachment; filename*=UTF-8''${encode(name)}` };
    const path = await signedPath(bucket, objectKey, parameters, key(), expiresIn(3600));
    Object.assign(document.createElement("a"), { href: mediaOrigin() + path, rel: "noreferrer", target: "_blank" }).click();
  };
  return html`<${Dialog} wide title=${objectKey.split("/").pop() || objectKey} onClose=${onClose}>
    <${Refused} error=${trouble} />
    <${Loaded} of=${found}>${(data) => html`
      <${Preview} bucket=${bucket} objectKey=${objectKey} size=${data.size} type=${data.stored["content-type"]} />
      <div class="buttons"><${Act} ...${on} icon="download" right="oss:GetObject" run=${download}>${t("object.download")}<//>
        <${Act} ...${on} class="plain danger" icon="trash-2" right="oss:DeleteObject" run=${drop} id="delete-object">${t("action.delete")}<//></div>
      <${Facts} rows=${[
        [t("object.key"), objectKey], [t("files.size"), bytes(data.size)], [t("files.modified"), moment(data.modified)], [t("object.type"), data.stored["content-type"]],
        ["ETag", data.etag], ["CRC-64", data.crc], [t("object.kind"), data.type], [t("overview.class"), data.storageClass],
      ]} />
      <${Share} bucket=${bucket} objectKey=${objectKey} />
      <${Part} title=${t("object.headers")} id="object-headers"><${Headers} data=${data} on=${on} reload=${async () => (await found.reload(), onChange())} /><//>
      <${Part} title=${t("object.tags")} id="object-tags"><${TagForm} on=${on} /><//>
      <${Part} title=${t("object.acl")} id="object-acl"><${AclForm} on=${on} /><//>`}<//>
  <//>`;
}

/** What is asked for only when somebody opens it. */
function Part({ title, id, children }) {
  const [isOpen, setIsOpen] = useState(false);
  return html`<details class="session" id=${id} onToggle=${(event) => setIsOpen(event.target.open)}><summary><${Icon} name="chevron-right" />
    <span class="main">${title}</span></summary><div>${isOpen && children}</div></details>`;
}

function Share({ bucket, objectKey }) {
  const [seconds, setSeconds] = useState(86_400);
  const [address, setAddress] = useState("");
  useEffect(() => {
    const parameters = kindOf(objectKey) === "playlist" ? { "x-oss-process": "hls/sign" } : {};
    signedPath(bucket, objectKey, parameters, key(), expiresIn(seconds)).then((path) => setAddress(mediaOrigin() + path));
  }, [bucket, objectKey, seconds]);
  return html`<section class="share-object"><h3>${t("object.share")}</h3><${Expiry} id="object-expiry" value=${seconds} onInput=${setSeconds} />
    <${Line} label=${t("object.signed")} text=${address} id="object-url" />
    <${Line} label=${t("object.plain")} text=${`${mediaOrigin()}/${bucket}/${encodePath(objectKey)}`} id="object-plain" />
    <p class="hint">${t("object.shareHint")}</p></section>`;
}

/** `content-type` as headers are written for people. */
const titled = (name) => name.replace(/(^|-)\w/g, (part) => part.toUpperCase());

function Headers({ data, on, reload }) {
  const [stored, setStored] = useState(data.stored);
  const [meta, setMeta] = useState(data.meta);
  const save = async () => {
    await putHeaders(on.bucket, on.objectKey, stored, clean(meta));
    await reload();
    say(t("said.saved"));
  };
  return html`<div class="columns">${Object.keys(stored).map((name) => html`
      <${TextField} key=${name} label=${titled(name)} value=${stored[name]} onInput=${(value) => setStored({ ...stored, [name]: value })} />`)}</div>
    <fieldset><legend>${t("object.meta")}</legend><${Pairs} pairs=${meta} onInput=${setMeta} /></fieldset>
    <div class="buttons"><${Act} ...${on} right="oss:PutObject" run=${save}>${t("action.save")}<//></div>`;
}

function TagForm({ on }) {
  const found = useLoad(() => objectTags(on.bucket, on.objectKey), []);
  const [draft, setDraft] = useState(null);
  const save = async () => {
    await putObjectTags(on.bucket, on.objectKey, clean(draft));
    await found.reload();
    setDraft(null);
    say(t("said.saved"));
  };
  return html`<${Loaded} of=${found}>${(tags) => html`<${Pairs} pairs=${draft ?? tags} onInput=${setDraft} limit=${10} />
    <div class="buttons apart">
      <${Act} ...${on} right="oss:PutObjectTagging" disabled=${!draft} run=${save}>${t("action.save")}<//></div>`}<//>`;
}

const ACLS = ["default", "private", "public-read", "public-read-write"];

function AclForm({ on }) {
  const found = useLoad(() => objectAcl(on.bucket, on.objectKey), []);
  const [draft, setDraft] = useState(null);
  const options = ACLS.map((one) => [one, t(one === "default" ? "object.aclDefault" : `acl.${one}`)]);
  const save = async () => {
    await putObjectAcl(on.bucket, on.objectKey, draft);
    await found.reload();
    setDraft(null);
    say(t("said.saved"));
  };
  return html`<${Loaded} of=${found}>${(value) => html`
    <${SelectField} label=${t("object.acl")} hint=${t("object.aclHint")} value=${draft ?? value} onInput=${setDraft} options=${options} />
    <div class="buttons">
      <${Act} ...${on} right="oss:PutObjectAcl" disabled=${!draft || draft === value} run=${save}>${t("action.save")}<//></div>`}<//>`;
}
