// What each of the last pushes was, and which were refused (the reports of sessions).
import { bytes, count, duration, moment } from "./format.js";
import { t, tOr } from "./i18n.js";
import { Icon } from "./icons.js";
import { Facts } from "./parts.js";
import { html } from "./view.js";
import { quirk, whyRefused } from "./words.js";

/** A push with its report; the newest is open. */
export function Session({ one, isFirst }) {
  const report = one.report;
  const seconds = (Date.parse(one.end) - Date.parse(one.start)) / 1000;
  const quirks = report ? Object.entries(report.quirks).map(([name, number]) => quirk(name, number, report)) : [];
  const of = (kind) => quirks.filter((each) => each.kind === kind);
  return html`<details class="session" open=${isFirst}>
    <summary>
      <${Icon} name="chevron-right" />
      <span class="main">${moment(one.start)}</span>
      <span class="quiet">${duration(report?.seconds ?? seconds)}</span>
      <span class="quiet encoder">${report ? report.encoder || t("report.unknown") : t("report.none")}</span>
      ${of("lost").length > 0 && html`<span class="mark lost">${t("report.left", { count: of("lost").length })}</span>`}
      ${of("fixed").length > 0 && html`<span class="mark fixed">${t("report.corrected", { count: of("fixed").length })}</span>`}
    </summary>
    ${report?.advice?.length > 0 && html`<div class="advice"><h3>${t("report.advice")}</h3><ul>${report.advice.map((text) => html`<li key=${text}>
      <${Icon} name="triangle-alert" /><span lang="en">${text}</span></li>`)}</ul></div>`}
    ${report ? html`<${Figures} one=${one} report=${report} />` : html`<p class="hint">${t("report.from", { address: one.remote_addr })} ${report === null && t("report.lostWithServer")}</p>`}
    ${quirks.length > 0 && html`<ul class="quirks">${["lost", "fixed", "seen"].flatMap(of).map((each) => html`<li class=${each.kind} key=${each.what}>
      <span class="dot" role="img" aria-label=${t(`kind.${each.kind}`)}></span>
      <span class="what">${each.what}<span class="quiet">: ${each.done}</span></span>
      <span class="number">${each.count}</span></li>`)}</ul>`}
    ${report && !quirks.length && html`<p class="hint">${t("report.clean")}</p>`}
  </details>`;
}

function Figures({ one, report }) {
  const rate = report.seconds > 0 ? ` ${t("report.perSecond", { count: count(Math.round(report.pictures / report.seconds)) })}` : "";
  return html`<${Facts} rows=${[
    [t("report.encoder"), report.encoder || t("report.unsaid")],
    [t("report.address"), one.remote_addr],
    [t("report.handshake"), tOr(`handshake.${report.handshake}`, report.handshake)],
    [t("report.ended"), moment(one.end)],
    [t("report.video"), [report.video_codec, bytes(report.video_bytes)].filter(Boolean).join(", ")],
    [t("report.audio"), [report.audio_codec, bytes(report.audio_bytes), t("report.frames", { count: count(report.audio_frames) })].filter(Boolean).join(", ")],
    [t("report.pictures"), t("report.picturesOf", { count: count(report.pictures), keys: count(report.key_frames) }) + rate],
    [t("report.segments"), count(report.segments)],
    report.lost_ms > 0 && [t("report.lost"), t("report.lostSeconds", { seconds: (report.lost_ms / 1000).toFixed(1) })],
  ]} />`;
}

/** Pushes that were refused, with the reason. */
export const Refusals = ({ all }) => html`<ul class="refusals">${all.map((one) => html`<li key=${one.request_id}>
  <span class="main"><code>${one.code}</code>${one.count > 1 && html`<span class="quiet"> ${t("report.times", { count: count(one.count) })}</span>`}</span>
  <span class="quiet">${moment(one.time)}, ${t("report.fromAddress", { address: one.remote_addr })}</span>
  <p>${whyRefused(one.code) || one.message}</p>
  <p class="quiet small">${[one.ec && `EC ${one.ec}`, t("report.request", { id: one.request_id }), one.server].filter(Boolean).join(", ")}</p></li>`)}</ul>`;
