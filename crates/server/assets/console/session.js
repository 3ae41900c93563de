// The key of whoever signed in. It lives in this tab: in its memory, or in its session storage when the user says so.

const NAME = "millpond-console-key";
let current = null;

export const key = () => current;

/** Takes a key; `keep` lets it survive a reload of the tab. */
export function enter(next, keep) {
  current = next;
  if (keep) sessionStorage.setItem(NAME, JSON.stringify(next));
  else sessionStorage.removeItem(NAME);
}

export function leave() {
  current = null;
  sessionStorage.removeItem(NAME);
}

/** The key that was kept, if there is one. */
export function restore() {
  try {
    const kept = JSON.parse(sessionStorage.getItem(NAME));
    if (kept && typeof kept.id === "string" && typeof kept.secret === "string") current = kept;
  } catch {
    sessionStorage.removeItem(NAME);
  }
}
