// The console as somebody uses it who runs an encoder: headless Chromium, a real push, and the rights of users.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { launch } from "../support/browser.js";
import { fits, open as openTab, signIn } from "../support/console.js";
import { makeSource, push } from "../support/encoder.js";
import { accessKeyId, accessKeySecret, binary, root, Server, waitFor } from "../support/server.js";

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

const open = (options = {}) => openTab(browser, server.address, { viewport: { width: 1200, height: 900 }, ...options });

/** A key that is right leads to what is on air; the buckets are beside it. */
async function enter(page, id, secret) {
  await signIn(page, id, secret);
  await page.getByRole("link", { name: "Buckets", exact: true }).click();
}

async function bucket(name, acl = "private") {
  const client = server.client();
  await client.putBucket(name, { acl });
  client.useBucket(name);
  return client;
}

const configuration = (description = "") => ({
  Description: description, Status: "enabled", Target: { Type: "HLS", FragDuration: 1, FragCount: 5, PlaylistName: "playlist.m3u8" },
});

const status = (page, wanted) => page.locator(`.title .badge[data-status="${wanted}"]`).waitFor();

test("from signing in to a channel, a push, its report, and the end of the channel", async () => {
  await bucket("console-main");
  const { page, context, complaints, requests } = await open();
  await enter(page, accessKeyId, accessKeySecret);
  await page.locator(".list").getByRole("link", { name: "console-main" }).click();
  await page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name: "Live channels" }).click();
  await page.getByText("No channels here yet").waitFor();

  // What is wrong is the server's to say; then the channel is made.
  await page.getByRole("button", { name: "New channel" }).click();
  const evil = "<img src=x onerror=window.evil=1>";
  await page.getByLabel("Name", { exact: true }).fill("camera");
  await page.getByLabel("Description").fill(evil);
  await page.getByLabel("FragDuration").fill("1000");
  await page.getByRole("button", { name: "Create channel" }).click();
  await page.locator("dialog .refusal", { hasText: "FragDuration" }).waitFor();
  await page.getByLabel("FragDuration").fill("1");
  await page.getByRole("button", { name: "Create channel" }).click();
  await status(page, "Idle");
  assert.equal(await page.locator(".description").textContent(), evil);

  const pushUrl = await page.locator("#publish-url").textContent();
  assert.equal(`${await page.locator("#obs-server").textContent()}/${await page.locator("#obs-key").textContent()}`, pushUrl);
  assert.ok((await page.locator("#ffmpeg").textContent()).endsWith(`'${pushUrl}'`));
  // Presentation times that the order of B-frames contradicts: something for the report.
  const running = push(source, pushUrl, { loop: true, options: ["-bsf:v", "setts=pts=DTS"] });
  try {
    await status(page, "Live");
    await waitFor(async () => (await page.locator("#stat-size").textContent()) === "640 × 360", "the size of the picture");
    await waitFor(async () => /[1-9]\d* (k|M)bit\/s/.test(await page.locator("#stat-video").textContent()), "the bandwidth");
    await waitFor(async () => (await page.locator("#stat-rate").textContent()) === "30 fps", "the frame rate");
    assert.match(await page.locator("#stat-remote").textContent(), /^127\.0\.0\.1:\d+$/);
    await waitFor(async () => (await page.locator(".chart polyline").first().getAttribute("points")).split(" ").length >= 3, "three points of the line");

    // The address to watch is signed for this private bucket, segments and all.
    const play = await page.locator("#play-url").textContent();
    await waitFor(async () => (await fetch(play)).status === 200, "the playlist");
    assert.equal((await fetch(play.split("?")[0])).status, 403);
    const segment = (await (await fetch(play)).text()).split("\n").find((line) => line && !line.startsWith("#"));
    assert.equal((await fetch(new URL(segment, play))).status, 200);
    assert.equal(new URL(await page.locator("#watch").evaluate((link) => link.href)).searchParams.get("url"), play);

    await page.locator("#delete").click();
    await page.locator("#confirm").click();
    await page.locator(".refusal", { hasText: "ChannelStillLive" }).waitFor();
  } finally {
    await running.stop();
  }

  await status(page, "Idle");
  const report = page.locator("#sessions .session").first();
  await report.waitFor();
  const told = await report.textContent();
  assert.match(told, /Lavf/);
  assert.match(told, /digest/);
  assert.match(told, /H264.*AAC/s);
  assert.match(told, /Impossible times of B-frames: taken from the order of the pictures\d+ ×/);
  assert.equal(await page.locator("#refusals").isVisible(), false);

  // Disabled, encoders are refused, and whoever looks at the channel sees why.
  await page.locator("#toggle").click();
  await status(page, "Disabled");
  const refused = push(source, pushUrl);
  assert.notEqual(await refused.ended, 0);
  await page.locator("#refusals", { hasText: "LiveChannelDisabled" }).waitFor();
  assert.match(await page.locator("#refusals").textContent(), /from 127\.0\.0\.1:\d+.*The channel was disabled.*request [0-9A-F]{24}/s);

  // The list knows it too.
  await page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name: "Live channels" }).click();
  const row = page.locator(".list li", { hasText: "camera" });
  await row.locator('.badge[data-status="Disabled"]').waitFor();
  assert.ok((await row.textContent()).includes(evil));
  await row.getByRole("link").click();
  await page.locator("#delete").click();
  await page.locator("#confirm").click();
  await page.getByText("No channels here yet").waitFor();

  // An address made by a stranger leads nowhere else.
  for (const hash of ["#/%2Fevil.example/x", "#/%2F%2Fevil.example", "#/a%2F..%2Fb/<img src=x onerror=window.evil=1>"]) {
    await page.evaluate((text) => (location.hash = text), hash);
    await page.locator(".refusal").waitFor();
    await page.evaluate(() => (location.hash = "#/"));
    await page.getByRole("heading", { name: "On air" }).waitFor();
  }

  assert.deepEqual(complaints, []);
  assert.equal(await page.evaluate(() => window.evil), undefined);
  assert.equal(await page.locator("main img").count(), 0);
  for (const { url, all } of requests) {
    assert.ok(url.startsWith(`http://${server.address}/`) || url.startsWith("data:") || url.startsWith(`blob:http://${server.address}/`), url);
    assert.ok(!(url + all).includes(accessKeySecret), "the secret never leaves the page");
    assert.ok(!url.includes(accessKeyId), "no key in an address");
  }
  await context.close();
});

