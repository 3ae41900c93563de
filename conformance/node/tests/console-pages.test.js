// Every page of the console, in both languages, both lights and on a phone: nothing that axe finds, no error, nothing beside the
// window, no text missing. With MILLPOND_SCREENSHOTS=FOLDER each is kept as a picture (`make screenshots`).
import assert from "node:assert/strict";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { launch, plays } from "../support/browser.js";
import { answering, enter, fits, goTo, isAccessible, open, settled, signIn } from "../support/console.js";
import { Server, waitFor } from "../support/server.js";
import { channelsOnAir, furnish, PAGES } from "../support/walk.js";

let server, browser, furniture;
before(async () => {
  server = await Server.start();
  browser = await launch();
  furniture = await furnish(server);
});
after(async () => {
  await furniture?.stop();
  await browser?.close();
  assert.equal(await server?.stop(), 0);
});

const pictures = process.env.MILLPOND_SCREENSHOTS;
const keep = (page, name) => pictures && page.screenshot({ path: path.join(pictures, `${name}.png`) });

const WAYS = [
  ["english-light", { locale: "en-GB", colorScheme: "light" }],
  ["english-dark", { locale: "en-GB", colorScheme: "dark" }],
  ["chinese-light", { locale: "zh-CN", colorScheme: "light" }],
  ["chinese-phone", { locale: "zh-CN", colorScheme: "dark", viewport: { width: 390, height: 844 } }],
  ["english-phone", { locale: "en-GB", colorScheme: "light", viewport: { width: 390, height: 844 } }],
];
/** Pictures of these are kept; of the others only the first pages. */
const WHOLE = ["english-light", "english-dark"];
const SOME = ["on-air", "channel", "cors", "recordings"];

/** Two samples of what the channel receives make a line in each graph. */
const curves = 'figure svg.chart polyline[points*=" "]';

// Side by side: most of each is waiting for answers. Pictures are taken one after the other, of a machine that is not busy.
describe("every page", { concurrency: pictures ? 1 : 3 }, () => {
  for (const [way, options] of WAYS) test(way, async () => {
    const { page, context, complaints } = await open(browser, server.address, { viewport: { width: 1280, height: 800 }, ...options });
    await page.locator("h1").waitFor();
    await isAccessible(page, `${way}: sign-in`);
    if (WHOLE.includes(way)) await keep(page, `sign-in-${way}`);
    await signIn(page);
    for (const [name, hash, sight] of PAGES) {
      await goTo(page, hash);
      await page.locator(sight).first().waitFor();
      // A machine that is busy makes its pictures later; the tiles are whole without them.
      if (pictures && name === "on-air") await page.locator(".tile img >> nth=4").waitFor().catch(() => {});
      if (name === "channel") await page.locator(curves).nth(1).waitFor({ state: "attached" });
      await settled(page, `${way}: ${name}`);
      // Counters that move, and pictures.
      if (pictures) await page.waitForTimeout(name === "channel" ? 4000 : name === "on-air" ? 1500 : 400);
      if (WHOLE.includes(way) || SOME.includes(name)) await keep(page, `${name}-${way}`);
      await isAccessible(page, `${way}: ${name}`);
      assert.ok(await fits(page), `${way}: ${name} is wider than the window`);
      const text = await page.evaluate(() => document.body.innerText);
      // A key of the table that shows itself, or a place that was not filled.
      assert.doesNotMatch(text, /(?:^|\s)(?:rail|action|bucket|access|channel|cors|referer|files|object|usage|about|users|keys|onAir|recordings|player)\.[a-z]\w+|\{\w+\}|\[object|undefined|NaN/, `${way}: ${name}`);
      assert.equal(await page.evaluate(() => document.documentElement.lang), options.locale === "zh-CN" ? "zh-CN" : "en");
      await waitFor(async () => (await page.locator("h1").count()) === 1, `${way}: ${name} has one heading`);
    }
    assert.deepEqual(complaints, []);
    await context.close();
  });
});

test("addresses can be kept: every page by its address after signing in, and back again", async () => {
  const { page, context } = await enter(browser, server, "#/b/media/access/cors");
  await page.locator("#cors table").waitFor();
  assert.match(await page.title(), /CORS/);
  await page.getByRole("link", { name: "Hotlink Protection" }).click();
  await page.locator("#referer").waitFor();
  await page.goBack();
  await page.locator("#cors table").waitFor();
  // Those of the first console lead where they led.
  await goTo(page, "#/media/entrance");
  await page.getByRole("heading", { name: "entrance", level: 1 }).waitFor();
  await context.close();
});

test("the language follows the browser, can be changed, and is remembered; so is the light", async () => {
  const { page, context } = await open(browser, server.address, { locale: "zh-CN" });
  await page.getByRole("heading", { name: "登录" }).waitFor();
  await page.locator("#language").selectOption("en");
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  await page.reload();
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  await signIn(page);
  await page.locator("#language").selectOption("zh");
  await page.getByRole("link", { name: "Bucket 列表", exact: true }).click();
  await page.getByRole("heading", { name: "Bucket 列表" }).waitFor();
  await page.getByRole("button", { name: "深色" }).click();
  await waitFor(() => page.evaluate(() => document.documentElement.dataset.theme === "dark"), "the dark page");
  await page.reload();
  await page.getByRole("heading", { name: "登录" }).waitFor();
  assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), "dark");
  assert.deepEqual(Object.keys(await page.evaluate(() => ({ ...localStorage }))).sort(), ["millpond-console-language", "millpond-console-theme"]);
  await context.close();
});

