// The signatures and hashes of the console against published values: FIPS 180-4, RFC 2202, RFC 4231, OSS auth 4 and 5.7,
// LiveChannel 3.5, and against what Node computes.
import assert from "node:assert/strict";
import { createHash, createHmac, webcrypto } from "node:crypto";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";

// Copied beside a package.json that calls them modules, which browsers need not be told.
const folder = mkdtempSync(path.join(tmpdir(), "millpond-console-"));
cpSync(fileURLToPath(new URL("../../../crates/server/assets/console/", import.meta.url)), folder, { recursive: true });
writeFileSync(path.join(folder, "package.json"), '{"type": "module"}');
const load = (name) => import(pathToFileURL(path.join(folder, name)));
const { base64, hex, hmac, sha1, sha256, utf8 } = await load("hash.js");
const { lock } = await load("key.js");
const { canonicalRequest, encode, publishQuery, signedPath, signV4 } = await load("sign.js");
const { knownQuirks } = await load("words.js");
const { finish, ofBlob, START, update } = await load("crc64.js");
const { momentOf, segments, stretches } = await load("vod.js");
const { check } = await load("policy.js");
const { write } = await load("xml.js");
const { link, parseRoute } = await load("route.js");
const { partSize } = await load("upload.js");
rmSync(folder, { recursive: true });

const secret = "FakeSecretForSpecOnly000000000001";
// A browser with cryptography of its own and one without; what they sign is the same.
const ways = [["a key that the browser keeps", webcrypto.subtle], ["a key in a function", null]];
const locked = (key, subtle = null) => lock(key, subtle);
const key = await locked({ id: "AKIDEXAMPLE0001", secret });
const date = new Date("2024-01-02T03:04:05Z");
const expires = 1704171845;

