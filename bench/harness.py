"""What every part of the benchmark needs: programs that are started, watched and stopped, and a few signed requests. Servers are
started and requests signed by what the tests use, `conformance/python/millpond_test`.
"""

import http.client
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "conformance/python"))

from millpond_test.process import Process, stop  # noqa: E402
from millpond_test.server import ACCESS_KEY_ID, ACCESS_KEY_SECRET, Server  # noqa: E402
from millpond_test.signing import Request, v1_header  # noqa: E402

TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
WORK = TARGET / "bench"
BUCKET = "bench"
# What Millpond announces (its limit `send_chunk_size`). ffmpeg adopts it, and its system calls are most of either cost.
CHUNK_SIZE = 60000
TICK = os.sysconf("SC_CLK_TCK")


def say(text):
    print(text, file=sys.stderr, flush=True)


# ext4 without a journal gives no inode away again that was deleted in the last minutes: whoever makes a file then looks at each of
# them. After a run that deleted some thousand files that was a seventh of all CPU of a server which makes segments.
FORGETS_DELETIONS = 400


@contextmanager
def scratch(prefix):
    """A folder for all that a run writes. Nothing in it is deleted before the end, and a run begins when what the one before
    deleted is forgotten."""
    WORK.mkdir(parents=True, exist_ok=True)
    deleted = WORK / "deleted"
    left = deleted.stat().st_mtime + FORGETS_DELETIONS - time.time() if deleted.exists() else 0
    if left > 0:
        say(f"waiting for {left:.0f} s: the file system remembers what the run before deleted")
        time.sleep(left)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=WORK))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        deleted.touch()


def run(command):
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


# --- processes -------------------------------------------------------------------------------------------------------


def cpu_seconds(pid):
    """User and system time of all threads, the ended ones too."""
    stat = Path(f"/proc/{pid}/stat").read_text()
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def settled_cpu_seconds(pid):
    """The same once the process has finished what it still had to do: no tick for half a second."""
    before = cpu_seconds(pid)
    while True:
        time.sleep(0.5)
        after = cpu_seconds(pid)
        if after - before < 1.5 / TICK:
            return after
        before = after


def resident_kib(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])


class Floor(Process):
    """A floor program: it listens, and says so."""

    def __init__(self, command):
        super().__init__([str(word) for word in command])
        said = self.next_line(lambda line: "listening" in line, 30)
        if said is None:
            self.child.kill()
            raise RuntimeError(f"{command[0]} did not start")
        self.port = said[1]["listening"]

    @property
    def pid(self):
        return self.child.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        stop(self.child, 30)


class Recorder(Floor):
    """Reads a push and writes it into FILE."""

    def __init__(self, binary, file):
        super().__init__([binary, "0", file, CHUNK_SIZE])
        self.url = f"rtmp://127.0.0.1:{self.port}/live/bench"


class Millpond(Server):
    def __init__(self, binary, folder, open_files="", environment=None):
        # The quota per channel (D18) exists to slow a publisher down; here the publisher is to be as fast as it can.
        super().__init__(folder, settings="[live]\nmax_ingest_mbit_s = 0\n", open_files=open_files, binary=binary, environment=environment)
        self.start()

    @property
    def pid(self):
        return self.process.pid

    @property
    def http(self):
        return self.http_address

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def create_channels(self, names, frag_duration):
        oss(self.http, "PUT", f"/{BUCKET}/", headers={"x-oss-acl": "public-read-write"})
        body = (
            "<LiveChannelConfiguration><Target><Type>HLS</Type>"
            f"<FragDuration>{frag_duration}</FragDuration><FragCount>3</FragCount></Target></LiveChannelConfiguration>"
        )
        for name in names:
            oss(self.http, "PUT", f"/{BUCKET}/{name}?live", body.encode())

    def push_url(self, channel):
        return f"rtmp://{self.rtmp_address}/{BUCKET}/live/{channel}"

    def metrics(self):
        return self.admin("/metrics").text


# --- the API ---------------------------------------------------------------------------------------------------------


def signed(method, path, headers=None):
    """The headers of a request, with its V1 signature (OSS auth 3.1); its query is one bare sub-resource or nothing."""
    path, _, parameter = path.partition("?")
    bucket, _, key = path.lstrip("/").partition("/")
    query = [(parameter, None)] if parameter else []
    return dict(v1_header(Request(method, bucket, key, query, list((headers or {}).items()))).headers)


def oss(address, method, path, body=b"", headers=None):
    connection = http.client.HTTPConnection(address, timeout=10)
    connection.request(method, path, body, signed(method, path, headers))
    answer = connection.getresponse()
    text = answer.read().decode()
    if answer.status >= 300:
        raise RuntimeError(f"{method} {path}: {answer.status} {text}")
    return text
