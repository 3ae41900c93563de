// The server itself: what runs, where it listens, and whether it is well.
import { clockDifference, manage, mediaOrigin, now, regionName } from "./api.js";
import { bytes, count, moment } from "./format.js";
import { t, tOr } from "./i18n.js";
import { Icon } from "./icons.js";
import { Card, Facts, Loaded, PageHead, Refused } from "./parts.js";
import { caller, useRights } from "./rights.js";
import { key } from "./session.js";
import { html, useLoad } from "./view.js";

export function About() {
  const about = useLoad(() => manage("GET", ["about"]), []);
  useRights();
  const who = caller();
  return html`<${PageHead} title=${t("rail.about")} />
    ${about.error && html`<${Card} title=${t("about.server")}>${[404, 405].includes(about.error.status) ? html`<p class="hint">${t("about.notThere")}</p>` : html`<${Refused} error=${about.error} />`}<//>`}
    ${about.data && html`<${Server} of=${about.data} />`}
    <${Card} title=${t("about.connection")}><${Facts} rows=${[
      [t("about.media"), mediaOrigin()], [t("overview.location"), regionName()],
      [t("about.clock"), Math.abs(clockDifference()) < 1000 ? t("about.clockSame") : t("about.clockOff", { seconds: Math.round(Math.abs(clockDifference()) / 1000) })],
      [t("about.secure"), t(location.protocol === "https:" ? "about.https" : isSecureContext ? "about.loopback" : "about.plain")],
      [t("about.key"), key().id], who && [t("about.who"), who.name], key().token && [t("about.temporary"), t("state.yes")],
    ]} /><//>
    <${Card} title=${t("about.parts")}>
      <p>${t("about.partsText")}</p>
      <ul class="plain-list">
        <li>Preact 11.2.0 (MIT), htm 3.1.1 (Apache-2.0)</li><li>hls.js (Apache-2.0)</li><li>Lucide 1.62.0 (ISC)</li>
      </ul>
    <//>`;
}

function Server({ of: data }) {
  const left = data.certificate && (Date.parse(data.certificate.not_after) - now().getTime()) / 86_400_000;
  return html`<${Card} title=${t("about.server")}><${Facts} rows=${[
      [t("about.version"), `${data.version}${data.commit ? ` (${data.commit.slice(0, 7)})` : ""}`],
      [t("about.running"), t("about.since", { date: moment(data.started) })],
      data.load && [t("about.load"), t("about.loadText", { connections: count(data.load.connections), pushes: count(data.load.publications) })],
    ]} /><//>
    <div class="two">
      <${Card} title=${t("about.health")}><ul class="health">${(data.health ?? []).map((one) => html`<li key=${one.name} class=${one.state}>
        <${Icon} name=${one.state === "ok" ? "circle-check" : "triangle-alert"} size=${18} /><span>
          <strong>${tOr(`health.${one.name}`, one.name)}</strong> ${one.message || t("health.ok")}</span></li>`)}</ul>
        ${data.disk && html`<div class="disk">
          <${Facts} rows=${[[t("about.disk"), t("about.diskText", { free: bytes(data.disk.free_bytes), total: bytes(data.disk.total_bytes) })], [t("about.used"), bytes(data.disk.used_bytes)]]} />
          <meter min="0" max=${data.disk.total_bytes} low=${data.disk.total_bytes * 0.1} optimum=${data.disk.total_bytes} value=${data.disk.free_bytes} aria-label=${t("about.disk")}></meter></div>`}
      <//>
      <${Card} title=${t("about.listeners")}><ul class="health">${(data.listeners ?? []).map((one) => html`<li key=${one.purpose + one.address}>
        <${Icon} name=${one.tls ? "lock" : "globe"} size=${18} /><span>
        <strong>${one.purpose}</strong> <code>${one.address}</code> ${t(one.tls ? "about.tls" : "about.noTls")}</span></li>`)}</ul>
        ${data.certificate && html`<p class=${left < 14 ? "warning" : "hint"}>${t("about.certificate", { names: data.certificate.names.join(", "), date: moment(data.certificate.not_after, { dateStyle: "long" }), days: Math.floor(left) })}</p>`}
      <//>
    </div>
    ${data.servers && html`<${Card} title=${t("about.servers")}><ul class="health">${data.servers.map((one) => html`<li key=${one.name + one.started} class=${one.state === "alive" ? "ok" : "warn"}>
      <${Icon} name=${one.state === "alive" ? "circle-check" : "triangle-alert"} size=${18} /><span>
        <strong>${one.name}</strong> ${t(`about.server.${one.state}`)}, ${one.version}, ${t("about.since", { date: moment(one.started) })}
        ${one.listeners.map((at) => html` <code>${at.address}</code>`)}</span></li>`)}</ul><//>`}
    ${data.limits && html`<${Card} title=${t("about.limits")}>
      <${Facts} rows=${Object.entries(data.limits).map(([name, value]) => [tOr(`limit.${name}`, name), typeof value === "number" ? count(value) : String(value)])} /><//>`}`;
}
