// One channel: its picture, what it is doing, how to push to it and watch it, and what the last pushes were.
import { acl } from "./api-bucket.js";
import { list } from "./api-files.js";
import { channel as channelInfo, channels, deleteChannel, putChannel, sessions, setStatus, stat } from "./api-live.js";
import { now } from "./api.js";
import { Chart } from "./chart.js";
import { bits, bytes, count, duration, moment } from "./format.js";
import { t } from "./i18n.js";
import { Icon } from "./icons.js";
import { ChannelFields } from "./page-channels.js";
import { Recordings } from "./page-recordings.js";
import { Act, Badge, Busy, Card, confirm, Dialog, Facts, PageHead, Refused, say } from "./parts.js";
import { LivePicture } from "./player.js";
import { Refusals, Session } from "./report.js";
import { bucketLink, channelLink, filesLink, go } from "./route.js";
import { Lines, useAddresses } from "./share.js";
import { html, useLoad, useRef, useRepeat, useState } from "./view.js";

/** How far back the graphs go. */
const SPAN = 300_000;

export function Channel({ bucket, name, tab, query }) {
  const config = useLoad(() => channelInfo(bucket, name), [bucket, name]);
  const other = useLoad(async () => {
    // What only some users may ask for is done without.
    const [publish, access] = await Promise.all([
      channels(bucket, { prefix: name, count: 1 }).then(({ items }) => (items[0]?.name === name ? items[0].publish : ""), () => ""),
      acl(bucket).catch(() => "private"),
    ]);
    return { publish, acl: access };
  }, [bucket, name]);
  if (config.error && !config.data) {
    return html`<${PageHead} title=${name} /><${Refused} error=${config.error}><p><a href=${bucketLink(bucket, "channels")}>${t("channel.all", { bucket })}</a></p><//>
      ${config.error.code === "NoSuchLiveChannel" && html`<p><a href=${channelLink(bucket, name, "recordings")}>${t("channel.oldRecordings")}</a></p>`}
      ${tab === "recordings" && html`<${Recordings} bucket=${bucket} name=${name} query=${query} />`}`;
  }
  if (!config.data || !other.data) return html`<${PageHead} title=${name} /><${Busy} />`;
  return html`<${Known} ...${{ bucket, name, tab, query, info: config.data, ...other.data, reload: config.reload }} />`;
}

