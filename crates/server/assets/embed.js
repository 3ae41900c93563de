// A player in any page with one tag:
//   <script src="http://HOST:9000/-/embed.js" data-src="http://HOST:9000/media/cam1/playlist.m3u8" async></script>
// The tag is replaced by a video. It waits for the first push, comes back when the server restarts or the publisher
// returns, and says in words why nothing plays. Attributes: data-src (needed), data-controls="no", data-sound="yes",
// data-poster, data-class (of the element around the video). Other origins need a CORS rule of the bucket.
"use strict";

(() => {
  const tag = document.currentScript;
  const RETRY_MS = 2000;
  const STALE_TARGETS = 3;
  const STALE_AT_LEAST_MS = 10000;
  const REPAIRS = 3;
  const isChinese = /^zh/i.test(navigator.language || "");
  const TEXTS = {
    waiting: ["Nothing is on air yet. The picture starts by itself.", "尚未开播，开播后画面会自动出现。"],
    first: ["The first segment is on its way.", "首个分片即将就绪。"],
    stopped: ["The publisher has stopped. The picture goes on when it comes back.", "推流已停止，恢复后画面会自动继续。"],
    gone: ["The server cannot be reached, or no CORS rule allows this page. Trying again.", "无法连接服务器，或跨域规则未允许此页面，正在重试。"],
    refused: ["This stream is private, or the signature in its address has expired.", "该直播为私有，或地址中的签名已过期。"],
    wrong: ["This address is not a playlist.", "该地址不是播放列表。"],
    unable: ["This browser cannot play HLS.", "此浏览器无法播放 HLS。"],
  };
  const text = (name) => TEXTS[name][isChinese ? 1 : 0];

  const address = new URL(tag.dataset.src, location.href).href;
  const library = new URL("hls.light.min.js", tag.src).href;
  const frame = document.createElement("div");
  const video = document.createElement("video");
  const notice = document.createElement("p");
  // Set one by one, so that a page with a strict policy for styles shows it, too.
  Object.assign(frame.style, { position: "relative", background: "#000", aspectRatio: "16 / 9", width: "100%" });
  Object.assign(video.style, { width: "100%", height: "100%", display: "block" });
  Object.assign(notice.style, {
    position: "absolute", inset: "0", margin: "0", padding: "1em", display: "none", alignItems: "center", justifyContent: "center",
    textAlign: "center", color: "#fff", background: "rgb(0 0 0 / 0.7)", font: "16px/1.5 system-ui, sans-serif",
  });
  frame.className = tag.dataset.class || "millpond-player";
  notice.setAttribute("role", "status");
  video.controls = tag.dataset.controls !== "no";
  video.muted = tag.dataset.sound !== "yes";
  video.autoplay = true;
  video.playsInline = true;
  if (tag.dataset.poster) video.poster = tag.dataset.poster;
  frame.append(video, notice);
  tag.after(frame);

  let hls = null;
  let timer = 0;
  let attempt = 0;
  let repairs = 0;
  let list = { live: true, target: 0, last: -1, text: "", changed: 0 };

  /** What the page sees: `state` is waiting, playing, stopped, refused or failed; an event "millpond" tells each change. */
  function tell(state, name) {
    frame.dataset.state = state;
    notice.textContent = name ? text(name) : "";
    notice.style.display = name ? "flex" : "none";
    frame.dispatchEvent(new CustomEvent("millpond", { bubbles: true, detail: { state, text: notice.textContent } }));
  }

  function release() {
    clearTimeout(timer);
    attempt += 1;
    hls?.destroy();
    hls = null;
  }

  const later = (unchanged) => (timer = setTimeout(check, RETRY_MS, unchanged));

  function recheck(unchanged) {
    release();
    later(unchanged);
  }

  /** Looks at the playlist before a player does: only here the reason of a refusal can be read. */
  async function check(unchanged) {
    clearTimeout(timer);
    const mine = (attempt += 1);
    let status = 0, body = "";
    try {
      const answer = await fetch(address, { cache: "no-store" });
      status = answer.status;
      body = await answer.text();
    } catch {
      status = 0;
    }
    if (mine !== attempt) return;
    if (!frame.isConnected) return release();
    if (status === 200 && body.startsWith("#EXTM3U")) {
      if (unchanged !== undefined && body === unchanged) return later(unchanged);
      if (/#EXTINF|#EXT-X-STREAM-INF/.test(body)) return start();
      tell("waiting", "first");
      return later(unchanged);
    }
    if (status === 404) tell("waiting", "waiting");
    else if (status === 0 || status >= 500) tell("waiting", "gone");
    else if (status === 401 || status === 403) return tell("refused", "refused");
    else return tell("failed", "wrong");
    later(unchanged);
  }

  function start() {
    release();
    list = { live: true, target: 0, last: -1, text: "", changed: performance.now() };
    const hasOwn = video.canPlayType("application/vnd.apple.mpegurl") !== "" && (navigator.vendor.startsWith("Apple") || !window.Hls?.isSupported());
    if (hasOwn) {
      video.src = address;
      return play();
    }
    if (!window.Hls?.isSupported()) return tell("failed", "unable");
    hls = new window.Hls({ liveSyncDurationCount: 2, liveMaxLatencyDurationCount: 8, maxLiveSyncPlaybackRate: 1.1, backBufferLength: 60 });
    const { Events, ErrorTypes } = window.Hls;
    hls.on(Events.LEVEL_LOADED, (_, { details, networkDetails }) => {
      const now = typeof networkDetails?.responseText === "string" ? networkDetails.responseText : "";
      const isNew = details.endSN !== list.last || now !== list.text;
      list = { live: details.live, target: details.targetduration, last: details.endSN, text: now, changed: isNew ? performance.now() : list.changed };
    });
    hls.on(Events.ERROR, (_, data) => {
      const code = data.response?.code ?? 0;
      if ((code === 401 || code === 403) && /^frag/.test(data.details)) {
        release();
        tell("refused", "refused");
      } else if (!data.fatal) {
        // hls.js goes on by itself.
      } else if (data.type === ErrorTypes.MEDIA_ERROR && repairs < REPAIRS) {
        repairs += 1;
        hls.recoverMediaError();
      } else {
        // Gone, restarted or not reachable: what the playlist itself answers tells which.
        recheck();
      }
    });
    hls.loadSource(address);
    hls.attachMedia(video);
    play();
  }

  // A refusal to start by itself leaves the controls, which is all that can be done.
  const play = () => video.play()?.catch(() => {});

  /** Once a second: is the publisher still there? */
  function tick() {
    if (!frame.isConnected) return release();
    const end = video.buffered.length ? video.buffered.end(video.buffered.length - 1) : 0;
    const isStale = performance.now() - list.changed > Math.max(STALE_TARGETS * list.target * 1000, STALE_AT_LEAST_MS);
    const isDrained = video.readyState < HTMLMediaElement.HAVE_FUTURE_DATA || video.currentTime + 0.3 >= end;
    if (hls && list.live && list.last >= 0 && isStale && isDrained) {
      tell("stopped", "stopped");
      recheck(list.text || undefined);
    }
  }

  video.addEventListener("playing", () => {
    repairs = 0;
    tell("playing");
  });
  video.addEventListener("error", () => {
    if (!hls && video.error) recheck();
  });
  setInterval(tick, 1000);

  const begin = () => {
    tell("waiting");
    check();
  };
  if (window.Hls) begin();
  else {
    const script = document.createElement("script");
    script.src = library;
    // Without the library the browser's own player may do.
    script.onload = script.onerror = begin;
    document.head.append(script);
  }
})();
