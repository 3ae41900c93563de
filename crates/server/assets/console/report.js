// What each of the last pushes was, and which were refused (the reports of sessions).
import { h } from "./dom.js";
import { bytes, count, duration, moment } from "./format.js";
import { HANDSHAKES, quirk, whyRefused } from "./words.js";

const KINDS = { lost: "not in the recording", fixed: "put right", seen: "no effect" };

/** A push with its report; the newest is open. */
export function session(one, index) {
  const report = one.report;
  const seconds = (Date.parse(one.end) - Date.parse(one.start)) / 1000;
  const quirks = report ? Object.entries(report.quirks).map(([name, number]) => quirk(name, number, report)) : [];
  const of = (kind) => quirks.filter((one) => one.kind === kind).length;
  const marks = [["lost", of("lost"), "left out"], ["fixed", of("fixed"), "corrected"]]
    .filter(([, number]) => number)
    .map(([kind, number, word]) => h("span", { class: `mark ${kind}` }, `${number} ${word}`));
  return h("details", { class: "session", open: index === 0 },
    h("summary", {},
      h("span", { class: "main" }, moment(one.start)),
      h("span", { class: "quiet" }, duration(report?.seconds ?? seconds)),
      h("span", { class: "quiet encoder" }, report ? report.encoder || "unknown encoder" : "no report"),
      marks),
    report ? figures(one, report) : h("p", { class: "hint" }, `From ${one.remote_addr}. `, report === null && "The server did not live to write a report; what was recorded is listed all the same."),
    quirks.length > 0 && h("ul", { class: "quirks" },
      ["lost", "fixed", "seen"].flatMap((kind) => quirks.filter((one) => one.kind === kind)).map((one) =>
        h("li", { class: one.kind },
          h("span", { class: "dot", role: "img", "aria-label": KINDS[one.kind] }),
          h("span", { class: "what" }, one.what, h("span", { class: "quiet" }, `: ${one.done}`)),
          h("span", { class: "number" }, one.count)))),
    report && !quirks.length && h("p", { class: "hint" }, "Nothing had to be corrected or left out."));
}

function figures(one, report) {
  const rate = report.seconds > 0 ? ` (${count(Math.round(report.pictures / report.seconds))} a second)` : "";
  const rows = [
    ["Encoder", report.encoder || "did not say"],
    ["Address", one.remote_addr],
    ["Handshake", HANDSHAKES[report.handshake] ?? report.handshake],
    ["Ended", moment(one.end)],
    ["Video", [report.video_codec, bytes(report.video_bytes)].filter(Boolean).join(", ")],
    ["Audio", [report.audio_codec, bytes(report.audio_bytes), `${count(report.audio_frames)} frames recorded`].filter(Boolean).join(", ")],
    ["Pictures", `${count(report.pictures)} recorded${rate}, ${count(report.key_frames)} key frames`],
    ["Segments", count(report.segments)],
    ...(report.lost_ms > 0 ? [["Lost", `${(report.lost_ms / 1000).toFixed(1)} s could not be stored`]] : []),
  ];
  return h("dl", { class: "facts" }, rows.map(([name, text]) => h("div", {}, h("dt", {}, name), h("dd", {}, text))));
}

/** Pushes that were refused, with the reason. */
export const refusals = (all) =>
  h("ul", { class: "refusals" }, all.map((one) =>
    h("li", {},
      h("span", { class: "main" }, h("code", {}, one.code), one.count > 1 && h("span", { class: "quiet" }, ` ${count(one.count)} times`)),
      h("span", { class: "quiet" }, `${moment(one.time)}, from ${one.remote_addr}`),
      h("p", {}, whyRefused(one.code) || one.message),
      h("p", { class: "quiet small" }, [one.ec && `EC ${one.ec}`, `request ${one.request_id}`].filter(Boolean).join(", ")))));
