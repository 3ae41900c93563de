// A tab at the console: signing in, what went wrong in it, and how it is looked at.
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { accessKeyId, accessKeySecret, waitFor } from "./server.js";

const assets = fileURLToPath(new URL("../../../crates/server/assets/console/", import.meta.url));
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const TYPES = { html: "text/html; charset=utf-8", js: "text/javascript; charset=utf-8", css: "text/css; charset=utf-8" };

/**
 * With MILLPOND_CONSOLE_FROM_DISK=1 the files of the console are those of the source tree, under the policy of this copy of the
 * tree, whatever the binary was built with: pages can be worked on without compiling.
 */
export async function fromDisk(context) {
  if (!process.env.MILLPOND_CONSOLE_FROM_DISK) return;
  const source = readFileSync(path.join(assets, "../../src/http/page.rs"), "utf8");
  const policy = /CONSOLE_POLICY: &str = "([^"]+)"/.exec(source)[1].replace(/\\\n\s+/g, "");
  await context.route(/\/-\/console(\/(?!settings\.json)|\?|$)/, (route) => {
    const name = new URL(route.request().url()).pathname.replace(/^\/-\/console\/?/, "") || "index.html";
    const file = path.join(assets, name);
    if (!existsSync(file)) return route.fulfill({ status: 404, body: "none" });
    return route.fulfill({ path: file, headers: { "content-type": TYPES[name.split(".").pop()] ?? "text/plain", "content-security-policy": policy, "x-content-type-options": "nosniff", "referrer-policy": "same-origin", "cross-origin-opener-policy": "same-origin", "cross-origin-resource-policy": "same-origin" } });
  });
}

/** A tab at the console, and what went wrong in it apart from refusals that the page itself shows. */
export async function open(browser, authority, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, locale: "en-GB", ...options });
  await fromDisk(context);
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(`page error: ${error.message}`));
  page.on("console", (message) => {
    if (message.type() === "error" && !/Failed to load resource/.test(message.text())) complaints.push(message.text());
  });
  const requests = [];
  underWay.set(page, new Set());
  const over = (request) => underWay.get(page).delete(request);
  page.on("request", (request) => isCall(request) && underWay.get(page).add(request));
  page.on("requestfinished", over);
  page.on("requestfailed", over);
  page.on("request", (request) => requests.push({ url: request.url(), method: request.method(), all: JSON.stringify(request.headers()) + (request.postData() ?? "") }));
  await page.goto(`http://${authority}/-/console`);
  return { page, context, complaints, requests };
}

/** The calls of each page that are not answered yet. */
const underWay = new WeakMap();
/** What plays asks for lists and segments without end. */
const isCall = (request) => request.url().startsWith("http") && !/\.(ts|m3u8)$/.test(new URL(request.url()).pathname);

/** Waits until a page has the answers that it asked for, and has drawn them. */
export async function settled(page, what) {
  let looks = 0;
  await waitFor(async () => {
    looks = underWay.get(page).size === 0 && (await page.locator(".busy").count()) === 0 ? looks + 1 : 0;
    return looks >= 2;
  }, () => `${what}: no end of loading: ${[...underWay.get(page)].map((request) => request.url())}`);
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
}

export async function signIn(page, id = accessKeyId, secret = accessKeySecret) {
  await page.locator("input[name=id]").fill(id);
  await page.locator("input[name=secret]").fill(secret);
  await page.locator("form button[type=submit]").click();
}

/** The same, and the page of an address inside. */
export async function enter(browser, server, hash = "", { id, secret, ...options } = {}) {
  const tab = await open(browser, server.address, options);
  if (hash) await tab.page.evaluate((text) => (location.hash = text), hash);
  await signIn(tab.page, id, secret);
  await tab.page.locator("#leave").waitFor({ state: "attached" });
  return tab;
}

export const goTo = (page, hash) => page.evaluate((text) => (location.hash = text), hash);

/** Answers a call instead of the server, for what no small server has, such as a thousand channels; `work` gets its query and body. */
export async function answering(context, name, work) {
  let calls = 0;
  await context.route((url) => url.pathname === `/-/api/v1/${name}`, async (route) => {
    calls += 1;
    const request = route.request();
    const answer = await work({ query: new URL(request.url()).searchParams, body: request.postData() ? JSON.parse(request.postData()) : null, headers: request.headers() });
    await route.fulfill({ status: answer.status ?? 200, contentType: "application/json", body: JSON.stringify(answer.body ?? answer) });
  });
  return () => calls;
}

/** Nothing that axe knows of is wrong with the page. */
export async function isAccessible(page, what) {
  if (!(await page.evaluate(() => "axe" in window))) await page.evaluate(axe);
  const found = await page.evaluate(() => window.axe.run());
  const told = found.violations.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map(({ html, any, all, none }) => `${html.slice(0, 160)} (${[...any, ...all, ...none][0]?.message ?? ""})`).join(" | ")}`);
  assert.deepEqual(told, [], what);
}

/** Everything is within the width of the window. */
export const fits = (page) => page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth);