test("what cannot be recorded: the overview says it while the push goes on, the report what to change", async () => {
  const client = await bucket("console-hevc");
  await client.putChannel("camera", configuration());
  const url = client.getRtmpUrl("camera", { expires: 3600 }).replace(/\/\/[^/]*/, `//${server.address}/console-hevc`);
  const encoder = spawn(binary, ["publish", url, "--file", path.join(root, "crates/media/testdata/enhanced-hevc.flv"), "--rounds", "0"], { stdio: "ignore" });
  const ended = new Promise((resolve) => encoder.once("exit", resolve));
  const { page, context, complaints } = await open();
  try {
    await signIn(page);
    await page.locator(".tile", { hasText: "camera" }).getByText("Video is not H.264").waitFor();
  } finally {
    encoder.kill();
    await ended;
  }
  await page.evaluate(() => (location.hash = "#/b/console-hevc/channels/camera"));
  await page.locator("#sessions .session .advice").getByText("HEVC: choose H.264").waitFor();
  assert.deepEqual(complaints, []);
  await context.close();
});

test("a wrong secret and an unknown key are told apart, in words", async () => {
  const { page, context } = await open();
  await signIn(page, accessKeyId, "WrongSecretOfNobody");
  const refusal = page.locator(".refusal");
  await refusal.filter({ hasText: "SignatureDoesNotMatch" }).waitFor();
  assert.match(await refusal.textContent(), /The secret does not belong to this access key/);
  await signIn(page, "AKIDNOBODY", "WrongSecretOfNobody");
  await refusal.filter({ hasText: "InvalidAccessKeyId" }).waitFor();
  await signIn(page, accessKeyId, accessKeySecret);
  await page.getByRole("heading", { name: "On air" }).waitFor();
  await context.close();
});

