// The files of a bucket, in folders by prefix. A page of a thousand at a time, drawn as far as it is in sight.
import { list, putEmpty } from "./api-files.js";
import { Bulk } from "./bulk.js";
import { bytes, count, moment } from "./format.js";
import { t, tn } from "./i18n.js";
import { Icon } from "./icons.js";
import { ObjectDialog } from "./object.js";
import { Search } from "./page-buckets.js";
import { Act, Busy, Dialog, Empty, PageHead, Refused, say, TextField } from "./parts.js";
import { FileIcon } from "./preview.js";
import { filesLink, go } from "./route.js";
import { add } from "./upload.js";
import { Unfinished, Uploads } from "./uploads-view.js";
import { html, useEffect, useRef, useState } from "./view.js";
import { Virtual } from "./virtual.js";

const ROW = 44;

export function Files({ bucket, query }) {
  const prefix = query.prefix ?? "";
  const [found, setFound] = useState(null);
  const [trouble, setTrouble] = useState(null);
  const [search, setSearch] = useState("");
  const [chosen, setChosen] = useState(new Set());
  const [work, setWork] = useState("");
  const [folder, setFolder] = useState(false);
  const [turn, setTurn] = useState(0);
  const [isOver, setIsOver] = useState(false);
  const visit = useRef(0), busy = useRef(false);
  const wanted = prefix + search;
  const load = async (token = "") => {
    if (token && busy.current) return;
    busy.current = true;
    const mine = token ? visit.current : ++visit.current;
    try {
      const page = await list(bucket, { prefix: wanted, token });
      if (mine !== visit.current) return;
      // A folder that was made as an object is the folder that is open, not a file in it.
      const rows = [...page.folders.map((name) => ({ folder: name })), ...page.files.filter(({ key }) => key !== prefix)];
      setFound((old) => ({ rows: [...(token ? old?.rows ?? [] : []), ...rows], next: page.next }));
      setTrouble(null);
    } catch (error) {
      if (mine === visit.current) setTrouble(error);
    } finally {
      busy.current = false;
    }
  };
  useEffect(() => {
    const timer = setTimeout(load, search ? 250 : 0, "");
    return () => clearTimeout(timer);
  }, [bucket, wanted, turn]);
  useEffect(() => {
    setFound(null);
    setSearch("");
    setChosen(new Set());
  }, [bucket, prefix]);
  const again = () => setTurn((old) => old + 1);
  const rows = found?.rows ?? [];
  const nameOf = (row) => row.folder ?? row.key;
  const pick = (row) => setChosen((old) => {
    const next = new Set(old);
    next.delete(nameOf(row)) || next.add(nameOf(row));
    return next;
  });
  const picked = { files: rows.filter((row) => row.key && chosen.has(row.key)), folders: rows.filter((row) => row.folder && chosen.has(row.folder)).map((row) => row.folder) };
  const send = (files) => [...files].forEach((file) => add(bucket, prefix + (file.webkitRelativePath || file.name), file));
  const drop = (event) => {
    event.preventDefault();
    setIsOver(false);
    send(event.dataTransfer.files);
  };
  const rights = { bucket, objectKey: prefix, onError: setTrouble };
  return html`<${PageHead} title=${t("bucket.files")} sub=${bucket}>
      <${Act} ...${rights} class="plain" icon="folder" right="oss:PutObject" run=${() => setFolder(true)}>${t("files.folder")}<//>
      <${Choose} rights=${rights} onFiles=${send} />
    <//>
    <${Crumbs} bucket=${bucket} prefix=${prefix} />
    <div class="toolbar"><${Search} label=${t("files.search")} value=${search} onInput=${setSearch} />
      <button type="button" class="plain icon-only" aria-label=${t("action.refresh")} title=${t("action.refresh")} onClick=${again}><${Icon} name="refresh-cw" /></button>
      <span class="grow"></span><span class="quiet" role="status">${found && tn(found.next ? "files.more" : "files.count", rows.length, { count: count(rows.length) })}</span></div>
    <${Uploads} bucket=${bucket} onDone=${again} />
    <${Refused} error=${trouble} />
    ${!found && !trouble && html`<${Busy} />`}
    <div class=${isOver ? "drop" : ""} onDragOver=${(event) => (event.preventDefault(), setIsOver(true))} onDragLeave=${() => setIsOver(false)} onDrop=${drop}>
      ${found && rows.length === 0 && html`<${Empty} icon="folder-open" title=${t(search ? "files.noMatch" : "files.none")}><p>${t(search ? "files.noMatchHint" : "files.noneHint")}</p><//>`}
      ${rows.length > 0 && html`<div class="files" id="files">
        <div class="files-head">
          <input type="checkbox" aria-label=${t("files.all")} checked=${chosen.size > 0 && chosen.size === rows.length} onChange=${() => setChosen(chosen.size === rows.length ? new Set() : new Set(rows.map(nameOf)))} />
          <span>${t("field.name")}</span><span>${t("files.size")}</span><span>${t("files.modified")}</span><span></span></div>
        <${Virtual} class="files-body" items=${rows} height=${() => ROW} onEnd=${() => found.next && load(found.next)}
          draw=${(row, style) => html`<${Row} key=${nameOf(row)} row=${row} style=${style} bucket=${bucket} prefix=${prefix} on=${chosen.has(nameOf(row))} onPick=${() => pick(row)} open=${row.key && row.key === query.object} />`} />
      </div>`}
    </div>
    ${chosen.size > 0 && html`<div class="selection" role="region" aria-label=${t("files.selected", { count: chosen.size })}>
      <strong>${t("files.selected", { count: chosen.size })}</strong><span class="grow"></span>
      <${Act} ...${rights} class="small" icon="copy" right="oss:GetObject" run=${() => setWork("copy")}>${t("bulk.copyAction")}<//>
      <${Act} ...${rights} class="small" icon="pencil" right="oss:PutObject" run=${() => setWork("rename")}>${t("bulk.renameAction")}<//>
      <${Act} ...${rights} class="small" icon="trash-2" right="oss:DeleteObject" run=${() => setWork("delete")}>${t("action.delete")}<//>
      <button type="button" class="small icon-only" aria-label=${t("files.unselect")} onClick=${() => setChosen(new Set())}><${Icon} name="x" /></button></div>`}
    <${Unfinished} bucket=${bucket} prefix=${prefix} turn=${turn} />
    ${work && html`<${Bulk} kind=${work} bucket=${bucket} prefix=${prefix} chosen=${picked} onClose=${() => setWork("")} onDone=${() => (setChosen(new Set()), again())} />`}
    ${folder && html`<${NewFolder} bucket=${bucket} prefix=${prefix} onClose=${() => setFolder(false)} onDone=${again} />`}
    ${query.object && html`<${ObjectDialog} key=${query.object} bucket=${bucket} objectKey=${query.object} onClose=${() => go(filesLink(bucket, prefix))} onChange=${again} />`}`;
}

/** Where a file lies, folder by folder. */
function Crumbs({ bucket, prefix }) {
  const parts = prefix.split("/").filter(Boolean);
  return html`<nav class="crumbs" aria-label=${t("files.where")}><a href=${filesLink(bucket)}>${bucket}</a>
    ${parts.map((part, index) => html`<${Icon} name="chevron-right" size=${14} />
      <a key=${index} href=${filesLink(bucket, `${parts.slice(0, index + 1).join("/")}/`)} aria-current=${index === parts.length - 1 ? "page" : undefined}>${part}</a>`)}</nav>`;
}

function Row({ row, style, bucket, prefix, on, onPick, open }) {
  const name = (row.folder ?? row.key).slice(prefix.length);
  return html`<div class="file ${open ? "open" : ""}" style=${style}>
    <input type="checkbox" aria-label=${t("files.pick", { name })} checked=${on} onChange=${onPick} />
    ${row.folder
      ? html`<a class="to" href=${filesLink(bucket, row.folder)}><${Icon} name="folder" size=${18} /><span>${name}</span></a><span></span><span></span><span></span>`
      : html`<a class="to" href=${filesLink(bucket, prefix, row.key)}><${FileIcon} name=${row.key} /><span>${name}</span></a>
        <span class="quiet">${bytes(row.size)}</span><span class="quiet">${moment(row.modified, { dateStyle: "medium", timeStyle: "short" })}</span>
        <a class="quiet" href=${filesLink(bucket, prefix, row.key)} aria-label=${t("files.open", { name })}><${Icon} name="chevron-right" /></a>`}
  </div>`;
}

function Choose({ rights, onFiles }) {
  const field = useRef();
  return html`<${Act} ...${rights} icon="upload" right="oss:PutObject" run=${() => field.current.click()}>${t("files.upload")}<//>
    <input type="file" id="choose" multiple ref=${field} class="offstage" tabindex="-1" aria-label=${t("files.upload")} onChange=${(event) => (onFiles(event.target.files), (event.target.value = ""))} />`;
}

function NewFolder({ bucket, prefix, onClose, onDone }) {
  const [name, setName] = useState("");
  const [trouble, setTrouble] = useState(null);
  const submit = async (event) => {
    event.preventDefault();
    try {
      await putEmpty(bucket, `${prefix}${name.trim().replace(/\/+$/, "")}/`);
      say(t("said.saved"));
      onDone();
      onClose();
    } catch (error) {
      setTrouble(error);
    }
  };
  return html`<${Dialog} title=${t("files.folder")} onClose=${onClose}><form onSubmit=${submit}>
    <${TextField} label=${t("field.name")} hint=${t("files.folderHint")} required value=${name} onInput=${setName} />
    <${Refused} error=${trouble} />
    <div class="buttons end"><button type="button" class="plain" onClick=${onClose}>${t("action.cancel")}</button><button type="submit">${t("files.makeFolder")}</button></div>
  </form><//>`;
}
