// A page of another origin plays, or is refused as documented: hls.js, video.js and the browser's own player, live and
// recorded, against each setting of CORS, Referer and ACL (access control 6 and 7, OSS auth 9). The tables are the tests.
import assert from "node:assert/strict";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { launch, observe, pictureOf, plays } from "../support/browser.js";
import { makeSource, push } from "../support/encoder.js";
import { makeCertificate, PageServer } from "../support/pages.js";
import { Server, waitFor } from "../support/server.js";

const SECONDS = 3;
const SCRIPTED = ["hls.js", "video.js"];
const LISTS = { live: "camera/playlist.m3u8", vod: "camera/archive.m3u8" };
const ELSEWHERE = "http://elsewhere.example";
const exposed = ["ETag", "Content-Length", "Content-Range", "Date", "x-oss-request-id"];
const rule = (allowedOrigin, more = {}) => ({
  allowedOrigin, allowedMethod: ["GET", "HEAD"], allowedHeader: ["*"], exposeHeader: exposed, maxAgeSeconds: "600", ...more,
});

// One bucket for each way to set access up. `page`, `other` and `secure` are the origins of the three page servers.
const buckets = {
  open: ({ page, other }) => ({ acl: "public-read", cors: [rule([page, other])] }),
  star: () => ({ acl: "public-read", cors: [rule("*")] }),
  closed: () => ({ acl: "public-read" }),
  "for-others": () => ({ acl: "public-read", cors: [rule(ELSEWHERE)] }),
  narrow: ({ page }) => ({ acl: "public-read", cors: [rule(page, { allowedHeader: [] })] }),
  listed: ({ page }) => ({ acl: "public-read", cors: [rule("*")], referer: { empty: false, white: [`${page}/`] } }),
  unlisted: () => ({ acl: "public-read", cors: [rule("*")], referer: { empty: false, white: [ELSEWHERE] } }),
  "unlisted-closed": () => ({ acl: "public-read", referer: { empty: false, white: [ELSEWHERE] } }),
  "empty-too": () => ({ acl: "public-read", cors: [rule("*")], referer: { empty: true, white: [ELSEWHERE] } }),
  black: ({ page }) => ({ acl: "public-read", cors: [rule("*")], referer: { empty: true, white: [], black: [page] } }),
  private: ({ page }) => ({ acl: "private", cors: [rule(page)] }),
  "private-closed": () => ({ acl: "private" }),
  "private-listed": ({ page }) => ({ acl: "private", cors: [rule(page)], referer: { empty: false, white: [`${page}/`] } }),
  "private-unlisted": ({ page }) => ({ acl: "private", cors: [rule(page)], referer: { empty: false, white: [ELSEWHERE] } }),
  secure: ({ secure }) => ({ acl: "private", cors: [rule(secure)], referer: { empty: false, white: [`${secure}/`] } }),
};

const playing = { plays: true };
const refused = (code, ec, more = {}) => ({ status: 403, code, ec, ...more });
// The browser keeps the answer from the page, whatever it is.
const unreadable = { cors: "MissingAllowOriginHeader" };
const hidden = { status: 200, ...unreadable };
const badPreflight = { preflight: 403, cors: "PreflightMissingAllowOriginHeader" };

