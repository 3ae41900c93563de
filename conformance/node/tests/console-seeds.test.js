// The two walk-throughs of the OSS console that the seeds describe, step by step in their words, each ending with the effect:
// a page of another origin plays only with the rule, and a foreign Referer gets 403.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, observe, pictureOf, plays } from "../support/browser.js";
import { enter } from "../support/console.js";
import { makeSource, push } from "../support/encoder.js";
import { PageServer } from "../support/pages.js";
import { Server, waitFor } from "../support/server.js";

let server, browser, pages, running, client;
before(async () => {
  server = await Server.start();
  browser = await launch();
  pages = await PageServer.start("localhost");
  client = server.client();
  await client.putBucket("seeds", { acl: "public-read" });
  client.useBucket("seeds");
  await client.putChannel("camera", { Status: "enabled", Target: { Type: "HLS", FragDuration: 1, FragCount: 5, PlaylistName: "playlist.m3u8" } });
  running = push(makeSource(10), client.getRtmpUrl("camera", { expires: 3600 }).replace(/\/\/[^/]*/, `//${server.address}/seeds`), { loop: true });
  await waitFor(async () => (await fetch(playlist())).status === 200, "the playlist", 30_000);
});
after(async () => {
  await running?.stop();
  await pages?.stop();
  await browser?.close();
  assert.equal(await server?.stop(), 0);
});

const playlist = () => `http://${server.address}/seeds/camera/playlist.m3u8`;

/** Steps 1 and 2 of both: log on, click Buckets, click the name of the bucket; then Access Control and the section. */
async function section(name) {
  const tab = await enter(browser, server);
  await tab.page.getByRole("link", { name: "Buckets", exact: true }).click();
  await tab.page.locator(".list").getByRole("link", { name: "seeds" }).click();
  const rail = tab.page.getByRole("navigation", { name: "Pages" });
  await rail.getByRole("link", { name: "Access Control" }).click();
  await rail.getByRole("link", { name, exact: true }).click();
  await tab.page.getByRole("heading", { name, level: 1 }).waitFor();
  return { ...tab, section: tab.page.getByRole("region", { name, exact: true }) };
}

/** Somebody's page in a tab of its own, playing the stream with hls.js, and what its requests were answered. */
async function visitor(work) {
  const context = await browser.newContext();
  const page = await context.newPage();
  try {
    const seen = await observe(page, server.port);
    await page.goto(pages.address("hls.js", playlist()));
    return await work(page, seen);
  } finally {
    await context.close();
  }
}

test("Cross-Origin Resource Sharing (CORS): Configure, Create Rule, Sources", async () => {
  // By default CORS is disabled, and the page of a third party cannot play.
  await visitor(async (page, seen) => {
    await waitFor(() => seen.all().some(({ cors }) => cors), "a refusal by the browser");
    assert.equal((await pictureOf(page)).frames, 0);
  });

  const { page, context, complaints, section: cors } = await section("Cross-Origin Resource Sharing (CORS)");
  await cors.getByText("CORS is disabled").waitFor();
  assert.equal(await page.getByRole("button", { name: "Create Rule" }).count(), 0);
  await cors.getByRole("button", { name: "Configure" }).click();
  await cors.getByRole("button", { name: "Create Rule" }).click();
  const dialog = page.getByRole("dialog", { name: "Create Rule" });
  for (const label of ["Allowed Headers", "Exposed Headers", "Cache Timeout (Seconds)", "Vary: Origin"]) await dialog.getByLabel(label).waitFor();
  for (const method of ["GET", "HEAD"]) assert.equal(await dialog.getByLabel(method, { exact: true }).isChecked(), true, method);

  // A domain on its own is what browsers never send: the page says so and offers what they do send.
  await dialog.getByLabel("Sources").fill("www.example.com");
  await dialog.getByText("matches none of them").waitFor();
  await dialog.getByRole("button", { name: "Write it with http:// and https://" }).click();
  assert.equal(await dialog.getByLabel("Sources").inputValue(), "http://www.example.com\nhttps://www.example.com");

  await dialog.getByLabel("Sources").fill(pages.origin);
  await dialog.getByRole("button", { name: "OK" }).click();
  await cors.getByRole("cell", { name: pages.origin }).waitFor();
  assert.deepEqual((await client.getBucketCORS("seeds")).rules.map(({ allowedOrigin, allowedMethod }) => [allowedOrigin, allowedMethod]), [[pages.origin, ["GET", "HEAD"]]]);

  // The effect.
  await visitor((other) => plays(other, undefined, 2, "the picture in somebody's page"));

  // Another rule, changed and deleted: what is stored is what is shown.
  await cors.getByRole("button", { name: "Create Rule" }).click();
  await dialog.getByLabel("Sources").fill("https://b.example");
  await dialog.getByLabel("PUT").check();
  await dialog.getByLabel("Vary: Origin").check();
  await dialog.getByLabel("Cache Timeout (Seconds)").fill("-1");
  await dialog.getByRole("button", { name: "OK" }).click();
  await dialog.locator(".refusal").waitFor();
  await dialog.getByLabel("Cache Timeout (Seconds)").fill("60");
  await dialog.getByRole("button", { name: "OK" }).click();
  await cors.getByRole("cell", { name: "https://b.example" }).waitFor();
  await cors.getByText("carries Vary: Origin").waitFor();
  await cors.getByRole("button", { name: "Edit rule 2" }).click();
  const edit = page.getByRole("dialog", { name: "Edit Rule" });
  await edit.getByLabel("Sources").fill("https://c.example");
  await edit.getByRole("button", { name: "OK" }).click();
  await cors.getByRole("cell", { name: "https://c.example" }).waitFor();
  await cors.getByRole("button", { name: "Delete rule 2" }).click();
  await page.locator("#confirm").click();
  await waitFor(async () => (await cors.getByRole("row").count()) === 2, "one rule and the head");
  const { rules } = await client.getBucketCORS("seeds");
  assert.deepEqual(rules.map(({ allowedOrigin }) => allowedOrigin), [pages.origin]);

  // Without the rule it does not play any more.
  await cors.getByRole("button", { name: "Delete rule 1" }).click();
  await page.locator("#confirm").click();
  await cors.getByText("CORS is disabled").waitFor();
  await visitor((_, seen) => waitFor(() => seen.all().some(({ cors: refused }) => refused), "a refusal by the browser"));
  assert.deepEqual(complaints, []);
  await context.close();
});