test("by keyboard alone: sign in, a page of the rail, a dialog, and no ring around the page", async () => {
  const { page, context } = await open(browser, server.address);
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  const type = async (text) => page.keyboard.type(text);
  const { accessKeyId, accessKeySecret } = await import("../support/server.js");
  await type(accessKeyId);
  await page.keyboard.press("Tab");
  await type(accessKeySecret);
  await page.keyboard.press("Enter");
  await page.locator("#leave").waitFor();
  // The heading has the focus, so that those who listen hear where they are, and shows no ring.
  await waitFor(() => page.evaluate(() => document.activeElement.tagName === "H1"), "the focus on the heading");
  assert.equal(await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle), "none");
  const focusOn = async (name, role) => {
    for (let presses = 0; presses < 60; presses++) {
      if (await page.evaluate(([wanted, kind]) => (document.activeElement.getAttribute("aria-label") || document.activeElement.innerText.trim()) === wanted && document.activeElement.matches(kind), [name, role])) return;
      await page.keyboard.press("Shift+Tab");
    }
    throw new Error(`no way to ${name}`);
  };
  await focusOn("Buckets", "a");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Buckets" }).waitFor();
  await page.locator(".list li").first().waitFor();
  for (let presses = 0; presses < 30 && !(await page.evaluate(() => document.activeElement.innerText === "New bucket")); presses++) await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await page.getByRole("dialog", { name: "New bucket" }).waitFor();
  await page.keyboard.press("Escape");
  await waitFor(async () => (await page.getByRole("dialog").count()) === 0, "the dialog to close");
  await waitFor(() => page.evaluate(() => document.activeElement.innerText === "New bucket"), "the focus back where it was");
  await context.close();
});

test("a key with few rights walks every page and meets no dead end", async () => {
  server.manage(["user", "create", "guest"]);
  const key = server.manage(["key", "create", "guest"]);
  const document_ = { Version: "1", Statement: [{ Effect: "Allow", Action: ["oss:GetLiveChannel", "oss:GetLiveChannelStat"], Resource: ["acs:oss:*:*:media/entrance"] }] };
  server.manage(["policy", "put", "guest", "one-channel", "--document", "-"], JSON.stringify(document_));
  const { page, context, complaints } = await open(browser, server.address);
  await signIn(page, key.access_key_id, key.access_key_secret);
  for (const [name, hash] of PAGES) {
    await goTo(page, hash);
    await page.locator("h1").waitFor();
    await settled(page, name);
    // What was refused says so, in words, with the code and the number of the request.
    for (const refusal of await page.locator(".refusal").all()) assert.match(await refusal.innerText(), /AccessDenied|NoSuchKey|MethodNotAllowed|HTTP 40/, name);
    for (const act of await page.locator('button[aria-disabled="true"]').all()) {
      const told = await act.evaluate((button) => document.getElementById(button.getAttribute("aria-describedby"))?.textContent ?? "");
      assert.match(told, /lacks the right (oss|millpond):\w+/, `${name}: ${await act.innerText()}`);
    }
    await isAccessible(page, name);
  }
  await goTo(page, "#/b/media/channels/entrance");
  const toggle = page.locator("#toggle");
  await waitFor(async () => (await toggle.getAttribute("aria-disabled")) === "true", "the button without its right");
  await page.locator(".title .badge").waitFor();
  await toggle.click({ force: true });
  await page.locator("#said", { hasText: "oss:PutLiveChannelStatus" }).waitFor();
  assert.deepEqual(complaints, []);
  await context.close();
});

