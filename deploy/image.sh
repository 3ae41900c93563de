#!/usr/bin/env bash
# Makes an image of containers from the binary of deploy/build.sh. It needs no network, no daemon and no base image:
#
#   deploy/image.sh [FOLDER]     reads FOLDER/millpond (target/dist), and writes beside it
#
#   FOLDER/millpond-oci.tar      in the format of OCI: podman load, skopeo copy oci-archive:…
#   FOLDER/millpond-docker.tar   in that of Docker, which also knows the health check: docker load
#
# The image holds the binary, the libraries that it names (glibc of this machine), the certificate authorities of this machine, and
# deploy/millpond.toml: no shell, no package manager. Buildah (Debian: buildah) runs as root, or below `buildah unshare`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

folder=$(cd "${1:-target/dist}" && pwd)
# Nobody's number on usual machines, and that of others' images without root.
user=65532
authorities=/etc/ssl/certs/ca-certificates.crt

fail() {
    echo "image: $*" >&2
    exit 1
}

command -v buildah >/dev/null || fail "buildah is missing (Debian: apt-get install --no-install-recommends buildah)"
[ -x "$folder/millpond" ] || fail "$folder/millpond is missing: run deploy/build.sh"
[ -s $authorities ] || fail "$authorities is missing (Debian: ca-certificates)"

work=$(mktemp -d)
store=(--root "$work/store" --runroot "$work/run" --storage-driver vfs)
trap 'buildah "${store[@]}" rm --all >/dev/null 2>&1 || true; rm -rf "$work"' EXIT
root=$work/root

install -D -m 0755 "$folder/millpond" "$root/usr/local/bin/millpond"
install -D -m 0644 deploy/millpond.toml "$root/etc/millpond/millpond.toml"
install -D -m 0644 $authorities "$root$authorities"
install -D -m 0644 LICENSE "$root/usr/share/doc/millpond/LICENSE"
# Libraries go where they were: the loader's path is in the binary, and its list of folders is compiled in.
ldd "$folder/millpond" | grep -o '/[^ ]*' | while read -r library; do
    install -D -m 0755 "$(readlink --canonicalize "$library")" "$root$library"
    # Names of hosts are looked up by these two, which nobody names (a part of libc itself from 2.34 on).
    for resolver in libnss_files.so.2 libnss_dns.so.2 libresolv.so.2; do
        beside=$(dirname "$library")/$resolver
        [ ! -e "$beside" ] || install -D -m 0755 "$(readlink --canonicalize "$beside")" "$root$beside"
    done
done
for licence in /usr/share/doc/libc6/copyright /usr/share/doc/ca-certificates/copyright; do
    [ ! -e $licence ] || install -D -m 0644 "$licence" "$root$licence"
done
cat >"$root/etc/passwd" <<EOF
root:x:0:0:root:/:/sbin/nologin
millpond:x:$user:$user:millpond:/var/lib/millpond:/sbin/nologin
EOF
printf 'root:x:0:\nmillpond:x:%s:\n' $user >"$root/etc/group"
echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
install -d -m 1777 "$root/tmp"
install -d "$root/var/lib"
find "$root" -type d ! -path "$root/tmp" -exec chmod 0755 {} +
install -d -m 0700 "$work/data"

version=$("$folder/millpond" --version | cut -d' ' -f2)
revision=$(git rev-parse HEAD 2>/dev/null || true)
# The time of the commit: the same binary makes the same image.
time=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || stat --format=%Y "$folder/millpond")}

container=$(buildah "${store[@]}" from scratch)
buildah "${store[@]}" copy --quiet "$container" "$root" / >/dev/null
buildah "${store[@]}" copy --quiet --chown $user:$user --chmod 0700 "$container" "$work/data" /var/lib/millpond >/dev/null
config=(
    --user $user:$user
    --workingdir /
    --entrypoint '["/usr/local/bin/millpond"]'
    --cmd 'serve --config /etc/millpond/millpond.toml'
    --volume /var/lib/millpond
    # Commands in the container find it, too.
    --env MILLPOND_DATA_DIR=/var/lib/millpond
    --port 9000/tcp --port 1935/tcp
    --stop-signal SIGTERM
    --label org.opencontainers.image.title=millpond
    --label "org.opencontainers.image.description=A live-streaming recorder and an object store"
    --label "org.opencontainers.image.version=$version"
    --label "org.opencontainers.image.revision=$revision"
    --label org.opencontainers.image.licenses=Apache-2.0
)
buildah "${store[@]}" config "${config[@]}" "$container"
write() { # FORMAT ARCHIVE
    rm -f "$2"
    buildah "${store[@]}" commit --quiet --format "$1" --timestamp "$time" "$container" "millpond-$1" >/dev/null
    buildah "${store[@]}" push --quiet "millpond-$1" "$([ "$1" = oci ] && echo oci-archive || echo docker-archive):$2:millpond:$version" >/dev/null
    echo "$2: $(stat --format=%s "$2") bytes"
}
write oci "$folder/millpond-oci.tar"
# OCI has no word for health checks.
buildah "${store[@]}" config --healthcheck 'CMD /usr/local/bin/millpond ready' --healthcheck-interval 10s --healthcheck-timeout 6s \
    --healthcheck-start-period 300s --healthcheck-retries 3 "$container" 2>/dev/null
write docker "$folder/millpond-docker.tar"
