// The key of whoever signed in. It lives in the memory of this tab and nowhere else: what lies in the storage of an origin,
// every page of the origin can use, a key that cannot be read included. A reload asks again.

// Where earlier versions kept it.
try {
  sessionStorage.removeItem("millpond-console-key");
} catch {
  // A browser that has no storage for this page has nothing in it.
}

let current = null;

/** What `lock` made of the key, or null. */
export const key = () => current;

export const enter = (locked) => void (current = locked);

export const leave = () => void (current = null);
