// Pieces that several pages have.
import { h } from "./dom.js";

/** The state of a channel as a coloured badge. */
export const badge = (status) => h("span", { class: `badge ${status.toLowerCase()}`, "data-status": status }, status || "…");

/** A refusal: what it means, what the server said, and the number to look for in its log. */
export const refusal = (error) =>
  h("div", { class: "refusal", role: "alert" },
    h("strong", {}, error.hint || error.message),
    h("p", {}, h("code", {}, error.code ?? "Error"), " ", error.hint ? error.message : ""),
    error.requestId && h("p", { class: "quiet" }, `Request ${error.requestId}`));

/** What to do where there is nothing yet. */
export const empty = (title, ...rest) => h("div", { class: "empty" }, h("h2", {}, title), rest);

export const title = (text, ...rest) => h("div", { class: "title" }, h("h1", {}, text), rest);

export const channelLink = (bucket, name) => `#/${encodeURIComponent(bucket)}/${encodeURIComponent(name)}`;
export const bucketLink = (bucket) => `#/${encodeURIComponent(bucket)}`;

/** Runs `work` now and every so many milliseconds while the tab is visible, one at a time, until `alive` says no. */
export function repeat(work, milliseconds, alive) {
  const step = async () => {
    if (!alive()) return;
    if (!document.hidden) await work();
    setTimeout(step, milliseconds);
  };
  step();
}
