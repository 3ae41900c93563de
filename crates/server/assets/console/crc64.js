// CRC-64 as OSS computes it (HTTP API 5.3: CRC-64/XZ), in two halves of 32 bits, since numbers hold no 64.

const [HIGH, LOW] = [new Uint32Array(256), new Uint32Array(256)];
for (let index = 0; index < 256; index++) {
  let [high, low] = [0, index];
  for (let bit = 0; bit < 8; bit++) {
    const odd = low & 1;
    low = ((low >>> 1) | (high << 31)) >>> 0;
    high >>>= 1;
    if (odd) {
      high = (high ^ 0xc96c5795) >>> 0;
      low = (low ^ 0xd7870f42) >>> 0;
    }
  }
  HIGH[index] = high;
  LOW[index] = low;
}

/** The state before any byte. */
export const START = [0xffffffff, 0xffffffff];

/** The state after more bytes. */
export function update([high, low], bytes) {
  for (let at = 0; at < bytes.length; at++) {
    const index = (low ^ bytes[at]) & 255;
    low = ((low >>> 8) | (high << 24)) ^ LOW[index];
    high = (high >>> 8) ^ HIGH[index];
  }
  return [high >>> 0, low >>> 0];
}

/** The state as the decimal number that OSS writes. */
export const finish = ([high, low]) => ((BigInt(~high >>> 0) << 32n) | BigInt(~low >>> 0)).toString();

/** The sum of a file or a part of one, a mebibyte at a time. */
export async function ofBlob(blob, onProgress = () => {}) {
  let state = START;
  for (let at = 0; at < blob.size; at += 1 << 20) {
    state = update(state, new Uint8Array(await blob.slice(at, at + (1 << 20)).arrayBuffer()));
    onProgress(Math.min(blob.size, at + (1 << 20)));
  }
  return finish(state);
}
