"""Pushes, writers, readers and a nemesis, for a bounded time: `python soak.py --seconds 90`.

Each round has channels of its own: eight pushes begin, something goes wrong (millpond_test.nemesis), the pushes end, and everything
is counted: media that was sent and is not listed, segments that were listed once and are gone, objects that were acknowledged and are
not there, bytes that are wrong, panics. `millpond check` looks at what is left. The table at its end has a line for each kind; the
exit code says whether a goal was missed (GOALS).

`--syscalls` lets every n-th system call of the stores fail instead (millpond_test.syscalls). `--kills N` kills the server at N points of
each odd stream of the corpus and of each captured encoder (millpond_test.corpus). `--power-cuts` cuts the power
(millpond_test.powercuts).
"""

from __future__ import annotations

import argparse
import random
import re
import resource
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List

from millpond_test import corpus, media, powercuts, syscalls
from millpond_test.nemesis import KINDS, SoakServer
from millpond_test.pusher import Pusher, Tag, flv_tags
from millpond_test.server import create_channel, wait_for
from millpond_test.workload import Objects, Viewer

BUCKET = "soak-bucket"
PUSHES = 8
#: Media that may be missing of a push, ms: one picture, because both sides count whole ones, and rounding of each segment.
SLACK_MS = 100
#: Media that each push may lose beyond what the server counted as lost, ms. Everything else may never be lost.
GOALS = {"kill -9": 500, "double kill": 500}
PANICS = re.compile(r"^millpond_panics_total (\d+)", re.MULTILINE)


@dataclass
class Found:
    """What one kind has cost so far."""

    rounds: int = 0
    #: Of each push, beyond what the server counted.
    lost_ms: List[int] = field(default_factory=list)
    counted_ms: int = 0
    segments_lost: List[str] = field(default_factory=list)
    objects_lost: List[str] = field(default_factory=list)
    wrong: List[str] = field(default_factory=list)
    faults: List[str] = field(default_factory=list)
    panics: int = 0

    def line(self, kind: str) -> str:
        lost = sorted(self.lost_ms) or [0]
        p95 = lost[min(len(lost) - 1, int(len(lost) * 0.95))]
        return (
            f"{kind:<14} {self.rounds:>6} {max(lost):>9} {p95:>9} {self.counted_ms:>10} {len(self.segments_lost):>9} "
            f"{len(self.objects_lost):>8} {len(self.wrong):>6} {self.panics:>7} {len(self.faults):>7}"
        )

    def faults_of(self, kind: str) -> List[str]:
        allowed = GOALS.get(kind, 0) + SLACK_MS
        found = [f"{ms} ms of a push lost, {allowed} are allowed" for ms in self.lost_ms if ms > allowed]
        found += [f"listed segment lost: {path}" for path in self.segments_lost]
        found += [f"acknowledged object lost: {key}" for key in self.objects_lost]
        found += [f"wrong bytes: {path}" for path in self.wrong]
        found += [f"panic ({self.panics})"] if self.panics else []
        return [f"{kind}: {what}" for what in found + self.faults]


HEAD = (
    f"{'kind':<14} {'rounds':>6} {'lost max':>9} {'lost p95':>9} {'counted ms':>10} {'segments':>9} {'objects':>8} {'wrong':>6} "
    f"{'panics':>7} {'faults':>7}"
)


