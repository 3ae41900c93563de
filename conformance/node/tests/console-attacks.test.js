// What strangers store, against the console of the same origin (D27): pages, pictures and documents with scripts, put without
// any key into a bucket that everybody may write to, and opened by an operator in the browser in which the console is open.
// Whatever an attack gets hold of it puts into the same bucket, where the test looks.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { launch } from "../support/browser.js";
import { PageServer } from "../support/pages.js";
import { accessKeyId, accessKeySecret, Server, waitFor } from "../support/server.js";

let server, browser, client;
before(async () => {
  server = await Server.start();
  // A name that browsers do not take for this machine, so that plain HTTP from there is no secure context.
  browser = await launch("--host-resolver-rules=MAP millpond.test 127.0.0.1");
  client = server.client();
  await client.putBucket("drop", { acl: "public-read-write" });
  client.useBucket("drop");
  await put("worker.js", "text/javascript", "self.addEventListener('fetch', () => {});");
  for (const [name, type, body, headers] of attacks) await put(name, type, body(name), headers);
});
after(async () => {
  await browser?.close();
  assert.equal(await server?.stop(), 0);
});

/** A browser of its own for a test, which ends with it: an attack that goes on would otherwise be seen by the next one. */
async function fresh(t, options) {
  const context = await browser.newContext(options);
  t.after(() => context.close());
  return context;
}

const url = (name) => `http://${server.address}/drop/${name}`;

async function put(name, type, body, headers = {}) {
  const answer = await fetch(url(name), { method: "PUT", headers: { "content-type": type, ...headers }, body });
  assert.equal(answer.status, 200, name);
}

/** Everything that lies in the storage of the origin, what calls without a key give, and a service worker. */
const script = (name) => `
  (async () => {
    const tell = (what, text) => fetch("/drop/loot/" + what + "/${name}", { method: "PUT", headers: { "content-type": "text/plain" }, body: text });
    await tell("ran", location.href);
    await tell("session", JSON.stringify({ ...sessionStorage }));
    await tell("local", JSON.stringify({ ...localStorage }));
    await tell("databases", JSON.stringify(await indexedDB.databases()));
    for (const credentials of ["include", "same-origin"]) await tell("buckets-" + credentials, await (await fetch("/", { credentials })).text());
    try {
      const worker = await navigator.serviceWorker.register("/drop/worker.js");
      await tell("worker", worker.scope);
    } catch (error) {
      await tell("no-worker", String(error));
    }
    const open = () => {
      const other = window.open("/-/console");
      setInterval(() => {
        try {
          const typed = [...other.document.querySelectorAll("input")].map((input) => input.value).join(" ");
          if (typed.trim()) tell("typed", typed);
        } catch {}
      }, 50);
    };
    window.addEventListener("click", open, { once: true });
    await tell("ready", "");
  })();`;

const html = (name) => `<!doctype html><html><body style="height: 500px">Hello<script>${script(name)}</script></body></html>`;
const svg = (name) => `<svg xmlns="http://www.w3.org/2000/svg" width="500" height="500"><rect width="500" height="500"/><script><![CDATA[${script(name)}]]></script></svg>`;
const xhtml = (name) => `<html xmlns="http://www.w3.org/1999/xhtml"><body>Hello<script><![CDATA[${script(name)}]]></script></body></html>`;
const xml = (name) => `<?xml version="1.0"?><x xmlns:h="http://www.w3.org/1999/xhtml"><h:script><![CDATA[${script(name)}]]></h:script></x>`;

const attacks = [
  ["page.html", "text/html", html],
  ["inline.html", "text/html; charset=utf-8", html, { "content-disposition": "inline; filename=inline.html" }],
  ["two-types", "text/plain, text/html", html],
  ["picture.svg", "image/svg+xml", svg],
  ["page.xhtml", "application/xhtml+xml", xhtml],
  ["document.xml", "text/xml", xml],
  ["other.xml", "application/xml", xml],
  ["stream.mpd", "application/dash+xml", xml],
];

