// What the key may do, so that a control which would be refused says which right is missing instead of failing. One call
// answers for a bucket (and a key in it); until it is answered, and where a server has no answer, everything is offered and
// the refusal teaches.
import { manage } from "./api.js";
import { useEffect, useState } from "./view.js";

/** By `bucket/key`: the set of allowed actions, or null where the server does not say. */
const known = new Map();
/** `action bucket/key` that were refused although they were offered. */
const refused = new Set();
const listeners = new Set();
let isOffered = true;
let who = null;

export function forgetRights() {
  known.clear();
  refused.clear();
  isOffered = true;
  who = null;
}

/** Who the server says is signed in: `{kind, name, uid, expires}`; null where it does not say. */
export const caller = () => who;

const place = (bucket, key) => `${bucket}/${key}`;
const tell = () => listeners.forEach((listener) => listener());

async function learn(bucket, key) {
  const at = place(bucket, key);
  if (known.has(at) || !isOffered) return;
  known.set(at, null);
  try {
    const answer = await manage("GET", ["rights"], { query: [["bucket", bucket], ["key", key]].filter(([, value]) => value) });
    known.set(at, new Set(answer.actions));
    who = answer.caller ?? null;
  } catch (error) {
    if ([404, 405, 501].includes(error.status)) isOffered = false;
    else if (error.code === "Unreachable") known.delete(at);
  }
  tell();
}

/** Remembers a refusal of something that was offered. */
export function learnRefusal(action, bucket, key) {
  refused.add(`${action} ${place(bucket, key)}`);
  tell();
}

/** `may("oss:PutBucketCors")` for a bucket and a key of it: false only when the server said so. */
export function useRights(bucket = "", key = "") {
  const [, draw] = useState(0);
  useEffect(() => {
    const listener = () => draw((count) => count + 1);
    listeners.add(listener);
    learn(bucket, key);
    return () => listeners.delete(listener);
  }, [bucket, key]);
  return (action) => {
    const allowed = known.get(place(bucket, key));
    return !(allowed && !allowed.has(action)) && !refused.has(`${action} ${place(bucket, key)}`);
  };
}
