// A line of the last minute: bandwidth as it was measured every two seconds.
import { svg } from "./dom.js";
import { bits } from "./format.js";

const SPAN_MS = 60_000;
const [WIDTH, HEIGHT] = [600, 60];

export class Spark {
  #points = [];
  element = svg("svg", { class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" });

  add(value, at = Date.now()) {
    this.#points.push([at, value]);
    this.#points = this.#points.filter(([when]) => at - when <= SPAN_MS);
    const top = Math.max(...this.#points.map(([, one]) => one), 1) * 1.15;
    const place = ([when, one]) =>
      `${(WIDTH - ((at - when) / SPAN_MS) * WIDTH).toFixed(1)},${(HEIGHT - (one / top) * (HEIGHT - 4)).toFixed(1)}`;
    const line = this.#points.map(place);
    const [first] = line[0].split(",");
    this.element.setAttribute("aria-label", `Bandwidth of the last minute, now ${bits(value)}`);
    this.element.replaceChildren(
      svg("polygon", { points: `${first},${HEIGHT} ${line.join(" ")} ${WIDTH},${HEIGHT}` }),
      svg("polyline", { points: line.join(" "), "vector-effect": "non-scaling-stroke" }),
    );
  }

  get size() {
    return this.#points.length;
  }
}
