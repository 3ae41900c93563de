// What is in a file, as far as a browser can show it. Bytes come as calls of the API and are shown from memory; only long
// videos are read by address, where the page and the media have the same.
import { blob } from "./api-files.js";
import { isApart, now, send } from "./api.js";
import { bytes } from "./format.js";
import { t } from "./i18n.js";
import { Icon } from "./icons.js";
import { Busy, Refused } from "./parts.js";
import { VodPicture } from "./player.js";
import { key as signer } from "./session.js";
import { signedPath } from "./sign.js";
import { html, useEffect, useLoad, useState } from "./view.js";

const TEXT_BYTES = 65_536;
const IMAGE_BYTES = 32 << 20;
const MEDIA_BYTES = 256 << 20;
const KINDS = [
  ["image", /^image\//, /\.(png|jpe?g|gif|webp|avif|svg|ico)$/i],
  ["segment", /^video\/mp2t$/i, /\.ts$/i],
  ["playlist", /mpegurl$/i, /\.m3u8$/i],
  ["video", /^video\//, /\.(mp4|webm|mov|m4v)$/i],
  ["audio", /^audio\//, /\.(mp3|m4a|aac|wav|ogg|flac)$/i],
  ["text", /^text\/|json|xml|javascript|yaml|x-sh/, /\.(txt|md|json|xml|csv|log|toml|ya?ml|js|css|html?|vtt|srt)$/i],
];

export const kindOf = (key, type = "") => KINDS.find(([, byType, byName]) => byName.test(key) || byType.test(type))?.[0] ?? "";

/** The icon that stands for a file. */
export const iconOf = (key) => ({ image: "image", segment: "file-video", playlist: "film", video: "file-video", audio: "file-audio", text: "file-text" })[kindOf(key)] ?? "file";

export function Preview({ bucket, objectKey, size, type }) {
  const kind = kindOf(objectKey, type);
  if (!size || !kind) return html`<p class="quiet">${t(size ? "preview.none" : "preview.empty")}</p>`;
  if (kind === "playlist") return html`<${VodPicture} bucket=${bucket} objectKey=${objectKey} />`;
  if (kind === "segment") return html`<${Segment} bucket=${bucket} objectKey=${objectKey} />`;
  if (kind === "text") return html`<${Text} bucket=${bucket} objectKey=${objectKey} size=${size} />`;
  if (kind === "image" && size > IMAGE_BYTES) return html`<p class="quiet">${t("preview.large", { size: bytes(size) })}</p>`;
  return html`<${Media} kind=${kind} bucket=${bucket} objectKey=${objectKey} size=${size} />`;
}

/** A segment of its own plays as a playlist of one. */
function Segment({ bucket, objectKey }) {
  const [folder, name] = [objectKey.slice(0, objectKey.lastIndexOf("/") + 1), objectKey.slice(objectKey.lastIndexOf("/") + 1)];
  const text = `#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:60\n#EXTINF:10,\n${encodeURIComponent(name)}\n#EXT-X-ENDLIST\n`;
  return html`<${VodPicture} bucket=${bucket} objectKey=${`${folder}.one-segment.m3u8`} text=${text} />`;
}

function Text({ bucket, objectKey, size }) {
  const found = useLoad(async () => (await send("GET", bucket, objectKey, { headers: { range: `bytes=0-${TEXT_BYTES - 1}`, "x-oss-range-behavior": "standard" } })).data, [bucket, objectKey]);
  if (found.error) return html`<${Refused} error=${found.error} />`;
  if (found.data === undefined) return html`<${Busy} />`;
  return html`<div class="preview" id="preview"><pre tabindex="0" aria-label=${t("preview.text")}>${found.data}</pre>
    </div>${size > TEXT_BYTES && html`<p class="hint">${t("preview.beginning", { size: bytes(TEXT_BYTES) })}</p>`}`;
}

function Media({ kind, bucket, objectKey, size }) {
  const [address, setAddress] = useState("");
  const [trouble, setTrouble] = useState(null);
  useEffect(() => {
    let alive = true, made = "";
    const byAddress = kind !== "image" && !isApart();
    if (!byAddress && size > MEDIA_BYTES) return setTrouble(new Error(t("preview.large", { size: bytes(size) })));
    const get = byAddress
      ? signedPath(bucket, objectKey, {}, signer(), Math.floor(now().getTime() / 1000) + 6 * 3600)
      : blob(bucket, objectKey).then((data) => (made = URL.createObjectURL(data)));
    get.then((url) => (alive ? setAddress(url) : made && URL.revokeObjectURL(made)), (error) => alive && setTrouble(error));
    return () => {
      alive = false;
      if (made) URL.revokeObjectURL(made);
    };
  }, [bucket, objectKey]);
  if (trouble) return html`<${Refused} error=${trouble} />`;
  if (!address) return html`<${Busy} />`;
  const failed = () => setTrouble(new Error(t("preview.broken")));
  return html`<div class="preview" id="preview">${
    kind === "image" ? html`<img src=${address} alt=${objectKey} onError=${failed} />`
    : kind === "audio" ? html`<audio src=${address} controls onError=${failed} aria-label=${objectKey}></audio>`
    : html`<video src=${address} controls playsinline onError=${failed} aria-label=${objectKey}></video>`}</div>`;
}

export const FileIcon = ({ name }) => html`<${Icon} name=${iconOf(name)} size=${18} />`;