const looted = async () => {
  const found = await client.listV2({ prefix: "loot/", "max-keys": 1000 });
  return Promise.all((found.objects ?? []).map(async ({ name }) => [name.slice(5), await (await fetch(url(name))).text()]));
};
const forget = async () => {
  for (const [name] of await looted()) await client.delete(`loot/${name}`);
};

async function signedIn(context, authority = server.address) {
  const page = await context.newPage();
  await page.goto(`http://${authority}/-/console`);
  await page.getByLabel("Access key id").fill(accessKeyId);
  await page.getByLabel("Access key secret").fill(accessKeySecret);
  const keep = page.getByLabel("Stay signed in");
  if (await keep.count()) await keep.check();
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("heading", { name: "On air" }).waitFor();
  return page;
}

/** Opens an address; one that is a file to keep is no page. */
const visit = (page, address) => page.goto(address).then(() => "shown", (error) => (/Download is starting/.test(error.message) ? "kept" : Promise.reject(error)));

/** Nothing of what ran there got hold of anything. An attack that runs needs a moment, so one is left to it. */
async function nothingHappened() {
  await new Promise((resolve) => setTimeout(resolve, 1500));
  const loot = await looted();
  assert.ok(!JSON.stringify(loot).includes(accessKeySecret), `the secret was taken: ${JSON.stringify(loot)}`);
  assert.deepEqual(loot.map(([name]) => name), []);
}

// Side by side, because most of each is that moment. What one gets hold of fails whichever look next.
describe("opened", { concurrency: 4 }, () => {
  before(forget);
  for (const [name] of attacks) {
    test(`${name}, opened in the tab of the console, gets nothing`, async (t) => {
      const context = await fresh(t);
      const page = await signedIn(context);
      const outcome = await visit(page, url(name));
      await nothingHappened();
      assert.equal(outcome, "kept");
    });

    test(`${name}, opened in a new tab, does not see what is typed into a console that it opens`, async (t) => {
      const context = await fresh(t);
      await signedIn(context);
      const page = await context.newPage();
      const outcome = await visit(page, url(name));
      if (outcome === "shown") {
        await waitFor(async () => (await looted()).some(([what]) => what.startsWith("ready/")), "the attack");
        const opened = context.waitForEvent("page");
        await page.mouse.click(50, 50);
        const console_ = await opened;
        await console_.getByLabel("Access key secret").fill(accessKeySecret);
      }
      await nothingHappened();
      assert.equal(outcome, "kept");
    });
  }
});

test("shown in a frame of somebody's page, they get nothing", async (t) => {
  await forget();
  const pages = await PageServer.start("localhost");
  const context = await fresh(t);
  try {
    await signedIn(context);
    const page = await context.newPage();
    await page.goto(pages.address("none", ""));
    await page.evaluate((addresses) => {
      for (const address of addresses) {
        for (const element of ["iframe", "embed"]) document.body.append(Object.assign(document.createElement(element), { src: address }));
        document.body.append(Object.assign(document.createElement("object"), { data: address }));
      }
    }, attacks.map(([name]) => url(name)));
    await nothingHappened();
  } finally {
    await pages.stop();
  }
});

test("over plain HTTP from another machine, where windows cannot be kept apart, nothing is opened either", async (t) => {
  await forget();
  const authority = `millpond.test:${server.port}`;
  const context = await fresh(t);
  const page = await signedIn(context, authority);
  assert.equal(await page.evaluate(() => isSecureContext || Boolean(crypto.subtle)), false);
  const outcomes = [];
  for (const [name] of attacks) outcomes.push(await visit(page, `http://${authority}/drop/${name}`));
  await nothingHappened();
  assert.deepEqual(outcomes, attacks.map(() => "kept"));
  assert.deepEqual(await page.evaluate(() => ({ ...sessionStorage })), {});
});

