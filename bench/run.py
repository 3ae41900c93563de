#!/usr/bin/env python3
"""Measures Millpond and prints a Markdown table for docs/performance.md. Standard library only.

    bench/run.py [--millpond BINARY] [--rounds N] [--publishers N] [--only PART ...]

What is measured, and how:

ingest   CPU seconds (user and system, from /proc) per gigabyte that ffmpeg pushes unpaced with -c copy, 3 Mbit/s
         material, about 400 MB a push. The floor (bench/floor) reads the same socket and writes the bytes to a file on
         the same disk. Both are pushed to in turn, so that a change of the machine's mood meets both; medians.
memory   resident memory of the idle server, and what each of N paced publishers of the sample adds to it.
start    from spawning the process to its line "listening"; median of ten starts on an existing data directory.
latency  the server's own histogram: from the arrival of the frame that closes a segment to its playlist being readable,
         while the N publishers of `memory` push 2 s segments.
"""

import argparse
import base64
import email.utils
import hashlib
import hmac
import http.client
import json
import os
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
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
PARTS = ("ingest", "memory", "start", "latency")


def say(text):
    print(text, file=sys.stderr, flush=True)


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


# --- the parts -------------------------------------------------------------------------------------------------------


def material():
    """40 s of 3 Mbit/s: 720p at 30/s with B-frames and a closed GOP of 2 s, stereo AAC. Made once."""
    path = WORK / "3mbit.flv"
    if not path.exists():
        say("making the material (once)")
        part = path.with_suffix(".part")
        run(
            ["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", "testsrc2=s=1280x720:r=30,noise=alls=12:allf=t",
             "-f", "lavfi", "-i", "sine=330:sample_rate=48000", "-t", "40", "-c:v", "libx264", "-preset", "veryfast",
             "-profile:v", "high", "-bf", "2", "-g", "60", "-keyint_min", "60", "-sc_threshold", "0", "-pix_fmt", "yuv420p",
             "-b:v", "2872k", "-minrate", "2872k", "-maxrate", "2872k", "-bufsize", "2872k", "-x264-params", "nal-hrd=cbr",
             "-c:a", "aac", "-b:a", "128k", "-ac", "2", "-f", "flv", str(part)]
        )  # fmt: skip
        part.rename(path)
    return path


def run(command):
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def push(url, file, megabytes):
    loops = max(0, round(megabytes * 1e6 / file.stat().st_size) - 1)
    started = time.monotonic()
    run(["ffmpeg", "-v", "error", "-stream_loop", str(loops), "-i", str(file), "-c", "copy", "-f", "flv", url])
    return time.monotonic() - started


def settle():
    """Waits until freed memory has gone back to the host. On a virtual machine a page costs several times as much when it
    is touched for the first time since; without this whoever runs right after somebody freed memory would look cheap."""
    time.sleep(4)


def ingest(args, floor_binary):
    file = material()
    floors, millponds, seconds = [], [], []
    floor_file = args.scratch / "floor.rtmp"
    with Floor(floor_binary, floor_file) as floor, Millpond(args.millpond, args.scratch / "ingest") as millpond:
        millpond.create_channels([f"round{n}" for n in range(args.rounds + 1)], 5)
        # The first round fills caches and tells how many bytes a push is; it does not count.
        for n in range(args.rounds + 1):
            settle()
            before = settled_cpu_seconds(floor.pid)
            push(floor.url, file, args.megabytes)
            _, line = floor.next_line(lambda line: "bytes" in line or "error" in line, 30)
            if "error" in line:
                raise RuntimeError(f"the floor failed: {line}")
            gigabytes = line["bytes"] / 1e9
            floor_cost = line["cpu_seconds"] / gigabytes
            by_proc = (settled_cpu_seconds(floor.pid) - before) / gigabytes

            # Both write to files that were not there before, and nothing is deleted, so that neither reuses pages.
            floor_file.rename(floor_file.with_suffix(f".{n}"))
            settle()
            before = settled_cpu_seconds(millpond.pid)
            took = push(millpond.push_url(f"round{n}"), file, args.megabytes)
            cost = (settled_cpu_seconds(millpond.pid) - before) / gigabytes
            say(f"ingest {n}: floor {floor_cost:.3f} (by /proc {by_proc:.3f}), millpond {cost:.3f} CPU s/GB, {gigabytes:.3f} GB")
            if n:
                floors.append(floor_cost)
                millponds.append(cost)
                seconds.append(gigabytes * 1000 / took)
        stored = millpond_bytes(args.scratch / "ingest")
        if stored < gigabytes * 1e9 * args.rounds * 0.9:
            raise RuntimeError(f"the server stored only {stored} bytes: this was no full ingest")
    ratio = statistics.median(millponds) / statistics.median(floors)
    return [
        ("Ingest, floor: read the socket, write a file", f"{statistics.median(floors):.2f} CPU s/GB", ""),
        ("Ingest, Millpond", f"{statistics.median(millponds):.2f} CPU s/GB ({statistics.median(seconds):.0f} MB/s)", ""),
        ("Ingest, Millpond : floor", f"{ratio:.2f}", "at most 1.5"),
    ]


def millpond_bytes(data_dir):
    return sum(path.stat().st_size for path in data_dir.rglob("*") if path.is_file())


def start(args):
    times = []
    for _ in range(10):
        with Millpond(args.millpond, args.scratch / "start") as millpond:
            times.append(millpond.ready_after * 1000)
    say("start: " + ", ".join(f"{ms:.0f}" for ms in times) + " ms")
    return [("Start to listening", f"{statistics.median(times):.0f} ms", "below 200 ms")]