test("a key lives in the memory of its tab, and a reload asks again", async () => {
  const { page, context } = await open();
  await signIn(page, accessKeyId, accessKeySecret);
  await page.getByRole("heading", { name: "On air" }).waitFor();
  await page.reload();
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  await signIn(page, accessKeyId, accessKeySecret);
  await page.getByRole("heading", { name: "On air" }).waitFor();
  const other = await context.newPage();
  await other.goto(`http://${server.address}/-/console`);
  await other.getByRole("heading", { name: "Sign in" }).waitFor();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  await page.goBack();
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  await context.close();
});

test("what an earlier version kept in the tab is forgotten", async () => {
  const { page, context } = await open();
  await page.evaluate((secret) => sessionStorage.setItem("millpond-console-key", JSON.stringify({ id: "a", secret })), accessKeySecret);
  await page.reload();
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  assert.deepEqual(await page.evaluate(() => ({ ...sessionStorage })), {});
  await context.close();
});

test("without the browser's cryptography, as over plain HTTP from another machine, it signs all the same", async () => {
  const { page, context, complaints } = await open();
  await context.addInitScript(() => Object.defineProperty(crypto, "subtle", { value: undefined }));
  await page.reload();
  assert.equal(await page.evaluate(() => crypto.subtle), undefined);
  await signIn(page, accessKeyId, accessKeySecret);
  await page.getByRole("heading", { name: "On air" }).waitFor();
  assert.deepEqual(complaints, []);
  await context.close();
});

test("a user sees what the policies allow, and is told about the rest", async () => {
  const own = await bucket("console-own", "public-read");
  await own.putChannel("mine", configuration("for viewers"));
  const foreign = await bucket("console-foreign");
  await foreign.putChannel("theirs", configuration());
  server.manage(["user", "create", "viewer"]);
  const key = server.manage(["key", "create", "viewer"]);
  const document = {
    Version: "1",
    Statement: [{
      Effect: "Allow",
      Action: ["oss:ListLiveChannel", "oss:GetLiveChannel", "oss:GetLiveChannelStat", "oss:GetLiveChannelHistory"],
      Resource: ["acs:oss:*:*:console-own", "acs:oss:*:*:console-own/*"],
    }],
  };
  server.manage(["policy", "put", "viewer", "one-bucket", "--document", "-"], JSON.stringify(document));

  const { page, context, complaints } = await open({ viewport: { width: 390, height: 844 }, colorScheme: "dark" });
  await signIn(page, key.access_key_id, key.access_key_secret);
  await page.getByRole("button", { name: "Menu" }).click();
  await page.getByRole("link", { name: "Buckets", exact: true }).click();
  await page.getByText("may not list all buckets").waitFor();
  await page.getByLabel("Bucket", { exact: true }).fill("console-own");
  await page.getByRole("button", { name: "Open" }).click();
  await page.locator(".list").getByRole("link", { name: "mine" }).click();
  await status(page, "Idle");
  await page.locator("#sessions").getByText("None yet").waitFor();
  assert.ok(await fits(page), "no sideways scrolling on a phone");
  // The control says beforehand which right is missing, and does nothing.
  const toggle = page.locator("#toggle");
  await page.locator('#toggle[aria-disabled="true"]').waitFor();
  assert.equal(await toggle.getAttribute("title"), "Your key lacks the right oss:PutLiveChannelStatus.");
  await toggle.click({ force: true });
  await page.locator("#said", { hasText: "oss:PutLiveChannelStatus" }).waitFor();
  assert.equal((await own.getChannel("mine")).data.Status, "enabled");

  await page.goto(`http://${server.address}/-/console#/console-foreign/theirs`);
  await page.getByRole("heading", { name: "theirs" }).waitFor();
  await page.locator(".refusal", { hasText: "AccessDenied" }).waitFor();
  assert.equal(await page.locator("#publish-url").count(), 0);
  assert.deepEqual(complaints, []);
  await context.close();
});

