// URLs that ali-oss signs, under V1 and V4, by the account and by a wrong key: the server verifies them.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Server } from "../support/server.js";

const bucket = "ali-signs";
const key = "live/ch 1/playlist.m3u8";
const playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5.000,\n1.ts\n#EXTINF:5.000,\n2.ts\n";

let server;
const clientOf = (options = {}) => {
  const client = server.client({ sldEnable: true, ...options });
  client.useBucket(bucket);
  return client;
};

before(async () => {
  server = await Server.start();
  await server.client({ sldEnable: true }).putBucket(bucket);
  const client = clientOf();
  await client.put(key, Buffer.from(playlist));
  for (const number of [1, 2]) await client.put(`live/ch 1/${number}.ts`, Buffer.from(`segment ${number}`));
});
after(async () => {
  assert.equal(await server?.stop(), 0);
});

const sign = {
  V1: (client, name, { method = "GET", process, headers = {} } = {}) =>
    client.signatureUrl(name, { method, process, expires: 600, ...headers }),
  V4: (client, name, { method = "GET", process, headers = {} } = {}) =>
    client.signatureUrlV4(method, 600, { headers, queries: process ? { "x-oss-process": process } : {} }, name),
};

for (const [version, signed] of Object.entries(sign)) {
  const client = (options = {}) => clientOf({ authorizationV4: version === "V4", ...options });

  test(`${version}: an object, and nothing else`, async () => {
    const url = await signed(client(), "live/ch 1/1.ts");
    assert.equal(await (await fetch(url)).text(), "segment 1");
    const other = await fetch(url.replace("1.ts", "2.ts"));
    assert.equal(other.status, 403);
    assert.match(await other.text(), /<Code>SignatureDoesNotMatch<\/Code>/);
    assert.equal((await fetch(url, { method: "DELETE" })).status, 403);
  });

  test(`${version}: an upload with its content type`, async () => {
    const url = await signed(client(), "uploaded", { method: "PUT", headers: { "Content-Type": "text/plain" } });
    const put = (type) => fetch(url, { method: "PUT", body: "body", headers: { "Content-Type": type } });
    assert.equal((await put("text/html")).status, 403);
    assert.equal((await put("text/plain")).status, 200);
    assert.equal((await client().get("uploaded")).content.toString(), "body");
  });

  test(`${version}: a playlist whose lines open`, async () => {
    const url = await signed(client(), key, { process: "hls/sign" });
    const answer = await fetch(url);
    const text = await answer.text();
    assert.equal(answer.status, 200, text);
    const uris = text.split("\n").filter((line) => line && !line.startsWith("#"));
    const segments = await Promise.all(uris.map(async (uri) => (await fetch(new URL(uri, url))).text()));
    assert.deepEqual(segments, ["segment 1", "segment 2"]);
  });

  test(`${version}: a wrong secret`, async () => {
    const wrong = client({ accessKeySecret: "not the secret" });
    assert.equal((await fetch(await signed(wrong, key))).status, 403);
    await assert.rejects(wrong.get(key), { status: 403, code: "SignatureDoesNotMatch" });
  });
}
