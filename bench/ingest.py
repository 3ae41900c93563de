"""CPU seconds (user and system, from /proc) per gigabyte that ffmpeg pushes unpaced with -c copy, 3 Mbit/s material, about
400 MB a push. The floor (bench/floor) reads the same socket and writes the bytes to a file on the same disk. Both are
pushed to in turn, so that a change of the machine's mood meets both; medians.
"""

import statistics
import subprocess
import time

from harness import ROOT, WORK, Millpond, Recorder, run, say, settled_cpu_seconds


def rows(args, _only):
    run(["cargo", "build", "--release", "--quiet", "--manifest-path", str(ROOT / "bench/floor/Cargo.toml"),
         "--target-dir", str(WORK / "floor")])  # fmt: skip
    return ingest(args, WORK / "floor/release/floor")


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
    with Recorder(floor_binary, floor_file) as floor, Millpond(args.millpond, args.scratch / "ingest") as millpond:
        millpond.create_channels([f"round{n}" for n in range(args.rounds + 1)], 5)
        # The first round fills caches and tells how many bytes a push is; it does not count.
        for n in range(args.rounds + 1):
            settle()
            before = settled_cpu_seconds(floor.pid)
            push(floor.url, file, args.megabytes)
            _, line = floor.next_line(lambda line: "bytes" in line or "error" in line, 30) or (0, {"error": "it says nothing"})
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
