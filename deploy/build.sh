#!/usr/bin/env bash
# Builds the binary that is given away: it needs no newer glibc than 2.17 (2012), wherever it is built, and has no symbols.
#
#   deploy/build.sh [FOLDER]     into target/dist, unless FOLDER says otherwise
#
#   FOLDER/millpond              the binary
#   FOLDER/millpond.debug        its symbols and lines, for perf and debuggers: objcopy --add-gnu-debuglink has named it in the binary
#   FOLDER/SHA256SUMS
#
# cargo-zigbuild links against the symbols of the old glibc that Zig knows, and compiles the C of the dependencies with its clang;
# both come from PyPI. docs/install.md says what else was tried. The profile is `release`, the one that every test runs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

glibc=2.17
zigbuild=0.24.1
zig=0.17.1

fail() {
    echo "build: $*" >&2
    exit 1
}

for tool in cargo python3 objcopy readelf; do
    command -v "$tool" >/dev/null || fail "$tool is missing (Debian: rustup, python3, binutils)"
done
case $(uname -m) in
    x86_64 | aarch64) target=$(uname -m)-unknown-linux-gnu ;;
    *) fail "only x86_64 and aarch64 are known here; this is $(uname -m)" ;;
esac

folder=${1:-target/dist}
mkdir -p "$folder"
# The tools have a virtual environment of their own: half a gigabyte, beside what cargo builds.
tools=${CARGO_TARGET_DIR:-target}/dist-tools
if [ "$(cat "$tools/versions" 2>/dev/null)" != "$zigbuild $zig" ]; then
    python3 -m venv "$tools"
    "$tools/bin/python" -m pip install --quiet --disable-pip-version-check "cargo-zigbuild==$zigbuild" "ziglang==$zig" ||
        fail "pip could not install cargo-zigbuild $zigbuild and ziglang $zig"
    echo "$zigbuild $zig" >"$tools/versions"
fi

PATH=$(cd "$tools/bin" && pwd):$PATH cargo zigbuild --release --locked --package millpond --target "$target.$glibc"

built=${CARGO_TARGET_DIR:-target}/$target/release/millpond
objcopy --only-keep-debug "$built" "$folder/millpond.debug"
objcopy --strip-all "$built" "$folder/millpond"
(cd "$folder" && objcopy --add-gnu-debuglink=millpond.debug millpond && sha256sum millpond millpond.debug >SHA256SUMS)

# What it asks of the machine that it runs on.
needed=$(readelf --dyn-syms --wide "$folder/millpond" | grep -o 'GLIBC_[0-9.]*' | sort --version-sort --unique | tail -1)
libraries=$(readelf --dynamic --wide "$folder/millpond" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | paste -sd ' ')
newest=$(printf '%s\n' "$needed" "GLIBC_$glibc" | sort --version-sort | tail -1)
[ "$newest" = "GLIBC_$glibc" ] || fail "it needs $needed, newer than glibc $glibc"
"$folder/millpond" --version
echo "bytes     $(stat --format=%s "$folder/millpond") (with symbols: $(stat --format=%s "$built"))"
echo "glibc     ${needed#GLIBC_} or newer"
echo "libraries $libraries"
