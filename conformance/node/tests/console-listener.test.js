// `console_listen`: the console and the management API behind a listener of their own, and what that leaves on each side.
import assert from "node:assert/strict";
import { mkdtempSync, writeFileSync } from "node:fs";
import http from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { launch, plays } from "../support/browser.js";
import { makeSource, push } from "../support/encoder.js";
import { accessKeyId, accessKeySecret, oneMachine, Server, waitFor } from "../support/server.js";

let server, browser;
before(async () => {
  server = await Server.start("--console-listen", "127.0.0.1:0");
  browser = await launch();
});
after(async () => {
  await browser?.close();
  assert.equal(await server?.stop(), 0);
});

const ask = (address, target, options) => fetch(`http://${address}${target}`, options);

test("it is told where the console listens", () => {
  assert.match(server.consoleAddress, /^127\.0\.0\.1:[1-9]\d*$/);
  assert.equal(new Set([server.address, server.adminAddress, server.consoleAddress]).size, 3);
});

test("the public listener has the player and no console", async () => {
  for (const name of ["console", "console/", "console/app.js", "console/index.html", "console/settings.json", "api/v1/channels/b/c/sessions"]) {
    assert.equal((await ask(server.address, `/-/${name}`)).status, 404, name);
  }
  assert.equal((await ask(server.address, "/-/play")).status, 200);
  assert.equal((await ask(server.address, "/api/v1/users", { headers: { "x-oss-admin": "v1" } })).status, 404);
});

test("the admin listener keeps health and metrics", async () => {
  for (const name of ["healthz", "readyz", "metrics"]) assert.equal((await ask(server.adminAddress, `/${name}`)).status, 200, name);
  for (const [method, target] of [["GET", "/api/v1/users"], ["POST", "/api/v1/users"], ["POST", "/?Action=AssumeRole"]]) {
    const answer = await ask(server.adminAddress, target, { method, headers: { "x-oss-admin": "v1" } });
    assert.equal(answer.status, 404);
    assert.match(await answer.text(), /console_listen/);
  }
});

test("commands manage users through the console's listener", () => {
  server.manage(["user", "create", "anna"]);
  assert.deepEqual(server.manage(["user", "list"]).users.map(({ name }) => name), ["anna"]);
});

test("nothing that a browser can follow leads to an object there", async () => {
  const client = server.client();
  await client.putBucket("listener-public", { acl: "public-read-write" });
  client.useBucket("listener-public");
  await client.put("page.html", Buffer.from("<script>1</script>"), { mime: "text/html" });
  const signed = new URL(client.signatureUrl("page.html"));
  const host = "listener-public.localhost";
  const refused = async (target, options = {}) => {
    const answer = await new Promise((resolve, reject) => {
      const request = http.request({ host: "127.0.0.1", port: server.consoleAddress.split(":")[1], path: target, ...options }, resolve);
      request.on("error", reject).end(options.body);
    });
    answer.resume();
    assert.equal(answer.statusCode, 403, target);
    assert.equal(answer.headers["content-security-policy"], "sandbox");
  };
  await refused("/listener-public/page.html");
  await refused("/listener-public/page.html", { method: "HEAD" });
  await refused("/listener-public/new.html", { method: "PUT", body: "x" });
  await refused(`/listener-public/page.html${signed.search}`);
  await refused(`/page.html${signed.search}`, { headers: { host } });
  await refused("/", { headers: { host } });
  await refused("/");
  await refused("/listener-public/", { method: "OPTIONS", headers: { origin: "http://a.example", "access-control-request-method": "GET" } });
  for (const target of ["/-/play", "/-/play.js", "/-/nothing"]) assert.equal((await ask(server.consoleAddress, target)).status, 404, target);
  // What the public listener says is as before.
  assert.equal((await ask(server.address, "/listener-public/page.html")).status, 200);
  assert.equal((await ask(server.address, `/listener-public/page.html${signed.search}`)).status, 200);
});

test("RTMP is not spoken there", async () => {
  const source = makeSource(2);
  const client = server.client();
  await client.putBucket("listener-rtmp", { acl: "public-read-write" });
  client.useBucket("listener-rtmp");
  const { publishUrls } = await client.putChannel("camera", { Status: "enabled", Target: { Type: "HLS", FragDuration: 1, FragCount: 5, PlaylistName: "playlist.m3u8" } });
  const refused = push(source, publishUrls[0].replace(/\/\/[^/]*/, `//${server.consoleAddress}`).replace(".localhost", ""));
  assert.notEqual(await refused.ended, 0);
});

const ports = oneMachine("the console names the port of its own server; the tests' balancer has another one");

test("the console works there, and sends encoders and viewers to the public listener", ports, async () => {
  const client = server.client();
  await client.putBucket("listener-main", { acl: "private" });
  client.useBucket("listener-main");
  await client.putChannel("camera", { Status: "enabled", Target: { Type: "HLS", FragDuration: 1, FragCount: 5, PlaylistName: "playlist.m3u8" } });
  const context = await browser.newContext();
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(error.message));
  await page.goto(`http://${server.consoleAddress}/-/console`);
  await page.getByLabel("Access key id").fill(accessKeyId);
  await page.getByLabel("Access key secret").fill(accessKeySecret);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("link", { name: "Buckets", exact: true }).click();
  await page.locator(".list").getByRole("link", { name: "listener-main" }).click();
  await page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name: "Live channels" }).click();
  await page.locator(".list").getByRole("link", { name: "camera" }).click();
  await page.locator("#sessions").getByText("None yet").waitFor();
  const address = await page.locator("#publish-url").textContent();
  assert.ok(address.startsWith(`rtmp://${server.address}/listener-main/live/camera?`), address);
  const play = await page.locator("#play-url").textContent();
  assert.ok(play.startsWith(`http://${server.address}/listener-main/camera/playlist.m3u8?`), play);
  const watch = new URL(await page.locator("#watch").evaluate((link) => link.href));
  assert.equal(watch.origin + watch.pathname, `http://${server.address}/-/play`);
  const running = push(makeSource(6), address, { loop: true });
  try {
    await page.locator('.title .badge[data-status="Live"]').waitFor();
    await waitFor(async () => (await fetch(play)).status === 200, "the playlist");
    // The picture comes as calls of the API: links and signed addresses are refused here.
    await plays(page, undefined, 1, "the picture of the private bucket");
  } finally {
    await running.stop();
  }
  assert.deepEqual(complaints, []);
  await context.close();
});

test("the public name of the service is where encoders and viewers are sent", async () => {
  const file = path.join(mkdtempSync(path.join(tmpdir(), "millpond-named-")), "millpond.toml");
  writeFileSync(file, 'public_endpoint = "media.example:8443"\n\n[http]\nconsole = true\n');
  const named = await Server.start("--config", file, "--console-listen", "127.0.0.1:0");
  try {
    const settings = await (await ask(named.consoleAddress, "/-/console/settings.json")).json();
    assert.equal(settings.media, "http://media.example:8443");
  } finally {
    assert.equal(await named.stop(), 0);
  }
});

test("switched off, the listener keeps the management API", async () => {
  const file = path.join(mkdtempSync(path.join(tmpdir(), "millpond-off-")), "millpond.toml");
  writeFileSync(file, 'console_listen = "127.0.0.1:0"\n\n[http]\nconsole = false\n');
  const off = await Server.start("--config", file);
  try {
    for (const address of [off.address, off.consoleAddress]) assert.equal((await ask(address, "/-/console")).status, 404);
    off.manage(["user", "create", "anna"]);
  } finally {
    assert.equal(await off.stop(), 0);
  }
});
