#!/usr/bin/env python3
"""Measures Millpond and prints a Markdown table for docs/performance.md. Standard library only.

    bench/run.py [--millpond BINARY] [--rounds N] [--publishers N] [--only PART ...]

What each part measures, and how, is said at the head of its file.
"""

import argparse
import os
import platform
import re
import subprocess
import time
from pathlib import Path

import cluster
import ingest
import latency
import listing
import objects
import paced
import publishers
import signatures
import strangers
import viewers
from harness import ROOT, TARGET, run, scratch

# The names of parts, and what measures them: it gets the arguments and those of its names that are wanted, and returns
# rows of what, measured, goal. `args.scratch` is a directory on the disk of the build, deleted at the end.
PARTS = (
    (("start",), paced.start),
    (("memory", "latency"), paced.load),
    (("publishers",), publishers.rows),
    (("keyframe",), latency.rows),
    (("strangers",), strangers.rows),
    (("ingest",), ingest.rows),
    (("viewers",), viewers.rows),
    (("verification",), signatures.rows),
    (("get", "put", "small"), objects.rows),
    (("listing",), listing.rows),
    (("cluster",), cluster.rows),
)
NAMES = [name for names, _ in PARTS for name in names]


def machine():
    cpu = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())
    ffmpeg = subprocess.run(["ffmpeg", "-version"], capture_output=True, text=True, check=True).stdout.split()[2]
    return (
        f"{os.cpu_count()} cores of {cpu[1] if cpu else platform.machine()}, {int(memory[1]) / 2**20:.0f} GiB, "
        f"Linux {platform.release()}, ffmpeg {ffmpeg}"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--millpond", type=Path, help="the binary; built with cargo build --release when absent")
    parser.add_argument("--rounds", type=int, default=5, help="counted rounds of what is compared")
    parser.add_argument("--megabytes", type=int, default=400, help="megabytes of each unpaced push")
    parser.add_argument("--seconds", type=int, default=5, help="length of each round of requests")
    parser.add_argument("--publishers", type=int, default=50)
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES)
    args = parser.parse_args()

    if args.millpond is None:
        run(["cargo", "build", "--release", "--quiet", "--manifest-path", str(ROOT / "Cargo.toml"), "--bin", "millpond"])
        args.millpond = TARGET / "release" / "millpond"
    args.millpond = args.millpond.resolve()
    rows = []
    with scratch("run-") as args.scratch:
        for names, measure in PARTS:
            only = [name for name in names if name in args.only]
            if only:
                rows += measure(args, only)
    print(f"Measured on {time.strftime('%Y-%m-%d')}: {machine()}.\n")
    print("| What | Measured | Goal |\n|---|---|---|")
    for row in rows:
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