test("a signed address that asks for a page gives none", async (t) => {
  await forget();
  await put("page.txt", "text/plain", html("page.txt"));
  const response = { "content-type": "text/html", "content-disposition": "inline" };
  const signed = new URL(client.signatureUrl("page.txt", { response }));
  const context = await fresh(t);
  const page = await signedIn(context);
  assert.equal(await visit(page, url("page.txt") + signed.search), "kept");
  assert.equal(await visit(page, url("page.txt")), "shown");
  assert.match(await page.locator("body").innerText(), /^<!doctype html>/, "as text it is read");
  await nothingHappened();
});

test("a script of a bucket is no service worker", async (t) => {
  const context = await fresh(t);
  const page = await context.newPage();
  await page.goto(`http://${server.address}/-/play`);
  const outcome = await page.evaluate(() =>
    navigator.serviceWorker.register("/drop/worker.js").then((worker) => `registered for ${worker.scope}`, (error) => error.name));
  assert.ok(["SecurityError", "TypeError"].includes(outcome), outcome);
  assert.equal((await fetch(url("worker.js"), { headers: { "service-worker": "script" } })).status, 403);
});

// What follows is the second line: were there a page of the origin that attacks, it would find no key and no window.
test("nothing of the key is in any storage, and what signs cannot be read", async (t) => {
  const context = await fresh(t);
  const page = await signedIn(context);
  const kept = await page.evaluate(async () => ({
    session: { ...sessionStorage }, local: { ...localStorage }, databases: await indexedDB.databases(), caches: await caches.keys(), cookie: document.cookie,
    // The very module of this page: the worst that a script in it could do.
    key: await import("/-/console/session.js").then(({ key }) => JSON.stringify(key())),
    fields: [...document.querySelectorAll("input")].map((input) => input.value).join(""),
  }));
  assert.deepEqual({ ...kept, key: null, fields: null }, { session: {}, local: {}, databases: [], caches: [], cookie: "", key: null, fields: null });
  assert.ok(!JSON.stringify(kept).includes(accessKeySecret), JSON.stringify(kept));
  const other = await context.newPage();
  await other.goto(`http://${server.address}/-/play`);
  assert.deepEqual(await other.evaluate(async () => [{ ...localStorage }, await indexedDB.databases()]), [{}, []]);
});

test("a page of the same origin has no hold on a console that it opened", async (t) => {
  const context = await fresh(t);
  const page = await context.newPage();
  await page.goto(`http://${server.address}/-/play`);
  const opened = context.waitForEvent("page");
  await page.evaluate(() => void (window.other = window.open("/-/console")));
  const console_ = await opened;
  await console_.getByLabel("Access key secret").fill("as it is typed");
  const seen = await page.evaluate(() => {
    try {
      return [...window.other.document.querySelectorAll("input")].map((input) => input.value).join("");
    } catch (error) {
      return error.name;
    }
  });
  assert.ok(!seen.includes("as it is typed"), seen);
  assert.equal(await page.evaluate(() => window.other.closed), true, "to its opener the window is gone");
  assert.equal(await console_.evaluate(() => window.opener), null);
});

test("a host of one bucket serves what is stored, and has no console", async (t) => {
  await forget();
  const host = `http://drop.localhost:${server.port}`;
  const context = await fresh(t);
  const page = await context.newPage();
  for (const address of [`${host}/page.html`, `${host}/picture.svg`]) {
    const answer = await page.goto(address);
    assert.equal(answer.status(), 200);
    for (const name of ["content-security-policy", "content-disposition"]) assert.equal(answer.headers()[name], undefined, name);
  }
  for (const name of ["/-/console", "/-/console", "/-/console?append", "/-/play?restore", `/-/${"x".repeat(1100)}`, "/-/api/v1/channels/a/b/sessions"]) {
    const answer = await page.goto(host + name);
    assert.ok(answer.status() >= 400, `${name}: ${answer.status()}`);
    assert.match(answer.headers()["content-type"], /^application\/xml/, name);
  }
});
