#!/bin/sh
# The pages of the console as pictures, made by the tests that walk them: docs/img/PAGE-LANGUAGE-LIGHT.png.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$root/conformance/node"
MILLPOND_SCREENSHOTS=$work node --test --test-name-pattern '^every page' tests/console-pages.test.js
mkdir -p "$root/docs/img"
for picture in "$work"/*.png; do
  # 128 colours are enough for these, and a third of the bytes.
  ffmpeg -v error -y -i "$picture" -vf 'split[a][b];[a]palettegen=max_colors=128:reserve_transparent=0[p];[b][p]paletteuse=dither=none' \
    -frames:v 1 "$root/docs/img/$(basename "$picture")"
done
