// A page for each player of the table in docs/playing.md. All have the same handle: `play(url)` begins, or begins again with another
// address, `report` says what the player told. Like the page of docs/playing.md they begin again by themselves after an error that
// the player calls fatal, and where the table says so when the picture stands still.
const VIDEO = '<video id="v" controls muted autoplay playsinline width="320" height="180"></video>';

/** The script of hls.js, whose parts are named alike in every version; `attach` is what comes after the video has its stream. */
const hls = (file, attach = "") => `
  <script src="/${file}"></script>
  ${VIDEO}
  <script>
    const video = document.getElementById("v");
    let hls;
    window.begin = (url) => {
      hls?.destroy();
      hls = new Hls();
      hls.on(Hls.Events.ERROR, (_, data) => {
        tell(data.details, data.response?.code ?? null, data.fatal);
        if (data.fatal && data.type === Hls.ErrorTypes.MEDIA_ERROR) hls.recoverMediaError();
        else if (data.fatal) later();
      });
      hls.loadSource(url);
      hls.attachMedia(video);
      video.play().catch(() => {});
      ${attach}
    };
  </script>`;

/** video.js, whose own HLS has another name in version 6. */
const videojs = (name, files, options) => `
  ${files.map((file) => (file.endsWith(".css") ? `<link rel="stylesheet" href="/${file}">` : `<script src="/${file}"></script>`)).join("")}
  <video id="v" class="video-js" controls muted autoplay playsinline width="320" height="180"></video>
  <script>
    const player = videojs("v", { html5: ${options} });
    player.on("error", () => {
      tell(player.error().message, player.error().status ?? null, true);
      later();
    });
    player.ready(() => player.tech(true).on("retryplaylist", () => tell("retryplaylist", null, false)));
    window.begin = (url) => {
      player.error(null);
      player.src({ src: url, type: "application/vnd.apple.mpegurl" });
      player.play()?.catch(() => {});
    };
  </script>`;

const shaka = `
  <script src="/shaka.js"></script>
  ${VIDEO}
  <script>
    shaka.polyfill.installAll();
    const player = new shaka.Player();
    const dates = new URLSearchParams(location.search).get("dates") === "yes";
    player.configure({ manifest: { hls: { ignoreManifestProgramDateTime: !dates } } });
    const note = (error) => {
      // One that was given up for a newer one.
      if (error.code === shaka.util.Error.Code.LOAD_INTERRUPTED) return;
      tell(String(error.code), error.data?.[1] ?? null, error.severity === 2);
      if (error.severity === 2) later();
    };
    player.addEventListener("error", ({ detail }) => note(detail));
    window.begin = (url) => player.attach(document.getElementById("v")).then(() => player.load(url)).then(() => document.getElementById("v").play()).catch(note);
    watch();
  </script>`;

const clappr = `
  <script src="/clappr.js"></script>
  <div id="here"></div>
  <script>
    let player;
    window.begin = (url) => {
      player?.destroy();
      player = new Clappr.Player({ source: url, mimeType: "application/vnd.apple.mpegurl", parentId: "#here", autoPlay: true, mute: true, width: 320, height: 180 });
      player.on(Clappr.Events.PLAYER_ERROR, (error) => {
        tell(error.description ?? error.message ?? error.code, error.raw?.response?.code ?? null, true);
        later();
      });
    };
  </script>`;

const reactPlayer = `
  <script src="/hls.min.js"></script>
  <script src="/react-player.js"></script>
  <div id="here"></div>
  <script>
    const here = document.getElementById("here");
    const onError = (_, data) => {
      tell(data?.details ?? "error", data?.response?.code ?? null, data?.fatal ?? true);
      if (data?.fatal ?? true) later();
    };
    window.begin = (url) => {
      renderReactPlayer(here, { url: null });
      renderReactPlayer(here, { url, playing: true, muted: true, playsinline: true, width: 320, height: 180, onError, config: { file: { forceHLS: true } } });
    };
  </script>`;

const native = `
  ${VIDEO}
  <script>
    const video = document.getElementById("v");
    video.addEventListener("error", () => {
      tell(video.error.message, null, true);
      later();
    });
    window.begin = (url) => {
      video.src = url;
      video.play().catch(() => {});
    };
    watch();
  </script>`;

/** Name in the table of docs/playing.md, and the page. */
export const PLAYERS = {
  "hls.js 1.7": hls("hls.min.js"),
  "hls.js 1.4": hls("hls-1.4.min.js"),
  "hls.js 0.14": hls("hls-0.14.min.js"),
  "video.js 8": videojs("vhs", ["video-js.min.css", "video.min.js"], "{ vhs: { overrideNative: true }, nativeAudioTracks: false, nativeVideoTracks: false }"),
  "video.js 6": videojs("hls", ["video-js-6.min.css", "video-6.min.js", "videojs-contrib-hls.min.js"], "{ hls: { overrideNative: true }, nativeAudioTracks: false, nativeVideoTracks: false }"),
  "shaka 5": shaka,
  "plyr 3": `<link rel="stylesheet" href="/plyr.css"><script src="/plyr.min.js"></script>
    ${hls("hls.min.js", 'window.plyr ??= new Plyr(video, { muted: true, autoplay: true, loadSprite: false, iconUrl: "/plyr.svg", blankVideo: "" });')}`,
  "clappr 0.11": clappr,
  "react-player 2": reactPlayer,
  "Chromium's own": native,
};

/** What the pages load: type, and place below node_modules. */
export const ASSETS = {
  "/hls-1.4.min.js": ["text/javascript", "hls.js-1.4/dist/hls.min.js"],
  "/hls-0.14.min.js": ["text/javascript", "hls.js-0.14/dist/hls.min.js"],
  "/video-6.min.js": ["text/javascript", "video.js-6/dist/video.min.js"],
  "/video-js-6.min.css": ["text/css", "video.js-6/dist/video-js.min.css"],
  "/videojs-contrib-hls.min.js": ["text/javascript", "videojs-contrib-hls/dist/videojs-contrib-hls.min.js"],
  "/plyr.min.js": ["text/javascript", "plyr/dist/plyr.min.js"],
  "/plyr.css": ["text/css", "plyr/dist/plyr.css"],
  "/plyr.svg": ["image/svg+xml", "plyr/dist/plyr.svg"],
  "/clappr.js": ["text/javascript", "@clappr/player/dist/clappr.min.js"],
  "/react-player.js": ["text/javascript", "react-player/dist/ReactPlayer.standalone.js"],
};

/** What all pages have: a log, and a second attempt some time after a fatal error. */
export const COMMON = `<script>
  window.report = { errors: [], begun: 0 };
  window.tell = (what, status, fatal) => report.errors.push({ what, status, fatal });
  let url, due;
  window.later = () => {
    clearTimeout(due);
    due = setTimeout(() => play(url), 1000);
  };
  window.play = (wanted) => {
    clearTimeout(due);
    url = wanted;
    report.begun += 1;
    begin(url);
  };
  window.watch = () => {
    const video = document.querySelector("video");
    let last = -1;
    setInterval(() => {
      if (url && video.currentTime === last && !video.paused && !video.ended) play(url);
      last = video.currentTime;
    }, 5000);
  };
</script>`;

/** The page of a player of the table. */
export const tablePage = (name) => `<!doctype html>
  <html lang="en"><head><meta charset="utf-8"><title>${name}</title><link rel="icon" href="data:,">
  <style>body { margin: 0; background: #334 }</style></head><body>${COMMON}${PLAYERS[name]}</body></html>`;
