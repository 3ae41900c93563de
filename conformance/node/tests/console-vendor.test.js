// What others wrote of the console: which version, under which licence, and that nobody changed it here.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const folder = fileURLToPath(new URL("../../../crates/server/assets/console/vendor/", import.meta.url));
const read = (name) => readFileSync(path.join(folder, name));

/** Made by scripts/vendor-console.sh, which prints the hashes. */
const VENDORED = {
  "preact.js": { from: "preact 11.2.0, dist/preact.mjs", licence: ["preact.LICENSE", /MIT License/], sha256: "bdcbd9abdf2c77c5c45326eab42191e949222d479d0d5f69467387a77040cb55" },
  "hooks.js": { from: "preact 11.2.0, hooks/dist/hooks.mjs, with its import named ./preact.js", licence: ["preact.LICENSE", /MIT License/], sha256: "5f732f493f1fdc7a6c20f18950ebab9e6657d38876f5f1dca33d05bf6f029dd2" },
  "htm.js": { from: "htm 3.1.1, dist/htm.module.js", licence: ["htm.LICENSE", /Apache License\s+Version 2\.0/], sha256: "ab33dd3f38059b9be4d5f5350128eefb2356639c4e0bbe9d9e8b3ba75847e9e4" },
  "lucide.js": { from: "lucide-static 1.62.0, the drawings in use", licence: ["lucide.LICENSE", /ISC License/], sha256: "b74637bca72adf9c3e41b5076ad9b49ba4b546238bb3a508cca86c1819dde985" },
};

test("there is nothing in the folder that is not listed", () => {
  assert.deepEqual(readdirSync(folder).sort(), [...new Set(Object.entries(VENDORED).flatMap(([name, { licence }]) => [name, licence[0]]))].sort());
});

for (const [name, { from, licence: [file, text], sha256 }] of Object.entries(VENDORED)) {
  test(`${name} is ${from}`, () => {
    assert.equal(createHash("sha256").update(read(name)).digest("hex"), sha256);
    assert.match(read(file).toString(), text);
  });
}
