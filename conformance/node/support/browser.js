// Headless Chromium, and what one of its pages asked of the media server.
import { chromium } from "playwright-core";
import { waitFor } from "./server.js";

const quiet = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required",
];

export const launch = (...more) => chromium.launch({ executablePath: process.env.CHROMIUM_BIN ?? "/usr/bin/chromium", args: [...quiet, ...more] });

/**
 * Collects the requests of a page to the server at `port`, as the network stack of the browser saw them: also the status
 * and the headers of answers that CORS hides from the page.
 */
export async function observe(page, port) {
  const session = await page.context().newCDPSession(page);
  const requests = new Map();
  const of = (id) => {
    if (!requests.has(id)) requests.set(id, { id, status: 0, headers: {}, sent: {}, cors: null, failure: null });
    return requests.get(id);
  };
  const lower = (headers) => Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
  session.on("Network.requestWillBeSent", ({ requestId, request: { url, method } }) =>
    Object.assign(of(requestId), { url, method }));
  session.on("Network.requestWillBeSentExtraInfo", ({ requestId, headers }) => Object.assign(of(requestId).sent, lower(headers)));
  session.on("Network.responseReceivedExtraInfo", ({ requestId, statusCode, headers }) =>
    Object.assign(of(requestId), { status: statusCode, headers: lower(headers) }));
  session.on("Network.loadingFailed", ({ requestId, errorText, corsErrorStatus }) =>
    Object.assign(of(requestId), { failure: errorText, cors: corsErrorStatus?.corsError ?? null }));
  await session.send("Network.enable");
  return {
    all: () => [...requests.values()].filter(({ url }) => url && new URL(url).port === String(port)),
    /** The `Code` of an error document, null where the page was not given the body. */
    async code({ id }) {
      const body = await session.send("Network.getResponseBody", { requestId: id }).catch(() => null);
      return body && (/<Code>(\w+)<\/Code>/.exec(body.base64Encoded ? Buffer.from(body.body, "base64") : body.body)?.[1] ?? null);
    },
  };
}

/** What the `video` element of a page is doing. */
export const pictureOf = (page) =>
  page.evaluate(() => {
    const video = document.querySelector("video");
    return {
      time: video?.currentTime ?? -1, width: video?.videoWidth ?? 0, ready: video?.readyState ?? 0,
      frames: video?.getVideoPlaybackQuality().totalVideoFrames ?? 0,
    };
  });

/** Waits until the page has played from `start`, or from where it begins, for so many seconds of media. */
export async function plays(page, start, seconds, describe) {
  const reaches = (condition) =>
    waitFor(async () => {
      const now = await pictureOf(page);
      return condition(now) && now;
    }, describe, 30_000);
  const first = await reaches(({ ready, time }) => ready >= 3 && time > 0);
  return reaches(({ time }) => time >= (start ?? first.time) + seconds);
}
