// The addresses of a channel: where an encoder pushes to, and where viewers watch.
import { mediaOrigin, now } from "./api.js";
import { t } from "./i18n.js";
import { Card, Choice, Line } from "./parts.js";
import { key } from "./session.js";
import { encode, encodePath, publishQuery, signedPath } from "./sign.js";
import { html, useEffect, useState } from "./view.js";

export const EXPIRIES = [["expiry.hour", 3600], ["expiry.day", 86_400], ["expiry.week", 604_800], ["expiry.month", 2_592_000], ["expiry.year", 31_536_000]];

export const expiresIn = (seconds) => Math.floor(now().getTime() / 1000) + Number(seconds);

export const Expiry = ({ value, onInput, id }) =>
  html`<${Choice} label=${t("expiry.label")} id=${id} value=${value} onInput=${(seconds) => onInput(Number(seconds))} options=${EXPIRIES.map(([name, seconds]) => [seconds, t(name)])} />`;

/** The address with which a playlist plays, its segments too; signed unless everybody may play. */
export async function playAddress(bucket, object, isPublic, seconds) {
  if (isPublic) return `${mediaOrigin()}/${encode(bucket)}/${encodePath(object)}`;
  return mediaOrigin() + (await signedPath(bucket, object, { "x-oss-process": "hls/sign" }, key(), expiresIn(seconds)));
}

export const watchAddress = (play) => `${mediaOrigin()}/-/play?url=${encode(play)}`;

/** Where the encoder connects to: as the server says, with TLS where the page came with it. */
function serverOf(publish, bucket, channel) {
  const base = publish.endsWith(`/${channel}`) ? publish.slice(0, -channel.length - 1) : `rtmp://${new URL(mediaOrigin()).host}/${bucket}/live`;
  return location.protocol === "https:" ? base.replace(/^rtmp:/, "rtmps:") : base;
}

/** The lines to take along, and an address to watch at; `publish` is what the server says, raw text that ends with the channel. */
export function useAddresses({ bucket, channel, playlist, publish, isPublic }) {
  const [seconds, setSeconds] = useState(86_400);
  const [lines, setLines] = useState(null);
  useEffect(() => {
    let alive = true;
    const make = async () => {
      const base = serverOf(publish, bucket, channel);
      const stream = `${encode(channel)}?${await publishQuery(bucket, channel, { playlistName: playlist }, key(), expiresIn(seconds))}`;
      const play = await playAddress(bucket, `${channel}/${playlist}`, isPublic, seconds);
      if (alive) setLines({ base, stream, url: `${base}/${stream}`, play, watch: watchAddress(play) });
    };
    make();
    return () => void (alive = false);
  }, [bucket, channel, playlist, publish, isPublic, seconds]);
  return { seconds, setSeconds, lines };
}

export const Lines = ({ of: { seconds, setSeconds, lines }, isPublic }) => html`<${Card} title=${t("share.title")} id="share" actions=${html`<${Expiry} id="expiry" value=${seconds} onInput=${setSeconds} />`}>
  ${lines && html`<div>
    <${Line} label=${t("share.obsServer")} text=${lines.base} id="obs-server" />
    <${Line} label=${t("share.obsKey")} text=${lines.stream} id="obs-key" />
    <${Line} label="ffmpeg" text=${`ffmpeg -re -i FILE.mp4 -c:v libx264 -g 60 -c:a aac -f flv '${lines.url}'`} id="ffmpeg" />
    <${Line} label=${t("share.publish")} text=${lines.url} id="publish-url" />
    <${Line} label=${t("share.play")} text=${lines.play} id="play-url" />
  </div>`}
  <p class="hint">${t("share.obs")} ${t("share.expiry")} ${t(isPublic ? "share.public" : "share.private")}</p>
<//>`;
