// Recordings as lists of segments: read from the playlists of GetVodPlaylist, whose names are the times at which the segments
// were opened (LiveChannel 4.3, 5.2).

/** The longest range that one playlist may cover, seconds. */
export const DAY = 86_400;

/** `[{uri, at, seconds, isNew}]`: `at` in milliseconds, `isNew` where a push or a gap begins. */
export function segments(text) {
  const found = [];
  let seconds = 0, isNew = true;
  for (const line of text.split("\n")) {
    if (line.startsWith("#EXTINF:")) seconds = Number.parseFloat(line.slice(8));
    else if (line === "#EXT-X-DISCONTINUITY") isNew = true;
    else if (line && !line.startsWith("#")) {
      found.push({ uri: line, at: Number(/(\d+)\.\w+$/.exec(line)?.[1] ?? 0), seconds, isNew });
      isNew = false;
    }
  }
  return found;
}

/** Stretches without a gap, for a drawing: `[[from, to]]` in milliseconds. Names may lie closer than lengths where a file was pushed fast. */
export function stretches(list, slackMs = 1500) {
  const found = [];
  for (const { at, seconds } of list) {
    const last = found.at(-1);
    const end = at + seconds * 1000;
    if (last && at - last[1] <= slackMs) last[1] = Math.max(last[1], end);
    else found.push([at, end]);
  }
  return found;
}

/** The moment that a place in the playlist was recorded at. */
export function momentOf(list, place) {
  let at = 0;
  for (const one of list) {
    if (place < at + one.seconds) return one.at + (place - at) * 1000;
    at += one.seconds;
  }
  return list.length ? list.at(-1).at + list.at(-1).seconds * 1000 : 0;
}

export const total = (list) => list.reduce((sum, { seconds }) => sum + seconds, 0);
