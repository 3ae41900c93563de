// Lists that players find hard, in a real Chromium: one segment at a time, segments of a second, several discontinuities in a
// second, a push that comes back after its list was given up. hls.js, video.js and the browser's own player go on; shaka does
// where a list goes on.
import assert from "node:assert/strict";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { launch, pictureOf, plays } from "../support/browser.js";
import { makeSource, push } from "../support/encoder.js";
import { PageServer } from "../support/pages.js";
import { Server, waitFor } from "../support/server.js";

const SECONDS = 3;
const SCRIPTED = ["hls.js", "video.js"];
// FragDuration, FragCount, and what happens once everybody plays.
const lists = {
  "a FragCount of 1": [2, 1],
  "a FragDuration of 1": [1, 6],
  "three discontinuities within a second": [1, 8, async (url, running) => {
    await running.stop();
    for (let n = 0; n < 3; n++) await push(pieces[n], url, { paced: false }).ended;
    return push(source, url, { loop: true });
  }],
  "a return after the reconnect window": [1, 6, async (url, running) => {
    await running.stop();
    await sleep(4000);
    return push(source, url, { loop: true });
  }],
};

let server, pages, browser, client, source, pieces;
before(async () => {
  const config = path.join(mkdtempSync(path.join(tmpdir(), "millpond-config-")), "millpond.toml");
  writeFileSync(config, "[live]\nreconnect_window_s = 2\n");
  server = await Server.start("--config", config);
  pages = await PageServer.start("page.localhost");
  source = makeSource(10, "320x180");
  pieces = [1, 2, 3].map(() => makeSource(0.3, "320x180"));
  browser = await launch();
  client = server.client({ sldEnable: true });
});
after(async () => {
  await browser?.close();
  await pages?.stop();
  assert.equal(await server?.stop(), 0);
});

async function setUp(bucket, fragDuration, fragCount) {
  await client.putBucket(bucket, { acl: "public-read" });
  client.useBucket(bucket);
  await client.putBucketCORS(bucket, [{ allowedOrigin: pages.origin, allowedMethod: ["GET", "HEAD"], allowedHeader: ["*"] }]);
  await client.putChannel("camera", {
    Description: "", Status: "enabled",
    Target: { Type: "HLS", FragDuration: fragDuration, FragCount: fragCount, PlaylistName: "playlist.m3u8" },
  });
  return client.getRtmpUrl("camera").replace("//localhost:", "//127.0.0.1:");
}

/** Opens a page with a player; `goesOn` waits until it has played for a while from now on, reloaded once if need be. */
async function watch(player, url) {
  const context = await browser.newContext({ viewport: { width: 640, height: 360 } });
  const page = await context.newPage();
  await page.goto(pages.address(player, url, {}));
  const describe = async () => `${player}: ${JSON.stringify([await pictureOf(page), await page.evaluate(() => window.report.errors)])}`;
  return { context, goesOn: async () => {
    const { time } = await pictureOf(page);
    const play = () => waitFor(async () => (await pictureOf(page)).time >= Math.max(time, 0) + SECONDS, describe, 45_000);
    // People reload the browser's own player when it stands still, also twice: joining a list at its very end may fail.
    const reload = () => page.reload().then(() => plays(page, null, SECONDS, describe));
    const again = (error) => (player === "native" ? reload().catch(reload).catch(reload) : Promise.reject(error));
    await play().catch(again);
  } };
}

describe("lists that players find hard", () => {
  for (const [name, [fragDuration, fragCount, happens]] of Object.entries(lists)) {
    test(name, { timeout: 240_000 }, async () => {
      const bucket = name.replaceAll(" ", "-").toLowerCase();
      const url = await setUp(bucket, fragDuration, fragCount);
      let running = push(source, url, { loop: true });
      const watched = [];
      try {
        const list = `http://${bucket}.localhost:${server.port}/camera/playlist.m3u8`;
        await waitFor(async () => (await client.get("camera/playlist.m3u8").catch(() => null)) !== null, () => running.stderr, 30_000);
        // Chromium's own HLS refuses a live list of one segment (DEMUXER_ERROR_COULD_NOT_PARSE), whatever is in it.
        const players = fragCount === 1 ? SCRIPTED : name.startsWith("three") ? [...SCRIPTED, "shaka", "native"] : [...SCRIPTED, "native"];
        for (const player of players) watched.push(await watch(player, list));
        await Promise.all(watched.map((one) => one.goesOn()));
        if (!happens) return;
        running = await happens(url, running);
        await sleep(2000);
        await Promise.all(watched.map((one) => one.goesOn()));
      } finally {
        await running.stop();
        for (const { context } of watched) await context.close();
      }
    });
  }
});
