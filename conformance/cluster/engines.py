"""A private PostgreSQL and an S3-compatible store on loopback, each in a folder of its own."""

from __future__ import annotations

import glob
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

S3_KEY = "clusterkey"
S3_SECRET = "cluster-secret-0001"
#: Of the user `mill`: only within one installation of the tests, and only on loopback.
PASSWORD = "cluster-password"
BUCKET = "pond"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def tool(name: str, *places: str) -> str:
    """A program on the path, beside this interpreter, or in one of the places."""
    beside = Path(sys.executable).parent / name
    found = shutil.which(name) or (str(beside) if beside.exists() else None)
    for place in places:
        found = found or next(iter(sorted(glob.glob(place), reverse=True)), None)
    if found is None:
        raise FileNotFoundError(f"{name} is missing: run conformance/cluster/setup.sh")
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


class Postgres:
    """A cluster of PostgreSQL that forgets nothing it acknowledged: fsync is on."""

    def __init__(self, folder: Path, options: str = "", connections: int = 120):
        """`options` are further ones of `postgres`."""
        self.folder, self.connections = folder, connections
        self.options = options
        self.port = free_port()
        self.programs = Path(tool("postgres", "/usr/lib/postgresql/*/bin/postgres")).resolve().parent
        # PostgreSQL refuses to run as root.
        self.user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name

    def _run(self, *command: str) -> None:
        prefix = ["setpriv", f"--reuid={self.user}", f"--regid={self.user}", "--clear-groups"] if os.geteuid() == 0 else []
        done = subprocess.run([*prefix, *command], capture_output=True, text=True, timeout=60, cwd="/")
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"

    def make(self, method: str = "scram-sha-256") -> "Postgres":
        """`method` is how it knows who asks."""
        self.folder.mkdir(parents=True)
        if os.geteuid() == 0:
            shutil.chown(self.folder, self.user)
        password = self.folder / "password"
        password.write_text(f"{PASSWORD}\n")
        if os.geteuid() == 0:
            shutil.chown(password, self.user)
        self._run(
            str(self.programs / "initdb"), "-D", str(self.folder / "data"), "-U", "mill", "-A", method,
            "--pwfile", str(password), "-E", "UTF8", "--no-locale",
        )  # fmt: skip
        return self.start()

    def start(self) -> "Postgres":
        options = (
            f"-p {self.port} -c unix_socket_directories= -c listen_addresses=127.0.0.1 "
            f"-c max_connections={self.connections} {self.options}"
        )
        data, log = str(self.folder / "data"), str(self.folder / "log")
        self._run(str(self.programs / "pg_ctl"), "-D", data, "-w", "-l", log, "-o", options, "start")
        return self

    @property
    def pid(self) -> int:
        return int((self.folder / "data" / "postmaster.pid").read_text().split()[0])

    def pids(self) -> "list[int]":
        """The postmaster and its children."""
        return [self.pid, *map(int, subprocess.run(["pgrep", "-P", str(self.pid)], capture_output=True, text=True).stdout.split())]

    def kill(self) -> None:
        """SIGKILL of every process: what is not on disk is gone."""
        pids = self.pids()
        for one in pids:
            try:
                os.kill(one, signal.SIGKILL)
            except ProcessLookupError:
                pass
        deadline = time.monotonic() + 20
        while any(alive(one) for one in pids) and time.monotonic() < deadline:
            time.sleep(0.05)
        # Where nobody reaps orphans at once, its number still looks taken.
        (self.folder / "data" / "postmaster.pid").unlink(missing_ok=True)

    def stop(self) -> None:
        self._run(str(self.programs / "pg_ctl"), "-D", str(self.folder / "data"), "-m", "immediate", "-w", "stop")

    @property
    def url(self) -> str:
        return f"postgres://mill@127.0.0.1:{self.port}/postgres"

    def commits(self) -> int:
        """How many transactions it has made of those that are asked for by `url`. Connections tell of theirs when they end, at the latest."""
        query = "SELECT xact_commit FROM pg_stat_database WHERE datname = 'postgres'"
        command = [str(self.programs / "psql"), "-h", "127.0.0.1", "-p", str(self.port), "-U", "mill", "-d", "postgres", "-Atc", query]
        asked = subprocess.run(command, env={**os.environ, "PGPASSWORD": PASSWORD}, capture_output=True, text=True, timeout=30)
        assert asked.returncode == 0, asked.stderr
        return int(asked.stdout)