// Bucket, what else is special about page or URL, which players, what happens, with which playlists if not with both.
const rows = [
  ["open", {}, SCRIPTED, playing],
  ["star", {}, ["hls.js"], playing, ["live"]],
  ["closed", {}, SCRIPTED, hidden],
  ["closed", {}, ["native"], playing],
  ["for-others", {}, SCRIPTED, hidden, ["live"]],
  ["open", { header: "x-page-trace" }, SCRIPTED, { ...playing, preflight: 200 }, ["live"]],
  ["narrow", {}, ["hls.js"], playing, ["live"]],
  ["narrow", { header: "x-page-trace" }, SCRIPTED, refused("AccessForbidden", null, badPreflight), ["live"]],
  ["closed", { header: "x-page-trace" }, SCRIPTED, refused("AccessForbidden", null, badPreflight), ["vod"]],
  ["listed", {}, SCRIPTED, playing],
  ["listed", {}, ["native"], playing, ["live"]],
  ["listed", { from: "other" }, SCRIPTED, refused("AccessDenied", "0003-00000503"), ["vod"]],
  ["listed", { referrer: "no-referrer" }, SCRIPTED, refused("AccessDenied", "0003-00000501"), ["live"]],
  ["unlisted", {}, SCRIPTED, refused("AccessDenied", "0003-00000503")],
  ["unlisted", {}, ["native"], refused("AccessDenied", "0003-00000503"), ["live"]],
  ["unlisted-closed", {}, SCRIPTED, refused("AccessDenied", "0003-00000503", unreadable), ["live"]],
  ["empty-too", {}, SCRIPTED, refused("AccessDenied", "0003-00000503"), ["live"]],
  ["empty-too", { referrer: "no-referrer" }, SCRIPTED, playing, ["live"]],
  ["black", {}, SCRIPTED, refused("AccessDenied", "0003-00000502"), ["vod"]],
  ["black", { from: "other" }, ["hls.js"], playing, ["live"]],
  ["private", {}, SCRIPTED, refused("AccessDenied", "0003-00000001")],
  ["private", { sign: "v1" }, SCRIPTED, playing],
  ["private", { sign: "v4" }, ["hls.js"], playing, ["vod"]],
  ["private", { sign: "v4" }, ["video.js", "native"], playing, ["live"]],
  ["private", { sign: "expired" }, SCRIPTED, refused("AccessDenied", "0002-00000069"), ["live"]],
  ["private", { sign: "playlist only" }, ["hls.js"], refused("AccessDenied", "0003-00000001", { at: ".ts" })],
  ["private-closed", { sign: "v1" }, SCRIPTED, hidden, ["live"]],
  ["private-listed", { sign: "v1" }, SCRIPTED, playing],
  ["private-listed", { sign: "v1", from: "other" }, ["hls.js"], refused("AccessDenied", "0003-00000503", unreadable), ["vod"]],
  ["private-unlisted", { sign: "v1" }, SCRIPTED, refused("AccessDenied", "0003-00000503"), ["live"]],
  ["secure", { sign: "v1", from: "secure" }, SCRIPTED, playing, ["live"]],
  ["secure", { sign: "v4", from: "secure" }, ["hls.js"], playing, ["vod"]],
];

