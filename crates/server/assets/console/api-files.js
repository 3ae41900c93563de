// Objects: lists, what is known of one, copies, deletes, and uploads in parts.
import { document_, refusal, Refusal, send, signed } from "./api.js";
import { encode, encodePath } from "./sign.js";
import { all, child, number, parse, text, write } from "./xml.js";

/** A page of objects and folders below a prefix, sorted as the server sorts. */
export async function list(bucket, { prefix = "", token = "", after = "", delimiter = "/", count = 1000 } = {}) {
  const query = [["list-type", "2"], ["max-keys", String(count)], ["encoding-type", "url"], ["prefix", prefix], ["delimiter", delimiter], ["continuation-token", token], ["start-after", after]];
  const answer = await document_("GET", bucket, "", { query: query.filter(([, value]) => value) });
  const decoded = (node, name) => decodeURIComponent(text(node, name));
  return {
    folders: all(answer, "CommonPrefixes").map((one) => decoded(one, "Prefix")),
    files: all(answer, "Contents").map((one) => ({
      key: decoded(one, "Key"), size: number(one, "Size"), modified: text(one, "LastModified"), type: text(one, "Type"),
      etag: text(one, "ETag"), storageClass: text(one, "StorageClass"),
    })),
    next: text(answer, "NextContinuationToken"),
  };
}

/** Every key below a prefix, in pages; ends early when `alive` says no. */
export async function* everything(bucket, prefix, alive = () => true) {
  let token = "";
  do {
    const page = await list(bucket, { prefix, token, delimiter: "" });
    yield page.files;
    token = page.next;
  } while (token && alive());
}

const STORED = ["content-type", "cache-control", "content-disposition", "content-encoding", "content-language", "expires"];

/** Headers that are kept with an object, user metadata, and what else is known. */
export async function head(bucket, key) {
  const { headers } = await send("HEAD", bucket, key);
  const meta = [...headers].filter(([name]) => name.startsWith("x-oss-meta-")).map(([name, value]) => [name.slice(11), value]);
  return {
    size: Number(headers.get("content-length")), etag: headers.get("etag"), modified: headers.get("last-modified"),
    type: headers.get("x-oss-object-type"), storageClass: headers.get("x-oss-storage-class"), crc: headers.get("x-oss-hash-crc64ecma"),
    stored: Object.fromEntries(STORED.map((name) => [name, headers.get(name) ?? ""])), meta,
  };
}

export const blob = async (bucket, key, options = {}) => (await send("GET", bucket, key, { ...options, as: "blob" })).data;

export async function objectAcl(bucket, key) {
  const answer = await document_("GET", bucket, key, { query: [["acl", ""]] });
  return text(child(answer, "AccessControlList"), "Grant");
}
export const putObjectAcl = (bucket, key, value) => send("PUT", bucket, key, { query: [["acl", ""]], headers: { "x-oss-object-acl": value } });

const source = (bucket, key) => `/${encode(bucket)}/${encodePath(key)}`;

/** Copies an object; over itself it changes the headers that are stored with it. */
export const copyObject = (bucket, key, toBucket, toKey, headers = {}) =>
  send("PUT", toBucket, toKey, { headers: { "x-oss-copy-source": source(bucket, key), ...headers } });

/** Replaces stored headers and user metadata; the bytes stay. */
export function putHeaders(bucket, key, stored, meta) {
  const headers = { "x-oss-metadata-directive": "REPLACE" };
  for (const [name, value] of Object.entries(stored)) if (value) headers[name] = value;
  for (const [name, value] of meta) if (name) headers[`x-oss-meta-${name.toLowerCase()}`] = value;
  return copyObject(bucket, key, bucket, key, headers);
}

export const putEmpty = (bucket, key) => send("PUT", bucket, key, { headers: { "content-type": "application/octet-stream" } });
export const remove = (bucket, key) => send("DELETE", bucket, key);

/** Deletes up to 1000 objects with one call. */
export const removeMany = (bucket, keys) => send("POST", bucket, "", {
  query: [["delete", ""]], headers: { "content-type": "application/xml" },
  body: write("Delete", [["Quiet", true], ...keys.map((key) => ["Object", [["Key", key]]])]),
});

/**
 * Sends bytes with progress, which `fetch` does not tell. Returns the headers of the answer.
 * @param {{method: string, query?: [string, string][], headers?: Record<string, string>, onProgress?: (sent: number) => void, signal?: AbortSignal}} options
 */
export async function transfer(bucket, key, body, { method, query = [], headers = {}, onProgress = () => {}, signal }) {
  const { url, headers: all } = await signed(method, bucket, key, { query, headers });
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const stop = () => request.abort();
    request.open(method, url);
    for (const [name, value] of Object.entries(all)) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => onProgress(event.loaded);
    const answered = () => new Headers(request.getAllResponseHeaders().trim().split(/[\r\n]+/).filter(Boolean).map((one) => {
      const at = one.indexOf(":");
      return [one.slice(0, at), one.slice(at + 1).trim()];
    }));
    request.onload = () => (request.status < 300 ? resolve({ headers: answered(), data: request.responseText }) : reject(refusal(request.status, request.responseText, answered())));
    request.onerror = () => reject(new Refusal("Unreachable", "The server does not answer."));
    request.onabort = () => reject(new DOMException("stopped", "AbortError"));
    request.onloadend = () => signal?.removeEventListener("abort", stop);
    if (signal?.aborted) return reject(new DOMException("stopped", "AbortError"));
    signal?.addEventListener("abort", stop);
    request.send(body);
  });
}

export async function beginUpload(bucket, key, headers) {
  const { data } = await send("POST", bucket, key, { query: [["uploads", ""]], headers });
  return text(parse(data), "UploadId");
}

/** Uploads of a prefix that were begun and never ended. */
export async function unfinished(bucket, prefix = "") {
  const query = [["uploads", ""], ["max-uploads", "100"], ["encoding-type", "url"], ...(prefix ? [["prefix", prefix]] : [])];
  const answer = await document_("GET", bucket, "", { query });
  return all(answer, "Upload").map((one) => ({ key: decodeURIComponent(text(one, "Key")), id: text(one, "UploadId"), begun: text(one, "Initiated") }));
}

/** The parts that have arrived, in order. */
export async function parts(bucket, key, id) {
  const found = [];
  let marker = "0", more = true;
  while (more) {
    const answer = await document_("GET", bucket, key, { query: [["uploadId", id], ["max-parts", "1000"], ["part-number-marker", marker]] });
    found.push(...all(answer, "Part").map((one) => ({ number: number(one, "PartNumber"), etag: text(one, "ETag"), size: number(one, "Size"), crc: text(one, "HashCrc64ecma") })));
    more = text(answer, "IsTruncated") === "true";
    marker = text(answer, "NextPartNumberMarker");
  }
  return found;
}

export const completeUpload = (bucket, key, id, done) => send("POST", bucket, key, {
  query: [["uploadId", id]], headers: { "content-type": "application/xml" },
  body: write("CompleteMultipartUpload", done.map((part) => ["Part", [["PartNumber", part.number], ["ETag", part.etag]]])),
});

export const abortUpload = (bucket, key, id) => send("DELETE", bucket, key, { query: [["uploadId", id]] });
