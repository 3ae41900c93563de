#!/bin/sh
# Fetches the C library of Debian 11 (glibc 2.31, 2020), the oldest that Debian's mirrors have, into target/dist/old-system. Idempotent.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
"$root/conformance/cluster/setup.sh"
folder=$root/target/dist/old-system
[ ! -e "$folder/done" ] || exit 0
rm -rf "$folder"
mkdir -p "$folder/lists/partial" "$folder/files"
# The mirror that this machine has its packages from.
# shellcheck disable=SC2016 # a format of apt's
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' | head -1)
[ -n "$mirror" ] || { echo "setup: this machine has no mirror of Debian among its sources" >&2; exit 1; }
echo "deb $mirror bullseye main" >"$folder/sources.list"
own="-o Dir::Etc::sourcelist=$folder/sources.list -o Dir::Etc::sourceparts=- -o Dir::State::lists=$folder/lists"
cd "$folder"
# shellcheck disable=SC2086 # options without spaces inside
apt-get $own -qq update
# shellcheck disable=SC2086
apt-get $own -qq -o APT::Sandbox::User=root download libc6/bullseye
dpkg -x libc6_*.deb files
rm -rf lists
touch done
