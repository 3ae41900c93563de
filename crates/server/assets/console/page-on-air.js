// What is on air, across buckets: pictures first. One call a refresh, whatever the number; only what is in sight is drawn.
import { blob } from "./api-files.js";
import { onAir } from "./api-live.js";
import { bits, count, duration } from "./format.js";
import { t, tn, tOr } from "./i18n.js";
import { Icon } from "./icons.js";
import { Search } from "./page-buckets.js";
import { Badge, Busy, Choice, Empty, PageHead, Refused } from "./parts.js";
import { channelLink } from "./route.js";
import { Fragment, html, useEffect, useMemo, useRepeat, useState } from "./view.js";
import { Virtual } from "./virtual.js";

const EVERY_MS = 5000;
const LIMIT = 5000;

const rate = (one) => (one.video?.bytes_per_second ?? 0) + (one.audio?.bytes_per_second ?? 0);
const byName = (a, b) => a.bucket.localeCompare(b.bucket) || a.name.localeCompare(b.name);
const SORTS = {
  name: byName,
  since: (a, b) => (Date.parse(b.since) || 0) - (Date.parse(a.since) || 0),
  viewers: (a, b) => (b.viewers ?? 0) - (a.viewers ?? 0),
  rate: (a, b) => rate(b) - rate(a),
};
const isLive = (one) => one.status === "Live";

export function OnAir() {
  const [found, setFound] = useState(null);
  const [trouble, setTrouble] = useState(null);
  const [search, setSearch] = useState("");
  const [sort, setSort] = useState("name");
  const [only, setOnly] = useState("all");
  const [now, setNow] = useState(0);
  useRepeat(async (alive) => {
    try {
      const answer = await onAir(LIMIT);
      if (!alive()) return;
      setFound(answer);
      setNow(Date.parse(answer.now));
      setTrouble(null);
    } catch (error) {
      if (alive()) setTrouble(error);
    }
  }, EVERY_MS, []);
  const channels = found?.channels ?? [];
  const shown = useMemo(() => {
    const words = search.toLowerCase().split(/\s+/).filter(Boolean);
    return channels
      .filter((one) => only === "all" || (only === "live" ? isLive(one) : one.warnings?.length > 0))
      .filter((one) => words.every((word) => `${one.bucket}/${one.name} ${one.description ?? ""}`.toLowerCase().includes(word)))
      .sort((a, b) => isLive(b) - isLive(a) || SORTS[sort](a, b) || byName(a, b));
  }, [found, search, sort, only]);
  const live = channels.filter(isLive);
  return html`<${PageHead} title=${t("rail.onAir")} sub=${found && sum(live)} />
    ${trouble && html`<${Refused} error=${trouble}>${trouble.status === 404 && html`<p>${t("onAir.notThere")}</p>`}<p><a href="#/buckets">${t("onAir.byBucket")}</a></p><//>`}
    ${!found && !trouble && html`<${Busy} />`}
    ${found && channels.length === 0 && html`<${Empty} icon="radio" title=${t("onAir.none")}><p>${t("onAir.noneHint")}</p><p>
      <a class="button" href="#/buckets">${t("onAir.byBucket")}</a></p><//>`}
    ${channels.length > 0 && html`<${Fragment}>
      <div class="toolbar">
        <${Search} label=${t("onAir.search")} value=${search} onInput=${setSearch} />
        <div class="segmented" role="group" aria-label=${t("onAir.only")}>
          ${["all", "live", "trouble"].map((one) => html`<button type="button" key=${one} aria-pressed=${only === one ? "true" : "false"} onClick=${() => setOnly(one)}>${t(`onAir.${one}`)}</button>`)}
        </div>
        <span class="grow"></span>
        <${Choice} label=${t("onAir.sort")} id="sort" value=${sort} onInput=${setSort} options=${Object.keys(SORTS).map((one) => [one, t(`onAir.sort.${one}`)])} />
      </div>
      ${found.truncated && html`<p class="hint">${t("onAir.truncated", { shown: count(channels.length), total: count(found.total) })}</p>`}
      <p class="offstage" role="status">${tn("onAir.shown", shown.length)}</p>
      ${shown.length === 0 && html`<p class="quiet">${t("onAir.noMatch")}</p>`}
      <${Virtual} items=${shown} width=${270} gap=${16} height=${(across) => Math.round((across * 9) / 16) + 84} class="tiles" id="tiles"
        draw=${(one, style) => html`<${Tile} key=${`${one.bucket}/${one.name}`} one=${one} style=${style} now=${now} />`} />
    <//>`}`;
}

/** All that is live, in a line. */
const sum = (live) => tn("onAir.sum", live.length, {
  rate: bits(live.reduce((all, one) => all + rate(one), 0)), viewers: count(live.reduce((all, one) => all + (one.viewers ?? 0), 0)),
});

/** What is wrong with a push, else how it goes. */
const health = (one) => (one.warnings?.length
  ? one.warnings.map((name) => tOr(`warning.${name}`, name)).join(", ")
  : one.key_frame_age_ms !== null && t("onAir.keyFrame", { seconds: (one.key_frame_age_ms / 1000).toFixed(1) }));

const Tile = ({ one, style, now }) => html`<a class="tile" style=${style} href=${channelLink(one.bucket, one.name)}>
  <span class="still"><${Still} still=${one.still} status=${one.status} /><${Badge} status=${one.status} />
    ${isLive(one) && html`<span class="viewers" title=${t("onAir.viewersHint")}><${Icon} name="eye" size=${14} />
      <span class="offstage">${t("onAir.viewers")}</span>${count(one.viewers ?? 0)}</span>`}</span>
  <span class="under">
    <span class="name">${one.name}</span>
    <span class="row"><span>${[one.bucket, one.description, one.server].filter(Boolean).join(" · ")}</span></span>
    ${isLive(one)
      ? html`<span class="row"><span>${duration((now - Date.parse(one.since)) / 1000)}</span><span>${bits(rate(one))} · ${one.video?.fps ? `${one.video.fps} fps` : "–"}</span></span>
        <span class="row ${one.warnings?.length ? "trouble" : ""}">
          <span>${health(one)}</span></span>`
      : html`<span class="row"><span>${t(one.status === "Disabled" ? "onAir.off" : "onAir.waiting")}</span></span>`}
  </span>
</a>`;

/** The newest picture of a channel, fetched as a call of the API once for each version; without one, a sign. */
function Still({ still, status }) {
  const [shown, setShown] = useState("");
  const at = still ? `${still.bucket}/${still.key}/${still.version}` : "";
  useEffect(() => {
    if (!still) return setShown("");
    const stop = new AbortController();
    blob(still.bucket, still.key, { query: still.query ?? [], signal: stop.signal }).then((data) => {
      const url = URL.createObjectURL(data);
      if (stop.signal.aborted) return URL.revokeObjectURL(url);
      setShown((old) => (old && URL.revokeObjectURL(old), url));
    }, () => {});
    return () => stop.abort();
  }, [at]);
  useEffect(() => () => setShown((old) => (old && URL.revokeObjectURL(old), "")), []);
  return shown ? html`<img src=${shown} alt="" />` : html`<${Icon} name=${status === "Live" ? "video" : status === "Disabled" ? "ban" : "radio"} size=${32} />`;
}
