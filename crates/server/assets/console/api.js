// The calls: signed requests to the server that this page came from, so that policies decide what is seen. Operations of OSS
// (`send`), and those beside it that this server has under `/-/api/v1/` (`manage`).
import { key } from "./session.js";
import { encode, encodePath, queryText, signV4 } from "./sign.js";
import { tOr } from "./i18n.js";
import { parse, text } from "./xml.js";

/** A refusal in the server's words, or none at all when it could not be reached. */
export class Refusal extends Error {
  constructor(code, message, { requestId = "", status = 0, ec = "" } = {}) {
    super(message);
    Object.assign(this, { code, requestId, status, ec });
  }

  /** What to make of it; empty where the message says all. */
  get hint() {
    return tOr(`code.${this.code}`, "");
  }
}

let region = "cn-hangzhou";
/** How far the clock of the server is ahead of this machine's; signatures are made by the server's. */
let ahead = 0;
/** Where viewers and encoders are, when the console has an address of its own. */
let media = globalThis.location?.origin ?? "";

export const now = () => new Date(Date.now() + ahead);
export const mediaOrigin = () => media;
export const isApart = () => media !== location.origin;
export const regionName = () => region;
export const clockDifference = () => ahead;

/** Learns what the server expects of signatures, and where it sends media from. */
export async function begin() {
  const answer = await fetch("/-/console/settings.json", { cache: "no-store" });
  ({ region, media = location.origin } = await answer.json());
  const date = Date.parse(answer.headers.get("date"));
  // Whole seconds are all that the header tells.
  if (Math.abs(date - Date.now()) > 5000) ahead = date - Date.now();
}

/**
 * Where a bucket or an object of it is. Names come from addresses that strangers can make, too: a slash in the name of a
 * bucket must not lead to another host, and a browser would resolve dots between slashes.
 */
export function target(bucket, object = "") {
  if (!bucket) return "/";
  const hasDots = object.split("/").some((part) => part === "." || part === "..");
  return `/${encode(bucket)}/${hasDots ? encode(object) : encodePath(object)}`;
}

/** Makes a call about a bucket or an object of it, or about the service when there is no bucket. */
export const send = (method, bucket = "", object = "", options = {}) =>
  request(method, target(bucket, object), bucket ? `/${bucket}/${object}` : "/", options);

/** The text of an answer. */
export const read = async (...call) => (await send(...call)).data;
/** The document of an answer. */
export const document_ = async (...call) => parse((await send(...call)).data);

/** Signs a call and says what to send: for requests that this module does not make itself (uploads, the player). */
export async function signed(method, bucket, object, { query = [], headers = {} } = {}, payload = "UNSIGNED-PAYLOAD") {
  const path = bucket ? `/${bucket}/${object}` : "/";
  const all = await signV4({ method, path, query, headers }, key(), region, now(), payload);
  return { url: target(bucket, object) + (query.length ? "?" + queryText(query) : ""), headers: all };
}

async function request(method, url, path, { query = [], headers = {}, body = "", credentials = key(), as = "text", signal } = {}) {
  const payload = typeof body === "string" ? undefined : "UNSIGNED-PAYLOAD";
  const all = await signV4({ method, path, query, headers, body }, credentials, region, now(), payload);
  if (query.length) url += "?" + queryText(query);
  let answer, data;
  try {
    answer = await fetch(url, { method, headers: all, body: body || undefined, cache: "no-store", credentials: "omit", signal });
    data = answer.ok && as === "blob" ? await answer.blob() : await answer.text();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal("Unreachable", "The server does not answer.");
  }
  if (!answer.ok) throw refusal(answer.status, data, answer.headers);
  return { data, headers: answer.headers, status: answer.status };
}

/** What an answer that is no success says: XML of OSS, JSON of the management API, or a header where there is no body. */
export function refusal(status, body, headers) {
  const known = { status, requestId: headers.get("x-oss-request-id") ?? "", ec: headers.get("x-oss-ec") ?? "" };
  if (/json/.test(headers.get("content-type") ?? "")) {
    try {
      const { code, message, request_id: requestId = known.requestId } = JSON.parse(body);
      return new Refusal(code || `HTTP ${status}`, message || "", { ...known, requestId });
    } catch {
      // Then it is read like any other.
    }
  }
  const error = /^\s*</.test(body) ? parse(body) : headers.get("x-oss-err") ? parse(atob(headers.get("x-oss-err"))) : null;
  const plain = body && !error && body.length < 300 ? body.trim() : "The server refused.";
  return new Refusal((error && text(error, "Code")) || `HTTP ${status}`, (error && text(error, "Message")) || plain, {
    ...known, requestId: (error && text(error, "RequestId")) || known.requestId, ec: (error && text(error, "EC")) || known.ec,
  });
}

/** A number that no other call has: what changes something works once. */
const nonce = () => [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

/**
 * Calls the management API, as if `/api/v1/users` were the object `v1/users` of a bucket `api`. `parts` are escaped, `body`
 * becomes JSON unless it is text already.
 */
export async function manage(method, parts, { query = [], body, credentials } = {}) {
  const headers = { "x-oss-admin": "v1" };
  if (method !== "GET") headers["x-oss-admin-nonce"] = nonce();
  const content = body === undefined ? "" : typeof body === "string" ? body : JSON.stringify(body);
  if (content) headers["content-type"] = "application/json";
  const options = { query, headers, body: content, ...(credentials ? { credentials } : {}) };
  const { data } = await request(method, `/-/api/v1/${parts.map(encode).join("/")}`, `/api/v1/${parts.join("/")}`, options);
  return data ? JSON.parse(data) : null;
}
