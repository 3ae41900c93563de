// One channel: what it is doing, how to push to it and watch it, and what the last pushes were.
import * as api from "./api.js";
import { confirm, h, say, show } from "./dom.js";
import { bits, duration, moment } from "./format.js";
import { badge, bucketLink, refusal, repeat, title } from "./parts.js";
import { refusals, session } from "./report.js";
import { share } from "./share.js";
import { Spark } from "./spark.js";

export async function channel(page, bucket, name, alive) {
  let info;
  try {
    info = await api.channel(bucket, name);
  } catch (error) {
    show(page, title(name), refusal(error), h("p", {}, h("a", { href: bucketLink(bucket) }, `All channels of ${bucket}`)));
    return;
  }
  // What only some users may ask for is done without.
  const [urls, acl] = await Promise.all([
    api.channels(bucket, "", name, 1).then(({ items }) => items[0]?.name === name && items[0].publish, () => ""),
    api.bucketAcl(bucket).catch(() => "private"),
  ]);
  if (!alive()) return;
  const state = h("span", { class: "state" });
  const now = h("section", { class: "card live" });
  const trouble = h("div", {});
  const buttons = h("div", { class: "buttons" });
  const { watch, card } = share({ bucket, channel: name, playlist: info.playlist, publish: urls || "", isPublic: acl !== "private" });
  const reports = {
    refusals: h("section", { class: "card", id: "refusals", hidden: true }),
    sessions: h("section", { class: "card", id: "sessions" }),
  };
  show(page,
    title(name, state),
    info.description && h("p", { class: "description" }, info.description),
    now, buttons, trouble,
    card,
    reports.refusals,
    reports.sessions,
    h("section", { class: "card" }, h("h2", {}, "Settings"),
      h("dl", { class: "facts" }, [["FragDuration", `${info.fragDuration} s`], ["FragCount", info.fragCount], ["PlaylistName", info.playlist], ["Bucket", `${bucket} (${acl})`]]
        .map(([term, text]) => h("div", {}, h("dt", {}, term), h("dd", {}, String(text)))))));

  let status = "", since = "", seen = false, spark = new Spark();
  const look = async () => {
    try {
      const stat = await api.stat(bucket, name);
      if (!alive()) return;
      if (stat.status !== status || stat.since !== since) {
        // Whoever opens a channel that is not on air wants the lines; while it is, they are in the way.
        if (!seen) card.open = stat.status !== "Live";
        seen = true;
        ({ status, since } = stat);
        spark = new Spark();
        show(state, badge(status));
        offer();
        // The report of a push is written before its channel is seen idle or with the next one.
        loadReports(reports, bucket, name);
      }
      showStat(now, stat, spark);
    } catch (error) {
      if (!alive()) return;
      status = since = "";
      show(state);
      show(now, refusal(error));
    }
  };
  const act = async (work, done) => {
    show(trouble);
    try {
      await work();
      say(done);
    } catch (error) {
      show(trouble, refusal(error));
      return false;
    }
    await look();
    return true;
  };
  const offer = () => {
    const disabled = status === "Disabled";
    show(buttons,
      watch,
      h("button", {
        type: "button", class: "plain", id: "toggle",
        click: async () => {
          const sure = disabled || status !== "Live" || (await confirm(`Disable ${name}?`, "The running push is ended, and the encoder is refused until the channel is enabled again.", "Disable"));
          if (sure) act(() => api.setStatus(bucket, name, disabled ? "enabled" : "disabled"), disabled ? "Enabled" : "Disabled");
        },
      }, disabled ? "Enable" : "Disable"),
      h("button", {
        type: "button", class: "plain danger", id: "delete",
        click: async () => {
          const sure = await confirm(`Delete ${name}?`, "The channel and its history go. What was recorded stays in the bucket.", "Delete");
          if (!sure) return;
          show(trouble);
          try {
            await api.deleteChannel(bucket, name);
            say("Deleted");
            location.hash = bucketLink(bucket);
          } catch (error) {
            show(trouble, refusal(error));
          }
        },
      }, "Delete"));
  };
  repeat(look, 2000, alive);
  // Refusals come without any change of state.
  repeat(() => status && loadReports(reports, bucket, name), 10_000, alive);
}

function showStat(now, stat, spark) {
  if (stat.status !== "Live") {
    show(now, h("p", {}, stat.status === "Disabled" ? "Encoders are refused while the channel is disabled." : "Nobody is pushing. Start an encoder with the lines below, and its figures appear here."));
    return;
  }
  const [video, audio] = [stat.video, stat.audio];
  spark.add((video?.bandwidth ?? 0) + (audio?.bandwidth ?? 0));
  const seconds = (api.now().getTime() - Date.parse(stat.since)) / 1000;
  const facts = [
    ["Picture", video ? (video.width ? `${video.width} × ${video.height}` : video.codec) : "none yet", "size"],
    ["Frame rate", video?.rate ? `${video.rate} fps` : "–", "rate"],
    ["Video", video ? `${video.codec}, ${bits(video.bandwidth)}` : "–", "video"],
    ["Audio", audio ? `${audio.codec}, ${bits(audio.bandwidth)}` : "none", "audio"],
    ["On air", duration(seconds), "since"],
    ["From", stat.remote, "remote"],
  ];
  show(now,
    h("dl", { class: "figures" }, facts.map(([term, text, id]) => h("div", {}, h("dt", {}, term), h("dd", { id: `stat-${id}`, title: id === "since" && moment(stat.since) }, text)))),
    foreign(stat),
    h("figure", {}, spark.element, h("figcaption", { class: "quiet" }, "Bandwidth, last minute")));
}

/** Kinds that are left out are said while the push runs, too (D21). */
function foreign({ video, audio }) {
  const left = [video && !["H264", ""].includes(video.codec) && `video in ${video.codec}`, audio && !["AAC", ""].includes(audio.codec) && `audio in ${audio.codec}`].filter(Boolean);
  return left.length > 0 && h("p", { class: "warning" }, `Not recorded: ${left.join(" and ")}. Set the encoder to H.264 and AAC.`);
}

async function loadReports(places, bucket, name) {
  let found;
  try {
    found = await api.sessions(bucket, name);
  } catch (error) {
    replace(places.sessions, error.code, () => [h("h2", {}, "Last pushes"), refusal(error)]);
    return;
  }
  places.refusals.hidden = !found.refusals.length;
  replace(places.refusals, found.refusals, () => [h("h2", {}, "Refused pushes"), refusals(found.refusals)]);
  replace(places.sessions, found.sessions, () => [h("h2", {}, "Last pushes"),
    found.sessions.length ? found.sessions.map(session) : h("p", { class: "hint" }, "None yet. When a push ends, what it was is told here: its encoder, its length, and what had to be corrected.")]);
}

/** Shows what has changed; what somebody is reading is not taken away by the next look. */
function replace(place, shown, make) {
  const text = JSON.stringify(shown);
  if (place.shown === text) return;
  place.shown = text;
  show(place, make());
}