class Soak:
    def __init__(self, folder: Path, seed: int):
        self.source = random.Random(seed)
        self.tags: List[Tag] = flv_tags(media.make_source(folder / "source.flv", seconds=6))
        self.server = SoakServer(folder, settings="[storage]\ngarbage_grace_s = 1\n").start()
        self.server.new_bucket("public-read", name=BUCKET)
        self.found: Dict[str, Found] = {}
        self.rounds = 0
        self.log_read = 0

    def run(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        kinds = list(KINDS)
        while time.monotonic() < deadline:
            # Each once in a known order, so that a short run has all it can have; then at random.
            kind = kinds[self.rounds] if self.rounds < len(kinds) else self.source.choice(kinds)
            self.round(kind)
            print(f"  {time.strftime('%H:%M:%S')} {self.found[kind].line(kind)}", flush=True)

    def round(self, kind: str) -> None:
        self.rounds += 1
        found, server = self.found.setdefault(kind, Found()), self.server
        found.rounds += 1
        bucket = server.bucket(BUCKET)
        names = [f"r{self.rounds}-{n}" for n in range(PUSHES)]
        for name in names:
            create_channel(bucket, name, frag_duration=2, frag_count=100)
        objects = Objects(server, BUCKET, 3, self.source).start()
        viewer = Viewer(server, BUCKET, names).start()
        pushers = [Pusher(self.tags, Address(server, name)).start() for name in names]
        time.sleep(self.source.uniform(1.5, 3.0))
        KINDS[kind](server, self.source)
        time.sleep(1.5)
        leaving = [threading.Thread(target=pusher.stop) for pusher in pushers]
        for thread in leaving:
            thread.start()
        for thread in leaving:
            thread.join(60)
        objects.stop()
        viewer.stop()
        wait_for(lambda: "millpond_publications 0" in server.admin("/metrics").text, "all pushes have ended", 60)
        counted = counted_ms(server)
        listed = viewer.settle()
        objects.settle()
        for name, pusher in zip(names, pushers):
            missing = pusher.sent_ms - listed[name] - counted.get(name, 0)
            # What the server counts is to be exact: too much of it is a fault as well. A server that was killed counts nothing.
            found.lost_ms.append(max(0, missing) if kind in GOALS else abs(missing))
            found.counted_ms += counted.get(name, 0)
            if pusher.sent_ms == 0:
                found.faults.append(f"{name} could not push: {pusher.errors[-3:]}")
        found.segments_lost += viewer.lost
        found.objects_lost += objects.lost
        found.wrong += viewer.wrong + objects.wrong
        # A life that was killed has told its panics to the log only.
        log = server.log()
        told, self.log_read = log[self.log_read :].count("panicked"), len(log)
        found.panics += max(told, int((PANICS.search(server.admin("/metrics").text) or [0, 0])[1]))
        server.faults.clear()
        if server.stop() != 0:
            found.faults.append("the server did not end well")
        findings = server.findings()
        if findings.returncode != 0:
            found.faults.append(f"check: {findings.stdout}")
        server.restart()


class Address(str):
    """The address of a channel, which is asked for at each attempt: a server that was killed has another port."""

    def __new__(cls, server: SoakServer, name: str):
        made = super().__new__(cls, name)
        made.server = server
        return made

    def now(self) -> str:
        return self.server.bucket(BUCKET).sign_rtmp_url(str(self), "playlist.m3u8", 86400)


def counted_ms(server: SoakServer) -> Dict[str, int]:
    """What the server says it lost of each channel, in this life."""
    pattern = r'^millpond_channel_media_lost_seconds_total\{.*?channel="([^"]+)".*\} (\S+)$'
    found: Dict[str, int] = {}
    for channel, seconds in re.findall(pattern, server.admin("/metrics").text, re.MULTILINE):
        found[channel] = found.get(channel, 0) + round(float(seconds) * 1000)
    return found


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--seconds", type=float, default=90)
    arguments.add_argument("--seed", type=int, default=int(time.time()))
    arguments.add_argument("--syscalls", action="store_true", help="let system calls fail, one in each run")
    arguments.add_argument("--kills", type=int, metavar="N", help="kill the server at N points of each odd stream and capture instead (millpond_test.corpus)")
    arguments.add_argument("--power-cuts", action="store_true", help="start on what a power cut leaves, at many moments")
    options = arguments.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if not options.kills:
        print(f"soak: {options.seconds:.0f} s, seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="millpond-soak-") as folder:
        if options.kills:
            return corpus.sweep(Path(folder), options.kills)
        if options.syscalls:
            return syscalls.sweep(Path(folder), options.seconds, random.Random(options.seed))
        if options.power_cuts:
            return powercuts.sweep(Path(folder), options.seconds, random.Random(options.seed))
        soak = Soak(Path(folder), options.seed)
        print(f"  {'':8} {HEAD}", flush=True)
        try:
            soak.run(options.seconds)
        finally:
            soak.server.kill()
    print(f"\n{HEAD}")
    for kind, found in soak.found.items():
        print(found.line(kind))
    faults = [fault for kind, found in soak.found.items() for fault in found.faults_of(kind)]
    print("\n".join(faults) if faults else f"soak: {soak.rounds} rounds, every goal is met")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
