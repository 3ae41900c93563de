#!/usr/bin/env python3
"""Two binaries of Millpond beside each other: whether a change has made one of the main paths slower.

    bench/versions.py --before BINARY --after BINARY [--blocks N] [--rounds N] [--seconds N] [--only PART ...]

In every round both do the same, the one that begins changes from round to round, and what counts is the median of the
rounds' ratios: the machine's mood of a minute meets both. Beside it stands the interval that holds the true median in 19 of 20
such runs, whatever the distribution of the ratios (order statistics). Many short rounds tell more than few long ones: the
interval of forty rounds is less than half as wide as that of seven. Where its memory and its files lie gives a server an advantage
for as long as it runs, so both are started anew between blocks of rounds. Give the same binary twice to see what the method itself does.

ingest     CPU seconds per gigabyte that ffmpeg pushes unpaced (bench/ingest.py has the material)
get        64 objects of 1 MiB, read by wrk over four connections: CPU of the server for each
playlist   the playlist of a channel whose push has ended, read by wrk over 32 connections
put        new objects of 4 KiB, V1-signed, 32 clients: CPU for each, and how many a second
"""

import argparse
import math
import os
import statistics
from contextlib import ExitStack
from pathlib import Path

from harness import BUCKET, Millpond, cpu_seconds, oss, say, scratch, settled_cpu_seconds
from ingest import material, push, settle
from objects import GET_SCRIPT, MIB, SMALL_BYTES, SMALL_CLIENTS, SMALL_HEADS, SMALL_SCRIPT, head_of_put, wrk

PLAYLIST_SCRIPT = """
request = function() return wrk.format("GET", "/%s/round0/playlist.m3u8") end
"""


def ingest(args, server, n):
    megabytes = material().stat().st_size * args.loops / 1e6
    settle()
    before = settled_cpu_seconds(server.pid)
    took = push(server.push_url(f"round{n}"), material(), megabytes)
    return {"CPU s/GB": (settled_cpu_seconds(server.pid) - before) / (megabytes / 1e3), "MB/s": megabytes / took}


def requests(script, connections):
    """A part that is read or written by wrk."""

    def measure(args, server, n):
        before = cpu_seconds(server.pid)
        rate, count = wrk(args, script(args, server, n), server.http, connections, args.seconds)
        return {"CPU us": (cpu_seconds(server.pid) - before) / count * 1e6, "a second": rate}

    return measure


def put_script(args, server, n):
    heads = args.scratch / "heads"
    lines = (head_of_put(server.http, f"{n}/{i}", SMALL_BYTES).replace("\r\n", "|") for i in range(SMALL_HEADS))
    heads.write_text("\n".join(lines) + "\n")
    return SMALL_SCRIPT % (SMALL_BYTES // 16, heads)


PARTS = {
    "ingest": ingest,
    "get": requests(lambda *_: GET_SCRIPT % (f"/{BUCKET}", 64), 4),
    "playlist": requests(lambda *_: PLAYLIST_SCRIPT % BUCKET, 32),
    "put": requests(put_script, SMALL_CLIENTS),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, required=True)
    parser.add_argument("--after", type=Path, required=True)
    parser.add_argument("--blocks", type=int, default=2, help="how often both are started anew, in turn the one and the other first")
    parser.add_argument("--rounds", type=int, default=7, help="counted rounds of each block; one before them warms up")
    parser.add_argument("--seconds", type=int, default=3, help="length of a run of requests")
    parser.add_argument("--loops", type=int, default=13, help="an unpaced push is so many times 15 MB")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    args = parser.parse_args()
    measured = {part: [] for part in args.only}
    with ExitStack() as stack:
        args.scratch = stack.enter_context(scratch("versions-"))
        for block in range(args.blocks):
            with ExitStack() as servers:
                found = measure(args, start(args, servers, block), block)
            for part in args.only:
                measured[part] += found[part]
    print("| What | Before | After | After : before, by round | 95 % interval |\n|---|---|---|---|---|")
    for part in args.only:
        for row in compare(part, measured[part]):
            print("| " + " | ".join(row) + " |")


def start(args, stack, block):
    """Both servers, in the other order than those of the block before."""
    servers = {}
    for name, binary in sorted({"before": args.before, "after": args.after}.items(), reverse=block % 2 == 0):
        server = stack.enter_context(Millpond(binary.resolve(), args.scratch / f"{name}-{block}"))
        server.create_channels([f"round{n}" for n in range(args.rounds + 1)], 5)
        for n in range(64):
            oss(server.http, "PUT", f"/{BUCKET}/{n}.bin", os.urandom(MIB))
        push(server.push_url("round0"), material(), 30)
        servers[name] = server
    return servers


def measure(args, servers, block):
    """By part, what both have cost in each round that counts."""
    found = {part: [] for part in args.only}
    for part in args.only:
        for n in range(args.rounds + 1):
            costs = {}
            for name in sorted(servers, reverse=n % 2 == 0):
                costs[name] = PARTS[part](args, servers[name], n)
                shown = ", ".join(f"{value:.3f} {unit}" for unit, value in costs[name].items())
                say(f"{part} {block}.{n}: {name} {shown}")
            if n:
                found[part].append(costs)
    return found


def compare(part, rounds):
    for unit in rounds[0]["before"]:
        before, after = ([costs[name][unit] for costs in rounds] for name in ("before", "after"))
        ratios = [b / a for a, b in zip(before, after)]
        shown = (f"{statistics.median(values):.3g}" for values in (before, after))
        by_round = f"{statistics.median(ratios):.3f} ({min(ratios):.2f} to {max(ratios):.2f})"
        yield f"{part}, {unit}", *shown, by_round, "{:.3f} to {:.3f}".format(*interval_of_median(ratios))


def interval_of_median(values):
    """The narrowest pair of order statistics, equally far from both ends, that holds the median of the distribution which
    VALUES come from with 95 %: how many of them lie below it is binomial with 1/2. Fewer than six cannot say that: all of them."""
    values, outside = sorted(values), 0
    while sum(math.comb(len(values), below) for below in range(outside + 2)) <= 0.025 * 2 ** len(values):
        outside += 1
    return values[outside], values[-1 - outside]


if __name__ == "__main__":
    main()
