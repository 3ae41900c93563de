// Files in the console: folders, search, uploads that are stopped and taken up again, previews, headers, tags, ACL, addresses
// to share, and work on many at once.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { launch } from "../support/browser.js";
import { enter, goTo } from "../support/console.js";
import { makeSource } from "../support/encoder.js";
import { Server, waitFor } from "../support/server.js";

const MIB = 1 << 20;
let server, browser, client, folder;
before(async () => {
  server = await Server.start();
  browser = await launch();
  client = server.client();
  await client.putBucket("shelf", { acl: "private" });
  await client.putBucket("archive", { acl: "private" });
  client.useBucket("shelf");
  folder = mkdtempSync(path.join(tmpdir(), "millpond-files-"));
});
after(async () => {
  await browser?.close();
  rmSync(folder, { recursive: true, force: true });
  assert.equal(await server?.stop(), 0);
});

const file = (name, content) => {
  const at = path.join(folder, name);
  writeFileSync(at, content);
  return at;
};
const names = (page) => page.locator(".file .to span").allTextContents();
const content = async (key) => (await client.get(key)).content;

test("folders by prefix, search by prefix, upload, preview of text and picture", async () => {
  const { page, context, complaints } = await enter(browser, server, "#/b/shelf/files");
  await page.getByText("Nothing here yet").waitFor();
  await page.getByRole("button", { name: "New folder" }).click();
  await page.getByLabel("Name").fill("docs");
  await page.getByRole("button", { name: "Create folder" }).click();
  await page.getByRole("link", { name: "docs/" }).click();
  await page.getByText("Nothing here yet").waitFor();
  const evil = "<img src=x onerror=window.evil=1>.txt";
  const picture = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYPj/HwADAgH/p0fgWAAAAABJRU5ErkJggg==", "base64");
  await page.locator("#choose").setInputFiles([file("hello.txt", "Hello, reader."), file("dot.png", picture), file(evil, "harmless")]);
  await waitFor(async () => (await names(page)).length === 3, "three files");
  assert.ok((await names(page)).includes(evil));
  assert.equal((await content("docs/hello.txt")).toString(), "Hello, reader.");
  assert.equal((await client.head("docs/hello.txt")).res.headers["content-type"], "text/plain");

  await page.getByRole("searchbox", { name: "Search by prefix" }).fill("he");
  await waitFor(async () => String(await names(page)) === "hello.txt", "the one that begins so");
  await page.getByRole("link", { name: "hello.txt", exact: true }).click();
  await page.locator("#preview pre", { hasText: "Hello, reader." }).waitFor();
  // Its address can be kept, and going back closes it.
  assert.match(await page.evaluate(() => location.hash), /object=docs%2Fhello\.txt/);
  await page.goBack();
  await waitFor(async () => (await page.getByRole("dialog").count()) === 0, "the list");
  await goTo(page, "#/b/shelf/files?prefix=docs/&object=docs/dot.png");
  await waitFor(() => page.evaluate(() => document.querySelector("#preview img")?.naturalWidth === 1), "the picture");
  await page.getByRole("button", { name: "Close" }).click();
  await goTo(page, `#/b/shelf/files?prefix=docs/&object=${encodeURIComponent(`docs/${evil}`)}`);
  await page.locator("#preview pre", { hasText: "harmless" }).waitFor();
  assert.equal(await page.evaluate(() => window.evil), undefined);
  assert.deepEqual(complaints, []);
  await context.close();
});

test("video is shown: a file by its address, a segment and a playlist by the player", async () => {
  const source = makeSource(3);
  const { spawnSync } = await import("node:child_process");
  const convert = (name, ...options) => {
    const made = spawnSync("ffmpeg", ["-v", "error", "-y", "-i", source, "-c", "copy", ...options, path.join(folder, name)]);
    assert.equal(made.status, 0, String(made.stderr));
    return path.join(folder, name);
  };
  await client.put("clips/a.mp4", convert("a.mp4", "-movflags", "+faststart"));
  await client.put("clips/a.ts", convert("a.ts", "-bsf:v", "h264_mp4toannexb"));
  await client.put("clips/a.m3u8", Buffer.from("#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:4\n#EXTINF:3.0,\na.ts\n#EXT-X-ENDLIST\n"), { mime: "application/x-mpegURL" });
  const { page, context, complaints } = await enter(browser, server);
  for (const name of ["a.ts", "a.m3u8"]) {
    await goTo(page, `#/b/shelf/files?prefix=clips/&object=clips/${name}`);
    await page.locator('#replay[data-state="playing"]').waitFor();
    await waitFor(() => page.evaluate(() => document.querySelector("dialog video")?.currentTime > 0.5), `the picture of ${name}`);
  }
  await goTo(page, "#/b/shelf/files?prefix=clips/&object=clips/a.mp4");
  // Debian's Chromium plays H.264; one that does not says so.
  await waitFor(() => page.evaluate(() => document.querySelector("dialog video")?.videoWidth === 640 || /cannot show it/.test(document.querySelector("dialog").innerText)), "the file");
  assert.deepEqual(complaints, []);
  await context.close();
});

