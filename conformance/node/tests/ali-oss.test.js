// The LiveChannel operations through ali-oss, asserting what that SDK's own suite asserts (LiveChannel 8.4), under V1 and V4.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { makeSource, push } from "../support/encoder.js";
import { Server, waitFor } from "../support/server.js";

let server;
before(async () => {
  server = await Server.start();
});
after(async () => {
  assert.equal(await server?.stop(), 0);
});

const configuration = (description = 0) => ({
  Description: description,
  Status: "enabled",
  Target: { Type: "HLS", FragDuration: 10, FragCount: 5, PlaylistName: "playlist.m3u8" },
});
const asText = (value) =>
  typeof value === "object" ? Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, asText(inner)])) : String(value);

// How the SDK reaches a bucket: as a host under `localhost`, as a path, or as a Host header on an IP address (HTTP API 1.5).
const addressing = {
  "virtual host": (options) => ({ ...options }),
  "path style": (options) => ({ ...options, sldEnable: true }),
  "an IP address": (options) => ({ ...options, endpoint: `http://127.0.0.1:${server.port}` }),
};

for (const authorizationV4 of [false, true]) {
  for (const [style, apply] of Object.entries(addressing)) {
    describe(`ali-oss ${authorizationV4 ? "V4" : "V1"}, ${style}`, () => {
      const bucket = `ali-${authorizationV4 ? "v4" : "v1"}-${style.replaceAll(" ", "-")}`.toLowerCase();
      let client;
      before(async () => {
        client = server.client(apply({ authorizationV4 }));
        await client.putBucket(bucket);
        client.useBucket(bucket);
      });

      test("putChannel answers one URL each", async () => {
        const result = await client.putChannel("live channel 2", configuration());
        assert.equal(result.res.status, 200);
        assert.equal(result.publishUrls.length, 1);
        assert.equal(result.playUrls.length, 1);
        assert.match(result.publishUrls[0], /^rtmp:\/\/.+\/live\/live channel 2$/);
        assert.match(result.playUrls[0], /^http:\/\/.+\/live channel 2\/playlist\.m3u8$/);
      });

      test("getChannel returns exactly the configuration that was put", async () => {
        await client.putChannel("exact", configuration("words"));
        const { data } = await client.getChannel("exact");
        assert.deepEqual(asText(data), asText(configuration("words")));
      });

      test("a deleted channel is gone", async () => {
        await client.putChannel("short", configuration());
        assert.equal((await client.deleteChannel("short")).res.status, 204);
        await assert.rejects(client.getChannel("short"), { status: 404, code: "NoSuchLiveChannel" });
      });

      test("status and stat", async () => {
        await client.putChannel("status", configuration());
        assert.equal((await client.getChannelStatus("status")).data.Status, "Idle");
        assert.equal((await client.putChannelStatus("status", "disabled")).res.status, 200);
        assert.equal((await client.getChannelStatus("status")).data.Status, "Disabled");
      });

      test("listChannels with prefix, marker and max-keys", async () => {
        for (let number = 1; number <= 9; number += 1) await client.putChannel(`channel-list-${number}`, configuration());
        const result = await client.listChannels({ prefix: "channel-list-", marker: "channel-list-4", "max-keys": 3 });
        assert.deepEqual(result.channels.map((channel) => channel.Name), ["channel-list-5", "channel-list-6", "channel-list-7"]);
        assert.equal(result.nextMarker, "channel-list-7");
        assert.equal(result.isTruncated, true);
        const rest = await client.listChannels({ prefix: "channel-list-", marker: "channel-list-7", "max-keys": 3 });
        assert.equal(rest.nextMarker, null);
        assert.equal(rest.isTruncated, false);
      });

      test("an empty history", async () => {
        await client.putChannel("history", configuration());
        assert.deepEqual((await client.getChannelHistory("history")).records, []);
      });

      test("createVod on a deleted channel says that there is no ts", async () => {
        const now = Math.floor(Date.now() / 1000);
        for (const span of [0, 1]) {
          await assert.rejects(
            client.createVod("channel-gone", "re-play", { startTime: now, endTime: now + span }),
            (error) => error.status === 400 && ["InvalidArgument", "InvalidRequest"].includes(error.code),
          );
          await assert.rejects(
            client.createVod("channel-gone", "re-play.m3u8", { startTime: now, endTime: now + span }),
            (error) => error.status === 400 && error.code === "InvalidArgument" && error.ecCode === "0044-00000308",
          );
        }
      });

      test("getRtmpUrl names the channel and the playlist", () => {
        const url = client.getRtmpUrl("camera", { params: { playlistName: "vod.m3u8" }, expires: 3600 });
        assert.ok(url.includes("camera") && url.includes("vod.m3u8"), url);
      });

      test("objects", async () => {
        const put = await client.put("dir/a b.txt", Buffer.from("body"));
        assert.equal(put.res.status, 200);
        assert.equal((await client.get("dir/a b.txt")).content.toString(), "body");
        assert.equal((await client.head("dir/a b.txt")).res.headers["x-oss-object-type"], "Normal");
        const listed = await client.listV2({ prefix: "dir/" });
        assert.deepEqual(listed.objects.map((entry) => entry.name), ["dir/a b.txt"]);
        await client.delete("dir/a b.txt");
        await assert.rejects(client.get("dir/a b.txt"), { status: 404, code: "NoSuchKey" });
      });
    });
  }
}

