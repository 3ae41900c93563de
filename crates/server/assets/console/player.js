// Pictures in the page. Playlists and segments are fetched as calls of the API, signed in their headers like every other:
// private buckets, hotlink protection and a console with an address of its own make no difference.
import { send, signed, target } from "./api.js";
import { clock } from "./format.js";
import { t } from "./i18n.js";
import { Icon } from "./icons.js";
import { html, useEffect, useRef, useState } from "./view.js";

let loading = null;

/** The player is a large script, loaded when there is something to play. */
function library() {
  loading ??= new Promise((resolve, reject) => {
    const script = Object.assign(document.createElement("script"), { src: "/-/hls.light.min.js" });
    script.onload = () => resolve(window.Hls);
    script.onerror = () => {
      loading = null;
      reject(new Error("hls.js"));
    };
    document.head.append(script);
  });
  return loading;
}

/** Bucket and key of an address of this server in path style; null for anything else. */
function objectOf(address) {
  const url = new URL(address, location.href);
  const [, bucket, ...rest] = url.pathname.split("/");
  if (url.origin !== location.origin || bucket === "-" || !rest.length) return null;
  try {
    return { bucket: decodeURIComponent(bucket), key: decodeURIComponent(rest.join("/")) };
  } catch {
    return null;
  }
}

async function sign(request, address) {
  const object = objectOf(address);
  if (!object) throw new Error(t("player.elsewhere"));
  const { url, headers } = await signed("GET", object.bucket, object.key);
  request.open("GET", url, true);
  for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
}

/** Starts hls.js on a video; `text` is the playlist where the server has none at that address. */
async function attach(video, bucket, key, text, onError) {
  const Hls = await library();
  if (!Hls.isSupported()) throw new Error(t("player.unsupported"));
  const address = location.origin + target(bucket, key);
  class Kept extends Hls.DefaultConfig.loader {
    load(context, config, callbacks) {
      if (text === undefined || context.url !== address) return super.load(context, config, callbacks);
      const at = performance.now();
      Object.assign(this.stats.loading, { start: at, first: at, end: at });
      this.stats.loaded = text.length;
      setTimeout(() => callbacks.onSuccess({ url: address, data: text, code: 200 }, this.stats, context, null));
    }
  }
  const hls = new Hls({
    // A worker would be a script of another origin to the page's policy.
    enableWorker: false, loader: Kept, xhrSetup: sign,
    // OSS lists three segments by default: starting two from the end leaves one to spare.
    liveSyncDurationCount: 2, liveMaxLatencyDurationCount: 8, maxLiveSyncPlaybackRate: 1.1, backBufferLength: 120,
  });
  let repairs = 0;
  hls.on(Hls.Events.ERROR, (_, data) => {
    if (!data.fatal) return;
    if (data.type === Hls.ErrorTypes.MEDIA_ERROR && repairs++ < 3) hls.recoverMediaError();
    else onError({ code: data.response?.code ?? 0, what: data.details });
  });
  hls.loadSource(address);
  hls.attachMedia(video);
  video.play().catch(() => {});
  return hls;
}

const bufferedEnd = (video) => (video.buffered.length ? video.buffered.end(video.buffered.length - 1) : 0);

/**
 * The live picture of a channel. What there is to see follows from what the channel does (`status`, `since`), so that nobody
 * waits before a wheel that turns: not on air yet, the first segment on its way, live, ended.
 */
export function LivePicture({ bucket, channel, playlist, status, since }) {
  const video = useRef(), hls = useRef(null);
  const [state, setState] = useState("checking");
  const [trouble, setTrouble] = useState("");
  const seen = useRef(false);
  const key = `${channel}/${playlist}`;
  useEffect(() => {
    let alive = true, timer = 0;
    const again = (milliseconds) => alive && (timer = setTimeout(look, milliseconds));
    const stop = () => {
      hls.current?.destroy();
      hls.current = null;
    };
    const failed = ({ code, what }) => {
      stop();
      if (!alive) return;
      // Gone, restarted or not listed yet: the next look tells.
      if (code === 403) {
        setTrouble(t("player.forbidden"));
        setState("failed");
      } else {
        setTrouble(code === 404 ? "" : what);
        setState("waiting");
        again(2000);
      }
    };
    const look = async () => {
      if (status !== "Live") {
        // What is buffered is shown to its end.
        const one = video.current;
        if (hls.current && one && one.currentTime + 0.4 < bufferedEnd(one) && !one.paused) return again(500);
        stop();
        if (status === "Disabled") return setState("disabled");
        // A list tells that there was a push before this page was opened.
        seen.current ||= await send("HEAD", bucket, key).then(() => true, () => false);
        return alive && setState(seen.current ? "ended" : "idle");
      }
      if (hls.current) return;
      setState("waiting");
      let text = "";
      try {
        const { url, headers } = await signed("GET", bucket, key);
        const answer = await fetch(url, { headers, cache: "no-store", credentials: "omit" });
        if (answer.status === 403) return failed({ code: 403 });
        text = answer.ok ? await answer.text() : "";
        // A list from before this push says nothing about it.
        if (answer.ok && Date.parse(answer.headers.get("last-modified")) + 1000 < Date.parse(since)) text = "";
      } catch {
        text = "";
      }
      if (!alive) return;
      if (!text.includes("#EXTINF")) return again(1000);
      try {
        const made = await attach(video.current, bucket, key, undefined, failed);
        if (!alive) return made.destroy();
        hls.current = made;
        seen.current = true;
        setTrouble("");
        setState("playing");
      } catch (error) {
        setTrouble(error.message);
        setState("failed");
      }
    };
    if (status) look();
    return () => {
      alive = false;
      clearTimeout(timer);
    };
  }, [bucket, key, status, since]);
  useEffect(() => () => hls.current?.destroy(), []);
  const notices = { waiting: "player.waiting", idle: "player.idle", ended: "player.ended", disabled: "player.disabled", failed: "player.failed" };
  return html`<${Stage} video=${video} hls=${hls} live shown=${state === "playing"} id="picture" state=${state}>
    ${notices[state] && html`<div class="veil" role="status"><h2>${t(notices[state])}</h2><p>${trouble || t(`${notices[state]}.hint`)}</p></div>`}
  <//>`;
}

