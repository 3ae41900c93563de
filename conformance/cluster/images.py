"""The images of the compose files: ours, made by deploy/image.sh and unpacked; and stand-ins for those of others, which are this machine's
files with an entry point that does what theirs does."""

from __future__ import annotations

import glob
import json
import os
import pwd
import shutil
import sys
import tarfile
from pathlib import Path

from compose import Image, run
from engines import tool

ROOT = Path(__file__).resolve().parents[2]


def make(binary: Path, folder: Path) -> Path:
    """Both archives of the image with this binary, by deploy/image.sh; gives the folder."""
    folder.mkdir(parents=True)
    shutil.copy(binary, folder / "millpond")
    # A test's binary may have its symbols still: they are most of it.
    run("strip", str(folder / "millpond"))
    run(str(ROOT / "deploy" / "image.sh"), str(folder), timeout_s=300)
    return folder


def unpack(archive: Path, folder: Path) -> "tuple[Image, dict]":
    """The files of an image in the format of OCI, as umoci lays them out, and its configuration."""
    layout = folder / "layout"
    with tarfile.open(archive) as packed:
        packed.extractall(layout, filter="data")
    index = json.loads((layout / "index.json").read_text())
    reference = index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"]
    # The name in an archive has the repository before the tag; umoci knows tags only.
    tag = reference.rsplit(":", 1)[-1]
    index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"] = tag
    (layout / "index.json").write_text(json.dumps(index))
    run("umoci", "unpack", "--image", f"{layout}:{tag}", str(folder / "bundle"))
    blob = lambda digest: json.loads((layout / "blobs" / digest.replace(":", "/")).read_text())  # noqa: E731
    config = blob(blob(index["manifests"][0]["digest"])["config"]["digest"])["config"]
    image = Image(
        root=folder / "bundle" / "rootfs",
        entrypoint=config["Entrypoint"],
        command=config["Cmd"],
        environment=dict(pair.split("=", 1) for pair in config.get("Env", [])),
        user=config["User"],
        volumes=list(config["Volumes"]),
    )
    return image, config


#: What the entry point of the image `postgres` does at its first start, as far as compose files here use it.
POSTGRES = """#!/bin/sh
set -eu
data=/var/lib/postgresql/data
# Not /tmp, where others of this machine may have theirs.
sockets=/var/lib/postgresql
as="setpriv --reuid=postgres --regid=postgres --clear-groups"
if [ ! -s $data/PG_VERSION ]; then
    chown postgres:postgres $data
    chmod 0700 $data
    printf '%s\\n' "$POSTGRES_PASSWORD" >$sockets/password
    chown postgres $sockets/password
    $as initdb --pgdata=$data --username="$POSTGRES_USER" --pwfile=$sockets/password --auth-local=trust --auth-host=trust >/dev/null
    echo "host all all all scram-sha-256" >>$data/pg_hba.conf
    $as pg_ctl --pgdata=$data --wait --options="-c listen_addresses= -c unix_socket_directories=$sockets" start >/dev/null
    $as createdb --host=$sockets --username="$POSTGRES_USER" "$POSTGRES_DB"
    $as pg_ctl --pgdata=$data --wait --mode=fast stop >/dev/null
fi
exec $as "$@" -D $data -c listen_addresses='*' -c unix_socket_directories=$sockets
"""

#: What the entry point of the image `chrislusf/seaweedfs` does with the command `server`.
SEAWEED = """#!/bin/sh
set -eu
if [ "$1" = server ]; then
    shift
    set -- server -dir=/data -volume.max=0 -master.volumeSizeLimitMB=1024 "$@"
fi
exec weed -logtostderr=true "$@"
"""


def stand_in(name: str, folder: Path) -> Image:
    """This machine in the place of an image that is not here."""
    kind = name.rsplit("/", 1)[-1].split(":")[0]
    scripts = folder / "scripts"
    scripts.mkdir(parents=True, exist_ok=True)
    programs = Path(tool("postgres", "/usr/lib/postgresql/*/bin/postgres")).resolve().parent if kind == "postgres" else Path(sys.executable).parent
    path = f"{programs}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    image = Image(root=Path("/"), environment={"PATH": path})
    if kind == "haproxy":
        user = pwd.getpwnam("haproxy")
        image.user = f"{user.pw_uid}:{user.pw_gid}"
        return image
    entry = scripts / kind
    entry.write_text({"postgres": POSTGRES, "seaweedfs": SEAWEED}[kind])
    entry.chmod(0o755)
    image.entrypoint = [str(entry)]
    return image


def version_of(name: str) -> str:
    """The version of the program that stands in, to be compared with the tag in the compose file."""
    if name == "postgres":
        return Path(glob.glob("/usr/lib/postgresql/*/bin/postgres")[-1]).parts[4]
    if name == "haproxy":
        return ".".join(run("haproxy", "-v").split()[2].split(".")[:2])
    return run(tool("weed"), "version", env={"PATH": os.environ["PATH"], "HOME": "/tmp"}).split()[2]
