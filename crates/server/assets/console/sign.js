// The three signatures of OSS that the console makes: V4 in the headers of its own calls, V1 in the address of a private
// playlist, and the one of publish addresses. Each depends on what it is given only; `key` is what `lock` made of one.
import { base64, hex, hmac, sha256, utf8 } from "./hash.js";

/** Percent-encodes all but letters, digits and `-._~`. */
export const encode = (text) =>
  encodeURIComponent(text).replace(/[!'()*]/g, (sign) => "%" + sign.charCodeAt(0).toString(16).toUpperCase());

/** The same, leaving slashes. */
export const encodePath = (text) => text.split("/").map(encode).join("/");

const byBytes = (a, b) => (a < b ? -1 : a > b ? 1 : 0);

/** `20240102T030405Z` */
export const stamp = (date) => date.toISOString().replace(/[-:]|\.\d+/g, "");

/** A query as it is sent and signed: `[["comp", "stat"], ["live", ""]]` is `comp=stat&live`. */
export const queryText = (query) =>
  query
    .map(([name, value]) => [encode(name), encode(value)])
    .sort((a, b) => byBytes(a[0], b[0]) || byBytes(a[1], b[1]))
    .map(([name, value]) => (value === "" ? name : `${name}=${value}`))
    .join("&");

/** What is signed: the request in its canonical form. `path` is decoded and begins with the bucket. */
export function canonicalRequest({ method, path, query, headers, payload }) {
  const signed = Object.entries(headers)
    .map(([name, value]) => [name.toLowerCase(), value.trim()])
    .filter(([name]) => name === "content-type" || name === "content-md5" || name.startsWith("x-oss-"))
    .sort((a, b) => byBytes(a[0], b[0]));
  const lines = signed.map(([name, value]) => `${name}:${value}\n`).join("");
  return [method, encodePath(path), queryText(query), lines, "", payload].join("\n");
}

/** The headers of a request with a V4 signature. `body` is text, `date` the moment. */
export async function signV4({ method, path, query = [], headers = {}, body = "" }, key, region, date, payload) {
  const time = stamp(date);
  const day = time.slice(0, 8);
  const all = { ...headers, "x-oss-content-sha256": payload ?? hex(sha256(utf8(body))), "x-oss-date": time };
  if (key.token) all["x-oss-security-token"] = key.token;
  const request = canonicalRequest({ method, path, query, headers: all, payload: all["x-oss-content-sha256"] });
  const scope = `${day}/${region}/oss/aliyun_v4_request`;
  const text = ["OSS4-HMAC-SHA256", time, scope, hex(sha256(utf8(request)))].join("\n");
  // The key of the day, which is all that the page itself gets to see.
  const signing = [region, "oss", "aliyun_v4_request"].reduce((above, step) => hmac(sha256, above, utf8(step)), await key.v4(utf8(day)));
  const signature = hex(hmac(sha256, signing, utf8(text)));
  return { ...all, authorization: `OSS4-HMAC-SHA256 Credential=${key.id}/${scope}, Signature=${signature}` };
}

const v1 = async (key, text) => base64(await key.v1(utf8(text)));

/** Path and query with which everybody may GET an object until `expires` (Unix seconds), parameters and all. */
export async function signedPath(bucket, object, parameters, key, expires) {
  const all = key.token ? { ...parameters, "security-token": key.token } : parameters;
  const signed = Object.entries(all).sort((a, b) => byBytes(a[0], b[0]));
  const resource = `/${bucket}/${object}` + (signed.length ? "?" + signed.map((pair) => pair.join("=")).join("&") : "");
  const signature = await v1(key, `GET\n\n\n${expires}\n${resource}`);
  const query = [...signed, ["OSSAccessKeyId", key.id], ["Expires", String(expires)], ["Signature", signature]];
  return `/${bucket}/${encodePath(object)}?${query.map(([name, value]) => `${name}=${encode(value)}`).join("&")}`;
}

/** The query of a publish address that is good until `expires` (Unix seconds). */
export async function publishQuery(bucket, channel, parameters, key, expires) {
  const all = key.token ? { ...parameters, "security-token": key.token } : parameters;
  const signed = Object.entries(all).sort((a, b) => byBytes(a[0], b[0]));
  const text = `${expires}\n${signed.map(([name, value]) => `${name}:${value}\n`).join("")}/${bucket}/${channel}`;
  const query = [...signed, ["OSSAccessKeyId", key.id], ["Expires", String(expires)], ["Signature", await v1(key, text)]];
  return query.map(([name, value]) => `${name}=${encode(value)}`).join("&");
}