test("Hotlink Protection: Configure, Referer Whitelist, Allow Empty Referer, Save", async () => {
  const status = async (referer) => (await fetch(playlist(), referer ? { headers: { referer } } : {})).status;
  assert.deepEqual([await status(), await status("http://evil.example/")], [200, 200]);

  const { page, context, complaints, section: hotlink } = await section("Hotlink Protection");
  await hotlink.getByRole("button", { name: "Configure" }).click();
  const empty = hotlink.getByRole("switch", { name: "Allow Empty Referer" });
  assert.equal(await empty.getAttribute("aria-checked"), "true");

  // The seed's note: turned off over an empty list it does not take effect.
  await empty.click();
  await hotlink.getByText("do not configure a Referer whitelist, the hotlink protection configuration does not take effect").waitFor();
  await hotlink.getByRole("button", { name: "Save" }).click();
  await hotlink.getByRole("button", { name: "Configure" }).waitFor();
  await hotlink.getByText("does not take effect").waitFor();
  assert.deepEqual([await status(), await status("http://evil.example/")], [200, 200]);

  await hotlink.getByRole("button", { name: "Configure" }).click();
  // A host without an end lets in those that merely begin like it; the page says so.
  await hotlink.getByLabel("Referer Whitelist").fill("http://www.example.com");
  await hotlink.getByText("http://www.example.com.evil.net").waitFor();
  await hotlink.getByRole("button", { name: "End it with a slash" }).click();
  assert.equal(await hotlink.getByLabel("Referer Whitelist").inputValue(), "http://www.example.com/");
  await hotlink.getByLabel("Referer Whitelist").fill(`*.example.com/\n${pages.origin}/`);
  await hotlink.getByText("only requests that include Referer fields specified in the whitelist can access").waitFor();
  await hotlink.getByRole("button", { name: "Save" }).click();
  await hotlink.getByRole("button", { name: "Configure" }).waitFor();

  // The effect.
  assert.deepEqual(
    [await status(), await status("http://evil.example/"), await status("http://www.example.com/page"), await status(`${pages.origin}/`)],
    [403, 403, 200, 200],
  );
  const refused = await fetch(playlist(), { headers: { referer: "http://evil.example/" } });
  assert.match(await refused.text(), /<Code>AccessDenied<\/Code>.*denied by bucket referer policy/s);

  // The page of the channel goes on showing its picture: calls of the API are not asked for a Referer.
  await page.evaluate(() => (location.hash = "#/b/seeds/channels/camera"));
  await plays(page, undefined, 1, "the picture in the console");
  assert.deepEqual(complaints, []);
  await context.close();
});

test("Try it asks the server for its decision, and shows status, Code, EC and headers", async () => {
  const { page, context, section: hotlink } = await section("Hotlink Protection");
  await hotlink.waitFor();
  const card = page.getByRole("region", { name: "Try it" });
  await card.getByLabel("File").fill("camera/playlist.m3u8");
  await card.getByLabel("Referer").fill("http://evil.example/");
  await card.getByRole("button", { name: "Try" }).click();
  const outcome = card.locator(".outcome");
  await outcome.waitFor();
  for (const text of ["403", "AccessDenied", "0003-00000503", "denied by bucket referer policy", "content-type: application/xml"]) assert.ok((await outcome.innerText()).includes(text), text);
  // The same as for whoever really asks.
  const real = await fetch(playlist(), { headers: { referer: "http://evil.example/" } });
  assert.deepEqual([real.status, real.headers.get("x-oss-ec")], [403, "0003-00000503"]);
  await context.close();
});
