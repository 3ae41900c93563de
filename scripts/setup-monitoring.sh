#!/usr/bin/env bash
# Installs Prometheus, which the tests of deploy/ need. Not part of `make tools`: on a machine with systemd the package starts a service.
set -euo pipefail

command -v prometheus >/dev/null && command -v promtool >/dev/null && exit 0
root=()
[ "$(id -u)" -eq 0 ] || root=(sudo)
echo "setup-monitoring: installing prometheus"
"${root[@]}" apt-get update -qq >/dev/null
"${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends prometheus >/dev/null
