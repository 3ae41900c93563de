// Recordings of a channel: find a range on a line of time, play it at once, keep it as a playlist, share it, or delete it.
import { acl, allBuckets } from "./api-bucket.js";
import { blob, list, removeMany } from "./api-files.js";
import { channels, history, putVod, vod } from "./api-live.js";
import { now } from "./api.js";
import { bytes, count, duration, localStamp, moment, time } from "./format.js";
import { t, tn } from "./i18n.js";
import { Icon } from "./icons.js";
import { Search } from "./page-buckets.js";
import { Act, Card, Choice, confirm, Empty, Facts, Field, Line, Loaded, PageHead, Refused, say, SelectField, TextField } from "./parts.js";
import { VodPicture } from "./player.js";
import { bucketLink, channelLink, filesLink } from "./route.js";
import { EXPIRIES, playAddress, watchAddress } from "./share.js";
import { Timeline } from "./timeline.js";
import { html, useEffect, useLoad, useMemo, useState } from "./view.js";
import { DAY, momentOf, segments, stretches, total } from "./vod.js";

const SPANS = [["recordings.day", DAY], ["recordings.hours6", 21_600], ["recordings.hour", 3600], ["recordings.quarter", 900]];
const SAVED = "vod-";

/** Which channel: a bucket, then one of its channels. */
export function RecordingsHome({ rest }) {
  const found = useLoad(allBuckets, []);
  const [bucket, setBucket] = useState(rest[0] ?? "");
  const chosen = bucket || found.data?.[0]?.name || "";
  const [prefix, setPrefix] = useState("");
  const inside = useLoad(async () => (chosen ? (await channels(chosen, { prefix, count: 100 })).items : []), [chosen, prefix]);
  return html`<${PageHead} title=${t("rail.recordings")} sub=${t("recordings.choose")} />
    ${found.error ? html`<${Refused} error=${found.error} /><${ByName} />` : html`<${Loaded} of=${found}>${(buckets) => (buckets.length === 0
      ? html`<${Empty} icon="film" title=${t("buckets.none")}><p>${t("buckets.noneHint")}</p><p><a class="button" href="#/buckets">${t("rail.buckets")}</a></p><//>`
      : html`<div class="toolbar">
        <${Choice} label=${t("buckets.bucket")} value=${chosen} onInput=${setBucket} options=${buckets.map(({ name }) => [name, name])} />
          <${Search} label=${t("channels.search")} value=${prefix} onInput=${setPrefix} /></div>
        ${inside.error ? html`<${Refused} error=${inside.error} />` : html`<${Loaded} of=${inside}>${(all) => (all.length
          ? html`<ul class="list">${all.map((one) => html`<li key=${one.name}><a href=${channelLink(chosen, one.name, "recordings")}><${Icon} name="film" size=${18} />
            <span class="main">${one.name}${one.description && html`<span class="quiet about">${one.description}</span>`}</span><${Icon} name="chevron-right" /></a></li>`)}</ul>`
          : html`<${Empty} icon="film" title=${t("channels.none")}><p>${t("channels.noneHint")}</p><p>
            <a class="button" href=${bucketLink(chosen, "channels")}>${t("bucket.channels")}</a></p><//>`)}<//>`}`)}<//>`}`;
}

function ByName() {
  const [bucket, setBucket] = useState("");
  const [name, setName] = useState("");
  const submit = (event) => {
    event.preventDefault();
    location.hash = channelLink(bucket.trim(), name.trim(), "recordings");
  };
  return html`<form class="card" onSubmit=${submit}><p>${t("buckets.mayNotList")}</p><div class="columns">
    <${TextField} label=${t("buckets.bucket")} required value=${bucket} onInput=${setBucket} /><${TextField} label=${t("channels.channel")} required value=${name} onInput=${setName} /></div>
    <div class="buttons"><button type="submit">${t("action.open")}</button></div></form>`;
}

/** Where to look first: at the last push, else at the last day. */
const startAt = (pushes, query) => {
  const present = now().getTime();
  if (query.from && query.to) return [Number(query.from) * 1000, Number(query.to) * 1000];
  const last = pushes.at(-1);
  return last ? [last.start, Math.max(last.end, last.start + 1000)] : [present - 3_600_000, present];
};

export function Recordings(props) {
  const past = useLoad(() => history(props.bucket, props.name).catch((error) => (error.status === 404 || error.code === "AccessDenied" ? [] : Promise.reject(error))), [props.bucket, props.name]);
  return html`<${Loaded} of=${past}>${(pushes) => html`<${Known} ...${props} pushes=${pushes} />`}<//>`;
}

function Known({ bucket, name, query, pushes, status, isPublic }) {
  const first = useMemo(() => startAt(pushes, query), []);
  const [range, setRange] = useState(first);
  const [span, setSpan] = useState(SPANS.findLast(([, seconds]) => seconds * 1000 >= (first[1] - first[0]) * 1.1)?.[1] ?? DAY);
  const [middle, setMiddle] = useState((first[0] + first[1]) / 2);
  const [turn, setTurn] = useState(0);
  const [shown, setShown] = useState(null);
  const [playing, setPlaying] = useState(0);
  const [trouble, setTrouble] = useState(null);
  const window_ = [middle - span * 500, middle + span * 500];
  const seconds = (at) => Math.floor(at / 1000);
  // Whole minutes, so that a window that hardly moves is not asked for again.
  const [from, to] = [Math.floor(seconds(window_[0]) / 60) * 60, Math.ceil(seconds(window_[1]) / 60) * 60];
  const found = useLoad(async () => segments(await vod(bucket, name, from, Math.min(to, from + DAY))), [bucket, name, from, to, turn]);
  const inside = (found.data ?? []).filter(({ at }) => seconds(at) >= seconds(range[0]) && seconds(at) <= seconds(range[1]));
  const isWide = range[1] - range[0] > DAY * 1000;
  const isAhead = range[0] >= range[1];
  /** A range, and a window that shows it. */
  const choose = (next) => {
    setRange(next);
    setSpan(SPANS.findLast(([, one]) => one * 1000 >= (next[1] - next[0]) * 1.1)?.[1] ?? DAY);
    setMiddle((next[0] + next[1]) / 2);
  };
  const present = () => now().getTime();
  const play = async () => {
    setTrouble(null);
    const text = await vod(bucket, name, seconds(range[0]), seconds(range[1]));
    if (!text) return say(t("recordings.nothing"));
    setShown({ text, list: segments(text) });
  };
  const on = { bucket, objectKey: name, onError: setTrouble };
  const field = (label, index) => html`<${Field} label=${label}>${(of) => html`<input ...${of} type="datetime-local" step="1" value=${localStamp(new Date(range[index]))}
    onChange=${(event) => event.target.value && choose(range.map((old, one) => (one === index ? new Date(event.target.value).getTime() : old)))} />`}<//>`;
  return html`<${Refused} error=${trouble} />
    <${Card} title=${t("recordings.find")} id="recordings" hint=${t("recordings.findHint")}>
      <div class="daybar">
        <button type="button" class="plain icon-only" aria-label=${t("recordings.earlier")} onClick=${() => setMiddle(middle - span * 500)}><${Icon} name="chevron-left" /></button>
        <button type="button" class="plain icon-only" aria-label=${t("recordings.later")} onClick=${() => setMiddle(middle + span * 500)}><${Icon} name="chevron-right" /></button>
        <strong>${moment(middle, { dateStyle: "full" })}</strong><span class="grow"></span>
        <${Choice} label=${t("recordings.span")} id="span" value=${span} onInput=${(value) => setSpan(Number(value))} options=${SPANS.map(([text, one]) => [one, t(text)])} />
      </div>
      <${Timeline} from=${window_[0]} to=${window_[1]} recorded=${stretches(found.data ?? [])} pushes=${pushes} range=${range} onRange=${setRange} playing=${playing} />
      <div class="range">${field(t("recordings.from"), 0)}${field(t("recordings.to"), 1)}</div>
      <div class="buttons quick">
        <button type="button" class="small" onClick=${() => choose([present() - 3_600_000, present()])}>${t("recordings.lastHour")}</button>
        <button type="button" class="small" id="up-to-now" onClick=${() => choose([Math.min(range[0], present() - 1000), present()])}>${t("recordings.upToNow")}</button>
        <${Pushes} pushes=${pushes} onChoose=${choose} />
      </div>
      <p role="status" id="chosen">${found.error ? "" : found.busy && !found.data ? t("busy") : isWide ? t("recordings.tooWide") : isAhead ? t("recordings.ahead") : summary(inside)}</p>
      ${found.error && html`<${Refused} error=${found.error} />`}
      <div class="buttons">
        <${Act} ...${on} icon="play" id="play-range" right="oss:GetVodPlaylist" disabled=${isWide || isAhead} run=${play}>${t("recordings.play")}<//>
        <${Remove} on=${on} name=${name} inside=${inside} isLive=${status === "Live" && range[1] > present() - 120_000} onDone=${() => (setShown(null), setTurn(turn + 1))} />
      </div>
    <//>
    ${shown && html`<div class="watch"><div>
      <${VodPicture} key=${shown.text} bucket=${bucket} objectKey=${`${name}/.range.m3u8`} text=${shown.text} onTime=${(place) => setPlaying(momentOf(shown.list, place))} />
        <${Storyboard} key=${`${shown.text} stills`} bucket=${bucket} name=${name} list=${shown.list} /></div>
      <${Keep} bucket=${bucket} name=${name} from=${seconds(range[0])} to=${seconds(range[1])} isPublic=${isPublic} on=${on} length=${total(shown.list)} onDone=${() => setTurn(turn + 1)} /></div>`}
    <${Saved} bucket=${bucket} name=${name} turn=${turn} isPublic=${isPublic} />`;
}

/** How many stills stand below a recording. */
const STILLS = 8;

/** Stills of a recording, evenly spread, where the server makes them (`video/snapshot`); one leads to its place in the picture. */
function Storyboard({ bucket, name, list: all }) {
  const [stills, setStills] = useState([]);
  useEffect(() => {
    const stop = new AbortController();
    const made = [];
    const load = async () => {
      let place = 0, next = 0;
      for (const [index, one] of all.entries()) {
        if (index >= next) {
          next += Math.max(1, all.length / STILLS);
          const data = await blob(bucket, `${name}/${one.uri}`, { query: [["x-oss-process", "video/snapshot,t_0,f_jpg,w_160,m_fast"]], signal: stop.signal });
          if (stop.signal.aborted) return;
          made.push({ place, at: one.at, url: URL.createObjectURL(data) });
          setStills([...made]);
        }
        place += one.seconds;
      }
    };
    // A server that makes none says so once, and there are none.
    load().catch(() => {});
    return () => {
      stop.abort();
      made.forEach(({ url }) => URL.revokeObjectURL(url));
    };
  }, []);
  const seek = (place) => Object.assign(document.querySelector("#replay video"), { currentTime: place + 0.05 });
  return stills.length > 0 && html`<div class="stills" id="storyboard">
    ${stills.map(({ place, at, url }) => html`<button type="button" key=${at} aria-label=${t("recordings.still", { time: time(at) })} title=${time(at)} onClick=${() => seek(place)}>
      <img src=${url} alt="" /></button>`)}
  </div>`;
}

/** What a range has in it, in a sentence. */
const summary = (list_) => (list_.length
  ? tn("recordings.inside", list_.length, { count: count(list_.length), length: duration(total(list_)), gaps: count(Math.max(0, stretches(list_).length - 1)) })
  : t("recordings.nothing"));

/** The last pushes, a button each that chooses it. */
const Pushes = ({ pushes, onChoose }) => [...pushes].reverse().slice(0, 5).map(({ start, end }) => html`
  <button type="button" class="small push-range" key=${start} onClick=${() => onChoose([start, end])}>
    <${Icon} name="history" /><span>${moment(start, { dateStyle: "short", timeStyle: "short" })}, ${duration((end - start) / 1000)}</span>
  </button>`);

/** Keeps a range under a name (PostVodPlaylist), and gives the address to share. */
function Keep({ bucket, name, from, to, isPublic, on, length, onDone }) {
  const [title, setTitle] = useState(SAVED + localStamp(new Date(from * 1000)).replace(/[:T]/g, "-"));
  const [kept, setKept] = useState("");
  const playlist = `${title.trim()}.m3u8`;
  const save = async () => {
    await putVod(bucket, name, playlist, from, to);
    setKept(`${name}/${playlist}`);
    say(t("said.saved"));
    onDone();
  };
  return html`<div><${Card} title=${t("recordings.keep")} id="keep" hint=${t("recordings.keepHint")}>
    <${Facts} rows=${[[t("recordings.from"), moment(from * 1000)], [t("recordings.to"), moment(to * 1000)], [t("recordings.length"), duration(length)]]} />
    <${TextField} label=${t("field.name")} hint=${t("recordings.nameHint", { file: `${name}/${playlist}` })} value=${title} onInput=${(value) => (setTitle(value), setKept(""))} />
    <div class="buttons"><${Act} ...${on} id="keep-range" right="oss:PostVodPlaylist" disabled=${!title.trim() || title.includes("/")} run=${save}>${t("recordings.save")}<//></div>
    ${kept && html`<${Shared} bucket=${bucket} objectKey=${kept} isPublic=${isPublic} />`}
  <//></div>`;
}

/** The address of a recording for others, signed with all its segments unless everybody may play. */
function Shared({ bucket, objectKey, isPublic }) {
  const [seconds, setSeconds] = useState(String(86_400 * 7));
  const known = useLoad(async () => isPublic ?? (await acl(bucket).catch(() => "private")) !== "private", [bucket, isPublic]);
  const [address, setAddress] = useState("");
  useEffect(() => {
    if (known.data !== undefined) playAddress(bucket, objectKey, known.data, Number(seconds)).then(setAddress);
  }, [objectKey, seconds, known.data]);
  return html`<div class="shared">
    ${known.data === false && html`<${SelectField} label=${t("expiry.label")} value=${seconds} onInput=${setSeconds} options=${EXPIRIES.map(([text, one]) => [String(one), t(text)])} />`}
    <${Line} label=${t("recordings.share")} text=${address} id="share-url" />
    <p><a class="button plain" href=${watchAddress(address)} target="_blank" rel="noopener" id="watch-saved"><${Icon} name="external-link" /><span>${t("channel.watch")}</span></a></p>
    <p class="hint">${t(known.data ? "share.public" : "recordings.signedHint")}</p></div>`;
}

/** Playlists that were kept under this console's names. */
function Saved({ bucket, name, turn, isPublic }) {
  const found = useLoad(async () => (await list(bucket, { prefix: `${name}/${SAVED}`, delimiter: "" })).files.filter(({ key }) => key.endsWith(".m3u8")), [bucket, name, turn]);
  const [open, setOpen] = useState("");
  if (found.error || !found.data?.length) return null;
  return html`<${Card} title=${t("recordings.saved")} id="saved" actions=${html`<a href=${filesLink(bucket, `${name}/`)}>${t("bucket.files")}</a>`}>
    ${found.data.map((one) => html`<details class="session" key=${one.key} onToggle=${(event) => setOpen((old) => (event.target.open ? one.key : old === one.key ? "" : old))} open=${open === one.key}>
      <summary><${Icon} name="chevron-right" /><span class="main">${one.key.slice(name.length + 1, -5)}</span><span class="quiet encoder">${moment(one.modified)}</span></summary>
      ${open === one.key && html`<div class="watch"><${VodPicture} bucket=${bucket} objectKey=${one.key} /><${Shared} bucket=${bucket} objectKey=${one.key} isPublic=${isPublic} /></div>`}
    </details>`)}<//>`;
}

/** Deletes the segments of the range, counted and weighed before. */
function Remove({ on, name, inside, isLive, onDone }) {
  const run = async () => {
    const keys = inside.map(({ uri }) => `${name}/${uri}`);
    const size = await weigh(on.bucket, keys).catch(() => null);
    const text = html`<p>${tn("recordings.deleteCount", keys.length, { count: count(keys.length), length: duration(total(inside)), size: size === null ? "–" : bytes(size) })}</p>
      <p>${t("recordings.deleteText")}</p>${isLive && html`<p class="warning">${t("recordings.deleteLive")}</p>`}`;
    if (!(await confirm({ title: t("recordings.deleteTitle"), text, action: t("action.delete") }))) return;
    for (let at = 0; at < keys.length; at += 1000) await removeMany(on.bucket, keys.slice(at, at + 1000));
    say(t("said.deleted"));
    onDone();
  };
  return html`<${Act} ...${on} class="plain danger" icon="trash-2" id="delete-range" right="oss:DeleteObject" disabled=${!inside.length} run=${run}>${t("recordings.delete")}<//>`;
}

/** The bytes of keys that are sorted and lie close together. */
async function weigh(bucket, keys) {
  const wanted = new Set(keys);
  let size = 0, after = keys[0].slice(0, -1);
  for (;;) {
    const page = await list(bucket, { prefix: keys[0].slice(0, keys[0].lastIndexOf("/") + 1), after, delimiter: "" });
    for (const one of page.files) if (wanted.delete(one.key)) size += one.size;
    if (!page.next || !wanted.size || page.files.at(-1).key > keys.at(-1)) return size;
    after = page.files.at(-1).key;
  }
}