test("hashes of the standards", () => {
  assert.equal(hex(sha1(utf8("abc"))), "a9993e364706816aba3e25717850c26c9cd0d89d");
  assert.equal(hex(sha256(utf8("abc"))), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  assert.equal(hex(hmac(sha1, utf8("Jefe"), utf8("what do ya want for nothing?"))), "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
  assert.equal(
    hex(hmac(sha256, utf8("Jefe"), utf8("what do ya want for nothing?"))),
    "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
  );
});

test("hashes of every length around the blocks, and keys longer than one", () => {
  for (let length = 0; length < 200; length++) {
    const bytes = Uint8Array.from({ length }, (_, index) => (index * 31 + length) & 255);
    assert.equal(hex(sha1(bytes)), createHash("sha1").update(bytes).digest("hex"), `SHA-1 of ${length} bytes`);
    assert.equal(hex(sha256(bytes)), createHash("sha256").update(bytes).digest("hex"), `SHA-256 of ${length} bytes`);
    assert.equal(base64(hmac(sha1, bytes, bytes)), createHmac("sha1", bytes).update(bytes).digest("base64"));
  }
});

const v4 = [
  ["V4H1", "PUT", "/examplebucket/docs/hello world.txt", [],
    { "Content-MD5": "M3szwC+JSTAmhDmD/ycqMA==", "Content-Type": "text/plain", "x-oss-meta-author": "alice" },
    "a322ba83a409b49abc8c5ffbb0d2976360d0038a98af220b270783b66ac608b9", "d91110253a423ddea369307e3c4f8177075c9db7f97f0743f5bf97c852f62b5f"],
  ["V4H2", "GET", "/examplebucket/", [["acl", ""]], {},
    "8bd902d70e94ad80b323c919306ae6ce45b7aa659182ba5f77d028b600cd6d13", "481c32f260e359010f4444077c073cbc27050b3aea970eb17fd306f87aa499ce"],
  ["V4H4", "GET", "/", [], {},
    "586e838585fae620d917f9bfe8c39d0fc65fc5042737e0e12f95ba30f33fecbc", "8ca84d889eed1ef2347871428d6e07f4ddb5efef540d69f40637f5c5d497c46e"],
  ["V4H5", "GET", "/examplebucket/视频/a+b &c~*'()!.ts", [], {},
    "1d0a9f21936847779db9a623eb0b67d8f4633cd1c1fc93bd244785830a750dc8", "01a0103a82d1a9eb18de25dbd3cf0e9204cc90f88466c3c209880c94e4a9ebe6"],
];
for (const [name, method, path, query, headers, digest, signature] of v4) {
  for (const [way, subtle] of ways) test(`V4 in headers: ${name}, ${way}`, async () => {
    const key = await locked({ id: "AKIDEXAMPLE0001", secret }, subtle);
    const signed = await signV4({ method, path, query, headers }, key, "cn-hangzhou", date, "UNSIGNED-PAYLOAD");
    const { authorization, ...sent } = signed;
    const canonical = canonicalRequest({ method, path, query, headers: sent, payload: "UNSIGNED-PAYLOAD" });
    assert.equal(hex(sha256(utf8(canonical))), digest);
    assert.equal(
      authorization,
      `OSS4-HMAC-SHA256 Credential=AKIDEXAMPLE0001/20240102/cn-hangzhou/oss/aliyun_v4_request, Signature=${signature}`,
    );
  });
}

test("V4 covers the body and the token", async () => {
  const signed = await signV4({ method: "PUT", path: "/b/c", body: "text" }, { ...key, token: "CAIS" }, "cn-hangzhou", date);
  assert.equal(signed["x-oss-content-sha256"], createHash("sha256").update("text").digest("hex"));
  assert.equal(signed["x-oss-security-token"], "CAIS");
});

for (const [way, subtle] of ways) {
  const own = (more = {}) => locked({ id: "AKIDEXAMPLE0001", secret, ...more }, subtle);

  test(`signed playlists: U1, U3 and U4, ${way}`, async () => {
    const sign = async (parameters, who = own()) => signedPath("examplebucket", "live/ch1/playlist.m3u8", parameters, await who, expires);
    assert.equal(await sign({}), "/examplebucket/live/ch1/playlist.m3u8?OSSAccessKeyId=AKIDEXAMPLE0001&Expires=1704171845&Signature=tGkbNzh0peG%2FKKuQT9NYczi7zuk%3D");
    assert.match(await sign({ "x-oss-process": "hls/sign" }), /\?x-oss-process=hls%2Fsign&.*Signature=yevpYOxpZHA7iecHbw4yiVuN%2Bg8%3D$/);
    assert.match(await sign({ "x-oss-process": "hls/sign" }, own({ token: "CAISfakeToken+/0001==" })), /Signature=qhDGGL9jmxnSTewri0FmSy5VodQ%3D$/);
  });

  test(`publish addresses: C1, C2, C3, C5 and K1, ${way}`, async () => {
    const who = { id: "LTAI5tFakeKeyForSpec0001", secret: "FakeSecretForSpecOnly0000000001" };
    const query = async (bucket, channel, parameters, key, end) => publishQuery(bucket, channel, parameters, await locked(key, subtle), end);
    const signature = async (...arguments_) => decodeURIComponent((await query(...arguments_)).split("Signature=")[1]);
    assert.equal(await signature("examplebucket", "test-channel", {}, who, 1893456000), "2ShlRV+EbAQ+5PjhbV74GDwSIVk=");
    assert.equal(
      await query("examplebucket", "test-channel", { playlistName: "playlist.m3u8" }, who, 1893456000),
      "playlistName=playlist.m3u8&OSSAccessKeyId=LTAI5tFakeKeyForSpec0001&Expires=1893456000&Signature=Qkj%2F4G3IP1%2FJfPpNuZ5zUAfQrtI%3D",
    );
    assert.equal(await signature("examplebucket", "live channel 2", { playlistName: "播放 列表.m3u8" }, who, 1893456000), "v/Zlj0yjUJPu/nS/TErbx6jh+0o=");
    assert.equal(
      await signature("examplebucket", "test-channel", { playlistName: "playlist.m3u8" }, { ...who, token: "CAISfakeTOKEN/for+spec==" }, 1893456000),
      "ud8IUQeU7cPg6lC69MzM2/RZtz8=",
    );
    assert.equal(
      await signature("cpp-sdk-live-channel-bucket", "channel", { playlistName: "test.m3u8" }, { id: "ak", secret: "sk" }, 1706289617),
      "Y1LCM2PzyECssQhTdi+GKra7iXE=",
    );
  });

  test(`the secret cannot be had back from ${way}`, async () => {
    const key = await own();
    assert.ok(Object.isFrozen(key));
    assert.deepEqual(Object.keys(key), ["id", "token", "v4", "v1"]);
    assert.ok(!JSON.stringify(key).includes(secret) && !String(key.v4).includes(secret));
  });
}

test("names are escaped as signatures want them", () => {
  assert.equal(encode("a b/~*'()!+ü"), "a%20b%2F~%2A%27%28%29%21%2B%C3%BC");
});

test("every counter of a report has words", () => {
  const source = (path) => readFileSync(fileURLToPath(new URL(`../../../crates/${path}`, import.meta.url)), "utf8");
  const quirks = [...source("media/src/rtmp/stats.rs").matchAll(/^ {4}\w+ = "(\w+)",$/gm)].map(([, name]) => name);
  const counters = [...source("media/src/take/stats.rs").split("pub struct RemuxStats")[1].matchAll(/^ {8}(\w+),$/gm)].map(([, name]) => name).slice(4);
  assert.ok(quirks.length > 20 && counters.length > 20, `${quirks.length} and ${counters.length} found`);
  const losses = [...source("server/src/live/report.rs").matchAll(/\("(\w+)", losses\.\w+\)/g)].map(([, name]) => name);
  assert.equal(losses.length, 3);
  assert.deepEqual(knownQuirks().sort(), [...quirks, ...counters, ...losses].sort());
});

test("CRC-64 as OSS computes it (HTTP API 5.3), in pieces and as a whole", async () => {
  const sum = (text) => finish(update(START, utf8(text)));
  assert.equal(sum(""), "0");
  assert.equal(sum("123456789"), "11051210869376104954");
  assert.equal(sum("hello oss"), "15021467531229347219");
  assert.equal(finish(update(update(START, utf8("hello")), utf8(" oss"))), "15021467531229347219");
  assert.equal(await ofBlob(new Blob(["hello oss"])), "15021467531229347219");
});

test("a VOD playlist read as segments, stretches and moments", () => {
  const text = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXTINF:2.000,\n1000000000000.ts\n#EXTINF:2.000,\n1000000002000.ts\n#EXT-X-DISCONTINUITY\n#EXTINF:1.500,\n1000000060000.ts\n#EXT-X-ENDLIST\n";
  const list = segments(text);
  assert.deepEqual(list.map(({ uri, at, seconds, isNew }) => [uri, at, seconds, isNew]), [
    ["1000000000000.ts", 1e12, 2, true], ["1000000002000.ts", 1e12 + 2000, 2, false], ["1000000060000.ts", 1e12 + 60_000, 1.5, true],
  ]);
  assert.deepEqual(stretches(list), [[1e12, 1e12 + 4000], [1e12 + 60_000, 1e12 + 61_500]]);
  assert.equal(momentOf(list, 3), 1e12 + 3000);
  assert.equal(momentOf(list, 4.5), 1e12 + 60_500);
  assert.deepEqual(segments(""), []);
});

test("policies: what is wrong is named, what is right passes", () => {
  const statement = (more) => JSON.stringify({ Version: "1", Statement: [{ Effect: "Allow", Action: ["oss:GetObject"], Principal: ["*"], Resource: ["acs:oss:*:*:b1/*"], ...more }] });
  assert.deepEqual(check(statement({}), "b1"), []);
  for (const [text, told] of [
    ["{", /no JSON/], ["[]", /is an object/], ['{"Version":"2","Statement":[]}', /Version/], [statement({ Effect: "Maybe" }), /Effect/], [statement({ Action: ["GetObject"] }), /no action/],
    [statement({ Principal: undefined }), /Principal is missing/], [statement({ Resource: ["acs:oss:*:*:b2/*"] }), /not in the bucket b1/], [statement({ Resource: ["b1"] }), /no resource/],
    [statement({ Action: ["oss:ListObjects"] }), /about the bucket itself/], [statement({ Efect: 1 }), /not known/],
  ]) assert.match(check(text, "b1").join("\n"), told, text);
  assert.match(check(statement({}), "").join(), /has no Principal/);
});

test("documents: text stays text", () => {
  assert.equal(write("A", [["B", "<x>&\"'"], ["C", undefined], false, ["D", [["E", 1]]]]), "<A><B>&lt;x&gt;&amp;&quot;'</B><D><E>1</E></D></A>");
});

test("addresses: every name comes back as it was, and old ones lead on", () => {
  for (const name of ["cam 1", "a/b", "100%", "测试", "?x#y", "b&c=d"]) assert.deepEqual(parseRoute(link(["b", "media", "channels", name])).parts, ["b", "media", "channels", name]);
  assert.deepEqual(parseRoute(link(["b", "media", "files"], { prefix: "a/b c&d/", object: "" })).query, { prefix: "a/b c&d/" });
  assert.deepEqual(parseRoute("#/media/cam1").parts, ["b", "media", "channels", "cam1"]);
  assert.deepEqual(parseRoute("").parts, ["on-air"]);
});

test("parts are few and small enough", () => {
  const mib = 1 << 20;
  assert.equal(partSize(40 * mib), 8 * mib);
  const most = 48.8 * 2 ** 40;
  assert.ok(most / partSize(most) <= 10_000);
});
