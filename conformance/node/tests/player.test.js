// Headless Chromium plays the live playlist of a running push on the bundled page.
import assert from "node:assert/strict";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { launch } from "../support/browser.js";
import { makeSource, push } from "../support/encoder.js";
import { Server, waitFor } from "../support/server.js";

const configuration = {
  Description: "", Status: "enabled",
  Target: { Type: "HLS", FragDuration: 1, FragCount: 5, PlaylistName: "playlist.m3u8" },
};

let server, browser, source;
before(async () => {
  server = await Server.start();
  source = makeSource(10);
  browser = await launch();
});
after(async () => {
  await browser?.close();
  assert.equal(await server?.stop(), 0);
});

async function channelIn(bucket, acl) {
  const client = server.client();
  await client.putBucket(bucket, { acl });
  client.useBucket(bucket);
  await client.putChannel("camera", configuration);
  return client;
}

async function watch(url) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 720 } });
  const page = await context.newPage();
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(`page error: ${error.message}`));
  page.on("console", (message) => {
    if (message.type() === "error") complaints.push(`console: ${message.text()}`);
  });
  // Installed before the page's own scripts, so that no media event is missed.
  await page.addInitScript(() => {
    window.mediaErrors = [];
    document.addEventListener("error", (event) => {
      if (event.target instanceof HTMLMediaElement) window.mediaErrors.push(event.target.error?.message ?? "error");
    }, true);
  });
  await page.goto(`http://${server.address}/-/play?url=${encodeURIComponent(url)}`);
  return { page, context, complaints };
}

const state = (page) =>
  page.evaluate(() => {
    const video = document.querySelector("video");
    return {
      time: video?.currentTime ?? -1, width: video?.videoWidth ?? 0, ready: video?.readyState ?? 0, paused: video?.paused,
      frames: video?.getVideoPlaybackQuality().totalVideoFrames ?? 0, mediaErrors: window.mediaErrors,
      page: { state: window.millpond?.state, errors: window.millpond?.errors ?? ["no window.millpond"] },
    };
  });

async function playsFor(watched, seconds, name) {
  const first = await waitFor(async () => {
    const now = await state(watched.page);
    return now.ready >= 3 && now.time > 0 && now;
  }, `the first picture of ${name}; ${JSON.stringify(await state(watched.page))} ${watched.complaints}`, 20_000);
  await waitFor(async () => (await state(watched.page)).time >= first.time + seconds, `${seconds} s of playing`, seconds * 3000);
  const last = await state(watched.page);
  const shot = path.join(mkdtempSync(path.join(tmpdir(), "millpond-shot-")), `${name}.png`);
  await watched.page.screenshot({ path: shot });
  console.log(`# ${name}: ${shot}`);
  assert.deepEqual(last.mediaErrors, []);
  assert.deepEqual(last.page.errors, []);
  assert.deepEqual(watched.complaints, []);
  assert.equal(last.width, 640);
  assert.ok(last.frames > seconds * 20, `${last.frames} frames decoded`);
}

test("the live playlist of a public bucket plays", async () => {
  const client = await channelIn("player-public", "public-read");
  const running = push(source, client.getRtmpUrl("camera").replace("player-public.localhost", "127.0.0.1"), {
    loop: true, options: ["-rtmp_tcurl", `rtmp://player-public.localhost:${server.port}/live`],
  });
  try {
    const url = `http://${server.address}/player-public/camera/playlist.m3u8`;
    await waitFor(async () => (await fetch(url)).status === 200, `the playlist; ffmpeg says ${running.stderr}`);
    const watched = await watch(url);
    await playsFor(watched, 6, "public");
    await watched.context.close();
  } finally {
    await running.stop();
  }
});

test("the live playlist of a private bucket plays through one signed URL", async () => {
  const client = await channelIn("player-private", "private");
  const running = push(source, client.getRtmpUrl("camera").replace("player-private.localhost", "127.0.0.1"), {
    loop: true, options: ["-rtmp_tcurl", `rtmp://player-private.localhost:${server.port}/live`],
  });
  try {
    const signer = server.client({ bucket: "player-private", sldEnable: true, endpoint: `http://localhost:${server.port}` });
    const url = signer
      .signatureUrl("camera/playlist.m3u8", { process: "hls/sign", expires: 600 })
      .replace("//localhost:", "//127.0.0.1:");
    await waitFor(async () => (await fetch(url)).status === 200, `the playlist; ffmpeg says ${running.stderr}`);
    assert.equal((await fetch(url.split("?")[0])).status, 403);
    const watched = await watch(url);
    await playsFor(watched, 4, "private");
    await watched.context.close();
  } finally {
    await running.stop();
  }
});

test("the page waits for a push that has not begun", async () => {
  const client = await channelIn("player-waits", "public-read");
  const watched = await watch(`http://${server.address}/player-waits/camera/playlist.m3u8`);
  await new Promise((resolve) => setTimeout(resolve, 1500));
  assert.equal((await state(watched.page)).time <= 0, true);
  const running = push(source, client.getRtmpUrl("camera").replace("player-waits.localhost", "127.0.0.1"), {
    loop: true, options: ["-rtmp_tcurl", `rtmp://player-waits.localhost:${server.port}/live`],
  });
  try {
    await waitFor(async () => (await state(watched.page)).time > 1, "playing after the push began", 30_000);
    await watched.context.close();
  } finally {
    await running.stop();
  }
});
