"""An installation of three servers, everybody who uses one, and a nemesis: `python nemesis.py --rounds 3`.

Each round has channels of its own. Pushes begin through the balancer; writers, viewers, players and makers of VOD playlists work; then
engines, servers and the links between them are disturbed, one kind after the other (`disturbances.py`). At the end of a round
nothing is disturbed, the pushes end, and all that anybody saw is checked (`history.py`). A table says what each kind cost. The exit code
is 1 when something was found.
"""

from __future__ import annotations

import argparse
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "python"))

import history  # noqa: E402
from clients import Camera, Editor, Player, Viewer, Writers, end_of  # noqa: E402
from disturbances import KINDS  # noqa: E402
from history import Disturbance  # noqa: E402
from installation import STORES, Installation  # noqa: E402
from millpond_test import media  # noqa: E402
from millpond_test.pusher import flv_tags  # noqa: E402
from millpond_test.server import create_channel, wait_for  # noqa: E402
from numbered import Numbered, make_source, numbers_in  # noqa: E402

BUCKET = "nemesis-bucket"
RECORDED = "recorded"
CAMERAS = 2
WRITERS = 3
#: A returning encoder is on air again within this, seconds: the lease of a process, and what the balancer needs.
RETURN_S = 12.0
#: Beyond what is promised, for a machine with two cores that runs all of this.
SLACK_S, SLACK_MS = 3.0, 500
#: A list whose newest picture is no older than this has nothing to catch up with: a segment of two seconds, and what stores and lists it.
CAUGHT_UP_S = 4.5
#: How long everything may take to be well after a disturbance, seconds.
RECOVERY_S = 60


@dataclass
class Cost:
    """What one kind has cost so far."""

    times: int = 0
    cut: int = 0
    lost_ms: List[int] = field(default_factory=list)
    returned_s: List[float] = field(default_factory=list)
    well_s: List[float] = field(default_factory=list)
    caught_up_s: List[float] = field(default_factory=list)

    def line(self, kind: str) -> str:
        return (
            f"{kind:<26} {self.times:>5} {self.cut:>6} {max(self.lost_ms, default=0):>11} {len(self.lost_ms):>7} "
            f"{max(self.returned_s, default=0):>11.1f} {max(self.well_s, default=0):>7.1f} {max(self.caught_up_s, default=0):>11.1f}"
        )


HEAD = f"{'kind':<26} {'times':>5} {'cut':>6} {'lost max ms':>11} {'streams':>7} {'back max s':>11} {'well s':>7} {'caught up s':>11}"


class Push(Numbered):
    """Through the balancer, with an address that is signed anew."""

    def __init__(self, tags, channel: str, front):
        super().__init__(tags, channel, Address(front, channel))


class Address(str):
    def __new__(cls, front, channel: str):
        made = super().__new__(cls, channel)
        made.front = front
        return made

    def now(self) -> str:
        return self.front.on_rtmp_port(self.front.bucket(BUCKET).sign_rtmp_url(str(self), "playlist.m3u8", 86400))


