// Addresses inside the page: `#/b/BUCKET/files?prefix=a/`. They can be kept, sent to others, and gone back from.

const encoded = (parts) => parts.map((part) => encodeURIComponent(part)).join("/");

/** The address of a page; `query` without empty values. */
export function link(parts, query = {}) {
  const pairs = Object.entries(query).filter(([, value]) => value !== "" && value !== undefined && value !== null);
  return `#/${encoded(parts)}${pairs.length ? "?" + new URLSearchParams(pairs) : ""}`;
}

export const bucketLink = (bucket, ...rest) => link(["b", bucket, ...rest]);
export const channelLink = (bucket, name, ...rest) => link(["b", bucket, "channels", name, ...rest]);
export const filesLink = (bucket, prefix = "", object = "") => link(["b", bucket, "files"], { prefix, object });

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

const TOP = ["on-air", "buckets", "recordings", "users", "about", "b"];

/** What an address asks for. Those of the first console, `#/BUCKET/CHANNEL`, lead where they always led. */
export function parseRoute(hash) {
  const [path, search = ""] = hash.replace(/^#\/?/, "").split("?");
  const parts = path.split("/").filter(Boolean).map(decoded);
  const query = Object.fromEntries(new URLSearchParams(search));
  if (!parts.length) return { parts: ["on-air"], query };
  if (!TOP.includes(parts[0])) return { parts: parts[1] ? ["b", parts[0], "channels", parts[1]] : ["b", parts[0], "channels"], query };
  return { parts, query };
}

export const go = (address) => void (location.hash = address);
/** The same without an entry in the history: for what is typed into a search. */
export const replace = (address) => {
  history.replaceState(null, "", address);
  window.dispatchEvent(new HashChangeEvent("hashchange"));
};
