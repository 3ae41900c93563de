// Objects through ali-oss, under V1 and V4 and in its three addressings: what HTTP API 0 lists and this SDK can ask for.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { Readable } from "node:stream";
import { after, before, describe, test } from "node:test";
import { accessKeyId, Server } from "../support/server.js";

let server;
let folder;
before(async () => {
  folder = mkdtempSync(path.join(tmpdir(), "millpond-ali-"));
  const settings = path.join(folder, "millpond.toml");
  writeFileSync(settings, "callback_allow_private = true\n");
  server = await Server.start("--config", settings);
});
after(async () => {
  assert.equal(await server?.stop(), 0);
  rmSync(folder, { recursive: true, force: true });
});

const PART = 100 * 1024;
const bytes = (length, seed = 1) => Buffer.from(Uint8Array.from({ length }, (_, at) => (at * 31 + seed) % 251));

// How the SDK reaches a bucket: as a host under `localhost`, as a path, or as a Host header on an IP address (HTTP API 1.5).
const addressing = {
  "virtual host": (options) => ({ ...options }),
  "path style": (options) => ({ ...options, sldEnable: true }),
  "an IP address": (options) => ({ ...options, endpoint: `http://127.0.0.1:${server.port}` }),
};

for (const authorizationV4 of [false, true]) {
  for (const [style, apply] of Object.entries(addressing)) {
    describe(`ali-oss objects ${authorizationV4 ? "V4" : "V1"}, ${style}`, () => {
      const bucket = `obj-${authorizationV4 ? "v4" : "v1"}-${style.replaceAll(" ", "-")}`.toLowerCase();
      let client;
      before(async () => {
        client = server.client(apply({ authorizationV4 }));
        await client.putBucket(bucket);
        client.useBucket(bucket);
      });

      test("a buffer, a file and a stream", async () => {
        const body = bytes(30_000);
        const file = path.join(folder, "file");
        writeFileSync(file, body);
        await client.put("buffer", body, { headers: { "Cache-Control": "no-cache" }, meta: { author: "me", "two-words": "a b" }, mime: "text/x" });
        await client.put("file", file);
        await client.putStream("stream", Readable.from([body]));
        for (const name of ["buffer", "file", "stream"]) {
          const got = await client.get(name);
          assert.ok(got.content.equals(body), name);
        }
        const head = await client.head("buffer");
        assert.deepEqual({ ...head.meta }, { author: "me", "two-words": "a b" });
        assert.equal(head.res.headers["cache-control"], "no-cache");
        assert.equal(head.res.headers["content-type"], "text/x");
        const streamed = await client.getStream("buffer");
        const pieces = [];
        for await (const piece of streamed.stream) pieces.push(piece);
        assert.ok(Buffer.concat(pieces).equals(body));
        const back = path.join(folder, "back");
        await client.get("buffer", back);
        assert.ok(readFileSync(back).equals(body));
      });

      test("keys of all kinds", async () => {
        // The SDK resolves dot segments before it sends them; test_hostile_keys.py sends them raw.
        const keys = ["a b+c", "测试/键", "&<>'\"", "q?x=1#f", "per%cent", "~!@$*()_-.,;:=[]", "x//y", ".hidden", "é\u0301"];
        for (const key of keys) {
          await client.put(`odd/${key}`, Buffer.from(key));
          assert.equal((await client.get(`odd/${key}`)).content.toString(), key);
          await client.copy("copy of it", `odd/${key}`);
          assert.equal((await client.get("copy of it")).content.toString(), key);
        }
        const listed = await client.list({ prefix: "odd/", "max-keys": 100 });
        assert.deepEqual(listed.objects.map((entry) => entry.name).sort(), keys.map((key) => `odd/${key}`).sort());
        const done = await client.deleteMulti(keys.map((key) => `odd/${key}`));
        assert.equal(done.deleted.length, keys.length);
        assert.deepEqual((await client.list({ prefix: "odd/" })).objects ?? [], []);
      });

      test("ranges and response headers", async () => {
        await client.put("range", bytes(1000));
        const part = await client.get("range", { headers: { Range: "bytes=10-19" } });
        assert.equal(part.res.status, 206);
        assert.ok(part.content.equals(bytes(1000).subarray(10, 20)));
        const named = await client.get("range", { subres: { "response-content-type": "text/y" } });
        assert.equal(named.res.headers["content-type"], "text/y");
      });

      test("sdk quirk 32: a 304 is a success", async () => {
        const put = await client.put("cached", bytes(100));
        const again = await client.get("cached", { headers: { "If-None-Match": put.res.headers.etag } });
        assert.equal(again.res.status, 304);
        assert.equal(again.res.headers.etag, put.res.headers.etag);
        assert.equal(again.content?.length ?? 0, 0);
        const since = await client.head("cached", { headers: { "If-Modified-Since": new Date(Date.now() + 60_000).toUTCString() } });
        assert.equal(since.status, 304);
        await assert.rejects(client.get("cached", { headers: { "If-Match": '"0"' } }), { status: 412, code: "PreconditionFailed" });
      });

      test("lists, pages and folders", async () => {
        const names = ["tree/a", "tree/b c", "tree/dir/1", "tree/dir/2", "tree/测试"];
        for (const name of names) await client.put(name, bytes(1));
        const first = await client.listV2({ prefix: "tree/", "max-keys": 2 });
        assert.deepEqual(first.objects.map((entry) => entry.name), names.slice(0, 2));
        assert.equal(first.isTruncated, true);
        const rest = await client.listV2({ prefix: "tree/", "continuation-token": first.nextContinuationToken });
        assert.deepEqual(rest.objects.map((entry) => entry.name), names.slice(2));
        const after = await client.listV2({ prefix: "tree/", "start-after": "tree/dir/1", "fetch-owner": "true" });
        assert.deepEqual(after.objects.map((entry) => entry.name), names.slice(3));
        const folded = await client.list({ prefix: "tree/", delimiter: "/" });
        assert.deepEqual(folded.prefixes, ["tree/dir/"]);
        assert.deepEqual(folded.objects.map((entry) => entry.name), ["tree/a", "tree/b c", "tree/测试"]);
        const marked = await client.list({ prefix: "tree/", marker: "tree/dir/1", "max-keys": 1 });
        assert.deepEqual([marked.objects[0].name, marked.nextMarker], ["tree/dir/2", "tree/dir/2"]);
        const versions = await client.getBucketVersions({ prefix: "tree/dir/" });
        assert.deepEqual(versions.objects.map((entry) => [entry.name, entry.versionId, entry.isLatest]), [
          ["tree/dir/1", "null", true],
          ["tree/dir/2", "null", true],
        ]);
      });

      test("sdk quirk 31: an upload in parts reads the tag of each", async () => {
        const body = bytes(3 * PART + 7);
        const file = path.join(folder, "large");
        writeFileSync(file, body);
        const done = await client.multipartUpload("dir/large 测试", file, { partSize: PART, parallel: 3, meta: { who: "me" }, mime: "video/x" });
        assert.match(done.etag, /^"[0-9A-F]{32}-4"$/);
        const got = await client.get("dir/large 测试");
        assert.ok(got.content.equals(body));
        assert.equal(got.res.headers["content-type"], "video/x");
        assert.equal(got.res.headers["x-oss-meta-who"], "me");
        assert.equal(got.res.headers["x-oss-object-type"], "Multipart");
      });

      test("parts one by one, listed, copied and given up", async () => {
        const { uploadId } = await client.initMultipartUpload("parts");
        const file = path.join(folder, "part");
        writeFileSync(file, bytes(PART));
        const first = await client.uploadPart("parts", uploadId, 1, file, 0, PART);
        const source = { sourceKey: "source 测试", sourceBucketName: bucket };
        await client.put("source 测试", bytes(2 * PART, 7));
        const second = await client.uploadPartCopy("parts", uploadId, 2, "5-14", source);
        const listed = await client.listParts("parts", uploadId, {});
        assert.deepEqual(listed.parts.map((part) => [Number(part.PartNumber), Number(part.Size)]), [[1, PART], [2, 10]]);
        const uploads = await client.listUploads({ prefix: "parts" });
        assert.deepEqual(uploads.uploads.map((upload) => upload.uploadId), [uploadId]);
        const tag = (part) => part.etag ?? part.res.headers.etag ?? /<ETag>(.*)<\/ETag>/.exec(part.res.data)[1].replaceAll("&quot;", '"');
        await client.completeMultipartUpload("parts", uploadId, [{ number: 1, etag: tag(first) }, { number: 2, etag: tag(second) }]);
        const expected = Buffer.concat([bytes(PART), bytes(2 * PART, 7).subarray(5, 15)]);
        assert.ok((await client.get("parts")).content.equals(expected));
        const again = await client.initMultipartUpload("parts");
        assert.equal((await client.abortMultipartUpload("parts", again.uploadId)).res.status, 204);
        await assert.rejects(client.listParts("parts", again.uploadId, {}), { status: 404, code: "NoSuchUpload" });
        await client.multipartUploadCopy("copied", { sourceKey: "source 测试", sourceBucketName: bucket }, { partSize: PART });
        assert.ok((await client.get("copied")).content.equals(bytes(2 * PART, 7)));
      });

      test("copies with and without new metadata", async () => {
        await client.put("from", bytes(50), { meta: { a: "1" }, mime: "text/x" });
        const kept = await client.copy("to", "from");
        assert.match(kept.data.etag, /^"[0-9A-F]{32}"$/);
        assert.deepEqual({ ...(await client.head("to")).meta }, { a: "1" });
        await client.copy("to", "from", { meta: { b: "2" } });
        assert.deepEqual({ ...(await client.head("to")).meta }, { b: "2" });
        await client.putMeta("from", { c: "3" });
        assert.deepEqual({ ...(await client.head("from")).meta }, { c: "3" });
        await client.copy("to", `/${bucket}/from`, { headers: { "If-Match": kept.data.etag } });
        await assert.rejects(client.copy("to", "from", { headers: { "If-Match": '"0"' } }), { status: 412 });
        await assert.rejects(client.copy("to", "absent"), { status: 404, code: "NoSuchKey" });
      });

      test("appends", async () => {
        await client.delete("log");
        const first = await client.append("log", Buffer.from("one "));
        assert.equal(first.nextAppendPosition, "4");
        const second = await client.append("log", Buffer.from("two"), { position: first.nextAppendPosition });
        assert.equal(second.nextAppendPosition, "7");
        assert.equal((await client.get("log")).content.toString(), "one two");
        await assert.rejects(client.append("log", Buffer.from("x"), { position: 3 }), { status: 409, code: "PositionNotEqualToLength" });
      });

      test("sdk quirk 34: batches of one and of several", async () => {
        for (const name of ["batch 1", "batch 2", "batch 3"]) await client.put(name, bytes(1));
        const one = await client.deleteMulti(["batch 1"]);
        assert.deepEqual(one.deleted.map((entry) => entry.Key), ["batch 1"]);
        const several = await client.deleteMulti(["batch 2", "absent"]);
        assert.deepEqual(several.deleted.map((entry) => entry.Key), ["batch 2", "absent"]);
        const quiet = await client.deleteMulti(["batch 3"], { quiet: true });
        assert.deepEqual(quiet.deleted, []);
        await assert.rejects(client.head("batch 3"), { status: 404, code: "NoSuchKey" });
      });

      test("links", async () => {
        await client.put("target 测试", Buffer.from("content"));
        await client.putSymlink("link", "target 测试", { meta: { a: "1" } });
        assert.equal((await client.getSymlink("link")).targetName, "target 测试");
        assert.equal((await client.get("link")).content.toString(), "content");
        await assert.rejects(client.getSymlink("target 测试"), { status: 400, code: "NotSymlink" });
      });

      test("tags", async () => {
        await client.put("tagged", bytes(1), { headers: { "x-oss-tagging": "k=v" } });
        assert.deepEqual((await client.getObjectTagging("tagged")).tag, { k: "v" });
        await client.putObjectTagging("tagged", { a: "1", "b-c": "x y" });
        assert.deepEqual((await client.getObjectTagging("tagged")).tag, { a: "1", "b-c": "x y" });
        assert.equal((await client.deleteObjectTagging("tagged")).status, 204);
        assert.deepEqual((await client.getObjectTagging("tagged")).tag, {});
      });

      test("ACLs and metadata", async () => {
        await client.put("acl", bytes(5));
        assert.equal((await client.getACL("acl")).acl, "default");
        await client.putACL("acl", "public-read");
        assert.equal((await client.getACL("acl")).acl, "public-read");
        const meta = await client.getObjectMeta("acl");
        assert.equal(meta.res.headers["content-length"], "5");
        await assert.rejects(client.getObjectMeta("absent"), { status: 404, code: "NoSuchKey" });
      });

      test("a callback", async () => {
        const told = [];
        const listener = http.createServer((request, response) => {
          const pieces = [];
          request.on("data", (piece) => pieces.push(piece));
          request.on("end", () => {
            told.push(Buffer.concat(pieces).toString());
            const text = '{"seen":true}';
            response.writeHead(200, { "Content-Length": text.length });
            response.end(text);
          });
        });
        await new Promise((resolve) => listener.listen(0, "127.0.0.1", resolve));
        const url = `http://127.0.0.1:${listener.address().port}/told`;
        const options = () => ({
          callback: { url, body: "key=${object}&var=${x:who}", contentType: "application/x-www-form-urlencoded", customValue: { who: "me" } },
        });
        try {
          const put = await client.put("called", Buffer.from("x"), options());
          assert.deepEqual(put.data, { seen: true });
          const file = path.join(folder, "called");
          writeFileSync(file, bytes(2 * PART));
          const done = await client.multipartUpload("called in parts", file, { partSize: PART, ...options() });
          assert.deepEqual(done.data, { seen: true });
          assert.deepEqual(told, ["key=called&var=me", "key=called%20in%20parts&var=me"]);
        } finally {
          listener.close();
        }
      });

      if (style !== "an IP address") {
        test("signed URLs", async () => {
          const sign = (name, method) =>
            authorizationV4 ? client.signatureUrlV4(method, 60, {}, name) : client.signatureUrl(name, { method, expires: 60 });
          const put = await send(await sign("signed 测试", "PUT"), "PUT", "body");
          assert.equal(put.status, 200, put.text);
          assert.equal((await send(await sign("signed 测试", "GET"), "GET")).text, "body");
          assert.equal((await send((await sign("signed 测试", "GET")).replace("signed", "other"), "GET")).status, 403);
        });
      }

      test("a form with a policy", async () => {
        const policy = {
          expiration: new Date(Date.now() + 60_000).toISOString(),
          conditions: [{ bucket }, ["content-length-range", 0, 100], ["starts-with", "$key", "form/"]],
        };
        const fields = { key: "form/${filename}" };
        if (authorizationV4) {
          const date = new Date();
          const basic = `${date.toISOString().slice(0, 19).replaceAll(/[-:]/g, "")}Z`;
          const credential = `${accessKeyId}/${basic.slice(0, 8)}/cn-hangzhou/oss/aliyun_v4_request`;
          policy.conditions.push({ "x-oss-credential": credential }, { "x-oss-date": basic }, { "x-oss-signature-version": "OSS4-HMAC-SHA256" });
          Object.assign(fields, {
            "x-oss-credential": credential,
            "x-oss-date": basic,
            "x-oss-signature-version": "OSS4-HMAC-SHA256",
            policy: Buffer.from(JSON.stringify(policy)).toString("base64"),
            "x-oss-signature": client.signPostObjectPolicyV4(policy, date),
          });
        } else {
          Object.assign(fields, client.calculatePostSignature(policy));
        }
        const post = async (more) => {
          const form = new FormData();
          for (const [name, value] of Object.entries({ ...fields, ...more })) form.append(name, value);
          form.append("file", new Blob(["posted"]), "a.txt");
          return await fetch(`http://127.0.0.1:${server.port}/${bucket}/`, { method: "POST", body: form });
        };
        assert.equal((await post({})).status, 204);
        assert.equal((await client.get("form/a.txt")).content.toString(), "posted");
        const refused = await post({ key: "elsewhere" });
        assert.equal(refused.status, 403);
        assert.match(await refused.text(), /<Code>AccessDenied<\/Code>/);
      });
    });
  }
}

/** One request to whatever host the URL names, which is this server. */
function send(url, method, body = "") {
  const target = new URL(url);
  const options = { host: "127.0.0.1", port: server.port, method, path: target.pathname + target.search };
  return new Promise((resolve, reject) => {
    const request = http.request({ ...options, headers: { Host: target.host, "Content-Length": Buffer.byteLength(body) } }, (response) => {
      const pieces = [];
      response.on("data", (piece) => pieces.push(piece));
      response.on("end", () => resolve({ status: response.statusCode, text: Buffer.concat(pieces).toString() }));
    });
    request.on("error", reject);
    request.end(body);
  });
}