test("a temporary key pushes with the lines of the page, which copies them without a clipboard too", async () => {
  const client = await bucket("console-token");
  await client.putChannel("camera", configuration());
  server.manage(["user", "create", "publisher"]);
  const document = { Version: "1", Statement: [{ Effect: "Allow", Action: "oss:*", Resource: ["acs:oss:*:*:console-token", "acs:oss:*:*:console-token/*"] }] };
  server.manage(["policy", "put", "publisher", "all", "--document", "-"], JSON.stringify(document));
  const key = server.manage(["sts", "assume", "publisher"]);
  const { page, context, complaints } = await open();
  // As in a page that came over plain HTTP from another machine.
  await page.evaluate(() => Object.defineProperty(navigator, "clipboard", { value: undefined }));
  await page.getByText("Temporary key", { exact: true }).click();
  await page.getByLabel("Security token").fill(key.security_token);
  await enter(page, key.access_key_id, key.access_key_secret);
  await page.getByText("may not list all buckets").waitFor();
  await page.evaluate(() => (location.hash = "#/console-token/camera"));
  await status(page, "Idle");
  await page.getByRole("button", { name: "Copy Publish URL" }).click();
  await page.locator("#said", { hasText: "Publish URL copied" }).waitFor();
  await page.locator("#expiry").selectOption({ label: "1 hour" });
  const url = await waitFor(async () => {
    const shown = await page.locator("#publish-url").textContent();
    return Math.abs(Number(new URL(shown).searchParams.get("Expires")) - Date.now() / 1000 - 3600) < 60 && shown;
  }, async () => `an address for an hour: ${await page.locator("#publish-url").textContent()}`);
  const running = push(source, url);
  try {
    await status(page, "Live");
    await waitFor(async () => (await fetch(await page.locator("#play-url").textContent())).status === 200, "the playlist");
  } finally {
    await running.stop();
  }
  await status(page, "Idle");
  assert.deepEqual(complaints, []);
  await context.close();
});

test("lists go on where a page ends", async () => {
  const client = await bucket("console-many");
  for (let number = 0; number < 23; number++) await client.putChannel(`channel-${String(number).padStart(2, "0")}`, configuration());
  const { page, context } = await open();
  await enter(page, accessKeyId, accessKeySecret);
  await page.locator(".list").getByRole("link", { name: "console-many" }).click();
  await page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name: "Live channels" }).click();
  await waitFor(async () => (await page.locator(".list li").count()) === 20, "a page");
  await page.getByRole("button", { name: "Show more" }).click();
  await waitFor(async () => (await page.locator(".list li").count()) === 23, "the rest");
  await waitFor(async () => (await page.locator('.badge[data-status="Idle"]').count()) === 23, "the state of each");
  await page.getByRole("button", { name: "Show more" }).waitFor({ state: "hidden" });
  await context.close();
});

test("the pages say what browsers may do with them", async () => {
  for (const name of ["console", "console/", "console/app.js", "console/console.css", "console/settings.json"]) {
    const answer = await fetch(`http://${server.address}/-/${name}`);
    assert.equal(answer.status, 200, name);
    const policy = answer.headers.get("content-security-policy");
    assert.match(policy, /default-src 'none'.*script-src 'self';.*frame-ancestors 'none'/);
    assert.ok(!/unsafe|\*/.test(policy), policy);
    assert.equal(answer.headers.get("x-content-type-options"), "nosniff");
    assert.equal(answer.headers.get("cross-origin-opener-policy"), "same-origin");
    assert.equal(answer.headers.get("cross-origin-resource-policy"), "same-origin");
    assert.equal(answer.headers.get("access-control-allow-origin"), null);
  }
  const html = await (await fetch(`http://${server.address}/-/console`)).text();
  assert.ok(!/<script(?![^>]*\bsrc=)|\son\w+=|\sstyle=/.test(html), "nothing inline");
});

test("switched off, nothing of it is there, and the player still is", async () => {
  const file = path.join(mkdtempSync(path.join(tmpdir(), "millpond-off-")), "millpond.toml");
  writeFileSync(file, "[http]\nconsole = false\n");
  const off = await Server.start("--config", file);
  try {
    const answered = async (name) => (await fetch(`http://${off.address}/-/${name}`)).status;
    for (const name of ["console", "console/", "console/app.js", "console/index.html", "console/settings.json", "api/v1/channels/b/c/sessions"]) {
      assert.equal(await answered(name), 404, name);
    }
    assert.equal(await answered("play"), 200);
  } finally {
    assert.equal(await off.stop(), 0);
  }
});
