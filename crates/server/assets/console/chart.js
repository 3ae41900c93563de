// A graph of the last minutes, with axes and units.
import { time } from "./format.js";
import { html, useLayoutEffect, useRef, useState } from "./view.js";

const [HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [132, 62, 8, 8, 20];
const WIDEST = 800;

/** How wide a graph may be drawn, so that its letters have the size of letters: `[ref of what is around it, width]`. */
export function useWidth() {
  const element = useRef();
  const [width, setWidth] = useState(600);
  useLayoutEffect(() => {
    const look = () => setWidth(Math.max(240, Math.min(WIDEST, element.current.clientWidth)));
    const observer = new ResizeObserver(look);
    observer.observe(element.current);
    look();
    return () => observer.disconnect();
  }, []);
  return [element, width];
}

/** A round number that is not below `value`, so that the axis does not change with every sample. */
export function ceiling(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 2.5, 5, 10].map((step) => step * power).find((step) => step >= value);
}

/**
 * @param {{label: string, span: number, unit: (value: number) => string, series: {name: string, points: [number, number][]}[]}} props
 * `span` in milliseconds; times of points are the page's.
 */
export function Chart({ label, span, unit, series, end = Date.now() }) {
  const [element, width] = useWidth();
  const all = series.flatMap(({ points }) => points.map(([, value]) => value));
  const top = ceiling(Math.max(...all, 0) * 1.05);
  const x = (at) => LEFT + (1 - (end - at) / span) * (width - LEFT - RIGHT);
  const y = (value) => TOP + (1 - value / top) * (HEIGHT - TOP - BOTTOM);
  const line = (points) => points.filter(([at]) => end - at <= span).map(([at, value]) => `${x(at).toFixed(1)},${y(value).toFixed(1)}`);
  const said = series.map(({ name, points }) => `${name} ${points.length ? unit(points.at(-1)[1]) : "–"}`).join(", ");
  return html`<figure ref=${element}>
    <figcaption><span>${label}</span>
      <span>${series.map(({ name, points }, index) => html`<span class="key ${index ? "second" : ""}" key=${name}>${name} <b>${points.length ? unit(points.at(-1)[1]) : "–"}</b>${index < series.length - 1 ? "  " : ""}</span>`)}</span></figcaption>
    <svg class="chart" viewBox="0 0 ${width} ${HEIGHT}" role="img" aria-label="${label}: ${said}">
      ${[0, 0.5, 1].map((part) => html`<g key=${part}>
        <line class="grid" x1=${LEFT} x2=${width - RIGHT} y1=${y(top * part)} y2=${y(top * part)} />
        <text x=${LEFT - 6} y=${y(top * part) + 4} text-anchor="end">${unit(top * part)}</text></g>`)}
      ${[0, 0.5, 1].map((part) => html`<text key=${part} x=${LEFT + part * (width - LEFT - RIGHT)} y=${HEIGHT - 4} text-anchor=${["start", "middle", "end"][part * 2]}>${time(end - span * (1 - part))}</text>`)}
      ${series.map(({ name, points }, index) => {
        const places = line(points);
        if (!places.length) return null;
        return html`<g key=${name}>
          ${index === 0 && html`<polygon class="area" points="${places[0].split(",")[0]},${y(0)} ${places.join(" ")} ${places.at(-1).split(",")[0]},${y(0)}" />`}
          <polyline class="curve ${index ? "second" : ""}" points=${places.join(" ")} /></g>`;
      })}
    </svg>
  </figure>`;
}
