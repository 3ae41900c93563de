// A page of another origin with one tag of `/-/embed.js`: opened before the first push, over a restart of the server, and where
// it may not play.
import assert from "node:assert/strict";
import http from "node:http";
import { after, before, test } from "node:test";
import { launch } from "../support/browser.js";
import { makeSource, push } from "../support/encoder.js";
import { Server, waitFor } from "../support/server.js";

let server, browser, source, pages, origin;
before(async () => {
  server = await Server.start();
  source = makeSource(10);
  browser = await launch();
  // Under a policy as strict as sites have: no inline scripts or styles.
  pages = http.createServer((request, response) => {
    const url = new URL(request.url, "http://x").searchParams.get("url");
    const policy = `default-src 'none'; script-src http://${server.address}; connect-src http://${server.address}; media-src blob:; worker-src blob:`;
    response.setHeader("content-type", "text/html; charset=utf-8");
    response.setHeader("content-security-policy", policy);
    response.end(`<!doctype html><html lang="en"><title>a page</title><link rel="icon" href="data:,"><body>
      <script src="http://${server.address}/-/embed.js" data-src="${url}" async></script></body></html>`);
  });
  await new Promise((resolve) => pages.listen(0, "127.0.0.1", resolve));
  origin = `http://127.0.0.1:${pages.address().port}`;
});
after(async () => {
  pages?.close();
  await browser?.close();
  assert.equal(await server?.stop(), 0);
});

async function channel(bucket, acl, withRule = true) {
  const client = server.client();
  await client.putBucket(bucket, { acl });
  client.useBucket(bucket);
  if (withRule) await client.putBucketCORS(bucket, [{ allowedOrigin: origin, allowedMethod: ["GET", "HEAD"], allowedHeader: "*" }]);
  await client.putChannel("camera", { Status: "enabled", Target: { Type: "HLS", FragDuration: 1, FragCount: 5, PlaylistName: "playlist.m3u8" } });
  const url = () => client.getRtmpUrl("camera", { expires: 3600 }).replace(/\/\/[^/]*/, `//${server.address}/${bucket}`);
  return { play: `http://${server.address}/${bucket}/camera/playlist.m3u8`, push: () => push(source, url(), { loop: true }) };
}

async function watch(url) {
  const context = await browser.newContext({ locale: "en-GB" });
  const page = await context.newPage();
  const errors = [];
  page.on("pageerror", (error) => errors.push(error.message));
  await page.goto(`${origin}/?url=${encodeURIComponent(url)}`);
  return { page, context, errors };
}

const state = (page) => page.evaluate(() => {
  const frame = document.querySelector(".millpond-player"), video = frame?.querySelector("video");
  return { state: frame?.dataset.state, text: frame?.querySelector("p").textContent, time: video?.currentTime ?? 0, frames: video?.getVideoPlaybackQuality().totalVideoFrames ?? 0 };
});
const until = (page, condition, what, patience = 40_000) => waitFor(async () => {
  const now = await state(page);
  return condition(now) && now;
}, async () => `${what}: ${JSON.stringify(await state(page))}`, patience);

test("one tag waits for the first push, plays it, and comes back after a restart of the server", async () => {
  const stream = await channel("embedded", "public-read");
  const { page, context, errors } = await watch(stream.play);
  const waiting = await until(page, (now) => now.state === "waiting" && now.text, "waiting in words");
  assert.match(waiting.text, /Nothing is on air yet/);
  let running = stream.push();
  await until(page, (now) => now.state === "playing" && now.time > 1, "the first picture");
  await running.stop();
  await server.restart(3000);
  running = stream.push();
  const before_ = (await state(page)).frames;
  await until(page, (now) => now.state === "playing" && now.frames > before_ + 60, "the picture after the restart", 90_000);
  await running.stop();
  await until(page, (now) => now.state === "stopped" || now.state === "waiting", "the end in words", 60_000);
  assert.deepEqual(errors, []);
  await context.close();
});

test("what may not be played says so", async () => {
  const closed = await channel("embedded-private", "private");
  const { page, context, errors } = await watch(closed.play);
  assert.match((await until(page, (now) => now.state === "refused", "the refusal")).text, /private/);
  const ruleless = await channel("embedded-ruleless", "public-read", false);
  await page.goto(`${origin}/?url=${encodeURIComponent(ruleless.play)}`);
  assert.match((await until(page, (now) => now.state === "waiting" && now.text, "no rule")).text, /CORS/);
  assert.deepEqual(errors, []);
  await context.close();
});

test("a browser at the root is led to the console, a client of the API is not", async () => {
  const visit = (headers, address = "/") => fetch(`http://${server.address}${address}`, { redirect: "manual", headers });
  const page = await visit({ accept: "text/html,application/xhtml+xml,*/*;q=0.8" });
  assert.deepEqual([page.status, page.headers.get("location")], [302, "/-/console"]);
  assert.match(page.headers.get("vary"), /Accept/);
  for (const headers of [{ accept: "*/*" }, {}, { accept: "text/html", authorization: "OSS a:b" }]) assert.equal((await visit(headers)).status, 403, JSON.stringify(headers));
  assert.equal((await visit({ accept: "text/html" }, "/?prefix=a")).status, 403);
  for (const address of ["/favicon.ico", "/-/favicon.svg", "/-/logo.svg"]) {
    const icon = await visit({}, address);
    assert.deepEqual([icon.status, icon.headers.get("content-type")], [200, "image/svg+xml"], address);
  }
  const tab = await browser.newPage();
  await tab.goto(`http://${server.address}/`);
  await tab.getByRole("heading", { name: "Sign in" }).waitFor();
  assert.match(tab.url(), /\/-\/console$/);
  await tab.close();
});
