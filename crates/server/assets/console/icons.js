// Icons: always beside a word or with a label of their own, so they say nothing to those who listen.
import { ICONS } from "./vendor/lucide.js";
import { h } from "./view.js";

export const Icon = ({ name, size = 16, class: more = "" }) =>
  h("svg", {
    class: `icon ${more}`, width: size, height: size, viewBox: "0 0 24 24", fill: "none", stroke: "currentColor",
    "stroke-width": 2, "stroke-linecap": "round", "stroke-linejoin": "round", "aria-hidden": "true", focusable: "false",
  }, (ICONS[name] ?? []).map(([tag, attributes]) => h(tag, attributes)));

/** The wheel of the mill. */
export const Mark = ({ size = 24 }) =>
  h("svg", { class: "mark-logo", width: size, height: size, viewBox: "0 0 32 32", fill: "none", stroke: "currentColor", "stroke-width": 3, "aria-hidden": "true" },
    h("circle", { cx: 16, cy: 16, r: 10 }), h("path", { d: "M16 1v30M1 16h30M5.4 5.4l21.2 21.2M26.6 5.4L5.4 26.6" }));
