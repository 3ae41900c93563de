// Which page is shown: `#/` are the buckets, `#/bucket` its channels, `#/bucket/channel` one of them.
import { begin } from "./api.js";
import { h, show } from "./dom.js";
import { buckets } from "./page-buckets.js";
import { channel } from "./page-channel.js";
import { channels } from "./page-channels.js";
import { signIn } from "./page-signin.js";
import { bucketLink, channelLink, refusal } from "./parts.js";
import { key, leave } from "./session.js";

const [page, trail, who, out] = ["page", "trail", "who", "leave"].map((id) => document.getElementById(id));
let visit = 0;

function route() {
  const mine = ++visit;
  const alive = () => mine === visit;
  const [bucket, name] = location.hash.replace(/^#\/?/, "").split("/").filter(Boolean).map(decoded);
  out.hidden = !key();
  who.textContent = key()?.id ?? "";
  show(trail, key() && bucket && [h("a", { href: "#/" }, "Buckets"), h("a", { href: bucketLink(bucket) }, bucket)], key() && name && h("a", { href: channelLink(bucket, name), "aria-current": "page" }, name));
  document.title = [name ?? bucket, "Millpond console"].filter(Boolean).join(" · ");
  document.querySelectorAll("dialog").forEach((dialog) => dialog.close("no"));
  if (!key()) return signIn(page, route);
  show(page, h("p", { class: "quiet" }, "Loading…"));
  page.focus({ preventScroll: true });
  const shown = name ? channel(page, bucket, name, alive) : bucket ? channels(page, bucket, alive) : buckets(page);
  shown.catch((error) => alive() && show(page, refusal(error)));
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

out.addEventListener("click", () => {
  leave();
  location.hash = "#/";
  route();
});
window.addEventListener("hashchange", route);
begin().then(route, (error) => show(page, refusal(error)));
