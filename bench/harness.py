"""What every part of the benchmark needs: programs that are started, watched and stopped, and a few signed requests.
Standard library only.
"""

import base64
import email.utils
import hashlib
import hmac
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
WORK = TARGET / "bench"
KEY_ID, KEY_SECRET = "bench", "bench-secret"
BUCKET = "bench"
# What Millpond announces (its limit `send_chunk_size`). ffmpeg adopts it, and its system calls are most of either cost.
CHUNK_SIZE = 60000
TICK = os.sysconf("SC_CLK_TCK")


def say(text):
    print(text, file=sys.stderr, flush=True)


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


class Process:
    """A program that says one JSON line when it listens. Its later lines are kept, so that its pipe never fills."""

    def __init__(self, command, is_ready, env=None):
        self.started = time.monotonic()
        self.child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)
        self.lines = []
        self.changed = threading.Condition()
        self.ready_after = None
        threading.Thread(target=self._read, daemon=True).start()
        try:
            self.ready = self.next_line(is_ready, 30)
        except BaseException:
            self.stop()
            raise
        self.ready_after = self.ready[0] - self.started

    def _read(self):
        for line in self.child.stdout:
            now = time.monotonic()
            try:
                value = json.loads(line)
            except ValueError:
                continue
            with self.changed:
                self.lines.append((now, value))
                self.changed.notify_all()
        with self.changed:
            self.lines.append((time.monotonic(), None))
            self.changed.notify_all()

    def next_line(self, wanted, seconds):
        """Takes lines up to the first that is WANTED."""
        deadline = time.monotonic() + seconds
        with self.changed:
            while True:
                while self.lines:
                    at, value = self.lines.pop(0)
                    if value is None:
                        raise RuntimeError(f"{self.child.args[0]} ended with status {self.child.wait()}")
                    if wanted(value):
                        return at, value
                if not self.changed.wait(max(0.0, deadline - time.monotonic())):
                    raise TimeoutError(f"{self.child.args[0]} did not say what was waited for")

    @property
    def pid(self):
        return self.child.pid

    def stop(self):
        self.child.send_signal(signal.SIGTERM)
        try:
            self.child.wait(30)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Floor(Process):
    def __init__(self, binary, file):
        super().__init__([str(binary), "0", str(file), str(CHUNK_SIZE)], lambda line: "listening" in line)
        self.url = f"rtmp://127.0.0.1:{self.ready[1]['listening']}/live/bench"


class Millpond(Process):
    def __init__(self, binary, data_dir):
        # The quota per channel (D18) exists to slow a publisher down; here the publisher is to be as fast as it can.
        config = data_dir.parent / "bench.toml"
        config.write_text("[live]\nmax_ingest_mbit_s = 0\n")
        listen = [arg for flag in ("--listen", "--rtmp-listen", "--admin-listen") for arg in (flag, "127.0.0.1:0")]
        super().__init__(
            [str(binary), "serve", "--config", str(config), "--data-dir", str(data_dir), *listen, "--log-format", "json"],
            lambda line: line.get("message") == "listening",
            env={**os.environ, "OSS_ACCESS_KEY_ID": KEY_ID, "OSS_ACCESS_KEY_SECRET": KEY_SECRET},
        )
        ready = self.ready[1]
        self.http = as_list(ready["http"])[0]
        self.rtmp = as_list(ready["rtmp"])[0]
        self.admin = as_list(ready["admin"])[0]

    def create_channels(self, names, frag_duration):
        oss(self.http, "PUT", f"/{BUCKET}/", headers={"x-oss-acl": "public-read-write"})
        body = (
            "<LiveChannelConfiguration><Target><Type>HLS</Type>"
            f"<FragDuration>{frag_duration}</FragDuration><FragCount>3</FragCount></Target></LiveChannelConfiguration>"
        )
        for name in names:
            oss(self.http, "PUT", f"/{BUCKET}/{name}?live", body.encode())

    def push_url(self, channel):
        return f"rtmp://{self.rtmp}/{BUCKET}/live/{channel}"

    def metrics(self):
        connection = http.client.HTTPConnection(self.admin, timeout=10)
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()


def as_list(value):
    return value if isinstance(value, list) else [value]


# --- the API ---------------------------------------------------------------------------------------------------------


def sign_v1(method, path, headers, secret=KEY_SECRET):
    """The V1 signature (OSS auth 3.1) of a request whose query is one bare sub-resource or nothing."""
    oss_headers = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers) if name.startswith("x-oss-"))
    parts = [method, headers.get("Content-MD5", ""), headers.get("Content-Type", ""), headers["Date"], oss_headers + path]
    digest = hmac.new(secret.encode(), "\n".join(parts).encode(), hashlib.sha1).digest()
    return base64.b64encode(digest).decode()


def oss(address, method, path, body=b"", headers=None):
    headers = {"Date": email.utils.formatdate(usegmt=True), **(headers or {})}
    headers["Authorization"] = f"OSS {KEY_ID}:{sign_v1(method, path, headers)}"
    connection = http.client.HTTPConnection(address, timeout=10)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    if answer.status >= 300:
        raise RuntimeError(f"{method} {path}: {answer.status} {text}")
    return text


def check_signature():
    """Example H2 of OSS auth 3.6: a mistake here would look like a fault of the server."""
    headers = {"Date": "Tue, 02 Jan 2024 03:04:05 GMT"}
    assert sign_v1("GET", "/examplebucket/?acl", headers, "FakeSecretForSpecOnly000000000001") == "xrio2nYZOr1f+1DL1uEWgaXSUw4="
