"""Kill -9 and restart under a looping push, for a bounded time: `python soak.py --seconds 60`.

Each round pushes, kills the server at a random moment, runs `millpond check` over what is left, restarts, and reads the channel as
a player would. It fails at the first broken rule: a dangling name, a playlist that contradicts the one before, a segment that is
not a correct transport stream, a frame that differs from what was pushed, memory that keeps growing.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from millpond_test import media
from millpond_test.playback import Poller, fetch_playlist, fetch_segments
from millpond_test.playlist import violations
from millpond_test.server import Server, create_channel, wait_for
from millpond_test.ts import check

NAME = "soak-bucket"
RESIDENT_LIMIT = 200 * 1024 * 1024


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--seconds", type=float, default=60)
    arguments.add_argument("--seed", type=int, default=int(time.time()))
    options = arguments.parse_args()
    source = random.Random(options.seed)
    print(f"soak: {options.seconds:.0f} s, seed {options.seed}")
    with tempfile.TemporaryDirectory(prefix="millpond-soak-") as folder:
        rounds, segments = soak(Path(folder), options.seconds, source)
    print(f"soak: {rounds} kills, {segments} segments, no finding")
    return 0


def soak(folder: Path, seconds: float, source: random.Random) -> "tuple[int, int]":
    path = media.make_source(folder / "source.flv")
    expected = media.decode(str(path))
    server = Server(folder / "server").start()
    try:
        server.new_bucket("public-read", name=NAME)
        create_channel(server.bucket(NAME), frag_duration=2, frag_count=5)
        deadline = time.monotonic() + seconds
        previous, rounds = None, 0
        while time.monotonic() < deadline:
            url = server.url(f"{NAME}/test-channel/playlist.m3u8")
            push_url = server.bucket(NAME).sign_rtmp_url("test-channel", "playlist.m3u8", 600)
            with Poller(url) as poller, media.Push(path, push_url, paced=source.random() < 0.7) as push:
                time.sleep(source.uniform(0.2, 7.0))
                resident = server.resident_bytes()
                server.kill()
                push.kill()
            faults = [fault for fault in poller.faults if "connection failed" not in fault]
            require(faults == [], f"a player met {faults}")
            require(resident < RESIDENT_LIMIT, f"{resident} bytes are resident")
            findings = server.findings()
            require(findings.returncode == 0, findings.stdout + findings.stderr)
            server.start()
            previous = read(server, previous or poller.last, expected)
            rounds += 1
        require("panicked" not in server.log(), server.log()[-3000:])
        return rounds, previous.next_sequence if previous else 0
    finally:
        server.kill()


def read(server: Server, previous, expected: media.Decoded):
    """The channel after a restart: the playlist obeys the rules, and its newest push is a prefix of what was pushed."""
    url = server.url(f"{NAME}/test-channel/playlist.m3u8")
    wait_for(lambda: server.admin("/readyz").status_code == 200, "ready")
    if server.get(f"{NAME}/test-channel/playlist.m3u8").status_code == 404:
        require(previous is None, "the playlist is gone")
        return None
    playlist = fetch_playlist(url)
    require(violations(playlist, previous) == [], f"{violations(playlist, previous)}\n{playlist.text}")
    report = check(fetch_segments(url, playlist), [segment.discontinuity for segment in playlist.segments])
    require(report.violations == [], f"{report.violations}")
    decoded = media.decode_listed(url)
    require(decoded.errors == "", decoded.errors)
    known = set(expected.video)
    require(all(frame in known for frame in decoded.video), "a picture that was never pushed")
    require(len(decoded.video) == report.video_frames, f"{len(decoded.video)} of {report.video_frames} pictures decode")
    return playlist


def require(condition: bool, what: str) -> None:
    if not condition:
        raise SystemExit(f"soak: {what}")


if __name__ == "__main__":
    sys.exit(main())
