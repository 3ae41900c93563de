// A key that signs and cannot be read. Where the page is a secure context (HTTPS, or a loopback host) the browser keeps the
// secret itself and gives it back to nobody; elsewhere it stays inside a function of this tab.
import { hmac, sha1, sha256, utf8 } from "./hash.js";

/**
 * Locks a secret away: `v4` and `v1` are HMACs with what either signature begins with, of bytes and as a promise of bytes.
 * `subtle` is the browser's cryptography, where there is one.
 */
export async function lock({ id, secret, token = "" }, subtle = globalThis.crypto?.subtle) {
  const [v4, v1] = await Promise.all([
    keyed(subtle, "SHA-256", sha256, utf8("aliyun_v4" + secret)),
    keyed(subtle, "SHA-1", sha1, utf8(secret)),
  ]);
  return Object.freeze({ id, token, v4, v1 });
}

async function keyed(subtle, name, hash, bytes) {
  if (!subtle) return async (message) => hmac(hash, bytes, message);
  const key = await subtle.importKey("raw", bytes, { name: "HMAC", hash: name }, false, ["sign"]);
  return async (message) => new Uint8Array(await subtle.sign("HMAC", key, message));
}
