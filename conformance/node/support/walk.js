// All pages of the console with something in them: what the walks and the screenshots look at.
import { makeSource, push } from "./encoder.js";
import { waitFor } from "./server.js";

/** What is pushed beside the channel that the pages look at, so that there is something to see across buckets. */
const SCENES = [
  ["media", "studio", "gradients=seed=5", "Studio A"],
  ["sport-events", "court-1", "mandelbrot=start_scale=0.4", "Court 1, centre"],
  ["sport-events", "court-2", "gradients=seed=21:nb_colors=3", "Court 2"],
  ["townhall", "council", "smptehdbars", "Council chamber"],
];

const configuration = (description) => ({ Description: description, Status: "enabled", Target: { Type: "HLS", FragDuration: 1, FragCount: 5, PlaylistName: "playlist.m3u8" } });

/** Buckets, channels, a push that ended and one that runs, files, rules and a user; ends with `stop()`. */
export async function furnish(server) {
  const client = server.client();
  for (const [name, acl] of [["media", "public-read"], ["sport-events", "private"], ["townhall", "private"]]) await client.putBucket(name, { acl });
  client.useBucket("media");
  for (const [name, text] of [["entrance", "Main entrance, north side"], ["gate", "Gate, closed at night"], ["测试频道", "双语频道"], ["yard", ""]]) await client.putChannel(name, configuration(text));
  await client.put("docs/readme.txt", Buffer.from("Hello,\nthis is a text.\n"), { mime: "text/plain" });
  await client.putBucketCORS("media", [{ allowedOrigin: "https://www.example.com", allowedMethod: ["GET", "HEAD"], allowedHeader: "*", exposeHeader: ["ETag"], maxAgeSeconds: "600" }]);
  await client.putBucketReferer("media", true, ["https://*.example.com/"]);
  await client.putBucketLifecycle("media", [{ id: "old-recordings", prefix: "entrance/", status: "Enabled", days: 30 }]);
  await client.putBucketTags("media", { team: "video", stage: "live" });
  server.manage(["user", "create", "anna"]);
  server.manage(["key", "create", "anna"]);
  server.manage(["policy", "put", "anna", "AliyunOSSReadOnlyAccess"]);
  const source = makeSource(12, "1280x720");
  const to = (channel) => client.getRtmpUrl(channel, { expires: 3600 }).replace(/\/\/[^/]*/, `//${server.address}/media`);
  const first = push(source, to("entrance"), { options: ["-t", "6"] });
  await first.ended;
  const running = push(source, to("entrance"), { loop: true });
  const others = [];
  for (const [bucket, channel, scene, text] of SCENES) {
    client.useBucket(bucket);
    await client.putChannel(channel, configuration(text));
    const url = client.getRtmpUrl(channel, { expires: 3600 }).replace(/\/\/[^/]*/, `//${server.address}/${bucket}`);
    others.push(push(makeSource(6, "640x360", scene), url, { loop: true }));
  }
  client.useBucket("sport-events");
  await client.putChannel("court-3", { ...configuration("Court 3"), Status: "disabled" });
  client.useBucket("media");
  const listed = async () => /#EXTINF/.test(await (await fetch(`http://${server.address}/media/entrance/playlist.m3u8`, { headers: { referer: "https://a.example.com/" } })).text());
  await waitFor(listed, "a segment of the running push", 30_000);
  return { client, source, stop: () => Promise.all([running, ...others].map((one) => one.stop())) };
}

/** `count` channels as the operation across buckets answers them; one of them is the running push. */
export const channelsOnAir = (count) => Array.from({ length: count }, (_, index) => {
  const isLive = index % 3 !== 2;
  return {
    bucket: index ? ["media", "sport-events", "townhall"][index % 3] : "media", name: index ? `camera-${String(index).padStart(4, "0")}` : "entrance", description: index % 4 ? "" : "Main entrance, north side",
    status: isLive ? "Live" : index % 2 ? "Disabled" : "Idle", since: isLive ? new Date(Date.now() - 1000 * (65 + index * 137)).toISOString() : null, remote: isLive ? "192.0.2.10:47745" : null,
    video: isLive ? { codec: "H264", width: 1920, height: 1080, fps: 30, bytes_per_second: 300_000 + ((index * 7919) % 200_000) } : null,
    audio: isLive ? { codec: "AAC", sample_rate: 48_000, bytes_per_second: 16_000 } : null, key_frame_age_ms: isLive ? 300 + ((index * 91) % 2000) : null,
    viewers: isLive ? (index * 31) % 240 : 0, still: null,
    warnings: index % 7 === 3 ? ["foreign_audio"] : [],
  };
});

/** Name of the picture, address, and what is waited for before it is looked at. */
export const PAGES = [
  ["on-air", "#/on-air", ".tile img"],
  ["buckets", "#/buckets", ".list li"],
  ["overview", "#/b/media", "#endpoint-extranet"],
  ["files", "#/b/media/files?prefix=docs/", ".file"],
  ["file", "#/b/media/files?prefix=docs/&object=docs/readme.txt", "#preview"],
  ["channels", "#/b/media/channels", '.badge[data-status="Live"]'],
  ["channel", "#/b/media/channels/entrance", '#picture[data-state="playing"]'],
  ["channel-idle", "#/b/media/channels/gate", '#picture[data-state="idle"]'],
  ["recordings", "#/b/media/channels/entrance/recordings", "#recordings .segments"],
  ["recordings-home", "#/recordings", ".list li"],
  ["acl", "#/b/media/access/acl", ".radios"],
  ["cors", "#/b/media/access/cors", "#cors table"],
  ["hotlinks", "#/b/media/access/referer", "#referer dl"],
  ["policy", "#/b/media/access/policy", ".policy textarea"],
  ["lifecycle", "#/b/media/lifecycle", "table"],
  ["logging", "#/b/media/logging", "#logging input"],
  ["website", "#/b/media/website", "#website input"],
  ["tags", "#/b/media/tags", "#tags .pair"],
  ["usage", "#/b/media/usage", ".scroller tbody tr"],
  ["users", "#/users", ".list li:nth-child(2)"],
  ["user", "#/users/anna", "#policies .session"],
  ["about", "#/about", ".disk"],
];