class Store:
    """An S3-compatible store as a process."""

    process: "subprocess.Popen | None" = None
    port = 0

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def pause(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def url_at(self, address: str) -> str:
        """For who reaches it at another address."""
        return f"s3://{BUCKET}/mill?endpoint=http://{address}"

    @property
    def url(self) -> str:
        return self.url_at(f"127.0.0.1:{self.port}")

    def wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=2)
                return
            except urllib.error.HTTPError:
                return
            except OSError:
                time.sleep(0.2)
        raise AssertionError(f"the store did not start: {(self.folder / 'log').read_text()[-2000:]}")


class Seaweed(Store):
    """SeaweedFS with its S3 gateway."""

    def __init__(self, folder: Path, arguments: "tuple[str, ...]" = ()):
        """`arguments` are further ones of `weed server`."""
        self.folder = folder
        self.arguments = arguments
        self.port = free_port()
        self.ports = {name: free_port() for name in ("master", "volume", "filer")}

    def start(self) -> "Seaweed":
        data = self.folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        identity = {
            "name": "mill",
            "credentials": [{"accessKey": S3_KEY, "secretKey": S3_SECRET}],
            "actions": ["Admin", "Read", "Write", "List"],
        }
        (self.folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
        command = [
            tool("weed"), "server", f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3",
            f"-s3.port={self.port}", f"-s3.config={self.folder / 's3.json'}", "-master.volumeSizeLimitMB=256",
            "-volume.max=40", "-master.electionTimeout=1s", "-s3.port.iceberg=0", "-s3.port.lance=0", *[f"-{name}.port={port}" for name, port in self.ports.items()],
        ]  # fmt: skip
        # Ports for gRPC are these plus 10,000 unless they are chosen.
        command += [f"-{name}.port.grpc={free_port()}" for name in self.ports] + [f"-s3.port.grpc={free_port()}"]
        command += self.arguments
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder)
        self.wait_until_it_answers()
        return self

    def make_bucket(self) -> None:
        """A bucket is a folder of the filer."""
        deadline = time.monotonic() + 60
        while True:
            request = urllib.request.Request(f"http://127.0.0.1:{self.ports['filer']}/buckets/{BUCKET}/", method="POST")
            try:
                urllib.request.urlopen(request, timeout=10)
                return
            except OSError as error:
                assert time.monotonic() < deadline, error
                time.sleep(0.5)


class Rclone(Store):
    """`rclone serve s3` over a folder: it understands no condition, no append, and keeps each object as a file."""

    def __init__(self, folder: Path, more_keys: "list[tuple[str, str]]" = ()):
        self.folder = folder
        self.port = free_port()
        self.keys = [(S3_KEY, S3_SECRET), *more_keys]

    def start(self) -> "Rclone":
        (self.folder / "data").mkdir(parents=True, exist_ok=True)
        command = [
            tool("rclone"), "serve", "s3", "--addr", f"127.0.0.1:{self.port}",
            *[word for key, secret in self.keys for word in ("--auth-key", f"{key},{secret}")],
            # What it acknowledged is in the file, not in a cache of its own.
            "--vfs-cache-mode", "off", "--config", "", str(self.folder / "data"),
        ]  # fmt: skip
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder)
        self.wait_until_it_answers()
        return self

    def make_bucket(self) -> None:
        (self.folder / "data" / BUCKET).mkdir(exist_ok=True)
