"""The real binary as a process: start, ports, kill, restart, and clients that point at it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
import uuid
from pathlib import Path
from typing import Dict, List, Optional

import oss2
import requests

from .process import Process, stop

ROOT = Path(__file__).resolve().parents[3]
BINARY = Path(os.environ.get("MILLPOND_BIN", ROOT / "target" / "release" / "millpond")).resolve()

# The fake credentials of LiveChannel 3.5: the captures of real encoders are signed with them.
ACCESS_KEY_ID = "LTAI5tFakeKeyForSpec0001"
ACCESS_KEY_SECRET = "FakeSecretForSpecOnly0000000001"
REGION = "cn-hangzhou"
START_TIMEOUT_S = 20
#: How many servers a `Server` is: `conformance/cluster/suites.py` puts several of one installation behind a balancer in its place.
SERVERS = int(os.environ.get("MILLPOND_SERVERS", "1"))
#: How old may be what one server says of another one: on air, refusals and usage (docs/cluster.md).
HEARD_WITHIN_S = 0 if SERVERS == 1 else 8


def until_heard() -> None:
    """Waits until every server knows what the others count and refuse; nothing on one machine."""
    time.sleep(HEARD_WITHIN_S)


class Server:
    """One `millpond serve` over one data directory; it may be killed and started again on the same data."""

    #: Where it listens for HTTP, RTMP and administrators; any free port, unless somebody else has to know it before.
    listen = ("127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0")

    def __init__(
        self,
        folder: Path,
        arguments: Optional[List[str]] = None,
        environment: Optional[Dict[str, str]] = None,
        settings: str = "",
        open_files: str = "",
        binary: Path = BINARY,
    ):
        """`settings` is the text of a configuration file, `open_files` the soft and the hard limit of open files as `64:64`."""
        self.binary = binary
        self.folder = folder
        self.settings = settings
        self.open_files = open_files
        self.data = folder / "data"
        self.arguments = arguments or []
        self.environment = environment or {}
        self.process: Optional[subprocess.Popen] = None
        self.log_path = folder / "server.log"
        self.ready_after_s = 0.0
        self.http_address = ""
        self.rtmp_address = ""
        self.admin_address = ""

    def start(self) -> "Server":
        if not self.binary.exists():
            raise FileNotFoundError(f"{self.binary} is missing: run `cargo build --release` or set MILLPOND_BIN")
        self.folder.mkdir(parents=True, exist_ok=True)
        environment = {
            **os.environ,
            "OSS_ACCESS_KEY_ID": ACCESS_KEY_ID,
            "OSS_ACCESS_KEY_SECRET": ACCESS_KEY_SECRET,
            # Hundreds of tests come from one address, many of them with wrong signatures on purpose.
            "MILLPOND_AUTH_FAILURES_PER_MINUTE": "0",
            **self.environment,
        }
        command = [
            str(self.binary), "serve", "--data-dir", str(self.data), "--listen", self.listen[0], "--rtmp-listen", self.listen[1],
            "--admin-listen", self.listen[2], "--log-format", "json", *self.arguments,
        ]  # fmt: skip
        if self.settings:
            (self.folder / "millpond.toml").write_text(self.settings)
            command += ["--config", "millpond.toml"]
        if self.open_files:
            command = ["prlimit", f"--nofile={self.open_files}", *command]
        with self.stderr() as log:
            program = Process(command, stderr=log, env=environment, cwd=self.folder)
        self.process = program.child
        said = program.next_line(lambda line: line.get("message") == "listening", START_TIMEOUT_S)
        if said is None:
            self.kill()
            raise AssertionError(f"the server did not start; its log ends:\n{self.log()[-3000:]}")
        at, ready = said
        self.ready_after_s = at - program.started
        self.http_address = ready["http"][0]
        self.rtmp_address = ready["rtmp"][0]
        self.admin_address = ready["admin"]
        return self

    def stderr(self):
        """Where the log goes."""
        return self.log_path.open("ab")

    def keys(self) -> "Dict[str, str]":
        """The environment of commands that talk to it."""
        return {**os.environ, "OSS_ACCESS_KEY_ID": ACCESS_KEY_ID, "OSS_ACCESS_KEY_SECRET": ACCESS_KEY_SECRET}

    def log(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """SIGKILL: nothing is flushed by the process."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self) -> int:
        """SIGTERM and the exit status; a server that does not stop within 20 s is a failure."""
        return stop(self.process, 20)

    def findings(self) -> "subprocess.CompletedProcess[str]":
        """`millpond check` over the data directory of a stopped server."""
        return subprocess.run(
            [str(self.binary), "check", "--data-dir", str(self.data)], capture_output=True, text=True, timeout=60
        )

    @property
    def endpoint(self) -> str:
        """Path style: every SDK addresses an IP that way or is told to."""
        return f"http://{self.http_address}"

    @property
    def port(self) -> int:
        return int(self.http_address.rsplit(":", 1)[1])

    @property
    def virtual_endpoint(self) -> str:
        """Buckets under this endpoint are hosts: `bucket.localhost` is loopback for every resolver that follows RFC 6761."""
        return f"http://localhost:{self.port}"

    def url(self, path: str) -> str:
        return f"{self.endpoint}/{path.lstrip('/')}"

    def get(self, path: str, **options) -> requests.Response:
        return requests.get(self.url(path), timeout=10, **options)

    def admin(self, path: str) -> requests.Response:
        return requests.get(f"http://{self.admin_address}{path}", timeout=10)

    def resident_bytes(self) -> int:
        """Of several servers that of the largest."""
        processes = [self.process.pid] if SERVERS == 1 else json.loads((self.data / "installation.json").read_text())["pids"]
        status = "".join(Path(f"/proc/{process}/status").read_text() for process in processes)
        return max(int(size) * 1024 for size in re.findall(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE))

    def bucket(self, name: str, version: str = "v1", secret: str = ACCESS_KEY_SECRET, key: str = ACCESS_KEY_ID) -> oss2.Bucket:
        """An oss2 client for `name`, which need not exist; `version` is the signature version."""
        return oss2.Bucket(auth(version, key, secret), self.endpoint, name, region=REGION, connect_timeout=10)

    def service(self, version: str = "v1") -> oss2.Service:
        return oss2.Service(auth(version), self.endpoint, region=REGION, connect_timeout=10)

    def anonymous(self, name: str) -> oss2.Bucket:
        return oss2.Bucket(oss2.AnonymousAuth(), self.endpoint, name, connect_timeout=10)

    def new_bucket(self, acl: str = oss2.BUCKET_ACL_PRIVATE, version: str = "v1", name: str = "") -> oss2.Bucket:
        bucket = self.bucket(name or f"test-{uuid.uuid4().hex[:12]}", version)
        bucket.create_bucket(acl)
        return bucket

    def on_rtmp_port(self, url: str) -> str:
        """The same push URL on port 1935's stand-in; the signature covers bucket and channel only."""
        return url.replace(self.http_address, self.rtmp_address)


def auth(version: str, key: str = ACCESS_KEY_ID, secret: str = ACCESS_KEY_SECRET):
    return oss2.AuthV4(key, secret) if version == "v4" else oss2.Auth(key, secret)


def create_channel(
    bucket: oss2.Bucket,
    name: str = "test-channel",
    frag_duration: int = 2,
    frag_count: int = 100,
    playlist_name: str = "playlist.m3u8",
    status: str = "enabled",
    description: str = "",
):
    target = oss2.models.LiveChannelInfoTarget(
        frag_duration=frag_duration, frag_count=frag_count, playlist_name=playlist_name
    )
    return bucket.create_live_channel(name, oss2.models.LiveChannelInfo(status=status, description=description, target=target))


def wait_for(condition, what, timeout_s: float = 15.0, every_s: float = 0.05):
    """Polls until `condition()` is true and returns its value; fails with `what`, a text or a function that makes one, after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s} s: {what() if callable(what) else what}")
        time.sleep(every_s)