class Nemesis:
    def __init__(self, installation: Installation, folder: Path, pushes: int, seed: int, is_verbose: bool = False):
        self.is_verbose = is_verbose
        self.installation, self.source = installation, random.Random(seed)
        self.path = make_source(folder / "source.flv")
        self.tags = flv_tags(self.path)
        self.pushes, self.rounds = pushes, 0
        self.costs: Dict[str, Cost] = {}
        self.faults: List[str] = []
        self.reads = history.Reads()
        self.kinds: List[str] = []
        front = installation.front
        front.new_bucket("public-read", name=BUCKET)
        create_channel(front.bucket(BUCKET), RECORDED)
        media.push_file(self.path, Address(front, RECORDED).now())
        wait_for(lambda: installation.publications() == 0, "the recording is made", 30)

    def next_kinds(self, count: int) -> List[str]:
        """Each kind once, shuffled, before any comes again."""
        while len(self.kinds) < count:
            more = list(KINDS)
            self.source.shuffle(more)
            self.kinds += more
        taken, self.kinds = self.kinds[:count], self.kinds[count:]
        return taken

    def round(self, seconds: float, kinds: List[str]) -> List[str]:
        """One round with these kinds, or with as many of the next ones as fit; what was found."""
        self.rounds += 1
        installation, front = self.installation, self.installation.front
        names = [f"r{self.rounds}-{n:02}" for n in range(self.pushes)]
        for name in names:
            create_channel(front.bucket(BUCKET), name, frag_duration=2, frag_count=100)
        numbered = names[CAMERAS:]
        pushes = [Push(self.tags, name, front).start() for name in numbered[:-1]]
        # Two encoders that both want one channel, all the time.
        rivals = [Push(self.tags, numbered[-1], front).start() for _ in range(2)]
        cameras = [Camera(self.path, Address(front, name).now).start() for name in names[:CAMERAS]]
        viewers = [Viewer(front, BUCKET, names).start()]
        viewers += [Viewer(member, BUCKET, self.source.sample(names, 5)).start() for member in installation.members]
        editor = Editor(front, BUCKET, numbered, self.source).start()
        player = Player(front, BUCKET, RECORDED).start()
        writers = Writers(front, BUCKET, WRITERS, self.source, f"objects/{self.rounds}").start()
        begun, disturbances, faults = time.monotonic(), [], []
        wait_for(lambda: all(push.is_on for push in pushes), "all pushes are on", 30)
        time.sleep(4)
        while kinds or time.monotonic() - begun < seconds:
            kind = kinds.pop(0) if kinds else self.next_kinds(1)[0]
            disturbances.append(self.disturb(kind, pushes, faults))
            if not kinds and seconds == 0:
                break
        time.sleep(2)

        leaving = [*pushes, *rivals, *cameras]
        with ThreadPoolExecutor(len(leaving)) as pool:
            list(pool.map(lambda one: one.stop(), leaving))
        faults += [f"{push.channel}: the encoder does not get away" for push in (*pushes, *rivals) if push.is_running]
        for one in (*viewers, editor, player, writers):
            one.stop()
        wait_for(lambda: installation.publications() == 0, "all pushes have ended", 60)
        faults += self.check(names, pushes, rivals, viewers, editor, player, writers, disturbances)
        self.faults += [f"round {self.rounds}: {fault}" for fault in faults]
        return faults

    def disturb(self, kind: str, pushes: List[Push], faults: List[str]) -> Disturbance:
        begun, well_s = time.monotonic(), float("nan")
        cost = self.costs.setdefault(kind, Cost())
        cost.times += 1
        KINDS[kind].do(self.installation, self.source)
        undone = time.monotonic()
        try:
            wait_for(lambda: self.installation.is_well() and all(push.is_on for push in pushes), "well", RECOVERY_S, 0.2)
            well_s = time.monotonic() - undone
            cost.well_s.append(well_s)
            wait_for(lambda: self.lag(pushes, faults) < CAUGHT_UP_S, "the lists have caught up", RECOVERY_S, 0.5)
        except AssertionError:
            off = [push.channel + ": " + (push.errors or ["?"])[-1] for push in pushes if not push.is_on]
            faults.append(f"{kind}: not well {RECOVERY_S} s later; off are {off}, ready {[member.is_ready() for member in self.installation.members]}")
        cost.caught_up_s.append(time.monotonic() - undone)
        print(
            f"  {time.strftime('%H:%M:%S')} {kind}: {undone - begun:.1f} s; later, all pushes are on: {well_s:.1f} s, "
            f"lists have caught up: {cost.caught_up_s[-1]:.1f} s",
            flush=True,
        )
        return Disturbance(kind, begun, KINDS[kind].may_lose_ms, KINDS[kind].is_return_bounded)

    def lag(self, pushes: List[Push], faults: List[str]) -> float:
        """How old the newest picture is that is listed, of the push where that is oldest; what is wrong with lists goes to the faults."""
        now, oldest = time.monotonic(), 0.0
        for push in pushes:
            viewer = Viewer(self.installation.front, BUCKET, [push.channel])
            playlist = viewer.look(push.channel)
            content = viewer.read(f"{push.channel}/{playlist.uris[-1]}") if playlist else None
            faults += viewer.wrong
            numbers = numbers_in(content or b"")
            if not numbers:
                return RECOVERY_S
            connection, number = numbers[-1]
            oldest = max(oldest, now - push.sent_by[connection].at[min(number, len(push.sent_by[connection].at) - 1)])
        return oldest

    def check(self, names, pushes, rivals, viewers, editor, player, writers, disturbances) -> List[str]:
        """What was seen in a round, against what must be true."""
        faults: List[str] = []
        judge = Viewer(self.installation.front, BUCKET, names)
        seen: Dict[str, List[str]] = {}
        listed = set()
        sent_alone = {connection: one for push in pushes for connection, one in push.sent_by.items()}
        sent = {**sent_alone, **{connection: one for push in rivals for connection, one in push.sent_by.items()}}
        pictures = {}
        there: Dict[str, bool] = {}
        for name in names:
            pictures[name], found = end_of(judge, name)
            there |= found
            if not found:
                faults.append(f"{name} lists nothing")
        faults += nothing_seen(viewers, editor, player, writers)
        for viewer in (*viewers, judge):
            faults += viewer.wrong
            for path, digests in viewer.seen.items():
                seen.setdefault(path, []).extend(digests)
            for name, looks in viewer.looks.items():
                faults += [f"{name}: {fault}" for fault in history.illegal_playlists(looks)]
                listed |= {f"{name}/{uri}" for look in looks for uri in look.playlist.uris}
        for name in names:
            looks = [look for viewer in (*viewers, judge) for look in viewer.looks.get(name, [])]
            faults += [f"{name}: {fault}" for fault in history.falling_numbers(looks)]
            faults += history.two_publishers(name, pictures[name])
        listed |= {f"{name}/{uri}" for name, uris in editor.listed.items() for uri in uris}
        faults += history.lost_segments(sorted(listed), there) + history.changed_segments(seen)
        faults += writers.wrong + history.lost_objects(writers.may, writers.settled()) + editor.wrong
        everything = [number for name in names for number in pictures[name]]
        lost = history.losses(sent, everything)
        faults += history.unknown_pictures(sent, everything)
        # Of two that want one channel the other one has it as soon as it may, which is sooner than the balancer cuts the first.
        bounded = [loss for loss in lost if loss.connection in sent_alone or loss.is_hole]
        faults += history.too_much_lost(bounded, disturbances, SLACK_MS)
        faults += history.late_returns(sent_alone, disturbances, RETURN_S + SLACK_S)
        faults += history.failed_playback(player.reads) + self.installation.panics()
        for loss in lost:
            if self.is_verbose:
                print(f"    {loss.channel}, connection {loss.connection}: {loss.ms} ms lost{' within' if loss.is_hole else ''}")
            if loss in bounded:
                why = history.cause(disturbances, loss.at)
                self.costs.setdefault(why.kind if why else "nothing", Cost()).lost_ms.append(loss.ms)
        for one, waited_s in history.returns(sent_alone):
            why = history.cause(disturbances, one.returned)
            cost = self.costs.setdefault(why.kind if why else "nothing", Cost())
            cost.cut += 1
            cost.returned_s.append(waited_s)
        for path in names[:CAMERAS]:
            decoded = media.decode_listed(judge.server.url(f"{BUCKET}/{path}/playlist.m3u8"))
            if not decoded.video or not decoded.audio:
                faults.append(f"{path} cannot be played: {decoded.errors[-300:]}")
        self.reads.answered_s += player.reads.answered_s
        self.reads.repeated += player.reads.repeated
        print(
            f"  round {self.rounds}: {len(everything)} pictures of {len(sent)} connections listed in {len(there)} segments, {writers.acknowledged} changes of "
            f"objects acknowledged, {writers.refused} not; {editor.done} VOD playlists, {editor.refused} refused; the recording was read "
            f"{len(player.reads.answered_s)} times, at worst after {max(player.reads.answered_s, default=0):.1f} s, {len(player.reads.repeated)} "
            f"times again; {len(faults)} faults",
            flush=True,
        )
        return faults

    def table(self) -> str:
        return "\n".join([HEAD, *[cost.line(kind) for kind, cost in self.costs.items()]])


