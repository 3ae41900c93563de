"""The unit of systemd in deploy/: its command line runs as the unit says, as a user without rights and with its limits, and makes no
system call that the unit forbids."""

from __future__ import annotations

import os
import re
import resource
import shlex
import shutil
import signal
import socket
import subprocess
import time
import tomllib
from pathlib import Path

import oss2
import pytest
import requests

from millpond_test.pusher import Pusher, flv_tags
from millpond_test.server import BINARY, create_channel, wait_for

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"
NOBODY = 65534
KEYS = {"OSS_ACCESS_KEY_ID": "rootkey", "OSS_ACCESS_KEY_SECRET": "rootsecret"}


def settings_of(unit: Path) -> "dict[str, str]":
    """The last value of each setting."""
    lines = (line.partition("=") for line in unit.read_text().splitlines() if "=" in line and not line.startswith("#"))
    return {name: value for name, _, value in lines}


@pytest.fixture(scope="module")
def unit():
    return settings_of(DEPLOY / "millpond.service")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


class Unit:
    """The service, started as systemd would, with the folders and ports of a test instead of its own."""

    def __init__(self, unit: "dict[str, str]", folder: Path):
        self.http, self.rtmp, self.admin = (f"127.0.0.1:{free_port()}" for _ in range(3))
        # A path that its user may go along; those of pytest are for root alone.
        self.folder = Path("/tmp") / f"millpond-unit-{os.getpid()}"
        self.data, binary, config = self.folder / "data", self.folder / "millpond", self.folder / "millpond.toml"
        shutil.rmtree(self.folder, ignore_errors=True)
        self.data.mkdir(parents=True)
        os.chown(self.data, NOBODY, NOBODY)
        self.data.chmod(int(unit["StateDirectoryMode"], 8))
        shutil.copy(BINARY, binary)
        text = (DEPLOY / "millpond.toml").read_text()
        for old, new in (
            ("/var/lib/millpond", str(self.data)), ("0.0.0.0:9000", self.http), ("0.0.0.0:1935", self.rtmp), ("127.0.0.1:9001", self.admin),
        ):  # fmt: skip
            assert text.count(f'"{old}"') == 1, old
            text = text.replace(f'"{old}"', f'"{new}"')
        config.write_text(text)
        command = unit["ExecStart"].replace("/usr/local/bin/millpond", str(binary)).replace("/etc/millpond/millpond.toml", str(config))
        self.calls, path = folder / "calls", folder / "notify"
        self.supervisor = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.supervisor.bind(str(self.folder / "notify"))
        self.supervisor.settimeout(30)
        (self.folder / "notify").chmod(0o777)
        rights = ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]
        # Here there may be fewer than on a machine with systemd.
        self.files = min(int(unit["LimitNOFILE"]), resource.getrlimit(resource.RLIMIT_NOFILE)[1])
        limits = ["prlimit", f"--nofile={self.files}", f"--core={unit['LimitCORE']}"]
        trace = ["strace", "-f", "-qq", "-e", "signal=none", "-o", str(self.calls)]
        environment = {**KEYS, "PATH": os.environ["PATH"], "NOTIFY_SOCKET": str(self.folder / "notify"),
                       "WATCHDOG_USEC": f"{unit['WatchdogSec']}000000"}  # fmt: skip
        # The tracer has the rights that it needs, the server has none.
        self.process = subprocess.Popen([*trace, *limits, *rights, *shlex.split(command)], env=environment, cwd="/")

    def said(self, word: str) -> None:
        while word not in self.supervisor.recv(1000).decode():
            pass

    def pid(self) -> int:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0])

    def close(self) -> None:
        if self.process.poll() is None:
            os.kill(self.pid(), signal.SIGKILL)
            self.process.wait(20)
        self.supervisor.close()
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture
def service(unit, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("another user's process can be started by root only")
    started = Unit(unit, tmp_path)
    yield started
    started.close()


def allowed(filter_name: str) -> "set[str]":
    """The system calls of a group, as systemd itself lists them."""
    listed = subprocess.run(["systemd-analyze", "syscall-filter", "--no-pager"], capture_output=True, text=True, check=True).stdout
    groups = {}
    for line in listed.splitlines():
        if line.startswith("@"):
            name = line.strip()
            groups[name] = []
        elif line.startswith("    ") and not line.strip().startswith("#"):
            groups[name].append(line.strip())

    def members(name: str) -> "set[str]":
        return {call for one in groups[name] for call in (members(one) if one.startswith("@") else {one})}

    return members(filter_name) | members("@default")


def test_the_unit_runs_with_the_rights_that_it_gives(unit, service, short_source):
    service.said("READY=1")
    status = Path(f"/proc/{service.pid()}/status").read_text()
    for line in (f"Uid:\t{NOBODY}", "NoNewPrivs:\t1", "CapBnd:\t0000000000000000", "CapEff:\t0000000000000000"):
        assert line in status
    limits = Path(f"/proc/{service.pid()}/limits").read_text()
    assert re.search(rf"Max open files +{service.files} ", limits)

    bucket = oss2.Bucket(oss2.Auth(*KEYS.values()), f"http://{service.http}", "unit-bucket")
    bucket.create_bucket("public-read")
    bucket.put_object("small", b"s" * 100)
    bucket.put_object("large", b"l" * (3 << 20))
    assert bucket.get_object("large").read() == b"l" * (3 << 20)
    create_channel(bucket, "camera")
    pusher = Pusher(flv_tags(short_source.path), bucket.sign_rtmp_url("camera", "playlist.m3u8", 600).replace(service.http, service.rtmp)).start()
    play_url = f"http://{service.http}/unit-bucket/camera/playlist.m3u8"
    wait_for(lambda: requests.get(play_url, timeout=20).status_code == 200, "a segment", 60)
    # A picture is decoded in a process of its own.
    segment = next(line for line in requests.get(play_url, timeout=20).text.splitlines() if not line.startswith("#"))
    still = requests.get(f"http://{service.http}/unit-bucket/camera/{segment.rsplit('/', 1)[-1]}?x-oss-process=video/snapshot,t_0", timeout=60)
    assert still.status_code == 200 and still.content[:2] == b"\xff\xd8"
    pusher.stop(60)
    bucket.delete_object("small")
    assert requests.get(f"http://{service.admin}/readyz", timeout=20).text == "ready\n"
    os.kill(service.pid(), signal.SIGTERM)
    service.said("STOPPING=1")
    assert service.process.wait(int(unit["TimeoutStopSec"])) == 0

    # What `prlimit` and `setpriv` call before the server begins is not the server's.
    lines = service.calls.read_text().split(f'execve("{service.folder / "millpond"}"', 1)[1].splitlines()
    made = {found[1] for line in lines if (found := re.match(r"\d+ +(\w+)\(", line))}
    assert {"openat", "fdatasync", "accept4"} <= made, "the log is one of calls"
    assert made - allowed(unit["SystemCallFilter"]) == set()
    families = set(re.findall(r"socket\((AF_\w+)", "\n".join(lines)))
    assert families <= set(unit["RestrictAddressFamilies"].split())
    executable = [line for line in lines if "PROT_WRITE|PROT_EXEC" in line]
    assert executable == [], "MemoryDenyWriteExecute"


def test_systemd_knows_every_setting_of_the_unit(tmp_path):
    text = (DEPLOY / "millpond.service").read_text().replace("/usr/local/bin/millpond", str(BINARY)).replace("User=millpond", "User=daemon")
    copy = tmp_path / "millpond.service"
    copy.write_text(text.replace("Group=millpond", "Group=daemon"))
    verified = subprocess.run(["systemd-analyze", "verify", "--man=no", str(copy)], capture_output=True, text=True)
    assert [line for line in verified.stderr.splitlines() if "millpond.service" in line] == []


def test_the_settings_of_the_unit_are_settings(unit):
    assert tomllib.loads((DEPLOY / "millpond.toml").read_text())["data_dir"] == f"/var/lib/{unit['StateDirectory']}"
