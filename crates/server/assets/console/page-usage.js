// What a bucket holds, and what was used of it by day and month.
import { stat, usage } from "./api-bucket.js";
import { ceiling, useWidth } from "./chart.js";
import { bytes, count, moment } from "./format.js";
import { t } from "./i18n.js";
import { Card, Facts, Loaded, PageHead, Refused } from "./parts.js";
import { html, useLoad } from "./view.js";

export function Usage({ bucket }) {
  const figures = useLoad(() => stat(bucket), [bucket]);
  const used = useLoad(() => usage(bucket), [bucket]);
  return html`<${PageHead} title=${t("bucket.usage")} sub=${bucket} />
    <${Card} title=${t("usage.now")}><${Loaded} of=${figures}>${(data) => html`
      <${Facts} class="figures" rows=${[
        [t("overview.storage"), bytes(data.storage)], [t("overview.objects"), count(data.objects)], [t("overview.channels"), count(data.channels)],
        [t("overview.uploads"), count(data.uploads)], [t("usage.parts"), count(data.parts)],
        ...data.classes.filter((one) => one.objects > 0).map((one) => [one.name, bytes(one.storage)]),
      ]} /><p class="hint">${t("usage.at", { date: moment(data.at) })}</p>`}<//><//>
    ${used.error ? html`<${Card} title=${t("usage.byDay")}>${used.error.status === 404 || used.error.status === 405 ? html`<p class="hint">${t("usage.notYet")}</p>` : html`<${Refused} error=${used.error} />`}<//>`
      : html`<${Loaded} of=${used}>${(data) => html`${data.months.length > 0 && html`<${Table} title=${t("usage.byMonth")} name="month" rows=${data.months} />`}
        ${data.days.some((one) => one.sent_bytes > 0) ? html`<${Days} days=${data.days} />` : html`<p class="hint">${t("usage.noneSent")}</p>`}
        <${Table} title=${t("usage.byDay")} name="day" rows=${[...data.days].reverse()} />
        ${data.bill && html`<${Bill} bill=${data.bill} />`}`}<//>`}`;
}

const COLUMNS = [["storage_bytes", "overview.storage", bytes], ["received_bytes", "usage.received", bytes], ["sent_bytes", "usage.sent", bytes], ["requests", "usage.requests", count], ["ingest_minutes", "usage.minutes", count]];

const Table = ({ title, name, rows }) => html`<${Card} title=${title}><div class="scroller" tabindex="0" role="group" aria-label=${title}><table>
  <thead><tr><th>${t(`usage.${name}`)}</th>${COLUMNS.map(([, text]) => html`<th class="right">${t(text)}</th>`)}</tr></thead>
  <tbody>${rows.map((row) => html`<tr key=${row[name]}>
    <td>${row[name]}</td>${COLUMNS.map(([field, , write]) => html`<td class="right number">${row[field] === undefined ? "–" : write(row[field])}</td>`)}</tr>`)}</tbody></table></div><//>`;

/** What the month would cost by the default price table, each line with its formula. */
const Bill = ({ bill }) => html`<${Card} title=${t("usage.bill", { month: bill.month })}><div class="scroller" tabindex="0" role="group" aria-label=${t("usage.bill", { month: bill.month })}><table>
  <thead><tr><th>${t("usage.item")}</th><th>${t("usage.formula")}</th><th class="right">${t("usage.amount")}</th></tr></thead>
  <tbody>${bill.lines.map((line, index) => html`<tr key=${index}><td>${line.item}</td><td class="number">${line.formula}</td><td class="right number">${line.amount}</td></tr>`)}
    <tr><td><b>${t("usage.total")}</b></td><td></td><td class="right number"><b>${bill.total}${bill.currency ? ` ${bill.currency}` : ""}</b></td></tr></tbody></table></div>
  <p class="hint">${t("usage.billHint")}</p><//>`;

const [HEIGHT, LEFT, BOTTOM] = [120, 62, 20];

/** What was sent, a bar a day. */
function Days({ days }) {
  const [element, whole] = useWidth();
  const top = ceiling(Math.max(0, ...days.map((one) => one.sent_bytes)));
  const width = (whole - LEFT) / Math.max(1, days.length);
  const y = (value) => 8 + (1 - value / top) * (HEIGHT - BOTTOM - 8);
  const bar = (one, index) => html`<rect class="bar" key=${one.day} x=${LEFT + index * width + 2} width=${width - 4} y=${y(one.sent_bytes)} height=${HEIGHT - BOTTOM - y(one.sent_bytes)}>
    <title>${one.day}: ${bytes(one.sent_bytes)}</title></rect>`;
  return html`<${Card}><figure ref=${element}><figcaption><span>${t("usage.sentByDay")}</span></figcaption>
    <svg class="chart" viewBox="0 0 ${whole} ${HEIGHT}" role="img" aria-label="${t("usage.sentByDay")}: ${days.map((one) => `${one.day} ${bytes(one.sent_bytes)}`).join(", ")}">
      ${[0, 0.5, 1].map((part) => html`<g key=${part}>
        <line class="grid" x1=${LEFT} x2=${whole} y1=${y(top * part)} y2=${y(top * part)} />
        <text x=${LEFT - 6} y=${y(top * part) + 4} text-anchor="end">${bytes(top * part)}</text></g>`)}
      ${days.map(bar)}
      <text x=${LEFT} y=${HEIGHT - 4}>${days[0]?.day}</text><text x=${whole} y=${HEIGHT - 4} text-anchor="end">${days.at(-1)?.day}</text>
    </svg></figure><//>`;
}
