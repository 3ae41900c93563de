// Long lists: only what is in sight is in the document, whatever the number.
import { html, useEffect, useLayoutEffect, useRef, useState } from "./view.js";

/**
 * Rows of one height, or tiles in as many columns as fit. `draw(item, style, index)` places one absolutely.
 * @param {{items: unknown[], width?: number, height: (columnWidth: number) => number, gap?: number, draw: Function}} props
 * `width` is the least width of a column, 0 for one column; `height` that of a row for the width of a column; `onEnd` is called
 * when the last item comes into sight.
 */
export function Virtual({ items, width = 0, height, gap = 0, draw, onEnd, class: more = "", ...rest }) {
  const element = useRef();
  const [size, setSize] = useState({ width: 0, from: 0, to: 0 });
  const look = () => {
    const box = element.current?.getBoundingClientRect();
    if (!box) return;
    const margin = innerHeight / 2;
    const next = { width: Math.floor(box.width), from: Math.max(0, -box.top - margin), to: innerHeight - box.top + margin };
    setSize((old) => (old.width === next.width && Math.abs(old.from - next.from) < 100 && Math.abs(old.to - next.to) < 100 ? old : next));
  };
  useLayoutEffect(look, [items.length]);
  useEffect(() => {
    const observer = new ResizeObserver(look);
    observer.observe(element.current);
    window.addEventListener("scroll", look, { passive: true });
    return () => {
      observer.disconnect();
      window.removeEventListener("scroll", look);
    };
  }, []);
  const columns = width ? Math.max(1, Math.floor((size.width + gap) / (width + gap))) : 1;
  const across = (size.width - gap * (columns - 1)) / columns;
  const tall = height(across);
  const rows = Math.ceil(items.length / columns);
  const first = Math.max(0, Math.floor(size.from / (tall + gap)));
  const last = Math.min(rows, Math.ceil(size.to / (tall + gap)));
  const isAtEnd = size.width > 0 && last >= rows;
  useEffect(() => void (isAtEnd && onEnd?.()), [isAtEnd, items.length]);
  const shown = size.width ? items.slice(first * columns, last * columns) : [];
  return html`<div class=${more} ref=${element} style=${{ height: `${Math.max(0, rows * (tall + gap) - gap)}px`, position: "relative" }} ...${rest}>
    ${shown.map((item, offset) => {
      const index = first * columns + offset;
      const style = { top: `${Math.floor(index / columns) * (tall + gap)}px`, height: `${tall}px`, ...(width ? { left: `${(index % columns) * (across + gap)}px`, width: `${across}px` } : {}) };
      return draw(item, style, index);
    })}
  </div>`;
}
