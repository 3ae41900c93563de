// The table of docs/playing.md: each player that is a page plays live, says that its address has expired and plays on with another,
// goes on where a push returns and where the server was killed, and plays a recording to its end. All play side by side in one
// Chromium against one push.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { launch, observe, pictureOf } from "../support/browser.js";
import { makeSource, push } from "../support/encoder.js";
import { PageServer } from "../support/pages.js";
import { PLAYERS } from "../support/players.js";
import { Server, waitFor } from "../support/server.js";

/** Media that a player must have shown since something happened, seconds. */
const SECONDS = 2;
/** How long the first address is good, seconds: less than it takes all players to begin and to be looked at. */
const GOOD_S = 6;
/** How long the push is away, ms; a longer form of the same has longer outages. */
const AWAY_MS = process.env.MILLPOND_LONG_TABLE ? 12_000 : 1000;
const LIST = "camera/playlist.m3u8", RECORDING = "camera/archive.m3u8";
const BUCKET = "table";

const COLUMNS = { live: 0, back: 1, restart: 2, expiry: 3, recording: 4 };
const table = () => {
  const page = readFileSync(new URL("../../../docs/playing.md", import.meta.url), "utf8");
  const text = page.split("\n## Players")[1].split("\n## ")[0];
  return Object.fromEntries(text.split("\n").filter((line) => line.startsWith("| ")).map((line) => line.split("|").slice(1, -1).map((cell) => cell.trim())).map(([name, ...cells]) => [name, cells]));
};

let server, pages, browser, client, source, running, begunAt;
let watched = [];
before(async () => {
  server = await Server.start();
  pages = await PageServer.start("page.localhost");
  source = makeSource(10, "160x90");
  client = server.client({ sldEnable: true });
  await client.putBucket(BUCKET, { acl: "private" });
  client.useBucket(BUCKET);
  await client.putBucketCORS(BUCKET, [{ allowedOrigin: pages.origin, allowedMethod: ["GET", "HEAD"], allowedHeader: ["*"] }]);
  await client.putChannel("camera", {
    Description: "", Status: "enabled", Target: { Type: "HLS", FragDuration: 1, FragCount: 6, PlaylistName: "playlist.m3u8" },
  });
  begunAt = Math.floor(Date.now() / 1000);
  running = begin();
  browser = await launch();
  const open = async (name) => {
    const context = await browser.newContext({ viewport: { width: 320, height: 180 } });
    const page = await context.newPage();
    await page.goto(pages.tableAddress(name));
    return { name, page, wire: await observe(page, server.port) };
  };
  watched = await Promise.all(Object.keys(PLAYERS).map(open));
  await waitFor(async () => (await client.get(LIST).catch(() => null)) !== null, () => running.stderr, 30_000);
});
after(async () => {
  await running?.stop();
  await browser?.close();
  await pages?.stop();
  assert.equal(await server?.stop(), 0);
});

const begin = () => push(source, client.getRtmpUrl("camera").replace("//localhost:", "//127.0.0.1:"), { loop: true });
const signed = (key, expires) => client.signatureUrl(key, { process: "hls/sign", expires });
const play = ({ page }, url) => page.evaluate((wanted) => window.play(wanted), url);
const reportOf = ({ page }) => page.evaluate(() => window.report);
const describe = async (one) => `${one.name}: ${JSON.stringify([await pictureOf(one.page), await reportOf(one), one.wire.all().slice(-3).map(({ url, status }) => [url, status])])}`;

/** Where each player is, and how far it would come without another segment. */
const mark = () => Promise.all(watched.map((one) => one.page.evaluate(() => {
  const { buffered } = document.querySelector("video");
  return { begun: window.report.begun, end: buffered.length ? buffered.end(buffered.length - 1) : 0 };
})));

/** Waits until every player has shown some seconds of what was not there at the mark; `times` says how often each began again. */
async function goOn(marks = watched.map(() => ({ begun: Infinity, end: 0 }))) {
  return Promise.all(watched.map(async (one, index) => {
    const { begun, end } = marks[index];
    let from = end, last = 0, frames = 0;
    await waitFor(async () => {
      const now = await pictureOf(one.page);
      // Who begins again has a clock of its own, as has a page that was given another address.
      if (now.time < last || !Number.isFinite(begun) && from === 0) from = Math.max(now.time, 0);
      frames = now.frames;
      last = now.time;
      return frames > 0 && now.time >= from + SECONDS;
    }, () => describe(one), 60_000);
    return (await reportOf(one)).begun - begun;
  }));
}

test("the table has a row for every player, and no other for pages", () => {
  const rows = table();
  for (const name of Object.keys(PLAYERS)) {
    assert.ok(rows[name], `docs/playing.md has no row for ${name}`);
    // The other columns are what the tests below demand of all.
    const { live, back, restart, recording } = COLUMNS;
    assert.deepEqual([live, back, restart, recording].map((column) => rows[name][column]), ["plays", "goes on", "goes on", "plays"], name);
  }
});

/** What was seen of each player. */
const tell = (times) => watched.forEach(({ name }, index) => times[index] && console.log(`# ${name} began again ${times[index]} times`));

test("live, until the address expires; then with another", { timeout: 180_000 }, async () => {
  const rows = table();
  const first = signed(LIST, GOOD_S);
  await Promise.all(watched.map((one) => play(one, first)));
  await Promise.all(watched.map(async (one) => {
    await waitFor(() => one.wire.all().some(({ url, status }) => url.includes("playlist.m3u8") && status === 403), () => describe(one), 60_000);
    // The column says how a page learns it; nobody needs to wait for one that keeps it to itself.
    const said = rows[one.name][COLUMNS.expiry];
    const isTold = async () => (await reportOf(one)).errors.some(({ what, status }) => (said === "403" ? status === 403 : said.includes(what)));
    if (said !== "says nothing") await waitFor(isTold, () => describe(one), 30_000);
    await play(one, signed(LIST, 3600));
  }));
  await goOn();
});

test("where a push returns", { timeout: 120_000 }, async () => {
  await running.stop();
  const marks = await mark();
  await sleep(AWAY_MS);
  running = begin();
  tell(await goOn(marks));
});

test("where the server was killed", { timeout: 120_000 }, async () => {
  await server.restart(AWAY_MS);
  await running.stop();
  const marks = await mark();
  running = begin();
  tell(await goOn(marks));
});

test("a recording, to its end", { timeout: 120_000 }, async () => {
  // Some seconds with an outage among them.
  await client.createVod("camera", "archive.m3u8", { startTime: begunAt, endTime: begunAt + 8 });
  const url = signed(RECORDING, 3600);
  await Promise.all(watched.map(async (one) => {
    await one.page.reload();
    await play(one, url);
  }));
  const ended = ({ page }) => page.evaluate(() => document.querySelector("video")?.ended ?? false);
  await Promise.all(watched.map((one) => waitFor(() => ended(one), () => describe(one), 60_000)));
});