let server, certificate, pages, browser, running, signer;
before(async () => {
  certificate = makeCertificate();
  server = await Server.start("--tls-cert", certificate.certificate, "--tls-key", certificate.key);
  pages = {
    page: await PageServer.start("page.localhost"),
    other: await PageServer.start("other.localhost"),
    secure: await PageServer.start("page.localhost", certificate),
  };
  const origins = Object.fromEntries(Object.entries(pages).map(([name, { origin }]) => [name, origin]));
  const urls = [];
  for (const [bucket, setting] of Object.entries(buckets)) urls.push(await setUp(bucket, setting(origins)));
  running = push(makeSource(10, "320x180"), urls, { loop: true });
  browser = await launch();
  signer = server.client();
  const client = server.client({ sldEnable: true });
  for (const bucket of Object.keys(buckets)) {
    client.useBucket(bucket);
    // The recording is made while the push goes on, as soon as it is long enough.
    await waitFor(
      async () => {
        const now = Math.floor(Date.now() / 1000);
        await client.createVod("camera", "archive.m3u8", { startTime: now - 3600, endTime: now }).catch(() => null);
        const list = await client.get("camera/archive.m3u8").catch(() => null);
        return list?.content.toString().match(/#EXTINF/g)?.length >= SECONDS + 2;
      },
      () => `a recording in ${bucket}; ffmpeg says ${running.stderr.slice(-2000)}`,
      30_000,
    );
  }
});
after(async () => {
  await running?.stop();
  await browser?.close();
  for (const one of Object.values(pages ?? {})) await one.stop();
  certificate?.remove();
  assert.equal(await server?.stop(), 0);
});

/** Makes bucket and channel, and says where to push. */
async function setUp(bucket, { acl, cors, referer }) {
  const client = server.client({ sldEnable: true });
  await client.putBucket(bucket, { acl });
  client.useBucket(bucket);
  if (cors) await client.putBucketCORS(bucket, cors);
  if (referer) await putReferer(client, bucket, referer);
  await client.putChannel("camera", {
    Description: "", Status: "enabled", Target: { Type: "HLS", FragDuration: 1, FragCount: 6, PlaylistName: "playlist.m3u8" },
  });
  return client.getRtmpUrl("camera").replace("//localhost:", "//127.0.0.1:");
}

/** As the SDK's `putBucketReferer`, which knows no blacklist. */
async function putReferer(client, bucket, { empty, white, black = [] }) {
  const list = (name, entries) => `<${name}>${entries.map((entry) => `<Referer>${entry}</Referer>`).join("")}</${name}>`;
  await client.request({
    ...client._bucketRequestParams("PUT", bucket, "referer"), mime: "xml", successStatuses: [200],
    content: `<RefererConfiguration><AllowEmptyReferer>${empty}</AllowEmptyReferer>${list("RefererList", white)}` +
      `${black.length ? list("RefererBlacklist", black) : ""}</RefererConfiguration>`,
  });
}

/** The playlist as a page would name it: `bucket.localhost`, signed by ali-oss when asked. */
async function urlOf(bucket, key, { sign, from }) {
  signer.useBucket(bucket);
  const url = {
    undefined: () => `http://${bucket}.localhost:${server.port}/${key}`,
    v1: () => signer.signatureUrl(key, { process: "hls/sign", expires: 600 }),
    v4: () => signer.signatureUrlV4("GET", 600, { queries: { "x-oss-process": "hls/sign" } }, key),
    expired: () => signer.signatureUrl(key, { process: "hls/sign", expires: -60 }),
    "playlist only": () => signer.signatureUrl(key, { expires: 600 }),
  }[sign]();
  return from === "secure" ? (await url).replace("http:", "https:") : url;
}

async function open(player, from, url, options) {
  const context = await browser.newContext({ viewport: { width: 640, height: 360 }, ignoreHTTPSErrors: true });
  const page = await context.newPage();
  const console = [];
  page.on("console", (message) => console.push(message.text()));
  const wire = await observe(page, server.port);
  await page.goto(pages[from].address(player, url, options));
  return { context, page, console, wire, report: () => page.evaluate(() => window.report.errors) };
}

const isPlaylist = ({ url }) => new URL(url).pathname.endsWith(".m3u8");
const ofPath = (end) => ({ url }) => new URL(url).pathname.endsWith(end);

async function assertPlays(watched, player, kind, origin, expected, shot) {
  const { page, wire, report } = watched;
  const describe = async () =>
    JSON.stringify([await pictureOf(page), await report(), wire.all().slice(-3), watched.console]);
  const picture = await plays(page, kind === "live" ? null : 0, SECONDS, describe);
  assert.equal(picture.width, 320);
  assert.ok(picture.frames > 0, "no frame was decoded");
  assert.deepEqual((await report()).filter(({ fatal }) => fatal), []);
  if (shot) await page.screenshot({ path: shot });
  const answered = wire.all().filter(({ status, failure }) => status && !failure);
  const gets = answered.filter(({ method }) => method === "GET");
  assert.ok(gets.some(isPlaylist) && gets.some(ofPath(".ts")), JSON.stringify(gets));
  for (const { url, status, headers } of gets) {
    assert.ok([200, 206, 304].includes(status), `${status} ${url}`);
    const allowed = headers["access-control-allow-origin"];
    if (player !== "native") assert.ok(["*", origin].includes(allowed), `${url} ${JSON.stringify(headers)}`);
  }
  const preflights = answered.filter(({ method }) => method === "OPTIONS");
  assert.deepEqual([...new Set(preflights.map(({ status }) => status))], expected.preflight ? [expected.preflight] : []);
}

async function assertRefused(watched, player, expected) {
  const { page, wire, report } = watched;
  const error = await waitFor(
    // A segment is tried again for long before that is fatal.
    async () => (await report()).find(({ fatal }) => fatal || expected.at),
    async () => JSON.stringify({ errors: await report(), requests: wire.all(), console: watched.console }),
    30_000,
  );
  const method = expected.preflight ? "OPTIONS" : "GET";
  const isRefused = ofPath(expected.at ?? ".m3u8");
  const answers = wire.all().filter((request) => request.method === method && isRefused(request) && request.status);
  assert.ok(answers.length > 0, JSON.stringify(wire.all()));
  for (const answer of answers) {
    assert.equal(answer.status, expected.status, answer.url);
    assert.equal(answer.headers["x-oss-ec"] ?? null, expected.ec ?? null);
    if (!expected.cors && player !== "native") assert.equal(await wire.code(answer), expected.code);
  }
  if (expected.cors) {
    assert.deepEqual([...new Set(wire.all().filter(({ cors }) => cors).map(({ cors }) => cors))], [expected.cors]);
    assert.ok(watched.console.some((line) => line.includes("blocked by CORS policy")), watched.console.join("\n"));
  }
  // A script learns the status only where CORS lets it, and video.js forgets it when its MediaSource was open already.
  if (player === "hls.js") assert.equal(error.what, expected.at ? "fragLoadError" : "manifestLoadError");
  if (player === "video.js") assert.match(error.what, /^HLS playlist request error|^The media could not be loaded/);
  const told = player === "hls.js" || (player === "video.js" && error.status !== null);
  if (told) assert.equal(error.status, expected.cors ? 0 : expected.status, JSON.stringify(await report()));
  assert.equal((await pictureOf(page)).frames, 0);
}

describe("a page of another origin", { concurrency: 6 }, () => {
  const folder = mkdtempSync(path.join(tmpdir(), "millpond-shots-"));
  for (const [bucket, special, players, expected, kinds = Object.keys(LISTS)] of rows) {
    for (const player of players) {
      for (const kind of kinds) {
        const words = Object.entries(special).map(([name, value]) => `${name} ${value}`).join(", ");
        const outcome = expected.plays ? "plays" : `${expected.status} ${expected.ec ?? expected.code ?? "hidden"}`;
        test(`${player}, ${kind}: ${bucket}${words && ` (${words})`}: ${outcome}`, { timeout: 90_000 }, async () => {
          const { from = "page", header, referrer } = special;
          const watched = await open(player, from, await urlOf(bucket, LISTS[kind], special), { header, referrer });
          try {
            const shot = bucket === "open" && !header && path.join(folder, `${player}-${kind}.png`);
            const play = () => assertPlays(watched, player, kind, pages[from].origin, expected, shot);
            // Chromium's own HLS now and then stalls for good when it joins a live list at its very end; people reload.
            const again = (error) => (player === "native" && kind === "live" ? watched.page.reload().then(play) : Promise.reject(error));
            if (expected.plays) await play().catch(again);
            else await assertRefused(watched, player, expected);
            const referers = watched.wire.all().map(({ sent }) => sent.referer).filter((value) => value !== undefined);
            assert.deepEqual([...new Set(referers)], referrer ? [] : [`${pages[from].origin}/`]);
          } finally {
            await watched.context.close();
          }
        });
      }
    }
  }
  after(() => console.log(`# screenshots: ${folder}`));
});

// What a script of that page reads of answers that are no plain 200, and of the preflights that they need.
const answers = {
  whole: () => [{}, 200],
  "a range": () => [{ headers: { Range: "bytes=0-9" } }, 206],
  "not modified": ({ etag }) => [{ headers: { "If-None-Match": etag } }, 304],
  "modified meanwhile": () => [{ headers: { "If-Match": '"0"' } }, 412, "PreconditionFailed"],
};
// A URL is signed for one method and without further `x-oss-` headers.
const answersUnsigned = {
  ...answers,
  HEAD: () => [{ method: "HEAD" }, 200],
  "no such range": () => [{ headers: { Range: "bytes=99999999-", "x-oss-range-behavior": "standard" } }, 416, "InvalidRange"],
};

describe("a script of another origin", () => {
  const read = (page, url, init = {}) =>
    page.evaluate(
      async ({ url, init }) => {
        try {
          const answer = await fetch(url, { cache: "no-store", ...init });
          return { status: answer.status, headers: Object.fromEntries(answer.headers), body: await answer.text() };
        } catch (error) {
          return { failed: error.message };
        }
      },
      { url, init },
    );
  const codeOf = ({ body }) => /<Code>(\w+)<\/Code>/.exec(body)?.[1];

  async function withPage(work) {
    const watched = await open("none", "page", "");
    try {
      await work(watched.page, watched.wire);
    } finally {
      await watched.context.close();
    }
  }

  for (const [bucket, sign] of [["open", undefined], ["private", "v1"], ["private", "v4"]]) {
    test(`reads every answer of the bucket ${bucket}${sign ? `, signed ${sign}` : ""}`, async () => {
      await withPage(async (page, wire) => {
        const playlist = await urlOf(bucket, LISTS.vod, { sign });
        const list = await read(page, playlist);
        const segment = new URL(list.body.split("\n").find((line) => line.includes(".ts")), playlist).href;
        for (const url of [playlist, segment]) {
          const plain = await read(page, url);
          const isRewritten = sign && url === playlist;
          for (const [name, make] of Object.entries(sign ? answers : answersUnsigned)) {
            const [init, usual, code] = make({ etag: plain.headers.etag });
            // A signed playlist is written anew for each URL, so that a range of it means nothing (OSS auth 9.5).
            const status = isRewritten && usual === 206 ? 200 : usual;
            const answer = await read(page, url, init);
            assert.equal(answer.status, status, `${name} of ${url}: ${JSON.stringify(answer)}`);
            assert.match(answer.headers["x-oss-request-id"], /^[0-9A-F]{24}$/, name);
            if (status < 400) assert.equal(answer.headers.etag, plain.headers.etag, name);
            if (status === 206) assert.match(answer.headers["content-range"], /^bytes 0-9\/\d+$/);
            if (status >= 400) assert.equal(codeOf(answer), code, name);
          }
          const forged = url.replace(/(xpires=)(\d+)/, (_, name, value) => name + (Number(value) + 1));
          const refusals = sign
            ? [[forged, "SignatureDoesNotMatch"], [url.split("?")[0], "AccessDenied"]]
            : [[`${url}.missing`, "NoSuchKey"]];
          for (const [other, code] of refusals) {
            const answer = await read(page, other);
            assert.equal(codeOf(answer), code, `${other}: ${JSON.stringify(answer)}`);
          }
        }
        const preflights = wire.all().filter(({ method }) => method === "OPTIONS");
        assert.ok(preflights.length > 0, "conditional requests are announced by a preflight");
        for (const { status, headers } of preflights) {
          assert.equal(status, 200);
          assert.equal(headers["access-control-allow-origin"], pages.page.origin);
          assert.equal(headers["access-control-allow-methods"], "GET, HEAD");
          assert.equal(headers["access-control-max-age"], "600");
        }
      });
    });
  }

  test("reads nothing of a bucket without a rule, nor does what the rule leaves out", async () => {
    await withPage(async (page, wire) => {
      const closed = `http://closed.localhost:${server.port}/`;
      const tries = [[LISTS.live, {}, 200], [LISTS.live, { headers: { Range: "bytes=0-9" } }, 206], ["missing", {}, 404]];
      for (const [key, init, status] of tries) {
        assert.deepEqual(await read(page, closed + key, init), { failed: "Failed to fetch" });
        const isThis = (request) => request.url === closed + key && request.status === status && request.cors;
        const seen = await waitFor(() => wire.all().find(isThis), `${status} ${key}`);
        assert.equal(seen.cors, "MissingAllowOriginHeader");
      }
      const open = `http://open.localhost:${server.port}/new`;
      assert.deepEqual(await read(page, open, { method: "PUT", body: "x" }), { failed: "Failed to fetch" });
      // The page may hear of the failure before the browser tells what the answer was.
      await waitFor(() => wire.all().some(({ method, status }) => method === "OPTIONS" && status === 403), "the refused preflight");
      assert.ok(!wire.all().some(({ method, status }) => method === "PUT" && status), "the browser did not send it");
    });
  });
});
