// A web server of its own, as somebody's page would have: another origin than the media server, with a player in the page.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { ASSETS, PLAYERS, tablePage } from "./players.js";

const modules = fileURLToPath(new URL("../node_modules", import.meta.url));
const assets = {
  ...ASSETS,
  "/hls.min.js": ["text/javascript", "hls.js/dist/hls.min.js"],
  "/video.min.js": ["text/javascript", "video.js/dist/video.min.js"],
  "/shaka.js": ["text/javascript", "shaka-player/dist/shaka-player.compiled.js"],
  "/video-js.min.css": ["text/css", "video.js/dist/video-js.min.css"],
};

// What each page does with the URL it was asked to play; `report` collects what the player itself says about failures.
const players = {
  "hls.js": `
    <script src="/hls.min.js"></script>
    <video id="v" controls muted autoplay playsinline width="640" height="360"></video>
    <script>
      const hls = new Hls({ xhrSetup: (xhr) => extra && xhr.setRequestHeader(extra, "1") });
      hls.on(Hls.Events.ERROR, (_, data) =>
        report.errors.push({ what: data.details, status: data.response?.code ?? null, fatal: data.fatal }));
      hls.loadSource(url);
      hls.attachMedia(document.getElementById("v"));
    </script>`,
  // Chromium has HLS of its own, which video.js would use: this is about the player that fetches by script.
  "video.js": `
    <link rel="stylesheet" href="/video-js.min.css">
    <script src="/video.min.js"></script>
    <video id="v" class="video-js" controls muted autoplay playsinline width="640" height="360"></video>
    <script>
      const vhs = { overrideNative: true };
      const player = videojs("v", { html5: { vhs, nativeAudioTracks: false, nativeVideoTracks: false } });
      player.on("error", () =>
        report.errors.push({ what: player.error().message, status: player.error().status ?? null, fatal: true }));
      const addHeader = (options) => ({ ...options, headers: { ...options.headers, [extra]: "1" } });
      player.on("xhr-hooks-ready", () => extra && player.tech().vhs.xhr.onRequest(addHeader));
      player.ready(() =>
        player.tech().on("retryplaylist", () => report.errors.push({ what: "retryplaylist", status: null, fatal: false })));
      player.src({ src: url, type: "application/vnd.apple.mpegurl" });
    </script>`,
  // As docs/playing.md sets it up: the dates of a list are those of its clock, and leave a hole where a push was away.
  shaka: `
    <script src="/shaka.js"></script>
    <video id="v" controls muted autoplay playsinline width="640" height="360"></video>
    <script>
      shaka.polyfill.installAll();
      const player = new shaka.Player();
      player.configure({ manifest: { hls: { ignoreManifestProgramDateTime: true } } });
      const note = (error) => report.errors.push({ what: String(error.code), status: error.data?.[1] ?? null, fatal: error.severity === 2 });
      player.addEventListener("error", ({ detail }) => note(detail));
      player.attach(document.getElementById("v")).then(() => player.load(url)).catch(note);
    </script>`,
  // The browser's own: no script, so no CORS.
  native: `
    <video id="v" controls muted autoplay playsinline width="640" height="360"></video>
    <script>
      const video = document.getElementById("v");
      video.addEventListener("error", () => report.errors.push({ what: video.error.message, status: null, fatal: true }));
      video.src = url;
    </script>`,
  // Nothing plays: for fetch() from this origin.
  none: "",
};

function render(query) {
  const referrer = query.get("referrer");
  return `<!doctype html>
    <html lang="en"><head><meta charset="utf-8"><title>${query.get("player")}</title><link rel="icon" href="data:,">
    ${referrer === "no-referrer" ? '<meta name="referrer" content="no-referrer">' : ""}
    <style>body { margin: 0; background: #334 }</style></head><body><script>
      const asked = new URLSearchParams(location.search);
      const url = asked.get("url"), extra = asked.get("header");
      window.report = { errors: [] };
    </script>${players[query.get("player")]}</body></html>`;
}

/** A certificate for *.localhost signed by a CA made for the occasion; `files` go away with `remove()`. */
export function makeCertificate() {
  const folder = mkdtempSync(path.join(tmpdir(), "millpond-ca-"));
  const file = (name) => path.join(folder, name);
  const openssl = (...words) => {
    const done = spawnSync("openssl", words, { encoding: "utf8" });
    if (done.status !== 0) throw new Error(`openssl: ${done.error ?? done.stderr}`);
  };
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  openssl("req", "-x509", ...key, "-days", "2", "-subj", "/CN=test CA", "-keyout", file("ca.key"), "-out", file("ca.pem"));
  openssl(
    "req", "-x509", ...key, "-days", "2", "-subj", "/CN=localhost", "-CA", file("ca.pem"), "-CAkey", file("ca.key"),
    "-addext", "subjectAltName=DNS:localhost,DNS:*.localhost,IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE",
    "-keyout", file("leaf.key"), "-out", file("leaf.pem"),
  );
  return { certificate: file("leaf.pem"), key: file("leaf.key"), remove: () => rmSync(folder, { recursive: true, force: true }) };
}

export class PageServer {
  /** Listens on loopback as `name`, over TLS when there is a certificate. */
  static async start(name, tls) {
    const pages = new PageServer();
    const answer = (request, response) => {
      const { pathname, searchParams } = new URL(request.url, "http://page");
      const [type, file] = assets[pathname] ?? [];
      if (file) response.writeHead(200, { "Content-Type": type }).end(readFileSync(path.join(modules, file)));
      else if (pathname === "/" && searchParams.get("player") in players)
        response.writeHead(200, { "Content-Type": "text/html" }).end(render(searchParams));
      else if (pathname === "/table" && searchParams.get("player") in PLAYERS)
        response.writeHead(200, { "Content-Type": "text/html" }).end(tablePage(searchParams.get("player")));
      else response.writeHead(404).end();
    };
    pages.server = tls
      ? https.createServer({ cert: readFileSync(tls.certificate), key: readFileSync(tls.key) }, answer)
      : http.createServer(answer);
    await new Promise((resolve) => pages.server.listen(0, "127.0.0.1", resolve));
    /** What the browser sends as `Origin`, and with a slash as `Referer` to other origins. */
    pages.origin = `${tls ? "https" : "http"}://${name}:${pages.server.address().port}`;
    return pages;
  }

  /** The page that plays `url`; `header` is sent with each request of the player, `referrer` is the page's policy. */
  address(player, url, { header, referrer } = {}) {
    const query = new URLSearchParams({ player, url });
    if (header) query.set("header", header);
    if (referrer) query.set("referrer", referrer);
    return `${this.origin}/?${query}`;
  }

  /** The page of a player of the table in docs/playing.md, which waits for `play(url)`. */
  tableAddress(player, query = {}) {
    return `${this.origin}/table?${new URLSearchParams({ player, ...query })}`;
  }

  async stop() {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}