test("on air: one call a refresh and a bounded page for a thousand channels; search, sort, live first", async () => {
  const { page, context, complaints } = await open(browser, server.address);
  const all = channelsOnAir(1000);
  const calls = await answering(context, "on-air", () => ({ body: { now: new Date().toISOString(), total: all.length, truncated: false, channels: all } }));
  const others = [];
  page.on("request", (request) => new URL(request.url()).pathname.startsWith("/-/console") || request.url().startsWith("blob:") || others.push(new URL(request.url()).pathname));
  const before_ = performance.now();
  await signIn(page);
  await page.locator(".tile").first().waitFor();
  console.log(`1000 channels: ${(performance.now() - before_).toFixed(0)} ms from signing in to the first tile`);
  await page.getByText("667 channels live").waitFor();
  const nodes = () => page.evaluate(() => document.querySelectorAll("#tiles *").length);
  const tiles = () => page.locator(".tile").count();
  assert.ok((await tiles()) < 60, `${await tiles()} tiles`);
  assert.ok((await nodes()) < 2500, `${await nodes()} nodes`);
  console.log(`1000 channels: ${await tiles()} tiles and ${await nodes()} nodes in the page`);
  await page.evaluate(() => window.scrollTo(0, document.body.scrollHeight));
  await page.locator(".tile", { hasText: "Nobody is pushing" }).last().waitFor();
  assert.ok((await tiles()) < 60, `${await tiles()} tiles at the end`);
  await page.evaluate(() => window.scrollTo(0, 0));
  const names = () => page.locator(".tile .name").allTextContents();
  await waitFor(async () => (await page.locator(".tile .badge").first().getAttribute("data-status")) === "Live", "live channels first again");
  await page.getByRole("searchbox", { name: "Search channels" }).fill("townhall 0005");
  await waitFor(async () => String(await names()) === "camera-0005", "the one that is looked for");
  await page.getByRole("searchbox", { name: "Search channels" }).fill("");
  await page.locator("#sort").selectOption("viewers");
  await waitFor(async () => /^camera/.test((await names())[0]) && Number(await page.locator(".tile .viewers").first().evaluate((one) => one.lastChild.textContent)) >= 238, "the most watched first");
  await page.getByRole("button", { name: "Warnings" }).click();
  await waitFor(async () => (await page.locator(".tile .trouble").count()) > 0, "those with warnings");
  const had = calls(), from = others.length;
  await waitFor(() => calls() >= had + 2, "two refreshes", 30_000);
  assert.deepEqual([...new Set(others.slice(from))], ["/-/api/v1/on-air"], "nothing else is asked for");
  assert.equal(others.slice(from).length, calls() - had);
  assert.deepEqual(complaints, []);
  await context.close();
});

test("files: a bounded page for a hundred thousand objects, loaded as far as one looks", async () => {
  const { page, context } = await open(browser, server.address);
  const total = 100_000;
  let calls = 0;
  await context.route((url) => url.pathname === "/media/" && url.searchParams.get("list-type") === "2", async (route) => {
    calls += 1;
    const from = Number(new URL(route.request().url()).searchParams.get("continuation-token") ?? 0);
    const row = (index) => `<Contents><Key>segment-${String(index).padStart(6, "0")}.ts</Key><LastModified>2026-11-28T19:00:00.000Z</LastModified><ETag>"X"</ETag><Type>Normal</Type><Size>344606</Size><StorageClass>Standard</StorageClass></Contents>`;
    const rows = Array.from({ length: 1000 }, (_, index) => row(from + index)).join("");
    const next = from + 1000 < total ? `<NextContinuationToken>${from + 1000}</NextContinuationToken>` : "";
    await route.fulfill({ contentType: "application/xml", body: `<ListBucketResult><Name>media</Name><IsTruncated>${Boolean(next)}</IsTruncated>${next}${rows}</ListBucketResult>` });
  });
  await signIn(page);
  const before_ = performance.now();
  await goTo(page, "#/b/media/files");
  await page.locator(".file").first().waitFor();
  console.log(`files: ${(performance.now() - before_).toFixed(0)} ms to the first rows`);
  assert.equal(calls, 1);
  const count = () => page.locator(".file").count();
  assert.ok((await count()) < 80, `${await count()} rows`);
  const scrolling = performance.now();
  for (let pages = 1; pages < 100; pages++) {
    await waitFor(async () => {
      await page.evaluate(() => window.scrollTo(0, document.body.scrollHeight));
      return calls > pages;
    }, `page ${pages + 1}`, 30_000, 20);
  }
  await page.getByText("100,000 items").waitFor();
  console.log(`files: ${(performance.now() - scrolling).toFixed(0)} ms through all ${total}`);
  assert.equal(calls, 100);
  assert.ok((await count()) < 80, `${await count()} rows at the end`);
  assert.ok((await page.evaluate(() => document.querySelectorAll("*").length)) < 2500);
  await context.close();
});

test("the picture plays in the page; going back inside the list, and to live again", async () => {
  const { page, context, complaints } = await enter(browser, server, "#/b/media/channels/entrance");
  await plays(page, undefined, 2, "the live picture");
  const place = () => page.evaluate(() => {
    const range = document.querySelector("#picture input[type=range]");
    return { at: document.querySelector("#picture video").currentTime, from: Number(range.min) };
  });
  // Far enough from the beginning of the list to go back to it.
  const was = await waitFor(async () => {
    await page.locator("#go-live").click();
    const now = await place();
    return now.at > now.from + 1.5 && now;
  }, "something to go back to", 30_000);
  await page.locator("#picture input[type=range]").evaluate((range) => {
    range.value = range.min;
    range.dispatchEvent(new Event("input", { bubbles: true }));
  });
  await waitFor(async () => (await place()).at < was.at, async () => `an earlier place than ${was.at}: ${JSON.stringify(await place())}`);
  await page.locator("#go-live").click();
  await waitFor(async () => (await place()).at > was.at, "the live place");
  assert.deepEqual(complaints, []);
  await context.close();
});
