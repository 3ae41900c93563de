// The addresses of a channel: where an encoder pushes to, and where viewers watch.
import { mediaOrigin, now } from "./api.js";
import { h, line, show } from "./dom.js";
import { key } from "./session.js";
import { encode, encodePath, publishQuery, signedPath } from "./sign.js";

const EXPIRIES = [["1 hour", 3600], ["1 day", 86_400], ["1 week", 604_800], ["30 days", 2_592_000], ["1 year", 31_536_000]];

/** A button to watch and a card with the addresses. `publish` is what the server says, raw text that ends with the channel. */
export function share({ bucket, channel, playlist, publish, isPublic }) {
  const base = publish.endsWith(`/${channel}`) ? publish.slice(0, -channel.length - 1) : `rtmp://${new URL(mediaOrigin()).host}/${bucket}/live`;
  const choice = h("select", { id: "expiry" }, EXPIRIES.map(([name, seconds]) => h("option", { value: seconds, selected: seconds === 86_400 }, name)));
  const lines = h("div", {});
  const watch = h("a", { class: "button", id: "watch", target: "_blank", rel: "noopener" }, "Watch");
  let wanted = 0;
  const fill = async () => {
    const mine = ++wanted, signer = key();
    const expires = Math.floor(now().getTime() / 1000) + Number(choice.value);
    const stream = `${encode(channel)}?${await publishQuery(bucket, channel, { playlistName: playlist }, signer, expires)}`;
    const url = `${base}/${stream}`;
    const object = `${channel}/${playlist}`;
    const play = mediaOrigin() + (isPublic
      ? `/${bucket}/${encodePath(object)}`
      : await signedPath(bucket, object, { "x-oss-process": "hls/sign" }, signer, expires));
    // Another choice was made meanwhile.
    if (mine !== wanted) return;
    watch.href = `${mediaOrigin()}/-/play?url=${encode(play)}`;
    show(lines,
      line("OBS Server", base, "obs-server"),
      line("OBS Stream Key", stream, "obs-key"),
      line("ffmpeg", `ffmpeg -re -i FILE.mp4 -c:v libx264 -g 60 -c:a aac -f flv '${url}'`, "ffmpeg"),
      line("Publish URL", url, "publish-url"),
      line("Play URL", play, "play-url"));
  };
  choice.addEventListener("change", fill);
  fill();
  const card = h("details", { class: "card", id: "share" },
    h("summary", {}, h("h2", {}, "Push and play")),
    h("p", {}, h("label", { class: "quiet" }, "Valid for ", choice)),
    lines,
    h("p", { class: "hint" }, "OBS: Settings, Stream, Service Custom. The expiry of a publish address counts when the push begins; a running one is not cut. ",
      isPublic ? "Everybody may play." : "The bucket is private: the address for players is signed, and works until it expires."));
  return { watch, card };
}
