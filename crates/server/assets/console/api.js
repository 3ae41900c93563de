// The calls: signed requests of the OSS API to the server that this page came from, so that policies decide what is seen.
import { encode, encodePath, queryText, signV4 } from "./sign.js";
import { key } from "./session.js";
import { explain } from "./words.js";

/** A refusal in the server's words, or none at all when it could not be reached. */
export class Refusal extends Error {
  constructor(code, message, requestId = "", status = 0) {
    super(message);
    Object.assign(this, { code, requestId, status, hint: explain(code) });
  }
}

let region = "cn-hangzhou";
/** How far the clock of the server is ahead of this machine's; signatures are made by the server's. */
let ahead = 0;

/** Where viewers and encoders are, when the console has an address of its own. */
let media = location.origin;

export const now = () => new Date(Date.now() + ahead);
export const mediaOrigin = () => media;

/** Learns what the server expects of signatures, and where it sends media from. */
export async function begin() {
  const answer = await fetch("/-/console/settings.json", { cache: "no-store" });
  ({ region, media = location.origin } = await answer.json());
  const date = Date.parse(answer.headers.get("date"));
  // Whole seconds are all that the header tells.
  if (Math.abs(date - Date.now()) > 5000) ahead = date - Date.now();
}

/**
 * Makes a call about a bucket or an object of it, or about the service when there is no bucket. Names come from addresses
 * that strangers can make, too: a slash in the name of a bucket must not lead to another host.
 */
const send = (method, bucket, object, options) =>
  request(method, bucket ? `/${encode(bucket)}/${encodePath(object)}` : "/", bucket ? `/${bucket}/${object}` : "/", options);

async function request(method, target, path, { query = [], headers = {}, body = "", credentials = key() } = {}) {
  const signed = await signV4({ method, path, query, headers, body }, credentials, region, now());
  if (query.length) target += "?" + queryText(query);
  let answer, text;
  try {
    answer = await fetch(target, { method, headers: signed, body: body || undefined, cache: "no-store", credentials: "omit" });
    text = await answer.text();
  } catch {
    throw new Refusal("Unreachable", "The server does not answer.");
  }
  if (answer.ok) return text;
  const error = xml(text);
  throw new Refusal(value(error, "Code") || `HTTP ${answer.status}`, value(error, "Message") || "The server refused.",
    value(error, "RequestId"), answer.status);
}

const xml = (text) => new DOMParser().parseFromString(text, "application/xml");
const value = (node, name) => [...(node.documentElement ?? node).children].find((child) => child.nodeName === name)?.textContent ?? "";
const node = (parent, name) => [...(parent.documentElement ?? parent).children].find((child) => child.nodeName === name);
const all = (parent, name) => [...(parent?.children ?? [])].filter((child) => child.nodeName === name);
const number = (parent, name) => (parent ? Number(value(parent, name)) || 0 : 0);

/** A page of buckets, and where the next one begins. */
export async function buckets(marker = "", credentials = key()) {
  const query = [["max-keys", "100"], ...(marker ? [["marker", marker]] : [])];
  const answer = xml(await send("GET", "", "", { query, credentials }));
  return {
    items: all(node(answer, "Buckets"), "Bucket").map((bucket) => ({ name: value(bucket, "Name"), made: value(bucket, "CreationDate") })),
    next: value(answer, "NextMarker"),
  };
}

export const createBucket = (name, acl) => send("PUT", name, "", { headers: { "x-oss-acl": acl } });

/** `private`, `public-read` or `public-read-write`. */
export async function bucketAcl(bucket) {
  const answer = xml(await send("GET", bucket, "", { query: [["acl", ""]] }));
  return value(node(answer, "AccessControlList") ?? answer, "Grant");
}

const listed = (channel) => ({
  name: value(channel, "Name"),
  description: value(channel, "Description"),
  status: value(channel, "Status"),
  modified: value(channel, "LastModified"),
  publish: node(node(channel, "PublishUrls") ?? channel, "Url")?.textContent ?? "",
});

/** A page of channels, and where the next one begins. */
export async function channels(bucket, marker = "", prefix = "", count = 20) {
  const query = [["live", ""], ["max-keys", String(count)], ["prefix", prefix], ["marker", marker]];
  const answer = xml(await send("GET", bucket, "", { query: query.filter(([name, text]) => name === "live" || text) }));
  return { items: all(answer.documentElement, "LiveChannel").map(listed), next: value(answer, "NextMarker") };
}

/** The configuration of a channel. */
export async function channel(bucket, name) {
  const answer = xml(await send("GET", bucket, name, { query: [["live", ""]] }));
  const target = node(answer, "Target");
  return {
    description: value(answer, "Description"),
    status: value(answer, "Status"),
    fragDuration: number(target, "FragDuration"),
    fragCount: number(target, "FragCount"),
    playlist: target ? value(target, "PlaylistName") : "",
  };
}

/** What the channel is doing: `Live`, `Idle` or `Disabled`, and the figures of a running push. */
export async function stat(bucket, name) {
  const answer = xml(await send("GET", bucket, name, { query: [["comp", "stat"], ["live", ""]] }));
  const [video, audio] = [node(answer, "Video"), node(answer, "Audio")];
  return {
    status: value(answer, "Status"),
    since: value(answer, "ConnectedTime"),
    remote: value(answer, "RemoteAddr"),
    video: video && {
      width: number(video, "Width"), height: number(video, "Height"), rate: number(video, "FrameRate"),
      bandwidth: number(video, "Bandwidth"), codec: value(video, "Codec"),
    },
    audio: audio && { bandwidth: number(audio, "Bandwidth"), sampleRate: number(audio, "SampleRate"), codec: value(audio, "Codec") },
  };
}

/** The last pushes with their reports, and the refused ones, newest first. */
export async function sessions(bucket, name) {
  const target = `/-/api/v1/channels/${encode(bucket)}/${encode(name)}/sessions`;
  const answer = JSON.parse(await request("GET", target, `/api/v1/channels/${bucket}/${name}/sessions`, { headers: { "x-oss-admin": "v1" } }));
  return { sessions: answer.sessions.reverse(), refusals: answer.refusals.reverse() };
}

/** Makes a channel. The document is built as one, so that no text of the user can be taken for a tag. */
export function createChannel(bucket, name, { description, fragDuration, fragCount, playlist }) {
  const document_ = document.implementation.createDocument(null, "LiveChannelConfiguration");
  const add = (parent, tag, text) => {
    const element = document_.createElement(tag);
    if (text !== undefined) element.textContent = text;
    parent.append(element);
    return element;
  };
  add(document_.documentElement, "Description", description);
  add(document_.documentElement, "Status", "enabled");
  const target = add(document_.documentElement, "Target");
  add(target, "Type", "HLS");
  add(target, "FragDuration", fragDuration);
  add(target, "FragCount", fragCount);
  add(target, "PlaylistName", playlist);
  const body = new XMLSerializer().serializeToString(document_);
  return send("PUT", bucket, name, { query: [["live", ""]], headers: { "content-type": "application/xml" }, body });
}

/** `status` is `enabled` or `disabled`; disabling ends a running push. */
export const setStatus = (bucket, name, status) => send("PUT", bucket, name, { query: [["live", ""], ["status", status]] });

export const deleteChannel = (bucket, name) => send("DELETE", bucket, name, { query: [["live", ""]] });