for (const authorizationV4 of [false, true]) {
  test(`a push to the URL that ali-oss signed is recorded, ${authorizationV4 ? "V4" : "V1"}`, async () => {
    const client = server.client({ sldEnable: true, authorizationV4 });
    const bucket = `ali-push-${authorizationV4 ? "v4" : "v1"}`;
    await client.putBucket(bucket);
    client.useBucket(bucket);
    await client.putChannel("camera", { ...configuration(), Target: { ...configuration().Target, FragDuration: 1 } });
    const begins = Math.floor(Date.now() / 1000);
    const url = client.getRtmpUrl("camera", { params: { playlistName: "playlist.m3u8" } }).replace("//localhost:", "//127.0.0.1:");
    const running = push(makeSource(3), url);
    const live = await waitFor(async () => {
      const { data } = await client.getChannelStatus("camera");
      return data.Status === "Live" && data.Video && data.Audio && data;
    }, "live");
    assert.match(live.ConnectedTime, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000Z$/);
    assert.match(live.RemoteAddr, /^127\.0\.0\.1:\d+$/);
    assert.deepEqual([live.Video.Width, live.Video.Height, live.Video.Codec, live.Audio.Codec], ["640", "360", "H264", "AAC"]);
    await assert.rejects(client.deleteChannel("camera"), { status: 409, code: "ChannelStillLive" });
    assert.equal(await running.ended, 0, running.stderr);
    await waitFor(async () => (await client.getChannelStatus("camera")).data.Status === "Idle", "idle");
    const { records } = await client.getChannelHistory("camera");
    assert.equal(records.length, 1);
    assert.deepEqual(Object.keys(records[0]), ["StartTime", "EndTime", "RemoteAddr"]);
    const text = (await client.get("camera/playlist.m3u8")).content.toString();
    assert.equal(text.match(/\.ts$/gm).length, 3);

    const vod = await client.createVod("camera", "vod.m3u8", { startTime: begins, endTime: Math.floor(Date.now() / 1000) });
    assert.equal(vod.res.status, 200);
    const posted = (await client.get("camera/vod.m3u8")).content.toString();
    assert.equal(posted.match(/\.ts$/gm).length, 3);
    assert.match(posted, /#EXT-X-ENDLIST\n$/);

    assert.equal((await client.putChannelStatus("camera", "disabled")).res.status, 200);
    assert.equal((await client.getChannelStatus("camera")).data.Status, "Disabled");
    assert.equal((await client.deleteChannel("camera")).res.status, 204);
  });
}