test("an upload in parts: progress, pause, resume, and a reload in the middle", async () => {
  const big = randomBytes(40 * MIB);
  const at = file("big.bin", big);
  const { page, context } = await enter(browser, server, "#/b/shelf/files");
  // A reload in the middle of an upload is asked about.
  const asked = [];
  page.on("dialog", (dialog) => (asked.push(dialog.type()), dialog.accept()));
  const partsSent = [];
  // Slow enough to be stopped between parts.
  await context.route((url) => url.searchParams.has("partNumber"), async (route) => {
    partsSent.push(Number(new URL(route.request().url()).searchParams.get("partNumber")));
    await new Promise((resolve) => setTimeout(resolve, 400));
    await route.continue();
  });
  await page.locator("#choose").setInputFiles(at);
  const row = page.locator("#uploads .upload");
  await waitFor(async () => Number(await row.locator("progress").getAttribute("value").catch(() => 0)) > 0 && partsSent.length >= 2, "progress");
  await row.getByRole("button", { name: "Pause" }).click();
  await page.locator('#uploads .upload[data-state="paused"]').waitFor();
  await row.getByRole("button", { name: "Resume" }).click();
  await waitFor(() => partsSent.length >= 3, "another part");
  await page.reload();

  const { signIn } = await import("../support/console.js");
  await signIn(page);
  await page.locator("#unfinished .upload", { hasText: "big.bin" }).waitFor();
  // Another file is told apart by its sums and changes nothing.
  const choosing = () => page.waitForEvent("filechooser");
  let chooser = choosing();
  await page.locator("#unfinished").getByRole("button", { name: "Go on", exact: true }).click();
  await (await chooser).setFiles(file("other.bin", randomBytes(40 * MIB)));
  await page.locator('#uploads .upload[data-state="failed"]', { hasText: "OtherFile" }).waitFor();
  // Of what had arrived nothing is sent again.
  const arrived = [(await client.listParts("big.bin", (await client.listUploads({})).uploads[0].uploadId)).parts].flat().map(({ PartNumber }) => Number(PartNumber));
  assert.ok(arrived.length >= 1, "parts have arrived");
  partsSent.length = 0;
  await page.reload();
  await signIn(page);
  chooser = choosing();
  await page.locator("#unfinished").getByRole("button", { name: "Go on", exact: true }).click();
  await (await chooser).setFiles(at);
  await page.locator('#uploads .upload[data-state="done"]').waitFor({ timeout: 60_000 });
  assert.deepEqual(partsSent.filter((number) => arrived.includes(number)), []);
  assert.ok(Buffer.compare(await content("big.bin"), big) === 0, "the bytes are those of the file");
  await waitFor(async () => (await page.locator("#unfinished").count()) === 0, "no upload to go on with");
  assert.deepEqual([...new Set(asked)], ["beforeunload"]);
  await context.close();
});

test("an upload that is cancelled leaves nothing behind", async () => {
  const { page, context } = await enter(browser, server, "#/b/shelf/files?prefix=gone/");
  let parts = 0;
  await context.route((url) => url.searchParams.has("partNumber"), async (route) => {
    parts += 1;
    await new Promise((resolve) => setTimeout(resolve, 400));
    await route.continue().catch(() => {});
  });
  await page.locator("#choose").setInputFiles(file("cancelled.bin", randomBytes(33 * MIB)));
  await waitFor(() => parts >= 2, "a part");
  await page.locator("#uploads").getByRole("button", { name: "Cancel" }).click();
  await waitFor(async () => !((await client.listUploads({ prefix: "gone/" })).uploads ?? []).length, "no upload is left");
  assert.deepEqual((await client.listV2({ prefix: "gone/" })).objects ?? [], []);
  await context.close();
});

