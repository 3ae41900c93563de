// What a browser keeps, and what it asks for again (D23), with Chromium's own cache: a page that returns sees the stream as it
// is now, and what one player loaded is of use to the next, also when that one needs the headers of CORS.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { launch, observe, pictureOf, plays } from "../support/browser.js";
import { makeSource, push } from "../support/encoder.js";
import { PageServer } from "../support/pages.js";
import { Server, waitFor } from "../support/server.js";

const SECONDS = 4;
const LIVE = "camera/playlist.m3u8", VOD = "camera/archive.m3u8";
let server, pages, browser;
/** A recording that grows old while the other tests run. */
let returning, recordedAt;

before(async () => {
  server = await Server.start();
  pages = await PageServer.start("page.localhost");
  browser = await launch();
  returning = await record("returning");
  recordedAt = Date.now();
});
after(async () => {
  await browser?.close();
  await pages?.stop();
  assert.equal(await server?.stop(), 0);
});

/** A public bucket with rules for the page's origin, and a recording that is over. */
async function record(bucket) {
  const client = server.client({ sldEnable: true });
  await client.putBucket(bucket, { acl: "public-read" });
  client.useBucket(bucket);
  await client.putBucketCORS(bucket, [{ allowedOrigin: [pages.origin], allowedMethod: ["GET", "HEAD"], allowedHeader: ["*"] }]);
  await client.putChannel("camera", {
    Description: "", Status: "enabled", Target: { Type: "HLS", FragDuration: 1, FragCount: 20, PlaylistName: "playlist.m3u8" },
  });
  const running = push(makeSource(SECONDS + 2, "320x180"), client.getRtmpUrl("camera").replace("//localhost:", "//127.0.0.1:"));
  await running.ended;
  const at = Math.floor(Date.now() / 1000);
  await waitFor(
    () => client.createVod("camera", "archive.m3u8", { startTime: at - 3600, endTime: at + 1 }).then(() => true, () => false),
    () => `a recording; ffmpeg says ${running.stderr.slice(-2000)}`,
  );
  const url = (key) => `http://${bucket}.localhost:${server.port}/${key}`;
  const list = (await client.get(VOD)).content.toString();
  return { url, segment: url(`camera/${list.split("\n").find((line) => line.endsWith(".ts"))}`) };
}

async function open(player, url, context) {
  const page = await context.newPage();
  const console = [];
  page.on("console", (message) => console.push(message.text()));
  const wire = await observe(page, server.port);
  await page.goto(pages.address(player, url));
  return { page, console, wire };
}

/** How many requests for objects have reached the server. */
async function asked() {
  const text = await (await fetch(`http://${server.adminAddress}/metrics`)).text();
  const lines = text.split("\n").filter((line) => /^\w*http_requests\w*\{/.test(line) && line.includes('operation="GetObject"'));
  assert.ok(lines.length > 0, text);
  return lines.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
}

const read = (page, url, init = {}) =>
  page.evaluate(
    async ({ url, init }) => {
      try {
        const answer = await fetch(url, init);
        return { type: answer.type, status: answer.status, bytes: (await answer.arrayBuffer()).byteLength };
      } catch (error) {
        return { failed: error.message };
      }
    },
    { url, init },
  );

describe("the cache of a browser", () => {
  test("keeps segments, and for a script what a script may read", { timeout: 60_000 }, async () => {
    const { segment } = await record("kept");
    const context = await browser.newContext();
    try {
      const { page } = await open("none", "", context);
      // As an element of the page loads it: without an Origin, and without the headers of CORS in the answer.
      assert.equal((await read(page, segment, { mode: "no-cors" })).type, "opaque");
      const scripted = await read(page, segment);
      assert.deepEqual([scripted.type, scripted.status], ["cors", 200], JSON.stringify(scripted));
      const before = await asked();
      for (let again = 0; again < 3; again++) assert.equal((await read(page, segment)).bytes, scripted.bytes);
      assert.equal((await asked()) - before, 0);
    } finally {
      await context.close();
    }
  });

  describe("is of use to the next player", { concurrency: 2 }, () => {
    for (const second of ["hls.js", "video.js"]) test(`lets ${second} play what the browser's own player has loaded`, { timeout: 90_000 }, async () => {
      const { url } = await record(`played-by-${second.replace(".", "-")}`);
      const context = await browser.newContext({ viewport: { width: 640, height: 360 } });
      try {
        for (const player of ["native", second, "native", second]) {
          const { page, console, wire } = await open(player, url(VOD), context);
          const describe = async () =>
            JSON.stringify([player, await pictureOf(page), await page.evaluate(() => window.report.errors), console, wire.all()]);
          await plays(page, 0, SECONDS - 1, describe);
          assert.deepEqual((await page.evaluate(() => window.report.errors)).filter(({ fatal }) => fatal), []);
          assert.ok(!console.some((line) => line.includes("blocked by CORS policy")), console.join("\n"));
          const segments = wire.all().filter(({ url, status }) => url.endsWith(".ts") && [200, 206].includes(status));
          for (const { headers } of segments) {
            assert.equal(headers["cache-control"], "public, max-age=31536000, immutable");
            assert.equal(headers.vary, "Origin");
          }
          await page.close();
        }
      } finally {
        await context.close();
      }
    });
  });

  test("never answers for a live playlist", { timeout: 120_000 }, async () => {
    // The older the last change, the longer a browser trusts what it has, unless it is told: a tenth of that age.
    await sleep(Math.max(0, recordedAt + 40_000 - Date.now()));
    const { url } = returning;
    const context = await browser.newContext();
    try {
      const { page } = await open("none", "", context);
      const before = await asked();
      for (let poll = 0; poll < 5; poll++) assert.equal((await read(page, url(LIVE))).status, 200);
      assert.equal((await asked()) - before, 5);
    } finally {
      await context.close();
    }
  });
});
