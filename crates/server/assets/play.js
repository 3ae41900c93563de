// The page at /-/play: plays the HLS playlist that ?url= names, if this server has it, and says in plain words why not.
// Text from outside reaches the page through textContent and value only. Nothing of another server is ever loaded.
"use strict";

(() => {
  const RETRY_MS = 2000;
  // A playlist that did not change for this many target durations belongs to a publisher that has gone away.
  const STALE_TARGETS = 3;
  const STALE_AT_LEAST_MS = 10000;
  const MEDIA_REPAIRS = 3;

  // For tests: `state` is one of form, refused, checking, waiting, forbidden, failed, starting, playing, paused,
  // stopped (publisher gone), ended (recording played to its end). `errors` are what ended playback, `warnings` what hls.js repaired.
  const page = { state: "checking", errors: [], warnings: [], hls: null };
  window.millpond = page;

  const byId = (id) => document.getElementById(id);
  const video = byId("video");
  const query = new URLSearchParams(location.search);
  let address = null;
  let timer = 0;
  let attempt = 0;
  let repairs = 0;
  let playlist = { live: true, target: 0, count: 0, first: 0, last: -1, changed: 0, text: "" };
  let bitrate = 0;
  let codecs = "";

  /** Shows STATE. A notice covers the picture; without one the picture is seen. */
  function show(state, badge, notice) {
    page.state = state;
    const label = byId("badge");
    label.hidden = !badge;
    label.textContent = badge || "";
    label.className = badge === "Live" ? "badge live" : "badge";
    byId("notice").hidden = !notice;
    byId("stage").classList.toggle("noticed", Boolean(notice));
    byId("sound").hidden = Boolean(notice) || !video.muted;
    if (!notice) return;
    byId("spinner").hidden = !notice.busy;
    byId("notice-title").textContent = notice.title;
    byId("notice-text").textContent = notice.text || "";
    byId("notice-hint").textContent = notice.hint || "";
    byId("notice-detail").textContent = notice.detail || "";
    byId("notice-detail").hidden = !notice.detail;
    byId("retry").hidden = !notice.retry;
  }

  function fail(state, badge, notice) {
    page.errors.push(notice.detail ? notice.title + ": " + notice.detail : notice.title);
    release();
    show(state, badge, notice);
  }

  /** Keeps the latest of what was repaired. A page may stay open for weeks. */
  function warn(what) {
    page.warnings.push(what);
    if (page.warnings.length > 100) page.warnings.shift();
  }

  const isLoopback = (host) => /^(.+\.)?localhost$|^127(\.\d+){3}$|^\[::1\]$/.test(host);
  const portOf = (url) => url.port || (url.protocol === "https:" ? "443" : "80");

  /**
   * The same object as an address of this page's own origin, or null if another server has it. A bucket may be named by
   * the host (bucket.localhost) or by the path: the path form needs no CORS rule, and signatures cover both alike.
   */
  function ownAddress(text) {
    let url;
    try {
      url = new URL(text, location.href);
    } catch {
      return null;
    }
    if ((url.protocol !== "http:" && url.protocol !== "https:") || portOf(url) !== portOf(location)) return null;
    const here = location.hostname;
    const there = url.hostname;
    let bucket = "";
    if (there !== here) {
      const both = isLoopback(here) && isLoopback(there) && !here.endsWith(".localhost");
      if (there.endsWith("." + here)) bucket = there.slice(0, -here.length - 1);
      else if (both && there.endsWith(".localhost")) bucket = there.slice(0, -".localhost".length);
      else if (!both) return null;
    }
    return location.origin + (bucket ? "/" + bucket : "") + url.pathname + url.search;
  }

  /** Code and message of an OSS error document; empty where the body is something else. */
  function ossError(body) {
    if (!/^\s*</.test(body)) return "";
    const document = new DOMParser().parseFromString(body, "application/xml");
    const inner = (name) => (document.querySelector("Error > " + name)?.textContent || "").slice(0, 300);
    return [inner("Code"), inner("Message")].filter(Boolean).join(": ");
  }

  /** Looks at the playlist before a player does, because only here the reason of a refusal can be read. */
  async function check(unchangedText) {
    clearTimeout(timer);
    attempt += 1;
    const mine = attempt;
    let status = 0;
    let body = "";
    try {
      const response = await fetch(address, { cache: "no-store" });
      status = response.status;
      body = await response.text();
    } catch {
      status = 0;
    }
    if (mine !== attempt) return;
    const detail = status === 200 ? "" : ossError(body);
    const again = () => (timer = setTimeout(check, RETRY_MS, unchangedText));
    if (status === 200 && body.startsWith("#EXTM3U")) {
      if (unchangedText !== undefined && body === unchangedText) {
        again();
      } else if (!body.includes("#EXTINF") && !body.includes("#EXT-X-STREAM-INF")) {
        show("waiting", "Waiting", { busy: true, title: "The first segment is on its way", text: "The stream has begun. The picture appears as soon as one whole segment is stored." });
        again();
      } else {
        start();
      }
    } else if (status === 404) {
      show("waiting", "Waiting", {
        busy: true,
        title: "Nothing has been pushed here yet",
        text: "The picture starts by itself when a publisher goes on air.",
        hint: detail.startsWith("NoSuchBucket") ? "There is no such bucket either: create it, or look for a typing error in the address." : "If you are pushing already, compare the names of bucket, channel and playlist.",
        detail,
      });
      again();
    } else if (status === 401 || status === 403) {
      const signed = /[?&](Signature|x-oss-signature)=/.test(address);
      fail("forbidden", "Refused", {
        title: "This stream is private",
        text: signed ? "The signature in the address is wrong or has expired. Sign the address again." : "Sign the address (millpond sign url), or make the bucket public-read.",
        hint: signed ? "An address must be pasted whole, with everything after the question mark." : "For a signed stream add x-oss-process=hls/sign, so that its segments are signed too.",
        detail: detail || "HTTP " + status,
        retry: true,
      });
    } else if (status === 0 || status >= 500) {
      show("waiting", "Waiting", { busy: true, title: "The server does not answer", text: "Trying again every two seconds.", detail: detail || (status ? "HTTP " + status : "") });
      again();
    } else if (status === 200) {
      fail("failed", "Error", { title: "This is not a playlist", text: "The address answers, but not with HLS. It should end in .m3u8.", retry: true });
    } else {
      fail("failed", "Error", { title: "The server refused the request", text: "It answered with HTTP " + status + ".", detail, retry: true });
    }
  }

  function release() {
    clearTimeout(timer);
    attempt += 1;
    if (page.hls) page.hls.destroy();
    page.hls = null;
  }

  /** Goes back to looking at the playlist; with a text, only a playlist that differs from it starts the player again. */
  function recheck(unchangedText) {
    release();
    timer = setTimeout(check, RETRY_MS, unchangedText);
  }

  function start() {
    release();
    playlist = { live: true, target: 0, count: 0, first: 0, last: -1, changed: performance.now(), text: "" };
    show("starting", "", page.errors.length || video.currentTime > 0 ? null : { busy: true, title: "Starting" });
    // Chromium says "maybe" to native HLS too, but reports neither latency nor the reason of an error there. Safari's
    // own player is the better one on its devices, and the only one on older iPhones.
    const native = video.canPlayType("application/vnd.apple.mpegurl") !== "" && (navigator.vendor.startsWith("Apple") || !window.Hls || !Hls.isSupported());
    if (native) {
      video.src = address;
      play();
      return;
    }
    if (!window.Hls || !Hls.isSupported()) {
      fail("failed", "Error", { title: "This browser cannot play HLS", text: "Open the address below in another player." });
      return;
    }
    const hls = new Hls({
      // OSS lists three segments by default: starting two from the end leaves one to spare.
      liveSyncDurationCount: 2,
      liveMaxLatencyDurationCount: 8,
      maxLiveSyncPlaybackRate: 1.1,
      backBufferLength: 60,
      xhrSetup(xhr, url) {
        const own = ownAddress(url);
        if (own === null) throw new Error("The playlist leads to another server: " + new URL(url).host);
        xhr.open("GET", own, true);
      },
    });
    page.hls = hls;
    hls.on(Hls.Events.LEVEL_LOADED, (_, { details, networkDetails }) => noteLevel(details, networkDetails));
    hls.on(Hls.Events.FRAG_BUFFERED, (_, { frag, stats }) => {
      if (frag.duration > 0 && stats.total > 0) bitrate = (stats.total * 8) / frag.duration;
    });
    hls.on(Hls.Events.BUFFER_CODECS, (_, tracks) => {
      const kinds = [tracks.video && "H.264", tracks.audio && "AAC"].filter(Boolean);
      if (tracks.audiovideo) kinds.push("H.264", "AAC");
      codecs = kinds.join(" + ");
    });
    hls.on(Hls.Events.ERROR, (_, data) => noteError(hls, data));
    hls.loadSource(address);
    hls.attachMedia(video);
    play();
  }

  function play() {
    const promise = video.play();
    // A refusal to autoplay leaves the controls, which is all that can be done; a load that was replaced is no matter.
    if (promise) promise.catch(() => {});
  }

  function noteLevel(details, networkDetails) {
    const text = networkDetails && typeof networkDetails.responseText === "string" ? networkDetails.responseText : "";
    if (details.endSN !== playlist.last || text !== playlist.text) playlist.changed = performance.now();
    playlist = {
      live: details.live,
      target: details.targetduration,
      count: details.fragments.length,
      first: details.startSN,
      last: details.endSN,
      changed: playlist.changed,
      text,
    };
  }

  function noteError(hls, data) {
    const code = data.response ? data.response.code : 0;
    const what = data.details + (code ? " (HTTP " + code + ")" : "") + (data.error ? ": " + data.error.message : "");
    if (/another server/.test(what)) {
      fail("refused", "Refused", { title: "The playlist leads to another server", text: "This page plays what its own server keeps, nothing else.", detail: what });
    } else if ((code === 403 || code === 401) && /^frag/.test(data.details)) {
      fail("forbidden", "Refused", {
        title: "The playlist may be read, its segments may not",
        text: "Sign the address with x-oss-process=hls/sign, so that each segment in it is signed too, or make the bucket public-read.",
        detail: what,
        retry: true,
      });
    } else if (!data.fatal) {
      warn(what);
    } else if (data.type === Hls.ErrorTypes.MEDIA_ERROR && repairs < MEDIA_REPAIRS) {
      repairs += 1;
      warn(what);
      hls.recoverMediaError();
    } else if (data.type === Hls.ErrorTypes.NETWORK_ERROR) {
      // Gone, restarted or not reachable: what the playlist itself answers tells which.
      warn(what);
      recheck();
    } else {
      fail("failed", "Error", { title: "The stream cannot be played", text: "The browser or the player gave up on its contents.", detail: what, retry: true });
    }
  }

  /** Once a second: the badge, the line of facts, and whether the publisher is still there. */
  function tick() {
    const hls = page.hls;
    if (page.state === "starting" || page.state === "playing" || page.state === "paused") {
      const stale = performance.now() - playlist.changed > Math.max(STALE_TARGETS * playlist.target * 1000, STALE_AT_LEAST_MS);
      const drained = video.readyState < HTMLMediaElement.HAVE_FUTURE_DATA || video.currentTime + 0.3 >= bufferedEnd();
      if (hls && playlist.live && playlist.last >= 0 && stale && drained) {
        show("stopped", "Off air", {
          busy: true,
          title: "The publisher has stopped",
          text: "No new segment arrives any more. The picture goes on by itself when the publisher comes back.",
        });
        recheck(playlist.text || undefined);
      } else if (video.ended) {
        show("ended", "Recording", null);
      } else if (video.paused && page.state === "playing") {
        show("paused", badge(), null);
      }
    }
    facts();
  }

  const badge = () => (playlist.live && (page.hls || video.duration === Infinity) ? "Live" : "Recording");
  const bufferedEnd = () => (video.buffered.length ? video.buffered.end(video.buffered.length - 1) : 0);

  function facts() {
    const line = [];
    const hls = page.hls;
    if (!["starting", "playing", "paused", "ended"].includes(page.state)) {
      byId("facts").textContent = "\u00a0";
      return;
    }
    if (hls && playlist.live && page.state === "playing") {
      // The date of the picture, where the playlist has it, counts encoder and network too; the list alone does not.
      const dated = hls.playingDate ? (Date.now() - hls.playingDate.getTime()) / 1000 : NaN;
      const latency = dated > 0 && dated < 3600 ? dated : hls.latency;
      if (latency > 0) line.push(latency.toFixed(1) + " s behind live");
    }
    if (video.videoWidth) line.push(video.videoWidth + "\u00d7" + video.videoHeight);
    if (codecs) line.push(codecs);
    if (bitrate) line.push((bitrate / 1e6).toFixed(2) + " Mbit/s");
    if (playlist.last >= 0) {
      line.push((playlist.live ? "segments " : "all of segments ") + playlist.first + "\u2013" + playlist.last);
      line.push("target " + playlist.target + " s");
    }
    if (hls) line.push(Math.max(0, bufferedEnd() - video.currentTime).toFixed(1) + " s buffered");
    byId("facts").textContent = line.join(" \u00b7 ") || "\u00a0";
  }

  async function copy() {
    const field = byId("shown-url");
    field.select();
    try {
      await navigator.clipboard.writeText(field.value);
      byId("copy").textContent = "Copied";
    } catch {
      // Only secure origins have a clipboard. The text is selected, so the reader's own key does it.
      byId("copy").textContent = "Ctrl+C";
    }
    setTimeout(() => (byId("copy").textContent = "Copy"), 2000);
  }

  video.addEventListener("playing", () => show("playing", badge(), null));
  video.addEventListener("volumechange", () => (byId("sound").hidden = !video.muted || !byId("notice").hidden));
  video.addEventListener("error", () => {
    if (page.hls || !video.error) return;
    warn("video error " + video.error.code);
    recheck();
  });
  byId("sound").addEventListener("click", () => {
    video.muted = false;
    play();
  });
  byId("retry").addEventListener("click", () => {
    repairs = 0;
    check();
  });
  byId("copy").addEventListener("click", copy);

  const wanted = (query.get("url") || "").trim();
  if (!wanted) {
    byId("form").hidden = false;
    byId("url").placeholder = location.origin + "/bucket/channel/playlist.m3u8";
    byId("url").focus();
    show("form", "", null);
    return;
  }
  byId("player").hidden = false;
  byId("shown-url").value = wanted;
  address = ownAddress(wanted);
  if (address === null) {
    fail("refused", "Refused", {
      title: "This address belongs to another server",
      text: "This page plays what its own server (" + location.host + ") keeps, nothing else.",
      hint: "Check host and port. For other servers use a player such as VLC or ffplay.",
    });
    return;
  }
  show("checking", "", { busy: true, title: "Looking for the stream" });
  setInterval(tick, 1000);
  check();
})();