def nothing_seen(viewers, editor, player, writers) -> List[str]:
    """Who saw nothing in a whole round, so that nothing could be wrong with it."""
    faults = [f"{name} was never seen at {viewer.server.http_address}" for viewer in viewers for name, looks in viewer.looks.items() if not looks]
    done = {"VOD playlist was made": editor.done, "answer came of the recording": len(player.reads.answered_s), "object was changed": writers.acknowledged}
    return faults + [f"no {what}" for what, count in done.items() if not count]


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--seconds", type=float, default=75, help="how long a round disturbs")
    arguments.add_argument("--pushes", type=int, default=20)
    arguments.add_argument("--store", choices=list(STORES), default="seaweed")
    arguments.add_argument("--seed", type=int, default=int(time.time()))
    arguments.add_argument("--kinds", help=f"only these, with commas between them, each once a round: {', '.join(KINDS)}")
    arguments.add_argument("--verbose", action="store_true", help="each loss")
    arguments.add_argument("--keep", action="store_true", help="leave the logs")
    options = arguments.parse_args()
    chosen = [kind.strip() for kind in options.kinds.split(",")] if options.kinds else []
    if unknown := set(chosen) - set(KINDS):
        arguments.error(f"no such kind: {', '.join(sorted(unknown))}")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    print(f"nemesis: {options.rounds} rounds of {options.seconds:.0f} s, {options.pushes} pushes, {options.store}, seed {options.seed}", flush=True)
    # Whoever ends it ends what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    folder = Path(tempfile.mkdtemp(prefix="millpond-nemesis-"))
    with Installation(folder, options.store) as installation:
        nemesis = Nemesis(installation, folder, options.pushes, options.seed, options.verbose)
        for _ in range(options.rounds):
            for fault in nemesis.round(0 if chosen else options.seconds, list(chosen)):
                print(f"    {fault}", flush=True)
    print(f"\n{nemesis.table()}")
    print(f"seed {options.seed}: {len(nemesis.faults)} faults" + (f"; logs in {folder}" if options.keep or nemesis.faults else ""))
    if not options.keep and not nemesis.faults:
        shutil.rmtree(folder)
    return 1 if nemesis.faults else 0


if __name__ == "__main__":
    sys.exit(main())