def load(args, parts):
    rows = []
    with Millpond(args.millpond, args.scratch / "load") as millpond:
        millpond.create_channels([f"ch{n}" for n in range(args.publishers)], 2)
        # Long enough for idle threads to end and freed pages to go back.
        time.sleep(8)
        idle = resident_kib(millpond.pid)
        publishers = subprocess.Popen(publisher_command(args, millpond), env={**os.environ}, stdin=subprocess.DEVNULL)
        try:
            time.sleep(10)
            samples = []
            for _ in range(20):
                if publishers.poll() is not None:
                    raise RuntimeError("the publishers ended early")
                samples.append(resident_kib(millpond.pid))
                time.sleep(1)
            text = millpond.metrics()
        finally:
            publishers.terminate()
            publishers.wait()
    live = re.search(r"^millpond_publications(?:\{[^}]*\})? (\S+)", text, re.M)
    if live is None or float(live[1]) != args.publishers:
        raise RuntimeError(f"{args.publishers} publishers were started, the server counts {live and live[1]}")
    say(f"memory: idle {idle} KiB, with {args.publishers} publishers {min(samples)}..{max(samples)} KiB")
    if "memory" in parts:
        rows.append(("Resident memory, idle", f"{idle / 1024:.1f} MiB", "below 25 MiB"))
        # The largest sample: an average would hide what a machine must really have.
        each = (max(samples) - idle) / args.publishers / 1024
        rows.append((f"Resident memory per publisher ({args.publishers} paced)", f"{each:.2f} MiB", "below 1 MiB"))
    if "latency" in parts:
        buckets = histogram(text, "millpond_segment_publish_seconds")
        count = buckets[-1][1] if buckets else 0
        if count == 0:
            raise RuntimeError("the server has no segment latencies to show")
        shown = ", ".join(f"p{q * 100:g} {quantile(buckets, q)}" for q in (0.5, 0.9, 0.99))
        rows.append((f"Key frame to readable playlist ({count:.0f} segments)", shown, ""))
    return rows


def publisher_command(args, millpond):
    """All publishers in one process, so that the machine's two cores belong to the server."""
    url = millpond.push_url("ch{n}")
    return [str(args.millpond), "publish", url, "--rounds", "0", "--publishers", str(args.publishers)]


def histogram(text, name):
    """Cumulative (upper bound, count) of a Prometheus histogram, summed over its labels."""
    sums = {}
    for labels, value in re.findall(rf"^{name}_bucket\{{([^}}]*)\}} (\S+)", text, re.M):
        bound = re.search(r'le="([^"]+)"', labels)[1]
        bound = float("inf") if bound == "+Inf" else float(bound)
        sums[bound] = sums.get(bound, 0) + float(value)
    return sorted(sums.items())


def quantile(buckets, q):
    """A histogram knows only the bucket, so that is what is said."""
    wanted = buckets[-1][1] * q
    bound = next(bound for bound, count in buckets if count >= wanted)
    if bound == float("inf"):
        return f"over {buckets[-2][0] * 1000:g} ms"
    return f"under {bound * 1000:g} ms"


# --- the report ------------------------------------------------------------------------------------------------------


def machine():
    cpu = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())
    ffmpeg = subprocess.run(["ffmpeg", "-version"], capture_output=True, text=True, check=True).stdout.split()[2]
    return (
        f"{os.cpu_count()} cores of {cpu[1] if cpu else platform.machine()}, {int(memory[1]) / 2**20:.0f} GiB, "
        f"Linux {platform.release()}, ffmpeg {ffmpeg}"
    )


def check_signature():
    """Example H2 of OSS auth 3.6: a mistake here would look like a fault of the server."""
    headers = {"Date": "Tue, 02 Jan 2024 03:04:05 GMT"}
    assert sign_v1("GET", "/examplebucket/?acl", headers, "FakeSecretForSpecOnly000000000001") == "xrio2nYZOr1f+1DL1uEWgaXSUw4="


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--millpond", type=Path, help="the binary; built with cargo build --release when absent")
    parser.add_argument("--rounds", type=int, default=5, help="counted rounds of ingest")
    parser.add_argument("--megabytes", type=int, default=400, help="megabytes of each unpaced push")
    parser.add_argument("--publishers", type=int, default=50)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    args = parser.parse_args()

    check_signature()
    WORK.mkdir(parents=True, exist_ok=True)
    if args.millpond is None:
        run(["cargo", "build", "--release", "--quiet", "--manifest-path", str(ROOT / "Cargo.toml"), "--bin", "millpond"])
        args.millpond = TARGET / "release" / "millpond"
    args.millpond = args.millpond.resolve()
    rows = []
    args.scratch = Path(tempfile.mkdtemp(prefix="run-", dir=WORK))
    try:
        if "start" in args.only:
            rows += start(args)
        if "memory" in args.only or "latency" in args.only:
            rows += load(args, args.only)
        if "ingest" in args.only:
            run(["cargo", "build", "--release", "--quiet", "--manifest-path", str(ROOT / "bench/floor/Cargo.toml"),
                 "--target-dir", str(WORK / "floor")])  # fmt: skip
            rows += ingest(args, WORK / "floor/release/floor")
    finally:
        shutil.rmtree(args.scratch, ignore_errors=True)
    print(f"Measured on {time.strftime('%Y-%m-%d')}: {machine()}.\n")
    print("| What | Measured | Goal |\n|---|---|---|")
    for row in rows:
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
