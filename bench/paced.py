"""What a server costs that does its work at the pace of life.

start    from spawning the process to its line "listening"; median of ten starts on an existing data directory.
memory   resident memory of the idle server, and what each of N paced publishers of the sample adds to it.
latency  the server's own histogram: from the arrival of the frame that closes a segment to its playlist being readable,
         while the N publishers of `memory` push 2 s segments.
"""

import os
import re
import statistics
import subprocess
import time

from harness import Millpond, resident_kib, say


def start(args, _only):
    times = []
    for _ in range(10):
        with Millpond(args.millpond, args.scratch / "start") as millpond:
            times.append(millpond.ready_after_s * 1000)
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
