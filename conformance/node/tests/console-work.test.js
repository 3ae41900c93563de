// What an operator does in the console: recordings, the life of a channel, settings of a bucket, users and keys.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, plays } from "../support/browser.js";
import { enter, fromDisk, goTo, open, signIn } from "../support/console.js";
import { makeSource, push } from "../support/encoder.js";
import { makeCertificate } from "../support/pages.js";
import { accessKeyId, Server, waitFor } from "../support/server.js";

let server, browser, client, source;
before(async () => {
  server = await Server.start();
  browser = await launch();
  source = makeSource(12);
  client = server.client();
  await client.putBucket("works", { acl: "private" });
  client.useBucket("works");
});
after(async () => {
  await browser?.close();
  assert.equal(await server?.stop(), 0);
});

const configuration = { Status: "enabled", Target: { Type: "HLS", FragDuration: 1, FragCount: 5, PlaylistName: "playlist.m3u8" } };
const publish = (channel) => client.getRtmpUrl(channel, { expires: 3600 }).replace(/\/\/[^/]*/, `//${server.address}/works`);
const keys = async (prefix) => ((await client.listV2({ prefix, "max-keys": 1000 })).objects ?? []).map(({ name }) => name);

test("a recording: found on the line of time, played at once, kept, shared with an expiry, deleted with a count", async () => {
  await client.putChannel("stage", configuration);
  await push(source, publish("stage"), { options: ["-t", "5"] }).ended;
  // Ranges are whole seconds: what lies closer belongs to both.
  await new Promise((resolve) => setTimeout(resolve, 2500));
  const second = push(source, publish("stage"), { options: ["-t", "7"] });
  await second.ended;
  await waitFor(async () => (await keys("stage/")).filter((name) => name.endsWith(".ts")).length >= 11, "the segments");

  const { page, context, complaints } = await enter(browser, server, "#/b/works/channels/stage/recordings");
  const stills = [];
  await context.route((url) => url.searchParams.has("x-oss-process") && url.pathname.endsWith(".ts"), (route) => {
    stills.push(new URL(route.request().url()).searchParams.get("x-oss-process"));
    return route.fulfill({ contentType: "image/png", body: Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYPj/HwADAgH/p0fgWAAAAABJRU5ErkJggg==", "base64") });
  });
  // The last push is chosen, and the one before is a button away; together they are all that was stored.
  const chosen = page.locator("#chosen");
  const stored = (await keys("stage/")).filter((name) => name.endsWith(".ts")).length;
  const count = async () => Number(/^(\d+) segments/.exec(await chosen.innerText())?.[1] ?? 0);
  const shows = (wanted, what) => waitFor(async () => (await count()) === wanted, async () => `${what}, ${wanted} segments: ${await chosen.innerText()}`);
  const last = await waitFor(count, "the last push");
  await page.locator(".push-range").nth(1).click();
  await shows(stored - last, "the push before");
  // Both, up to now.
  await page.locator("#up-to-now").click();
  await shows(stored, "both");
  // By the fields; what ends before it begins, or is longer than a day, says so.
  const [from, to] = [page.getByLabel("From", { exact: true }).first(), page.getByLabel("To", { exact: true }).first()];
  const set = async (field, value) => {
    // A browser leaves seconds out where there are none, which the driver takes for a mistake.
    await field.fill(value.replace(/^(.{16})$/, "$1:01").replace(/:00$/, ":01"));
    await field.blur();
  };
  const had = await from.inputValue();
  await set(from, "2020-01-01T00:00:01");
  await page.getByText("covers at most a day").waitFor();
  await set(from, "2037-01-01T00:00:01");
  await page.getByText("The end is before the beginning").waitFor();
  await set(from, had);
  await shows(stored, "both again");
  // By dragging over the whole line.
  const line = await page.locator(".timeline svg").boundingBox();
  await page.mouse.move(line.x + line.width / 2, line.y + 20);
  await page.mouse.down();
  await page.mouse.move(line.x + line.width / 2 + 1, line.y + 20);
  await page.mouse.up();
  await waitFor(async () => (await count()) < stored, "less by dragging a little");
  await page.mouse.move(line.x + 2, line.y + 20);
  await page.mouse.down();
  await page.mouse.move(line.x + line.width - 2, line.y + 20, { steps: 5 });
  await page.mouse.up();
  await shows(stored, "all by dragging");

  await page.locator("#play-range").click();
  await page.locator('#replay[data-state="playing"]').waitFor();
  await waitFor(() => page.evaluate(() => document.querySelector("#replay video").currentTime > 1), "the picture of the private bucket");
  await waitFor(() => page.evaluate(() => document.querySelector("#replay video").duration > 10), "the length of the recording");
  // Stills of places in the recording, where the server makes them.
  await waitFor(() => stills.length === 8, () => `eight stills: ${stills}`);
  assert.ok(stills.every((process) => process === "video/snapshot,t_0,f_jpg,w_160,m_fast"));
  await page.locator("#storyboard button").nth(4).click();
  await waitFor(() => page.evaluate(() => document.querySelector("#replay video").currentTime > 4), "the place of the still");
  await page.locator("#keep").getByLabel("Name").fill("vod-concert");
  await page.locator("#keep-range").click();
  const share = page.locator("#keep #share-url");
  await share.waitFor();
  await page.locator("#keep").getByLabel("Valid for").selectOption({ label: "1 hour" });
  await waitFor(async () => Math.abs(Number(new URL(await share.textContent()).searchParams.get("Expires")) - Date.now() / 1000 - 3600) < 60, "an hour");
  const address = await share.textContent();
  const list = await (await fetch(address)).text();
  assert.match(list, /#EXT-X-ENDLIST/);
  assert.equal((await fetch(new URL(list.split("\n").find((one) => one && !one.startsWith("#")), address))).status, 200);
  assert.equal((await fetch(address.split("?")[0])).status, 403);
  await page.locator("#saved summary", { hasText: "vod-concert" }).waitFor();

  const before_ = (await keys("stage/")).filter((name) => name.endsWith(".ts")).length;
  await page.locator("#delete-range").click();
  await page.getByRole("dialog").getByText(new RegExp(`^${before_} segments go: \\d+ s, \\d+(\\.\\d)? [kM]B`)).waitFor();
  await page.locator("#confirm").click();
  await waitFor(async () => !(await keys("stage/")).some((name) => name.endsWith(".ts")), "no segment left");
  await waitFor(async () => /Nothing was recorded/.test(await chosen.innerText()), "the empty line");
  assert.deepEqual(complaints, []);
  await context.close();
});

test("a channel: not on air yet, live, ended, on again; made anew, and deleted with what stays behind", async () => {
  await client.putChannel("desk", configuration);
  const { page, context, complaints } = await enter(browser, server, "#/b/works/channels/desk");
  const state = (wanted) => page.locator(`#picture[data-state="${wanted}"]`).waitFor({ timeout: 30_000 });
  await state("idle");
  await page.getByText("Not on air yet").waitFor();
  await waitFor(() => page.locator("#go-live").isDisabled(), "the button without its use");
  const first = push(source, publish("desk"), { loop: true });
  await state("playing");
  await plays(page, undefined, 1, "the picture");
  for (const label of ["Bandwidth, last 5 minutes", "Frame rate, last 5 minutes"]) await page.getByRole("img", { name: label }).waitFor();
  await waitFor(async () => /[kM]bit\/s/.test(await page.locator(".chart").first().innerHTML()), "the bandwidth in its chart");
  await first.stop();
  await state("ended");
  await page.getByText("The push has ended").waitFor();
  const again = push(source, publish("desk"), { loop: true });
  await state("playing");
  await again.stop();
  await state("ended");

  await page.locator("#recreate").click();
  const dialog = page.getByRole("dialog");
  await dialog.getByText("Its history is cleared").waitFor();
  await dialog.getByLabel("FragDuration").fill("4");
  await dialog.getByRole("button", { name: "Re-create" }).click();
  await page.getByRole("region", { name: "Settings" }).getByText("4 s").waitFor();
  assert.equal((await client.getChannel("desk")).data.Target.FragDuration, "4");

  await page.locator("#delete").click();
  await page.getByRole("dialog").getByText(/\d+ files \(\d+(\.\d)? [kM]B\) stay in the bucket, under desk\//).waitFor();
  await page.locator("#confirm").click();
  await page.getByRole("heading", { name: "Live channels" }).waitFor();
  assert.ok((await keys("desk/")).length > 2, "what was recorded is still there");
  await goTo(page, "#/b/works/channels/desk");
  await page.getByRole("link", { name: "Look for recordings under this name" }).click();
  await page.locator("#recordings").waitFor();
  assert.deepEqual(complaints, []);
  await context.close();
});

test("settings of a bucket: ACL, policy, lifecycle, logging, static pages, tags", async () => {
  await client.putBucket("rules", { acl: "private" });
  await client.putBucket("logs", { acl: "private" });
  const { page, context, complaints } = await enter(browser, server, "#/b/rules/access/acl");
  const saved = () => page.locator("#said.shown", { hasText: "Saved" }).waitFor();
  const save = async () => {
    await page.evaluate(() => document.getElementById("said").classList.remove("shown"));
    await page.getByRole("button", { name: "Save", exact: true }).click();
  };
  // What lets everybody write is asked about.
  await page.getByLabel("Public read/write").check();
  await save();
  await page.getByRole("dialog").getByText("could fill the bucket").waitFor();
  await page.getByRole("button", { name: "Cancel" }).click();
  assert.equal((await client.getBucketACL("rules")).acl, "private");
  await page.getByRole("radio", { name: /^Public read Everybody/ }).check();
  await save();
  await saved();
  assert.equal((await client.getBucketACL("rules")).acl, "public-read");

  await goTo(page, "#/b/rules/access/policy");
  await page.getByLabel("Policy document").fill('{"Version": "1", "Statement": [{"Effect": "Alow", "Action": ["GetObject"], "Resource": ["acs:oss:*:*:other/*"]}]}');
  for (const text of ["Effect is Allow or Deny", "“GetObject” is no action", "Principal is missing", "is not in the bucket rules"]) await page.getByText(text).waitFor();
  await page.getByRole("button", { name: "Everybody lists and reads" }).click();
  await page.getByText("Nothing wrong was found").waitFor();
  await save();
  await saved();
  assert.equal((await fetch(`http://${server.address}/rules/?list-type=2`)).status, 200, "everybody lists");
  await page.getByRole("button", { name: "Delete policy" }).click();
  await page.locator("#confirm").click();
  await waitFor(async () => (await fetch(`http://${server.address}/rules/?list-type=2`)).status === 403, "nobody lists any more");

  await goTo(page, "#/b/rules/lifecycle");
  await page.getByText("Nothing is deleted by itself").waitFor();
  await page.getByRole("button", { name: "Create Rule" }).click();
  await page.getByLabel("ID").fill("old");
  await page.getByLabel("Prefix").fill("cam1/");
  await page.getByLabel("Days since the last change").fill("0");
  await page.getByRole("button", { name: "OK" }).click();
  await page.locator("dialog .refusal").waitFor();
  await page.getByLabel("Days since the last change").fill("7");
  await page.getByRole("button", { name: "OK" }).click();
  await page.getByText("Files after 7 days").waitFor();
  // A rule with what this page has no fields for is kept as it is when another one changes.
  const { rules } = await client.getBucketLifecycle("rules");
  await client.putBucketLifecycle("rules", [...rules, { id: "label", prefix: "a/", status: "Enabled", transition: { days: 3, storageClass: "IA" } }]);
  await goTo(page, "#/b/rules");
  await goTo(page, "#/b/rules/lifecycle");
  await page.getByText("and Transition, which is not edited here").waitFor();
  await page.getByRole("row", { name: /old/ }).getByRole("button", { name: "Turn off" }).click();
  await waitFor(async () => (await client.getBucketLifecycle("rules")).rules.find(({ id }) => id === "old").status === "Disabled", "the rule is off");
  assert.equal((await client.getBucketLifecycle("rules")).rules.find(({ id }) => id === "label").transition.storageClass, "IA");
  // What is due now: a rule for what was made before a day to come.
  client.useBucket("rules");
  for (const name of ["due/a.txt", "due/b.txt"]) await client.put(name, Buffer.from("12345"));
  const kept = (await client.getBucketLifecycle("rules")).rules;
  await client.putBucketLifecycle("rules", [...kept, { id: "due", prefix: "due/", status: "Enabled", expiration: { createdBeforeDate: "2100-01-01T00:00:00.000Z" } }]);
  await page.getByRole("button", { name: "Look" }).click();
  await page.getByText("2 files, 10 B; 0 unfinished uploads").waitFor();
  await client.putBucketLifecycle("rules", kept);
  for (const name of ["due/a.txt", "due/b.txt"]) await client.delete(name);
  client.useBucket("works");

  await goTo(page, "#/b/rules/logging");
  await page.getByLabel("Target bucket").fill("logs");
  await page.getByLabel("Prefix of the files").fill("access/");
  await save();
  await saved();
  const { enable, prefix } = await client.getBucketLogging("rules");
  assert.deepEqual([enable, prefix], [true, "access/"]);

  await goTo(page, "#/b/rules/website");
  await page.getByLabel("Default home page").fill("index.html");
  await page.getByLabel("Error page", { exact: true }).fill("error.html");
  await save();
  await saved();
  assert.deepEqual((({ index, error }) => [index, error])(await client.getBucketWebsite("rules")), ["index.html", "error.html"]);

  await goTo(page, "#/b/rules/tags");
  await page.getByRole("button", { name: "Add" }).click();
  await page.getByLabel("Key 1").fill("team");
  await page.getByLabel("Value 1").fill("video");
  await save();
  await saved();
  assert.deepEqual((await client.getBucketTags("rules")).tag, { team: "video" });

  // The bucket goes when it is empty.
  await goTo(page, "#/b/rules");
  await page.locator("#delete-bucket").click();
  await page.locator("#confirm").click();
  await page.getByRole("heading", { name: "Buckets" }).waitFor();
  await waitFor(async () => !(await client.listBuckets({ prefix: "rules" })).buckets?.length, "the bucket is gone");
  assert.deepEqual(complaints, []);
  await context.close();
});

test("users: a key that is shown once, a policy from a template, rotation, a temporary key", async () => {
  const { page, context, complaints } = await open(browser, server.address);
  await signIn(page);
  await goTo(page, "#/users");
  await page.getByText("No users yet").waitFor();
  await page.getByRole("button", { name: "New user" }).click();
  await page.getByLabel("Name").fill("encoder");
  await page.getByRole("button", { name: "Create user" }).click();
  await page.getByRole("heading", { name: "encoder", level: 1 }).waitFor();
  await page.getByText("May do nothing yet").waitFor();

  const newKey = async () => {
    await page.locator("#keys").getByRole("button", { name: "New key" }).click();
    await page.locator("#new-secret").waitFor();
    const made = [await page.locator("#new-id").textContent(), await page.locator("#new-secret").textContent()];
    await page.getByRole("button", { name: "I have kept it" }).click();
    return made;
  };
  const [firstId, firstSecret] = await newKey();
  const able = async (id, secret) => (await server.client({ accessKeyId: id, accessKeySecret: secret, bucket: "works" }).listV2({ "max-keys": 1 }).then(() => "may", (error) => error.code));
  assert.equal(await able(firstId, firstSecret), "AccessDenied");

  await page.locator("#policies").getByRole("button", { name: "New policy" }).click();
  await page.getByLabel("Name").fill("works");
  await page.getByRole("button", { name: "Everything in a bucket" }).click();
  const text = await page.getByLabel("Policy document").inputValue();
  await page.getByLabel("Policy document").fill("{");
  await waitFor(() => page.getByRole("dialog").getByRole("button", { name: "Save" }).isDisabled(), "a document that cannot be saved");
  await page.getByLabel("Policy document").fill(text.replaceAll("BUCKET", "works"));
  await page.getByRole("dialog").getByRole("button", { name: "Save" }).click();
  await page.locator("#policies summary", { hasText: "works" }).waitFor();
  assert.equal(await able(firstId, firstSecret), "may");

  // Rotation: a second key, the first is disabled, then deleted.
  const [secondId, secondSecret] = await newKey();
  assert.equal(await able(secondId, secondSecret), "may");
  const row = page.locator("#keys tr", { hasText: firstId });
  await row.getByRole("button", { name: "Disable" }).click();
  await page.locator("#confirm").click();
  await row.getByText("Disabled").waitFor();
  assert.equal(await able(firstId, firstSecret), "InvalidAccessKeyId");
  await row.getByRole("button", { name: `Delete ${firstId}` }).click();
  await page.locator("#confirm").click();
  await waitFor(async () => (await page.locator("#keys tbody tr").count()) === 1, "one key");
  // The secret is nowhere in the page any more.
  assert.ok(!(await page.content()).includes(secondSecret));

  await goTo(page, "#/users");
  await page.getByRole("button", { name: "Temporary key" }).click();
  await page.getByLabel("With the rights of").selectOption("encoder");
  await page.getByLabel("Valid for").selectOption({ label: "15 minutes" });
  await page.getByRole("button", { name: "Make key" }).click();
  await page.locator("#new-token").waitFor();
  const [id, secret, token] = await Promise.all(["#new-id", "#new-secret", "#new-token"].map((name) => page.locator(name).textContent()));
  assert.equal(await server.client({ accessKeyId: id, accessKeySecret: secret, stsToken: token, bucket: "works" }).listV2({ "max-keys": 1 }).then(() => "may"), "may");
  await page.getByRole("button", { name: "I have kept it" }).click();

  await goTo(page, "#/users/encoder");
  await page.getByRole("button", { name: "Disable" }).first().click();
  await page.locator("#confirm").click();
  await page.getByRole("button", { name: "Enable" }).waitFor();
  assert.notEqual(await able(secondId, secondSecret), "may");
  await page.locator("#delete-user").click();
  await page.locator("#confirm").click();
  await page.getByText("No users yet").waitFor();
  assert.deepEqual(server.manage(["user", "list"]).users, []);
  assert.deepEqual(complaints, []);
  await context.close();
});

test("over HTTPS encoders are given rtmps addresses, with which a push begins", async () => {
  const certificate = makeCertificate();
  const secure = await Server.start("--tls-cert", certificate.certificate, "--tls-key", certificate.key);
  try {
    const context = await browser.newContext({ ignoreHTTPSErrors: true, viewport: { width: 1280, height: 900 }, locale: "en-GB" });
    const page = await context.newPage();
    page.setDefaultTimeout(15_000);
    await fromDisk(context);
    const own = secure.client({ secure: false });
    await own.putBucket("tls-bucket");
    own.useBucket("tls-bucket");
    await own.putChannel("camera", configuration);
    await page.goto(`https://${secure.address}/-/console#/b/tls-bucket/channels/camera`);
    await signIn(page);
    const address = await page.locator("#publish-url").textContent();
    assert.ok(address.startsWith(`rtmps://${secure.address}/tls-bucket/live/camera?`), address);
    assert.ok((await page.locator("#obs-server").textContent()).startsWith("rtmps://"));
    const running = push(source, address, { loop: true });
    try {
      await page.locator('.title .badge[data-status="Live"]').waitFor();
    } finally {
      await running.stop();
    }
    await context.close();
  } finally {
    certificate.remove();
    assert.equal(await secure.stop(), 0);
  }
});

test("sign-in says where a key is found, and who is signed in", async () => {
  const { page, context } = await open(browser, server.address);
  await page.getByText("Where do I find a key?").click();
  for (const text of ["root-key.json", "OSS_ACCESS_KEY_ID", "millpond key create", "Printed in the terminal"]) await page.locator("#where", { hasText: text }).waitFor();
  await signIn(page);
  await page.locator("#who", { hasText: accessKeyId }).waitFor();
  await context.close();
});
