// Live channels: operations of OSS, and the reports of pushes.
import { document_, manage, read, send } from "./api.js";
import { all, child, number, text, write } from "./xml.js";

const listed = (channel) => ({
  name: text(channel, "Name"),
  description: text(channel, "Description"),
  status: text(channel, "Status"),
  modified: text(channel, "LastModified"),
  publish: text(child(channel, "PublishUrls"), "Url"),
});

/** A page of channels, and where the next one begins. */
export async function channels(bucket, { marker = "", prefix = "", count = 20 } = {}) {
  const query = [["live", ""], ["max-keys", String(count)], ["prefix", prefix], ["marker", marker]];
  const answer = await document_("GET", bucket, "", { query: query.filter(([name, value]) => name === "live" || value) });
  return { items: all(answer, "LiveChannel").map(listed), next: text(answer, "NextMarker") };
}

/** The configuration of a channel. */
export async function channel(bucket, name) {
  const answer = await document_("GET", bucket, name, { query: [["live", ""]] });
  const target = child(answer, "Target");
  const snapshot = child(answer, "Snapshot");
  return {
    description: text(answer, "Description"),
    status: text(answer, "Status"),
    fragDuration: number(target, "FragDuration"),
    fragCount: number(target, "FragCount"),
    playlist: text(target, "PlaylistName"),
    snapshot: snapshot && ["RoleName", "DestBucket", "NotifyTopic", "Interval"].map((tag) => [tag, text(snapshot, tag)]),
  };
}

/** What the channel is doing: `Live`, `Idle` or `Disabled`, and the figures of a running push. */
export async function stat(bucket, name) {
  const answer = await document_("GET", bucket, name, { query: [["comp", "stat"], ["live", ""]] });
  const [video, audio] = [child(answer, "Video"), child(answer, "Audio")];
  return {
    status: text(answer, "Status"),
    since: text(answer, "ConnectedTime"),
    remote: text(answer, "RemoteAddr"),
    video: video && {
      width: number(video, "Width"), height: number(video, "Height"), rate: number(video, "FrameRate"),
      bandwidth: number(video, "Bandwidth"), codec: text(video, "Codec"),
    },
    audio: audio && { bandwidth: number(audio, "Bandwidth"), sampleRate: number(audio, "SampleRate"), codec: text(audio, "Codec") },
  };
}

/** The last pushes with their reports, and the refused ones, newest first. */
export async function sessions(bucket, name) {
  const answer = await manage("GET", ["channels", bucket, name, "sessions"]);
  return { sessions: answer.sessions.reverse(), refusals: answer.refusals.reverse() };
}

/** The last pushes, oldest first: `[{start, end, remote}]` in milliseconds. */
export async function history(bucket, name) {
  const answer = await document_("GET", bucket, name, { query: [["comp", "history"], ["live", ""]] });
  return all(answer, "LiveRecord").map((one) => ({
    start: Date.parse(text(one, "StartTime")), end: Date.parse(text(one, "EndTime")), remote: text(one, "RemoteAddr"),
  }));
}

/** Makes a channel, or replaces one with all its settings. */
export function putChannel(bucket, name, { description, status = "enabled", fragDuration, fragCount, playlist, snapshot }) {
  const body = write("LiveChannelConfiguration", [
    ["Description", description], ["Status", status],
    ["Target", [["Type", "HLS"], ["FragDuration", fragDuration], ["FragCount", fragCount], ["PlaylistName", playlist]]],
    snapshot && ["Snapshot", snapshot],
  ]);
  return send("PUT", bucket, name, { query: [["live", ""]], headers: { "content-type": "application/xml" }, body });
}

/** `status` is `enabled` or `disabled`; disabling ends a running push. */
export const setStatus = (bucket, name, status) => send("PUT", bucket, name, { query: [["live", ""], ["status", status]] });

export const deleteChannel = (bucket, name) => send("DELETE", bucket, name, { query: [["live", ""]] });

const span = (from, to) => [["endTime", String(to)], ["startTime", String(from)], ["vod", ""]];

/** The playlist over a range of whole seconds, at most a day; empty where nothing was recorded. */
export async function vod(bucket, name, from, to) {
  try {
    return await read("GET", bucket, name, { query: span(from, to) });
  } catch (error) {
    if (error.ec === "0044-00000308" || /No ts file found/.test(error.message)) return "";
    throw error;
  }
}

/** Writes such a playlist beside the segments. */
export const putVod = (bucket, name, playlist, from, to) => send("POST", bucket, `${name}/${playlist}`, { query: span(from, to) });

/**
 * All channels that the key may see, across buckets, live ones first: one call whatever their number.
 * `{now, total, truncated, channels: [{bucket, name, description, status, since, remote, video, audio, key_frame_age_ms,
 * viewers, still, warnings}]}`.
 */
export const onAir = (limit) => manage("GET", ["on-air"], { query: [["limit", String(limit)], ["state", "all"]] });
