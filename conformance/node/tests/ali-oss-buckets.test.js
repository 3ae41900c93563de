// Buckets and their settings through ali-oss, under V1 and V4 and in its three addressings.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Server } from "../support/server.js";

let server;
before(async () => {
  server = await Server.start();
});
after(async () => {
  assert.equal(await server?.stop(), 0);
});

const addressing = {
  "virtual host": (options) => ({ ...options }),
  "path style": (options) => ({ ...options, sldEnable: true }),
  "an IP address": (options) => ({ ...options, endpoint: `http://127.0.0.1:${server.port}` }),
};

for (const authorizationV4 of [false, true]) {
  for (const [style, apply] of Object.entries(addressing)) {
    const label = `${authorizationV4 ? "v4" : "v1"}-${style.replaceAll(" ", "-")}`.toLowerCase();
    describe(`ali-oss buckets ${label}`, () => {
      const bucket = `set-${label}`;
      let client;
      before(async () => {
        client = server.client(apply({ authorizationV4 }));
        await client.putBucket(bucket);
        client.useBucket(bucket);
      });

      test("sdk quirk 35: the bucket travels in the host, the path, or a host that is not the address", async () => {
        await client.put("key", Buffer.from(style));
        assert.equal((await client.get("key")).content.toString(), style);
        assert.deepEqual((await client.list()).objects.map((entry) => entry.name), ["key"]);
      });

      test("a bucket from birth to death", async () => {
        const name = `life-${label}`;
        assert.equal((await client.putBucket(name, { acl: "public-read", storageClass: "IA" })).res.status, 200);
        const { bucket: info } = await client.getBucketInfo(name);
        assert.deepEqual([info.Name, info.StorageClass, info.AccessControlList.Grant], [name, "IA", "public-read"]);
        assert.equal((await client.getBucketLocation(name)).location, "oss-cn-hangzhou");
        assert.equal((await client.getBucketACL(name)).acl, "public-read");
        const { buckets } = await client.listBuckets({ prefix: `life-${label}` });
        assert.deepEqual(buckets.map((entry) => entry.name), [name]);
        assert.equal((await client.getBucketStat(name)).stat.ObjectCount, "0");
        assert.equal((await client.deleteBucket(name)).res.status, 204);
        await assert.rejects(client.getBucketInfo(name), { status: 404, code: "NoSuchBucket" });
      });

      test("sdk quirk 33: an ACL makes the bucket that it is for", async () => {
        const name = `made-${label}`;
        const made = await client.putBucketACL(name, "public-read");
        assert.equal(made.res.headers.location, `/${name}`);
        assert.equal((await client.getBucketACL(name)).acl, "public-read");
        await client.deleteBucket(name);
      });

      test("sdk quirk 30: the list of referers always exists", async () => {
        assert.deepEqual((await client.getBucketReferer(bucket)).referers, null);
        await client.putBucketReferer(bucket, false, ["http://*.a.example", "http://b.example"]);
        const kept = await client.getBucketReferer(bucket);
        assert.deepEqual([kept.allowEmpty, kept.referers], [false, ["http://*.a.example", "http://b.example"]]);
        await client.deleteBucketReferer(bucket);
        assert.deepEqual([(await client.getBucketReferer(bucket)).allowEmpty, (await client.getBucketReferer(bucket)).referers], [true, null]);
      });

      test("sdk quirk 36: empty values are signed with their sign of equality", async () => {
        assert.equal((await client.list({ prefix: "", marker: "", delimiter: "" })).res.status, 200);
        assert.equal((await client.listV2({ prefix: "", "start-after": "" })).res.status, 200);
        await client.listUploads({ prefix: "", "key-marker": "" });
      });

      test("CORS", async () => {
        await assert.rejects(client.getBucketCORS(bucket), { status: 404, code: "NoSuchCORSConfiguration" });
        const rule = { allowedOrigin: "*", allowedMethod: ["GET", "PUT"], allowedHeader: "*", exposeHeader: "ETag", maxAgeSeconds: "5" };
        await client.putBucketCORS(bucket, [rule]);
        assert.deepEqual((await client.getBucketCORS(bucket)).rules.map((kept) => ({ ...kept })), [rule]);
        assert.equal((await client.deleteBucketCORS(bucket)).res.status, 204);
      });

      test("lifecycle", async () => {
        await assert.rejects(client.getBucketLifecycle(bucket), { status: 404, code: "NoSuchLifecycle" });
        const rule = () => ({ id: "r1", status: "Enabled", prefix: "old/", expiration: { days: 3 }, tag: [{ key: "k", value: "v" }] });
        await client.putBucketLifecycle(bucket, [rule()]);
        const [kept] = (await client.getBucketLifecycle(bucket)).rules;
        assert.deepEqual([kept.id, kept.status, kept.prefix, kept.expiration.days], ["r1", "Enabled", "old/", "3"]);
        assert.equal((await client.deleteBucketLifecycle(bucket)).res.status, 204);
      });

      test("website", async () => {
        await assert.rejects(client.getBucketWebsite(bucket), { status: 404, code: "NoSuchWebsiteConfiguration" });
        await client.putBucketWebsite(bucket, { index: "home.html", error: "oops.html" });
        const kept = await client.getBucketWebsite(bucket);
        assert.deepEqual([kept.index, kept.error], ["home.html", "oops.html"]);
        await client.deleteBucketWebsite(bucket);
      });

      test("logging", async () => {
        assert.equal((await client.getBucketLogging(bucket)).enable, false);
        await client.putBucketLogging(bucket, "logs/");
        const kept = await client.getBucketLogging(bucket);
        assert.deepEqual([kept.enable, kept.prefix], [true, "logs/"]);
        await client.deleteBucketLogging(bucket);
      });

      test("tags", async () => {
        await client.putBucketTags(bucket, { a: "1", b: "2" });
        assert.deepEqual((await client.getBucketTags(bucket)).tag, { a: "1", b: "2" });
        assert.equal((await client.deleteBucketTags(bucket)).res.status, 204);
        assert.deepEqual((await client.getBucketTags(bucket)).tag, {});
      });

      test("policy", async () => {
        const policy = {
          Version: "1",
          Statement: [{ Effect: "Allow", Principal: ["*"], Action: ["oss:GetObject"], Resource: [`acs:oss:*:*:${bucket}/*`] }],
        };
        await client.putBucketPolicy(bucket, policy);
        assert.deepEqual((await client.getBucketPolicy(bucket)).policy, policy);
        assert.equal((await client.deleteBucketPolicy(bucket)).status, 204);
        // For this call every status is a success to the SDK.
        const gone = await client.getBucketPolicy(bucket);
        assert.deepEqual([gone.status, gone.policy], [404, null]);
      });

      test("what is not built says so", async () => {
        assert.equal((await client.getBucketVersioning(bucket)).versionStatus, undefined);
        assert.equal((await client.putBucketVersioning(bucket, "Enabled")).status, 501);
        await assert.rejects(client.putBucketEncryption(bucket, { SSEAlgorithm: "AES256" }), { status: 501, code: "NotImplemented" });
        await assert.rejects(client.getBucketEncryption(bucket), { status: 404, code: "NoSuchServerSideEncryptionRule" });
        assert.equal((await client.getBucketRequestPayment(bucket)).payer, "BucketOwner");
      });
    });
  }
}
