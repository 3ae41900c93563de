// Lists that players find hard, in a real Chromium: one segment at a time, segments of a second, several discontinuities in a
// second, a push that comes back after its list was given up. hls.js, video.js, shaka and the browser's own player go on, with the
// pages of docs/playing.md: two of them load a list again where the picture stands still.
import assert from "node:assert/strict";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { launch, pictureOf } from "../support/browser.js";
import { makeSource, push } from "../support/encoder.js";
import { PageServer } from "../support/pages.js";
import { Server, waitFor } from "../support/server.js";

/** Media that a player must have shown since something happened, seconds. */
const SECONDS = 3;
const HLSJS = "hls.js 1.7", VIDEOJS = "video.js 8", SHAKA = "shaka 5", OWN = "Chromium's own";
const EVERY = [HLSJS, VIDEOJS, SHAKA, OWN];
// FragDuration, FragCount, who plays, and what happens once everybody plays.
const lists = {
  "a FragCount of 1": [2, 1, [HLSJS, VIDEOJS, SHAKA]],
  "a FragDuration of 1": [1, 6, EVERY],
  "three discontinuities within a second": [1, 8, EVERY, async (url, running) => {
    await running.stop();
    for (let n = 0; n < 3; n++) await push(pieces[n], url, { paced: false }).ended;
    return push(source, url, { loop: true });
  }],
  "a return after the reconnect window": [1, 6, EVERY, async (url, running) => {
    await running.stop();
    await sleep(2 * RECONNECT_WINDOW_S * 1000);
    return push(source, url, { loop: true });
  }],
};
const RECONNECT_WINDOW_S = 2;

let server, apple, pages, browser, source, pieces;
before(async () => {
  const config = (text) => {
    const file = path.join(mkdtempSync(path.join(tmpdir(), "millpond-config-")), "millpond.toml");
    writeFileSync(file, `[live]\nreconnect_window_s = ${RECONNECT_WINDOW_S}\n${text}`);
    return file;
  };
  server = await Server.start("--config", config(""));
  apple = await Server.start("--config", config('authoring = "apple"\n'));
  pages = await PageServer.start("page.localhost");
  source = makeSource(10, "160x90");
  pieces = [1, 2, 3].map(() => makeSource(0.3, "160x90"));
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await pages?.stop();
  assert.deepEqual([await server?.stop(), await apple?.stop()], [0, 0]);
});

/** A bucket with a channel: where to push, where the list is, and how to look at it. */
async function setUp(on, bucket, fragDuration, fragCount) {
  const client = on.client({ sldEnable: true });
  await client.putBucket(bucket, { acl: "public-read" });
  client.useBucket(bucket);
  await client.putBucketCORS(bucket, [{ allowedOrigin: pages.origin, allowedMethod: ["GET", "HEAD"], allowedHeader: ["*"] }]);
  await client.putChannel("camera", {
    Description: "", Status: "enabled",
    Target: { Type: "HLS", FragDuration: fragDuration, FragCount: fragCount, PlaylistName: "playlist.m3u8" },
  });
  return {
    url: client.getRtmpUrl("camera").replace("//localhost:", "//127.0.0.1:"),
    list: `http://${bucket}.localhost:${on.port}/camera/playlist.m3u8`,
    text: async () => (await client.get("camera/playlist.m3u8").catch(() => null))?.content.toString() ?? "",
  };
}

/** Opens a page with a player. */
async function watch(player, url) {
  const context = await browser.newContext({ viewport: { width: 320, height: 180 } });
  const page = await context.newPage();
  await page.goto(pages.tableAddress(player));
  await page.evaluate((wanted) => window.play(wanted), url);
  const report = () => page.evaluate(() => window.report);
  const describe = async () => `${player}: ${JSON.stringify([await pictureOf(page), await report()])}`;
  /** How far it comes with what it has. */
  const reach = () => page.evaluate(() => {
    const { buffered } = document.querySelector("video");
    return { begun: window.report.begun, end: buffered.length ? buffered.end(buffered.length - 1) : 0 };
  });
  /** Waits until it has shown some seconds of what it did not have at the mark. */
  const goesOn = async (mark) => {
    let from = mark.end || null, last = 0;
    await waitFor(async () => {
      const { time, frames } = await pictureOf(page);
      // Who loads the list again has a clock of its own.
      if (time < last || (from === null && frames > 0)) from = Math.max(time, 0);
      last = time;
      return from !== null && frames > 0 && time >= from + SECONDS;
    }, describe, 60_000);
    return (await report()).begun - mark.begun;
  };
  return { player, context, report, describe, reach, goesOn };
}

async function withPush(set, players, work) {
  const state = { running: push(source, set.url, { loop: true }) };
  const watched = [];
  try {
    await waitFor(async () => (await set.text()) !== "", () => state.running.stderr, 30_000);
    watched.push(...(await Promise.all(players.map((player) => watch(player, set.list)))));
    await work(watched, state);
  } finally {
    await state.running.stop();
    for (const { context } of watched) await context.close();
  }
}

describe("lists that players find hard", { concurrency: 2 }, () => {
  for (const [name, [fragDuration, fragCount, players, happens]] of Object.entries(lists)) {
    test(name, { timeout: 180_000 }, async () => {
      const set = await setUp(server, name.replaceAll(" ", "-").toLowerCase(), fragDuration, fragCount);
      await withPush(set, players, async (watched, state) => {
        const tell = (times) => times.forEach((count, index) => count && console.log(`# ${name}: ${watched[index].player} began again ${count} times`));
        tell(await Promise.all(watched.map((one) => one.goesOn({ begun: 1, end: 0 }))));
        if (!happens) return;
        state.running = await happens(set.url, state.running);
        const marks = await Promise.all(watched.map((one) => one.reach()));
        tell(await Promise.all(watched.map((one, index) => one.goesOn(marks[index]))));
      });
    });
  }

  // Chromium's own HLS refuses most live lists of one segment (DEMUXER_ERROR_COULD_NOT_PARSE), whatever is in them: a page that tries
  // again plays at last, after some twenty attempts. With six segments it plays at once.
  test("a FragCount of 1 and Chromium's own", { timeout: 120_000 }, async () => {
    const set = await setUp(apple, "one-segment-own", 2, 1);
    await withPush(set, [OWN], async ([one]) => {
      await one.goesOn({ begun: 1, end: 0 });
      assert.ok((await set.text()).match(/#EXTINF/g).length > 1);
    });
  });
});
