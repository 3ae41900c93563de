// Work on many objects, with what it is about counted before, progress while it runs, and what failed after it.
import { copyObject, everything, remove, removeMany } from "./api-files.js";
import { bytes, count } from "./format.js";
import { t } from "./i18n.js";
import { Dialog, Refused, TextField } from "./parts.js";
import { html, useEffect, useRef, useState } from "./view.js";

const AT_ONCE = 4;
/** More than this is for a script or a lifecycle rule. */
const MOST = 100_000;

/** The keys of what was chosen: files as they are, folders with everything below them. */
async function gather(bucket, chosen, alive, onCount) {
  const keys = [];
  let size = 0;
  const take = (files) => {
    keys.push(...files.map(({ key }) => key));
    size += files.reduce((sum, one) => sum + one.size, 0);
    onCount(keys.length, size);
  };
  take(chosen.files);
  for (const folder of chosen.folders) {
    for await (const files of everything(bucket, folder, alive)) {
      take(files);
      if (keys.length > MOST || !alive()) break;
    }
  }
  return keys;
}

async function each(items, work, alive, onDone) {
  const waiting = [...items];
  const failed = [];
  const step = async () => {
    for (let one; (one = waiting.shift()) !== undefined && alive(); ) {
      try {
        await work(one);
      } catch (error) {
        failed.push([one, error]);
      }
      onDone();
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, step));
  return failed;
}

/** @param {{kind: "delete" | "copy" | "rename", bucket: string, prefix: string, chosen: {files: {key: string, size: number}[], folders: string[]}}} props */
export function Bulk({ kind, bucket, prefix, chosen, onClose, onDone }) {
  const only = chosen.files.length === 1 && !chosen.folders.length ? chosen.files[0].key : "";
  const [found, setFound] = useState({ count: 0, size: 0, keys: null });
  const [wanted, setWanted] = useState({ bucket, to: only || prefix });
  const [state, setState] = useState({ running: false, done: 0, failed: null });
  const [trouble, setTrouble] = useState(null);
  const alive = useRef(true);
  useEffect(() => {
    gather(bucket, chosen, () => alive.current, (number, size) => alive.current && setFound({ count: number, size, keys: null }))
      .then((keys) => alive.current && setFound((old) => ({ ...old, keys })), (error) => alive.current && setTrouble(error));
    return () => void (alive.current = false);
  }, []);
  const isWide = found.count > MOST;
  const targetOf = (key) => (only ? wanted.to : wanted.to + key.slice(prefix.length));
  const work = { copy: (key) => copyObject(bucket, key, wanted.bucket, targetOf(key)), rename: async (key) => {
    if (wanted.bucket === bucket && targetOf(key) === key) return;
    await copyObject(bucket, key, wanted.bucket, targetOf(key));
    await remove(bucket, key);
  } };
  const run = async (event) => {
    event.preventDefault();
    setTrouble(null);
    setState({ running: true, done: 0, failed: null });
    const step = (number) => () => alive.current && setState((old) => ({ ...old, done: old.done + number }));
    let failed;
    if (kind === "delete") {
      const batches = Array.from({ length: Math.ceil(found.keys.length / 1000) }, (_, index) => found.keys.slice(index * 1000, (index + 1) * 1000));
      failed = await each(batches, (keys) => removeMany(bucket, keys), () => alive.current, step(1000));
    } else {
      failed = await each(found.keys, work[kind], () => alive.current, step(1));
    }
    onDone();
    if (!failed.length) return onClose();
    if (alive.current) {
      setState({ running: false, done: 0, failed });
      setTrouble(failed[0][1]);
    }
  };
  return html`<${Dialog} title=${t(`bulk.${kind}`)} onClose=${onClose}><form onSubmit=${run}>
    <p role="status">${t(found.keys ? "bulk.counted" : "bulk.counting", { count: count(found.count), size: bytes(found.size) })}</p>
    ${kind === "delete" && html`<p class="hint">${t("bulk.deleteText")}</p>`}
    ${kind !== "delete" && html`
      <${TextField} label=${t("bulk.bucket")} required value=${wanted.bucket} onInput=${(value) => setWanted({ ...wanted, bucket: value.trim() })} />
      <${TextField} label=${t(only ? "bulk.toName" : "bulk.toFolder")} hint=${t(only ? "bulk.toNameHint" : "bulk.toFolderHint")} required=${Boolean(only)} value=${wanted.to} onInput=${(to) => setWanted({ ...wanted, to })} />`}
    ${isWide && html`<p class="warning">${t("bulk.tooMany", { count: count(MOST) })}</p>`}
    ${state.running && html`<progress class="wide-progress" max=${found.count || 1} value=${Math.min(state.done, found.count)} aria-label=${t(`bulk.${kind}`)}></progress>`}
    <${Refused} error=${trouble}>${state.failed && html`<p>${t("bulk.failed", { count: count(state.failed.length) })} <code>${state.failed.slice(0, 3).map(([one]) => (Array.isArray(one) ? one[0] : one)).join(", ")}</code></p>`}<//>
    <div class="buttons end"><button type="button" class="plain" onClick=${onClose}>${t("action.cancel")}</button>
      <button type="submit" id="bulk-run" class=${kind === "delete" ? "danger" : ""} disabled=${!found.keys || !found.count || isWide || state.running}>${t(`bulk.${kind}Action`)}</button></div>
  </form><//>`;
}
