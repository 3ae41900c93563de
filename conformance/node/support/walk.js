// All pages of the console with something in them: what the walks and the screenshots look at.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { answering } from "./console.js";
import { makeSource, push } from "./encoder.js";
import { waitFor } from "./server.js";

const SCENES = ["mandelbrot=start_scale=0.4", "gradients=seed=5", "smptehdbars", "gradients=seed=21:nb_colors=3", "testsrc2", "mandelbrot=start_scale=0.02"];

/** Stills of different scenes, as JPEG files. */
function stills() {
  const folder = mkdtempSync(path.join(tmpdir(), "millpond-stills-"));
  const all = SCENES.map((scene, index) => {
    const file = path.join(folder, `${index}.jpg`);
    const made = spawnSync("ffmpeg", ["-v", "error", "-f", "lavfi", "-i", `${scene}${scene.includes("=") ? ":" : "="}size=480x270`, "-frames:v", "1", file]);
    if (made.status !== 0) throw new Error(`ffmpeg: ${made.error ?? made.stderr}`);
    return readFileSync(file);
  });
  rmSync(folder, { recursive: true });
  return all;
}

const configuration = (description) => ({ Description: description, Status: "enabled", Target: { Type: "HLS", FragDuration: 1, FragCount: 5, PlaylistName: "playlist.m3u8" } });

/** Buckets, channels, a push that ended and one that runs, files, rules and a user; ends with `stop()`. */
export async function furnish(server) {
  const client = server.client();
  for (const [name, acl] of [["media", "public-read"], ["sport-events", "private"], ["townhall", "private"]]) await client.putBucket(name, { acl });
  client.useBucket("media");
  for (const [name, text] of [["entrance", "Main entrance, north side"], ["studio", "Studio A"], ["测试频道", "双语频道"], ["yard", ""]]) await client.putChannel(name, configuration(text));
  await client.put("docs/readme.txt", Buffer.from("Hello,\nthis is a text.\n"), { mime: "text/plain" });
  for (const [index, picture] of stills().entries()) await client.put(`stills/${index}.jpg`, picture, { mime: "image/jpeg" });
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
  const listed = async () => /#EXTINF/.test(await (await fetch(`http://${server.address}/media/entrance/playlist.m3u8`, { headers: { referer: "https://a.example.com/" } })).text());
  await waitFor(listed, "a segment of the running push", 30_000);
  return { client, source, stop: () => running.stop() };
}

/** `count` channels as the operation across buckets answers them; one of them is the running push. */
export const channelsOnAir = (count, pictures = true) => Array.from({ length: count }, (_, index) => {
  const isLive = index % 3 !== 2;
  return {
    bucket: index ? ["media", "sport-events", "townhall"][index % 3] : "media", name: index ? `camera-${String(index).padStart(4, "0")}` : "entrance", description: index % 4 ? "" : "Main entrance, north side",
    status: isLive ? "Live" : index % 2 ? "Disabled" : "Idle", since: isLive ? new Date(Date.now() - 1000 * (65 + index * 137)).toISOString() : null, remote: isLive ? "192.0.2.10:47745" : null,
    video: isLive ? { codec: "H264", width: 1920, height: 1080, fps: 30, bytes_per_second: 300_000 + ((index * 7919) % 200_000) } : null,
    audio: isLive ? { codec: "AAC", sample_rate: 48_000, bytes_per_second: 16_000 } : null, key_frame_age_ms: isLive ? 300 + ((index * 91) % 2000) : null,
    viewers: isLive ? (index * 31) % 240 : 0, still: isLive && pictures ? { bucket: "media", key: `stills/${Math.floor(index / 3 + (index % 3)) % 6}.jpg`, version: "1" } : null,
    warnings: index % 7 === 3 ? ["foreign_audio"] : [],
  };
});

/** Answers for what the server does not offer yet. A server that does is asked itself. */
export async function answers(context, server) {
  const has = async (name) => ![404, 405].includes((await fetch(`http://${server.address}/-/api/v1/${name}`, { headers: { "x-oss-admin": "v1" } })).status);
  const own = async (name, work) => (await has(name)) || answering(context, name, work);
  await own("on-air", () => ({ body: { now: new Date().toISOString(), total: 24, truncated: false, channels: channelsOnAir(24) } }));
  await own("about", () => ({
    body: {
      version: "0.2.0", commit: "0123456", started: new Date(Date.now() - 3.2 * 86_400_000).toISOString(), region: "cn-hangzhou",
      listeners: [{ purpose: "http", address: "0.0.0.0:9000", tls: true }, { purpose: "rtmp", address: "0.0.0.0:1935", tls: true }, { purpose: "admin", address: "127.0.0.1:9001", tls: false }],
      certificate: { names: ["media.example.com"], not_after: new Date(Date.now() + 61 * 86_400_000).toISOString() },
      disk: { free_bytes: 212e9, total_bytes: 500e9, used_bytes: 180e9 }, limits: { max_connections: 600, buckets: 100, channels_per_bucket: 1000, ingest_mbit: 100 },
      load: { connections: 14, publications: 3 }, health: [{ name: "metadata", state: "ok", message: "" }, { name: "disk", state: "ok", message: "" }, { name: "recording", state: "ok", message: "" }],
    },
  }));
  const day = (back) => new Date(Date.now() - back * 86_400_000).toISOString().slice(0, 10);
  await own("buckets/media/usage", () => ({
    body: {
      days: Array.from({ length: 14 }, (_, index) => ({ day: day(13 - index), storage_bytes: 1e9 * (4 + index / 3), received_bytes: 2e9 + 1e8 * ((index * 7) % 5), sent_bytes: 9e9 + 1e9 * ((index * 5) % 7), requests: 12_000 + index * 700, ingest_minutes: 300 + index })),
      months: [{ month: "2026-10", storage_bytes: 4e9, received_bytes: 52e9, sent_bytes: 310e9, requests: 390_000, ingest_minutes: 9200 }],
    },
  }));
}

/** Name of the picture, address, and what is waited for before it is looked at. */
export const PAGES = [
  ["on-air", "#/on-air", ".tile"],
  ["buckets", "#/buckets", ".list li"],
  ["overview", "#/b/media", "#endpoint-extranet"],
  ["files", "#/b/media/files?prefix=docs/", ".file"],
  ["file", "#/b/media/files?prefix=docs/&object=docs/readme.txt", "#preview"],
  ["channels", "#/b/media/channels", '.badge[data-status="Live"]'],
  ["channel", "#/b/media/channels/entrance", '#picture[data-state="playing"]'],
  ["channel-idle", "#/b/media/channels/studio", '#picture[data-state="idle"]'],
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
  ["usage", "#/b/media/usage", ".bar"],
  ["users", "#/users", ".list li:nth-child(2)"],
  ["user", "#/users/anna", "#policies .session"],
  ["about", "#/about", ".disk"],
];
