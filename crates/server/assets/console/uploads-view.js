// The uploads of this tab, and those that somebody left unfinished on the server.
import { abortUpload, unfinished } from "./api-files.js";
import { bytes, moment } from "./format.js";
import { t } from "./i18n.js";
import { Icon } from "./icons.js";
import { Act, Card, confirm } from "./parts.js";
import { html, useEffect, useLoad, useRef, useState } from "./view.js";
import { add, cancel, forgetDone, pause, resume, uploads, watch } from "./upload.js";

/** `onDone` is called when a file of the bucket has arrived. */
export function Uploads({ bucket, onDone }) {
  const [, draw] = useState(0);
  const finished = useRef(0);
  useEffect(() => watch(() => {
    draw((count) => count + 1);
    const done = uploads().filter((one) => one.state === "done" && one.bucket === bucket).length;
    if (done > finished.current) onDone();
    finished.current = done;
  }), [bucket]);
  const mine = uploads().filter((one) => one.bucket === bucket);
  if (!mine.length) return null;
  return html`<${Card} title=${t("upload.title")} id="uploads" actions=${mine.some((one) => one.state === "done") && html`<button type="button" class="small" onClick=${forgetDone}>${t("upload.forget")}</button>`}>
    ${mine.map((one) => html`<div class="upload" key=${one.number} data-state=${one.state}>
      <span class="name" title=${one.key}>${one.key}</span>
      <progress max=${one.size || 1} value=${one.state === "done" ? one.size || 1 : one.sent} aria-label=${one.key}></progress>
      <span class="quiet number" title=${one.error?.message}>${one.note || (one.error ? one.error.code : one.state === "running" ? `${bytes(one.sent)} / ${bytes(one.size)}` : t(`upload.${one.state}`))}</span>
      <span class="actions">
        ${one.state === "running" && html`<button type="button" class="small" onClick=${() => pause(one)}>${t("upload.pause")}</button>`}
        ${["paused", "failed"].includes(one.state) && html`<button type="button" class="small" onClick=${() => resume(one)}>${t("upload.resume")}</button>`}
        ${one.state !== "done" && html`<button type="button" class="small" onClick=${() => cancel(one)}>${t("action.cancel")}</button>`}
      </span>
    </div>`)}
  <//>`;
}

/** Uploads that were begun and never ended; choosing the same file again takes one up. */
export function Unfinished({ bucket, prefix, turn }) {
  const found = useLoad(() => unfinished(bucket, prefix).catch(() => []), [bucket, prefix, turn]);
  const chooser = useRef();
  const [chosen, setChosen] = useState(null);
  const own = new Set(uploads().map(({ id }) => id).filter(Boolean));
  const left = (found.data ?? []).filter(({ id }) => !own.has(id));
  if (!left.length) return null;
  const choose = (one) => {
    setChosen(one);
    chooser.current.click();
  };
  const picked = (event) => {
    const [file] = event.target.files;
    if (file && chosen) add(bucket, chosen.key, file, chosen.id);
    event.target.value = "";
    found.reload();
  };
  const remove = async (one) => {
    if (!(await confirm({ title: t("upload.dropTitle"), text: t("upload.dropText", { key: one.key }), action: t("action.delete") }))) return;
    await abortUpload(bucket, one.key, one.id);
    await found.reload();
  };
  return html`<${Card} title=${t("upload.unfinished")} id="unfinished" hint=${t("upload.unfinishedHint")}>
    <input type="file" ref=${chooser} class="offstage" tabindex="-1" aria-label=${t("upload.choose")} onChange=${picked} />
    ${left.map((one) => html`<div class="upload" key=${one.id}><span class="name" title=${one.key}><${Icon} name="file" /> ${one.key}</span><span></span>
      <span class="quiet number">${moment(one.begun, { dateStyle: "medium" })}</span>
      <span class="actions"><${Act} class="small" right="oss:PutObject" bucket=${bucket} objectKey=${prefix} run=${() => choose(one)}>${t("upload.take")}<//>
        <${Act} class="small" right="oss:AbortMultipartUpload" bucket=${bucket} objectKey=${prefix} run=${() => remove(one)}>${t("action.delete")}<//></span></div>`)}
  <//>`;
}
