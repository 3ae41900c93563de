#!/usr/bin/env bash
# Installs what `make test` needs and this machine lacks: encoders, players and a browser through apt, the SDKs through pip and npm.
# Running it again changes nothing and prints nothing. It never skips: what cannot be installed ends the run with a message.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() {
    echo "setup-tests: $*" >&2
    exit 1
}

has() { command -v "$1" >/dev/null 2>&1; }

has cargo || fail "cargo is missing; install the stable Rust toolchain (https://rustup.rs)"

# A GStreamer element is a better question than a package name: it is what the tests use.
has_element() { has gst-inspect-1.0 && gst-inspect-1.0 --exists "$1" 2>/dev/null; }

packages=()
need() { packages+=("$@"); }

has cc || need gcc libc6-dev
has c++ || need g++
has ffmpeg && has ffprobe || need ffmpeg
has gst-launch-1.0 || need gstreamer1.0-tools
has_element videotestsrc || need gstreamer1.0-plugins-base
has_element flvmux || need gstreamer1.0-plugins-good
{ has_element rtmp2sink && has_element rtmpsink && has_element h264parse; } || need gstreamer1.0-plugins-bad
has_element x264enc || need gstreamer1.0-plugins-ugly
has_element avenc_aac || need gstreamer1.0-libav
# OBS keeps its sources, encoders and outputs in a package of their own. Its screen is virtual; Mesa, which Xvfb depends on, draws it.
has obs || need obs-studio
compgen -G '/usr/lib/*/obs-plugins/obs-outputs.so' >/dev/null || need obs-plugins
has Xvfb || need xvfb
has "${CHROMIUM_BIN:-/usr/bin/chromium}" || need chromium
# The fronts of docs/fronts.md and the players of docs/playing.md, whose tests are skipped where one is missing.
has nginx || [ -x /usr/sbin/nginx ] || need nginx-light
[ -e /usr/lib/nginx/modules/ngx_stream_module.so ] || need libnginx-mod-stream
has haproxy || [ -x /usr/sbin/haproxy ] || need haproxy
has strace || need strace
# systemd-analyze, which knows what a unit may say; nothing of it is started.
has systemd-analyze || need systemd
has varnishd || [ -x /usr/sbin/varnishd ] || need varnish
has caddy || need caddy
has apache2 || [ -x /usr/sbin/apache2 ] || need apache2
has mpv || need mpv
has streamlink || need streamlink
has yt-dlp || need yt-dlp
has python3 || need python3
has curl || need curl
{ has python3 && python3 -c 'import ensurepip, venv' 2>/dev/null; } || need python3-venv
has node || need nodejs
has npm || need npm

if [ ${#packages[@]} -gt 0 ]; then
    has apt-get || fail "please install: ${packages[*]}"
    root=()
    if [ "$(id -u)" -ne 0 ]; then
        has sudo || fail "run as root, or install: ${packages[*]}"
        root=(sudo)
    fi
    echo "setup-tests: installing ${packages[*]}"
    log=$(mktemp)
    # Lists may be absent or old on a fresh machine, so they are fetched only now that something is needed.
    "${root[@]}" apt-get update -qq >"$log" 2>&1 || { cat "$log" >&2; fail "apt-get update failed"; }
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >"$log" 2>&1 ||
        { tail -30 "$log" >&2; fail "apt-get could not install: ${packages[*]}"; }
    rm -f "$log"
fi

node -e 'const [major, minor] = process.versions.node.split(".").map(Number); process.exit(major > 18 || (major === 18 && minor >= 19) ? 0 : 1)' ||
    fail "Node 18.19 or later is needed, this is $(node --version)"

# The virtual environment follows its requirements file.
requirements=conformance/python/requirements.txt
stamp=.venv/.requirements
if ! [ -x .venv/bin/python ] || ! cmp -s "$requirements" "$stamp"; then
    echo "setup-tests: installing the Python SDKs into .venv"
    [ -x .venv/bin/python ] || python3 -m venv .venv
    .venv/bin/python -m pip install -q --disable-pip-version-check -r "$requirements" || fail "pip could not install $requirements"
    cp "$requirements" "$stamp"
fi

lock=conformance/node/package-lock.json
stamp=conformance/node/node_modules/.lock
if ! cmp -s "$lock" "$stamp"; then
    echo "setup-tests: installing the Node SDKs into conformance/node/node_modules"
    npm --prefix conformance/node ci --silent --no-audit --no-fund || fail "npm could not install conformance/node"
    cp "$lock" "$stamp"
fi
