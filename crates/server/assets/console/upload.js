// Uploads: with progress, stopped and taken up again. They belong to the tab and go on while other pages are shown; what has
// arrived of a large file stays on the server as parts, so that it can be taken up after a reload, too.
import { abortUpload, beginUpload, completeUpload, parts as arrived, transfer } from "./api-files.js";
import { Refusal } from "./api.js";
import { ofBlob } from "./crc64.js";
import { t } from "./i18n.js";

const MIB = 1 << 20;
/** Up to this size a file is sent as one. */
const WHOLE = 16 * MIB;
const PART = 8 * MIB;
const AT_ONCE = 2;
const TRIES = 4;

const all = [];
const listeners = new Set();
let number = 0;

const tell = () => listeners.forEach((listener) => listener());

// Whoever closes the tab in the middle is asked; what has arrived could be taken up again, but the rest would not go on.
globalThis.addEventListener?.("beforeunload", (event) => all.some(({ state }) => state === "running") && event.preventDefault());

export const uploads = () => all;

/** Calls `listener` after every change; returns how to stop it. */
export function watch(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

const TYPES = {
  m3u8: "application/x-mpegURL", ts: "video/MP2T", mp4: "video/mp4", webm: "video/webm", mov: "video/quicktime", mp3: "audio/mpeg", m4a: "audio/mp4",
  json: "application/json", txt: "text/plain", md: "text/plain", html: "text/html", css: "text/css", js: "text/javascript", xml: "application/xml",
  png: "image/png", jpg: "image/jpeg", jpeg: "image/jpeg", gif: "image/gif", webp: "image/webp", svg: "image/svg+xml", vtt: "text/vtt",
};

/** The type that a file is stored with: by its name where the browser knows less. */
export const typeOf = (name, known = "") => TYPES[name.split(".").pop().toLowerCase()] || known || "application/octet-stream";

/** Parts small enough to show progress and to lose little, and few enough for the protocol. */
export const partSize = (size) => Math.max(PART, Math.ceil(size / 9000 / MIB) * MIB);

/** Puts a file into the queue. `id` names an upload that was begun earlier and is to be taken up. */
export function add(bucket, key, file, id = "") {
  const one = { number: ++number, bucket, key, file, size: file.size, sent: 0, state: "waiting", error: null, id, stop: null, note: "" };
  all.unshift(one);
  next();
  return one;
}

function next() {
  const running = all.filter(({ state }) => state === "running").length;
  all.filter(({ state }) => state === "waiting").reverse().slice(0, Math.max(0, AT_ONCE - running)).forEach(run);
  tell();
}

/** Ends the transfer and keeps what has arrived. */
export function pause(one) {
  Object.assign(one, { state: "paused", note: "" });
  one.stop?.abort();
  next();
}

export function resume(one) {
  Object.assign(one, { state: "waiting", error: null });
  next();
}

/** Ends it and forgets what has arrived. */
export async function cancel(one) {
  const wasAt = one.id;
  one.state = "cancelled";
  one.stop?.abort();
  all.splice(all.indexOf(one), 1);
  next();
  if (wasAt) await abortUpload(one.bucket, one.key, wasAt).catch(() => {});
}

export function forgetDone() {
  all.splice(0, all.length, ...all.filter(({ state }) => state !== "done"));
  tell();
}

async function run(one) {
  one.state = "running";
  const mine = (one.stop = new AbortController());
  // Stopped and taken up again at once, the run before has nothing more to say.
  const isMine = () => one.stop === mine && one.state === "running";
  try {
    if (one.size <= WHOLE && !one.id) await sendWhole(one);
    else await sendParts(one);
    if (isMine()) Object.assign(one, { state: "done", sent: one.size, note: "" });
  } catch (error) {
    if (isMine()) Object.assign(one, { state: "failed", error, note: "" });
  }
  next();
}

const headersOf = (one) => ({ "content-type": typeOf(one.key, one.file.type) });

const sendWhole = (one) => again(one, () => transfer(one.bucket, one.key, one.file, {
  method: "PUT", headers: headersOf(one), signal: one.stop.signal,
  onProgress: (sent) => ((one.sent = sent), tell()),
}));

async function sendParts(one) {
  const { signal } = one.stop;
  if (!one.id) one.id = await beginUpload(one.bucket, one.key, headersOf(one));
  const done = await known(one);
  let at = done.reduce((sum, part) => sum + part.size, 0);
  const step = done[0]?.size ?? partSize(one.size);
  while (at < one.size) {
    const body = one.file.slice(at, at + step);
    const part = { number: done.length + 1, size: body.size };
    const { headers } = await again(one, () => transfer(one.bucket, one.key, body, {
      method: "PUT", query: [["partNumber", String(part.number)], ["uploadId", one.id]], signal,
      onProgress: (sent) => ((one.sent = at + sent), tell()),
    }));
    done.push({ ...part, etag: headers.get("etag") });
    at += body.size;
  }
  await completeUpload(one.bucket, one.key, one.id, done);
  one.id = "";
}

/** The parts that have arrived, from the first without a gap, compared with the file: another file must not be glued to them. */
async function known(one) {
  const { signal } = one.stop;
  const found = [];
  let at = 0;
  for (const part of await arrived(one.bucket, one.key, one.id)) {
    if (part.number !== found.length + 1 || at + part.size > one.size) break;
    one.note = t("upload.comparing");
    tell();
    const crc = await ofBlob(one.file.slice(at, at + part.size), (sum) => ((one.sent = at + sum), tell()));
    if (crc !== part.crc) throw new Refusal("OtherFile", t("upload.other"));
    if (signal.aborted) throw new DOMException("stopped", "AbortError");
    found.push(part);
    at += part.size;
  }
  one.note = "";
  return found;
}

/** A connection that breaks is no reason to give up what took an hour. */
async function again(one, work) {
  const { signal } = one.stop;
  for (let tries = 1; ; tries++) {
    try {
      return await work();
    } catch (error) {
      const isPassing = error.code === "Unreachable" || error.status >= 500;
      if (!isPassing || tries >= TRIES || signal.aborted) throw error;
      one.note = t("upload.again");
      tell();
      await new Promise((resolve) => setTimeout(resolve, 1000 * 2 ** tries));
      one.note = "";
    }
  }
}
