#!/usr/bin/env bash
# Installs what `make bench` needs beyond scripts/setup-tests.sh: a load generator and the web server it is compared with.
# Running it again changes nothing and prints nothing.
set -euo pipefail

fail() {
    echo "setup-bench: $*" >&2
    exit 1
}

has() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ]; }

packages=()
has wrk || packages+=(wrk)
# The program alone: the package would start a service.
has nginx || packages+=(nginx-light)

if [ ${#packages[@]} -gt 0 ]; then
    has apt-get || fail "please install: ${packages[*]}"
    root=()
    if [ "$(id -u)" -ne 0 ]; then
        has sudo || fail "run as root, or install: ${packages[*]}"
        root=(sudo)
    fi
    echo "setup-bench: installing ${packages[*]}"
    log=$(mktemp)
    "${root[@]}" apt-get update -qq >"$log" 2>&1 || { cat "$log" >&2; fail "apt-get update failed"; }
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >"$log" 2>&1 ||
        { tail -30 "$log" >&2; fail "apt-get could not install: ${packages[*]}"; }
    rm -f "$log"
fi
