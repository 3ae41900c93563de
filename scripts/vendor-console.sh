#!/bin/sh
# Fetches the libraries of the console from npm into crates/server/assets/console/vendor. Run it to change a version, then put
# the hashes that it prints into conformance/node/tests/console-vendor.test.js.
set -eu
PREACT=11.2.0 HTM=3.1.1 LUCIDE=1.62.0
here=$(cd "$(dirname "$0")/.." && pwd)
out=$here/crates/server/assets/console/vendor
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
for package in preact@$PREACT htm@$HTM lucide-static@$LUCIDE; do
  tar xzf "$(npm pack --silent "$package")"
  mv package "${package%@*}"
done
cp preact/dist/preact.mjs "$out/preact.js"
# Browsers have no packages: the one import is told where its module is.
sed 's#from"preact"#from"./preact.js"#' preact/hooks/dist/hooks.mjs > "$out/hooks.js"
cp htm/dist/htm.module.js "$out/htm.js"
for name in preact htm; do cp "$name/LICENSE" "$out/$name.LICENSE"; done
cp lucide-static/LICENSE "$out/lucide.LICENSE"
node "$here/scripts/vendor-icons.mjs" lucide-static/icons "$LUCIDE" "$out/lucide.js"
sha256sum "$out"/*.js