test("headers, metadata, tags, ACL, and an address to share", async () => {
  await client.put("one/talk.txt", Buffer.from("words"), { mime: "text/plain" });
  const { page, context, complaints } = await enter(browser, server, "#/b/shelf/files?prefix=one/&object=one/talk.txt");
  const dialog = page.getByRole("dialog", { name: "talk.txt" });
  await dialog.locator("#object-headers summary").click();
  await dialog.getByLabel("Cache-Control").fill("max-age=60");
  await dialog.locator("#object-headers").getByRole("button", { name: "Add" }).click();
  await dialog.getByLabel("Key 1").fill("author");
  await dialog.getByLabel("Value 1").fill("anna");
  await dialog.locator("#object-headers").getByRole("button", { name: "Save" }).click();
  await waitFor(async () => (await client.head("one/talk.txt")).res.headers["cache-control"] === "max-age=60", "the header");
  const { res, meta } = await client.head("one/talk.txt");
  assert.equal(res.headers["content-type"], "text/plain");
  assert.deepEqual(meta, { author: "anna" });

  await dialog.locator("#object-tags summary").click();
  await dialog.locator("#object-tags").getByRole("button", { name: "Add" }).click();
  await dialog.locator("#object-tags").getByLabel("Key 1").fill("stage");
  await dialog.locator("#object-tags").getByLabel("Value 1").fill("final");
  await dialog.locator("#object-tags").getByRole("button", { name: "Save" }).click();
  await waitFor(async () => (await client.getObjectTagging("one/talk.txt")).tag.stage === "final", "the tag");

  const plain = await dialog.locator("#object-plain").textContent();
  assert.equal((await fetch(plain)).status, 403);
  await dialog.locator("#object-expiry").selectOption({ label: "1 hour" });
  await waitFor(async () => Math.abs(Number(new URL(await dialog.locator("#object-url").textContent()).searchParams.get("Expires")) - Date.now() / 1000 - 3600) < 60, "an hour");
  assert.equal(await (await fetch(await dialog.locator("#object-url").textContent())).text(), "words");
  await dialog.locator("#object-acl summary").click();
  await dialog.locator("#object-acl select").selectOption({ label: "Public read" });
  await dialog.locator("#object-acl").getByRole("button", { name: "Save" }).click();
  await waitFor(async () => (await fetch(plain)).status === 200, "everybody reads it");
  assert.deepEqual(complaints, []);
  await context.close();
});

test("many at once: rename, copy to another bucket, delete with a count", async () => {
  for (const name of ["a.txt", "b.txt", "sub/c.txt", "sub/d e+f.txt"]) await client.put(`bulk/${name}`, Buffer.from(name));
  const { page, context, complaints } = await enter(browser, server, "#/b/shelf/files?prefix=bulk/");
  const has = async (bucket, prefix) => ((await server.client({ bucket }).listV2({ prefix })).objects ?? []).map(({ name }) => name);
  await page.getByLabel("Choose a.txt").check();
  await page.getByRole("button", { name: "Move or rename" }).click();
  await page.getByLabel("New name").fill("bulk/z.txt");
  await page.locator("#bulk-run").click();
  await waitFor(async () => (await names(page)).includes("z.txt"), "the new name");
  assert.ok(!(await has("shelf", "bulk/")).includes("bulk/a.txt"));

  await page.getByLabel("Choose all").check();
  await page.getByRole("button", { name: "Copy", exact: true }).click();
  await page.getByText("4 files").waitFor();
  await page.getByLabel("To the bucket").fill("archive");
  await page.getByLabel("To the folder").fill("kept/");
  await page.locator("#bulk-run").click();
  await waitFor(async () => (await has("archive", "kept/")).length === 4, "the copies");
  assert.deepEqual((await has("archive", "kept/")).sort(), ["kept/b.txt", "kept/sub/c.txt", "kept/sub/d e+f.txt", "kept/z.txt"]);

  await page.getByLabel("Choose all").check();
  await page.getByRole("button", { name: "Delete", exact: true }).click();
  await page.getByText(/4 files, \d+ B/).waitFor();
  await page.locator("#bulk-run").click();
  await page.getByText("Nothing here yet").waitFor();
  assert.deepEqual(await has("shelf", "bulk/"), []);
  assert.deepEqual(complaints, []);
  await context.close();
});
