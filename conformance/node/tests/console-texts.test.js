// The texts of the console: each in both languages, none missing, none left over. And what all of its script weighs.
import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";

const assets = fileURLToPath(new URL("../../../crates/server/assets/console/", import.meta.url));
const folder = mkdtempSync(path.join(tmpdir(), "millpond-texts-"));
cpSync(assets, folder, { recursive: true });
writeFileSync(path.join(folder, "package.json"), '{"type": "module"}');
const { TEXT } = await import(pathToFileURL(path.join(folder, "text.js")));
rmSync(folder, { recursive: true });

const scripts = readdirSync(assets).filter((name) => name.endsWith(".js") && !name.startsWith("text"));
const sources = scripts.map((name) => readFileSync(path.join(assets, name), "utf8"));
/** Keys as they stand in the code, and the beginnings of those that are put together there. */
const literals = new Set(sources.flatMap((source) => [...source.matchAll(/"([\w-]+(?:\.[\w-]+)+)"/g)].map(([, key]) => key)));
const called = new Set(sources.flatMap((source) => [...source.matchAll(/\b(?:t|tx|tn)\(\s*"([^"]+)"/g)].map(([, key]) => key)));
const beginnings = sources.flatMap((source) => [...source.matchAll(/`([\w-]+\.(?:[\w.-]+)?)\$\{/g)].map(([, beginning]) => beginning));

test("every text that the code names is in the table", () => {
  assert.ok(called.size > 300, `${called.size} found`);
  assert.deepEqual([...called].filter((key) => !(key in TEXT)), []);
});

test("no text is left over", () => {
  const isUsed = (key) => literals.has(key) || called.has(key) || beginnings.some((beginning) => key.startsWith(beginning)) || (key.endsWith(".one") && literals.has(key.slice(0, -4)))
    || (key.endsWith(".hint") && literals.has(key.slice(0, -5)));
  assert.deepEqual(Object.keys(TEXT).filter((key) => !isUsed(key)), []);
});

/** What is the same in both languages: names, and what is written in Latin letters in Chinese, too. */
const SAME = ["buckets.bucket", "rail.bucket", "about.https", "try.refererLabel", "signIn.id", "signIn.secret"];

test("every text is in both languages, with the same places for values", () => {
  const wrong = [];
  const check = (isRight, text) => isRight || wrong.push(text);
  for (const [key, both] of Object.entries(TEXT)) {
    const [english, chinese] = both;
    check(both.length === 2 && english && chinese, key);
    const places = (text) => [...text.matchAll(/\{(\w+)\}/g)].map(([, name]) => name).sort();
    // A form for one names no number.
    if (!key.endsWith(".one")) check(String(places(chinese)) === String(places(english)), `places of ${key}`);
    check(/^[\x20-\x7e“”–…·×→]*$/.test(english), `${key}: ${english}`);
    check(/[\u4e00-\u9fff]/.test(chinese) || SAME.includes(key), `${key}: ${chinese}`);
    check(!/[,;:!?](?=[\u4e00-\u9fff])/.test(chinese), `${key} has a Latin sign between Chinese words: ${chinese}`);
  }
  assert.deepEqual(wrong, []);
});

test("the cards of a page have names of their own in both languages", () => {
  const pages = sources.map((source) => [...new Set([...source.matchAll(/Card\} title=\$\{t\("([^"]+)"\)/g)].map(([, key]) => key))]);
  assert.ok(pages.flat().length > 20, `${pages.flat().length} found`);
  for (const keys of pages) {
    for (const language of [0, 1]) {
      const names = keys.map((key) => TEXT[key][language]);
      assert.deepEqual(names.filter((name, index) => names.indexOf(name) !== index), [], String(keys));
    }
  }
});

test("the words of the OSS documents are those of the pages", () => {
  const of = (key) => TEXT[key];
  assert.deepEqual(of("access.cors"), ["Cross-Origin Resource Sharing (CORS)", "跨域设置"]);
  assert.deepEqual(of("access.referer"), ["Hotlink Protection", "防盗链"]);
  assert.deepEqual(
    ["bucket.access", "action.configure", "cors.create", "cors.sources", "referer.whitelist", "referer.allowEmpty", "action.save"].map((key) => of(key)[0]),
    ["Access Control", "Configure", "Create Rule", "Sources", "Referer Whitelist", "Allow Empty Referer", "Save"],
  );
});

test("all script before the player weighs less than 250 KiB compressed", () => {
  const all = [...readdirSync(assets), ...readdirSync(path.join(assets, "vendor")).map((name) => `vendor/${name}`)].filter((name) => name.endsWith(".js"));
  // Module by module, as it travels.
  const size = all.reduce((sum, name) => sum + gzipSync(readFileSync(path.join(assets, name))).length, 0);
  console.log(`${all.length} modules, ${(size / 1024).toFixed(1)} KiB compressed`);
  assert.ok(size < 250 * 1024, `${size} bytes`);
});