/** A recording: a playlist of the bucket, or one that exists as `text` only. */
export function VodPicture({ bucket, objectKey, text, start = 0, onTime }) {
  const video = useRef(), hls = useRef(null);
  const [trouble, setTrouble] = useState("");
  const [isOn, setIsOn] = useState(false);
  useEffect(() => {
    let alive = true;
    setTrouble("");
    setIsOn(false);
    attach(video.current, bucket, objectKey, text, ({ code, what }) => alive && setTrouble(code === 403 ? t("player.forbidden") : what))
      .then((made) => {
        if (!alive) return made.destroy();
        hls.current = made;
        if (start) video.current.currentTime = start;
        setIsOn(true);
      }, (error) => alive && setTrouble(error.message));
    return () => {
      alive = false;
      hls.current?.destroy();
      hls.current = null;
    };
  }, [bucket, objectKey, text]);
  return html`<${Stage} video=${video} hls=${hls} shown=${isOn && !trouble} id="replay" state=${trouble ? "failed" : isOn ? "playing" : "checking"} onTime=${onTime}>
    ${trouble && html`<div class="veil" role="alert"><h2>${t("player.failed")}</h2><p>${trouble}</p></div>`}
  <//>`;
}

/** The picture with its controls: play, place, back to live, sound, whole screen. */
function Stage({ video, hls, live, shown, id, state, onTime, children }) {
  const stage = useRef();
  const [now, setNow] = useState({ from: 0, to: 0, at: 0, latency: 0, paused: true, muted: true });
  useEffect(() => {
    if (!shown) return;
    const look = () => {
      const one = video.current;
      if (!one) return;
      const details = hls.current?.levels?.[hls.current.currentLevel === -1 ? 0 : hls.current.currentLevel]?.details;
      const from = live && details ? details.fragments[0]?.start ?? 0 : 0;
      const to = live && details ? details.edge : Number.isFinite(one.duration) ? one.duration : 0;
      setNow({ from, to, at: one.currentTime, latency: hls.current?.latency ?? 0, paused: one.paused, muted: one.muted, sync: hls.current?.liveSyncPosition ?? null });
      onTime?.(one.currentTime);
    };
    look();
    const timer = setInterval(look, 500);
    return () => clearInterval(timer);
  }, [shown]);
  const act = (work) => () => {
    work(video.current);
    setNow((old) => ({ ...old, paused: video.current.paused, muted: video.current.muted, at: video.current.currentTime }));
  };
  const isBehind = live && now.sync !== null && now.at < now.sync - 3;
  const goLive = act((one) => {
    one.currentTime = now.sync ?? bufferedEnd(one) - 1;
    one.play().catch(() => {});
  });
  return html`<div class="player" id=${id} data-state=${state} ref=${stage}>
    <div class="stage"><video ref=${video} muted autoplay playsinline aria-label=${t(live ? "player.live" : "player.recording")}></video>${children}</div>
    <div class="controls">
      <button type="button" class="plain icon-only" disabled=${!shown} aria-label=${t(now.paused ? "player.play" : "player.pause")} onClick=${act((one) => (one.paused ? one.play().catch(() => {}) : one.pause()))}>
        <${Icon} name=${now.paused ? "play" : "pause"} /></button>
      <input type="range" aria-label=${t("player.position")} disabled=${!shown} min=${now.from} max=${Math.max(now.to, now.from + 1)} step="0.1" value=${now.at}
        aria-valuetext=${live ? t("player.behind", { seconds: Math.max(0, now.to - now.at).toFixed(0) }) : `${clock(now.at)} / ${clock(now.to)}`}
        onInput=${(event) => act((one) => (one.currentTime = Number(event.target.value)))()} />
      <span class="number">${!shown ? "" : live ? t("player.behind", { seconds: Math.max(0, now.latency).toFixed(1) }) : `${clock(now.at)} / ${clock(now.to)}`}</span>
      ${live && html`<button type="button" class="plain ${shown && !isBehind ? "at-live" : ""}" id="go-live" disabled=${!shown} onClick=${goLive}>
        <${Icon} name="skip-forward" /><span>${t("player.goLive")}</span></button>`}
      <button type="button" class="plain icon-only" disabled=${!shown} aria-label=${t(now.muted ? "player.soundOn" : "player.soundOff")} onClick=${act((one) => (one.muted = !one.muted))}>
        <${Icon} name=${now.muted ? "volume-x" : "volume-2"} /></button>
      <button type="button" class="plain icon-only" disabled=${!shown} aria-label=${t("player.full")} onClick=${() => (document.fullscreenElement ? document.exitFullscreen() : video.current.requestFullscreen?.())}>
        <${Icon} name="maximize" /></button>
    </div>
  </div>`;
}
