// A line of time with what was recorded on it, and a range that is chosen by dragging, by keyboard, or in the fields below.
import { moment, time } from "./format.js";
import { t } from "./i18n.js";
import { html, useRef } from "./view.js";

const [WIDTH, HEIGHT] = [1000, 100];

/** @param {{from: number, to: number, recorded: [number, number][], pushes: {start: number, end: number}[], range: [number, number], onRange: Function, playing: number}} props all in milliseconds */
export function Timeline({ from, to, recorded, pushes, range, onRange, playing }) {
  const element = useRef(), start = useRef(null);
  const x = (at) => ((Math.min(Math.max(at, from), to) - from) / (to - from)) * WIDTH;
  const at = (event) => {
    const box = element.current.getBoundingClientRect();
    return from + Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)) * (to - from);
  };
  const down = (event) => {
    if (event.button) return;
    element.current.setPointerCapture(event.pointerId);
    start.current = at(event);
    onRange([start.current, start.current]);
  };
  const move = (event) => start.current !== null && onRange([start.current, at(event)].sort((a, b) => a - b));
  const up = () => void (start.current = null);
  const step = (to - from) / 200;
  const key = (event) => {
    const by = { ArrowLeft: -step, ArrowRight: step }[event.key];
    if (!by) return;
    event.preventDefault();
    onRange(event.shiftKey ? [range[0], Math.max(range[0], range[1] + by)] : [range[0] + by, range[1] + by]);
  };
  const box = ([a, b], y, height, name) => b > from && a < to && html`<rect key=${a} class=${name} x=${x(a)} width=${Math.max(1.5, x(b) - x(a))} y=${y} height=${height} />`;
  return html`<div class="timeline">
    <svg ref=${element} viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none" tabindex="0" role="application" aria-label=${t("timeline.label", { from: moment(range[0]), to: moment(range[1]) })}
      aria-describedby="timeline-keys" onPointerDown=${down} onPointerMove=${move} onPointerUp=${up} onPointerCancel=${up} onKeyDown=${key}>
      ${[1, 2, 3].map((part) => html`<line class="tick" key=${part} x1=${(part * WIDTH) / 4} x2=${(part * WIDTH) / 4} y1="0" y2=${HEIGHT} />`)}
      ${pushes.map((one) => box([one.start, one.end], 12, 76, "push"))}
      ${recorded.map((one) => box(one, 34, 32, "segments"))}
      ${range[1] > range[0] && box(range, 0, HEIGHT, "chosen")}
      ${range.map((one, index) => one >= from && one <= to && html`<line class="edge" key=${index} x1=${x(one)} x2=${x(one)} y1="0" y2=${HEIGHT} />`)}
      ${playing > from && playing < to && html`<line class="playing" x1=${x(playing)} x2=${x(playing)} y1="0" y2=${HEIGHT} />`}
    </svg>
    <div class="hours" aria-hidden="true">${[0, 1, 2, 3, 4].map((part) => html`<span key=${part}>${to - from > 3_600_000 * 2 ? moment(from + ((to - from) * part) / 4, { hour: "2-digit", minute: "2-digit" }) : time(from + ((to - from) * part) / 4)}</span>`)}</div>
    <span class="offstage" id="timeline-keys">${t("timeline.keys")}</span>
  </div>`;
}