function Known({ bucket, name, tab, query, info, publish, acl: access, reload }) {
  const [state, setState] = useState(null);
  const [trouble, setTrouble] = useState(null);
  const [failed, setFailed] = useState(null);
  const [editing, setEditing] = useState(false);
  const points = useRef({ since: "", video: [], audio: [], rate: [] });
  const isPublic = access !== "private";
  const addresses = useAddresses({ bucket, channel: name, playlist: info.playlist, publish, isPublic });
  const look = async (alive = () => true) => {
    try {
      const found = await stat(bucket, name);
      if (!alive()) return;
      sample(points.current, found);
      setState(found);
      setFailed(null);
    } catch (error) {
      if (alive()) setFailed(error);
    }
  };
  useRepeat(look, 2000, [bucket, name]);
  const status = state?.status ?? "";
  const act = (work, done) => async () => {
    setTrouble(null);
    await work();
    say(done);
    await look();
  };
  const toggle = async () => {
    const isDisabled = status === "Disabled";
    if (status === "Live" && !(await confirm({ title: t("channel.disableTitle", { name }), text: t("channel.disableText"), action: t("channel.disable") }))) return;
    await act(() => setStatus(bucket, name, isDisabled ? "enabled" : "disabled"), t(isDisabled ? "channel.enabled" : "channel.disabled"))();
  };
  const remove = async () => {
    const left = await stays(bucket, name);
    if (!(await confirm({ title: t("channel.deleteTitle", { name }), text: html`<p>${t("channel.deleteText")}</p><p>${left}</p>`, action: t("action.delete") }))) return;
    setTrouble(null);
    await deleteChannel(bucket, name);
    say(t("said.deleted"));
    go(bucketLink(bucket, "channels"));
  };
  const on = { bucket, objectKey: name, onError: setTrouble };
  return html`<${PageHead} title=${name} status=${html`<span class="state">${state && html`<${Badge} status=${status} />`}</span>`} sub=${info.description}>
      <a class="button" id="watch" target="_blank" rel="noopener" href=${addresses.lines?.watch}><${Icon} name="external-link" /><span>${t("channel.watch")}</span></a>
      <${Act} ...${on} class="plain" id="toggle" icon="power" right="oss:PutLiveChannelStatus" disabled=${!state} run=${toggle}>${t(status === "Disabled" ? "channel.enable" : "channel.disable")}<//>
      <${Act} ...${on} class="plain" id="recreate" icon="rotate-ccw" right="oss:PutLiveChannel" run=${() => setEditing(true)}>${t("channel.recreate")}<//>
      <${Act} ...${on} class="plain danger" id="delete" icon="trash-2" right="oss:DeleteLiveChannel" run=${remove}>${t("action.delete")}<//>
    <//>
    <nav class="tabs" aria-label=${name}>
      <a href=${channelLink(bucket, name)} aria-current=${tab === "recordings" ? undefined : "page"}>${t("channel.live")}</a>
      <a href=${channelLink(bucket, name, "recordings")} aria-current=${tab === "recordings" ? "page" : undefined}>${t("rail.recordings")}</a>
    </nav>
    <${Refused} error=${trouble} />
    ${tab === "recordings" ? html`<${Recordings} bucket=${bucket} name=${name} query=${query} status=${status} isPublic=${isPublic} />` : html`<div class="watch">
      <div>
        <${LivePicture} bucket=${bucket} channel=${name} playlist=${info.playlist} status=${status} since=${state?.since ?? ""} />
        <${Refused} error=${failed} />
        ${status === "Live" && html`<${Now} state=${state} points=${points.current} />`}
        <${Reports} bucket=${bucket} name=${name} moment_=${`${status} ${state?.since}`} ready=${Boolean(state)} />
      </div>
      <div>
        <${Lines} of=${addresses} isPublic=${isPublic} />
        <${Card} title=${t("channel.settings")}><${Facts} rows=${[
          ["FragDuration", `${info.fragDuration} s`], ["FragCount", String(info.fragCount)], ["PlaylistName", info.playlist],
          [t("buckets.bucket"), html`<a href=${bucketLink(bucket)}>${bucket}</a> (${t(`acl.${access}`)})`],
          ...(info.snapshot ?? []).map(([tag, value]) => [`Snapshot ${tag}`, value]),
        ]} /><p class="hint">${t("channel.settingsHint")}</p><//>
      </div>
    </div>`}
    ${editing && html`<${Recreate} bucket=${bucket} name=${name} info=${info} onClose=${() => setEditing(false)} onDone=${() => (setEditing(false), reload(), look())} />`}`;
}

/** Adds what was measured; another push begins anew. */
function sample(points, { since, video, audio }) {
  if (points.since !== since) Object.assign(points, { since, video: [], audio: [], rate: [] });
  const at = Date.now();
  const add = (list_, value) => {
    list_.push([at, value]);
    while (at - list_[0][0] > SPAN) list_.shift();
  };
  if (!since) return;
  add(points.video, video?.bandwidth ?? 0);
  add(points.audio, audio?.bandwidth ?? 0);
  add(points.rate, video?.rate ?? 0);
}

/** What stays in the bucket when the channel goes, counted as far as one page of a list goes. */
async function stays(bucket, name) {
  try {
    const { files, next } = await list(bucket, { prefix: `${name}/`, delimiter: "" });
    if (!files.length) return t("channel.staysNothing");
    const size = files.reduce((sum, one) => sum + one.size, 0);
    return html`${t(next ? "channel.staysMore" : "channel.stays", { count: count(files.length), size: bytes(size) })} <a href=${filesLink(bucket, `${name}/`)}>${name}/</a>`;
  } catch {
    return t("channel.staysUnknown", { name });
  }
}

