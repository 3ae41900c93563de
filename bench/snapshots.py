#!/usr/bin/env python3
"""What snapshots cost a server that records: the same paced pushes without and with them, side by side.

    bench/snapshots.py --millpond BINARY [--publishers 100] [--interval 5] [--seconds 60] [--size 640x360] [--rounds 2]

Prints for each: pictures that were sent and are not recorded, the p99 from the arrival of the frame that closes a segment to its
playlist being readable (interpolated in the server's histogram), processor time of the server and of its decoders, and what
became of the snapshots. Publishers run on the same machine, so only ratios mean anything.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness import BUCKET, Millpond, cpu_seconds, oss, run, say
from paced import histogram

RATE = 25


def make_source(path, size, seconds):
    """Two seconds from one key frame to the next, about 800 kbit/s at 640x360."""
    run(
        [
            "ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", f"testsrc2=size={size}:rate={RATE}:duration={seconds}",
            "-f", "lavfi", "-i", f"sine=sample_rate=44100:duration={seconds}", "-c:a", "aac", "-b:a", "64k",
            "-c:v", "libx264", "-preset", "veryfast", "-profile:v", "high", "-pix_fmt", "yuv420p", "-g", str(2 * RATE),
            "-keyint_min", str(2 * RATE), "-sc_threshold", "0", "-crf", "26", "-f", "flv", str(path),
        ]
    )  # fmt: skip


def children_cpu(pid):
    """Processor time of the decoders that run now."""
    total = 0.0
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == pid and b"picture-worker" in words:
                total += cpu_seconds(int(entry.name))
        except (OSError, ValueError, IndexError):
            continue
    return total


def configure(server, names, interval):
    oss(server.http, "PUT", f"/{BUCKET}/", headers={"x-oss-acl": "public-read-write"})
    oss(server.http, "PUT", f"/{BUCKET}-pictures/")
    snapshot = (
        f"<Snapshot><RoleName>r</RoleName><DestBucket>{BUCKET}-pictures</DestBucket><NotifyTopic>t</NotifyTopic>"
        f"<Interval>{interval}</Interval></Snapshot>"
    )
    body = (
        "<LiveChannelConfiguration><Target><Type>HLS</Type><FragDuration>2</FragDuration><FragCount>3</FragCount></Target>"
        f"{snapshot if interval else ''}</LiveChannelConfiguration>"
    )
    for name in names:
        oss(server.http, "PUT", f"/{BUCKET}/{name}?live", body.encode())


def quantile_ms(buckets, q):
    """Within the bucket as if its values were spread evenly."""
    if not buckets or not buckets[-1][1]:
        return float("nan")
    wanted, low, below = buckets[-1][1] * q, 0.0, 0.0
    for bound, count in buckets:
        if count >= wanted:
            bound = low if bound == float("inf") else bound
            return 1000 * (low + (bound - low) * (wanted - below) / max(count - below, 1))
        low, below = bound, count
    return float("nan")


def counters(text, name):
    return {labels: float(value) for labels, value in re.findall(rf"^{name}(?:\{{(.*)\}})? (\S+)", text, re.M)}


def measure(args, source, interval, folder):
    with Millpond(args.millpond, folder) as server:
        configure(server, [f"ch{n}" for n in range(args.publishers)], interval)
        time.sleep(2)
        before = cpu_seconds(server.pid)
        command = [str(args.millpond), "publish", server.push_url("ch{n}"), "--file", str(source), "--publishers", str(args.publishers)]
        publishers = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=server.keys())
        began = time.monotonic()
        status = publishers.wait()
        seconds = time.monotonic() - began
        time.sleep(3)
        own, decoders = cpu_seconds(server.pid) - before, children_cpu(server.pid)
        text = server.metrics()
    # The server's log has the reports of its pushes.
    ended = [line for line in map(parsed, server.log().splitlines()) if said(line) == "push ended"]
    recorded = sum(int(field(line, "pictures")) for line in ended)
    sent = args.publishers * args.seconds * RATE
    refused = counters(text, "millpond_snapshots_refused_total")
    return {
        "interval": interval,
        "publishers ended with": status,
        "seconds": round(seconds, 1),
        "pushes": len(ended),
        "pictures sent": sent,
        "pictures lost": sent - recorded,
        "media lost ms": sum(int(field(line, "lost_ms")) for line in ended),
        "p50 publish ms": round(quantile_ms(histogram(text, "millpond_segment_publish_seconds"), 0.5), 2),
        "p99 publish ms": round(quantile_ms(histogram(text, "millpond_segment_publish_seconds"), 0.99), 2),
        "server cpu s": round(own, 2),
        "decoder cpu s": round(decoders, 2),
        "snapshots": int(sum(counters(text, "millpond_live_snapshots_total").values())),
        "refused": refused,
    }


def parsed(line):
    try:
        return json.loads(line)
    except ValueError:
        return {}


def said(line):
    return line.get("message") or line.get("fields", {}).get("message")


def field(line, name):
    return line.get(name, line.get("fields", {}).get(name, 0))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--millpond", type=Path, required=True)
    parser.add_argument("--publishers", type=int, default=100)
    parser.add_argument("--interval", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--size", default="640x360")
    parser.add_argument("--rounds", type=int, default=2)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "source.flv"
        make_source(source, args.size, args.seconds)
        say(f"{args.publishers} pushes of {args.size}, {source.stat().st_size * 8 / args.seconds / 1000:.0f} kbit/s each, for {args.seconds} s")
        for number in range(args.rounds):
            for interval in (0, args.interval):
                found = measure(args, source, interval, Path(scratch) / f"{number}-{interval}")
                print(json.dumps(found), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
