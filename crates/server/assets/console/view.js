// Markup in templates (`html`), drawn by Preact. Text becomes text nodes and nothing else: names, descriptions and what
// encoders call themselves come from strangers, and no template ever takes markup from a string.
import { createContext, Fragment, h, render } from "./vendor/preact.js";
import { useCallback, useContext, useEffect, useId, useLayoutEffect, useMemo, useRef, useState } from "./vendor/hooks.js";
import htm from "./vendor/htm.js";

export const html = htm.bind(h);
export { createContext, Fragment, h, render, useCallback, useContext, useEffect, useId, useLayoutEffect, useMemo, useRef, useState };

/**
 * Loads something when `deps` change. `reload` keeps what is shown until the new answer is there, so that nothing jumps;
 * an answer that comes after its page was left is dropped.
 */
export function useLoad(load, deps) {
  const [state, setState] = useState({ data: undefined, error: null, busy: true });
  const visit = useRef(0);
  const run = useCallback(async (keep) => {
    const mine = ++visit.current;
    setState((old) => ({ data: keep ? old.data : undefined, error: keep ? old.error : null, busy: true }));
    try {
      const data = await load();
      if (mine === visit.current) setState({ data, error: null, busy: false });
    } catch (error) {
      if (mine === visit.current) setState((old) => ({ data: keep ? old.data : undefined, error, busy: false }));
    }
  }, deps);
  useEffect(() => {
    run(false);
    return () => void visit.current++;
  }, [run]);
  return { ...state, reload: () => run(true) };
}

/** Runs `work` now and `milliseconds` after its end, one at a time, while the tab is visible and the page is shown. */
export function useRepeat(work, milliseconds, deps) {
  const latest = useRef(work);
  latest.current = work;
  useEffect(() => {
    let timer = 0, alive = true;
    const step = async () => {
      if (!document.hidden) await latest.current(() => alive);
      if (alive) timer = setTimeout(step, milliseconds);
    };
    step();
    return () => {
      alive = false;
      clearTimeout(timer);
    };
  }, deps);
}