function Now({ state, points }) {
  const { video, audio, since, remote } = state;
  const seconds = (now().getTime() - Date.parse(since)) / 1000;
  return html`<${Card} class="now"><${Facts} class="figures" rows=${[
      [t("now.picture"), video ? (video.width ? `${video.width} × ${video.height}` : video.codec) : t("now.none"), "stat-size"],
      [t("now.rate"), video?.rate ? `${video.rate} fps` : "–", "stat-rate"],
      [t("now.video"), video ? `${video.codec}, ${bits(video.bandwidth)}` : "–", "stat-video"],
      [t("now.audio"), audio ? `${audio.codec}, ${bits(audio.bandwidth)}` : t("now.noAudio"), "stat-audio"],
      [t("now.since"), duration(seconds), "stat-since", moment(since)],
      [t("now.from"), remote, "stat-remote"],
    ]} />
    <${Foreign} video=${video} audio=${audio} /><//>
    <${Card}>
      <${Chart} label=${t("chart.bandwidth")} span=${SPAN} unit=${bits} series=${[{ name: t("now.video"), points: points.video }, { name: t("now.audio"), points: points.audio }]} />
      <${Chart} label=${t("chart.rate")} span=${SPAN} unit=${(value) => `${Math.round(value * 10) / 10} fps`} series=${[{ name: t("now.rate"), points: points.rate }]} />
    <//>`;
}

/** Kinds that are left out are said while the push runs, too (D21). */
function Foreign({ video, audio }) {
  const left = [video && !["H264", ""].includes(video.codec) && t("quirk.videoIn", { codec: video.codec }), audio && !["AAC", ""].includes(audio.codec) && t("quirk.audioIn", { codec: audio.codec })].filter(Boolean);
  return left.length > 0 && html`<p class="warning"><${Icon} name="triangle-alert" /><span>${t("now.left", { what: left.join(", ") })}</span></p>`;
}

/** The report of a push is written before its channel is seen idle or with the next one; refusals come without any change. */
function Reports({ bucket, name, moment_, ready }) {
  const [found, setFound] = useState(null);
  const [failed, setFailed] = useState(null);
  const load = async (alive = () => true) => {
    if (!ready) return;
    try {
      const answer = await sessions(bucket, name);
      if (alive()) setFound(answer), setFailed(null);
    } catch (error) {
      if (alive()) setFailed(error);
    }
  };
  useRepeat(load, 10_000, [bucket, name, moment_, ready]);
  return html`
    ${found?.refusals.length > 0 && html`<${Card} title=${t("channel.refused")} id="refusals"><${Refusals} all=${found.refusals} /><//>`}
    <${Card} title=${t("channel.pushes")} id="sessions">
      ${failed ? html`<${Refused} error=${failed} />` : !found ? html`<${Busy} />` : found.sessions.length
        ? found.sessions.map((one, index) => html`<${Session} key=${one.start} one=${one} isFirst=${index === 0} />`)
        : html`<p class="hint">${t("channel.noPushes")}</p>`}
    <//>`;
}

function Recreate({ bucket, name, info, onClose, onDone }) {
  const [wanted, setWanted] = useState({ ...info, fragDuration: String(info.fragDuration), fragCount: String(info.fragCount) });
  const [trouble, setTrouble] = useState(null);
  const submit = async (event) => {
    event.preventDefault();
    try {
      await putChannel(bucket, name, wanted);
      say(t("said.saved"));
      onDone();
    } catch (error) {
      setTrouble(error);
    }
  };
  return html`<${Dialog} title=${t("channel.recreateTitle", { name })} onClose=${onClose}><form onSubmit=${submit}>
    <div class="note"><p>${t("channel.recreateText")}</p></div>
    <${ChannelFields} wanted=${wanted} change=${setWanted} fixed />
    <${Refused} error=${trouble} />
    <div class="buttons end"><button type="button" class="plain" onClick=${onClose}>${t("action.cancel")}</button><button type="submit">${t("channel.recreate")}</button></div>
  </form><//>`;
}
