"""Power cuts over the real binary: it works while journal.c writes down what reaches the disk, then it is started on what cutdisk.py
says is left at moments in between.

Whatever the moment: every object that was acknowledged before is there, every segment that was listed before is listed and the same,
the playlist is legal, the server starts and ends, and `millpond check` finds nothing.

With `fails` some flushes of the metadata fail meanwhile, and the process dies and starts again once, which does not bring back what the
failed flush has lost.
"""

from __future__ import annotations

import hashlib
import random
import shutil
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List, Optional

import oss2
import requests

from . import media
from .cutdisk import CutDisk, steps
from .faults import Faults, library
from .playlist import Malformed, Playlist, violations
from .pusher import Pusher, Tag, flv_tags
from .server import Server, create_channel
from .syscalls import in_parts
from .workload import ABSENT, body

BUCKET = "cut-bucket"
CHANNELS = ["cut-1", "cut-2"]
WRITERS = 3


@dataclass
class Change:
    """Something that a key was told to be, at which place of the journal, and where that was acknowledged."""

    begun: int
    digest: Optional[str]
    done: Optional[int] = None


@dataclass
class History:
    """What was done, in places of the journal."""

    journal: Path
    keys: Dict[str, List[Change]] = field(default_factory=dict)
    #: Of each segment that was listed: where that was seen, and what it was.
    segments: Dict[str, "tuple"] = field(default_factory=dict)
    wrong: List[str] = field(default_factory=list)

    def here(self) -> int:
        return self.journal.stat().st_size

    def change(self, key: str, data: Optional[bytes], act) -> bool:
        made = Change(self.here(), digest_of(data))
        self.keys.setdefault(key, []).append(made)
        try:
            act()
        except (oss2.exceptions.OssError, requests.RequestException, OSError):
            return False
        made.done = self.here()
        return True

    def may_be(self, key: str, cut: int) -> "set":
        """What a key may be after a cut: what was acknowledged last, or something that was begun after that."""
        may: "set" = {ABSENT}
        for change in self.keys[key]:
            if change.done is not None and change.done <= cut:
                may = {change.digest}
            elif change.begun <= cut:
                may.add(change.digest)
        return may


def digest_of(data: Optional[bytes]) -> Optional[str]:
    return ABSENT if data is None else hashlib.md5(data).hexdigest()


class Run:
    """One server at work, and its journal."""

    def __init__(self, folder: Path, tags: List[Tag], source: random.Random, fails: bool, arguments: "tuple" = ()):
        self.folder, self.tags, self.source, self.fails = folder, tags, source, fails
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.journal = folder / "journal"
        self.journal.touch()
        self.history = History(self.journal)
        self.faults = Faults(folder)
        preloaded = f"{library('journal.c')} {library()}"
        environment = {**self.faults.environment, "LD_PRELOAD": preloaded, "MILLPOND_JOURNAL": str(self.journal)}
        self.server = Server(folder, list(arguments), environment, settings="[storage]\ngarbage_grace_s = 1\n")
        environment["MILLPOND_JOURNAL_ROOT"] = str(self.server.data)

    def work(self, seconds: float) -> None:
        self.server.start()
        try:
            bucket = self.server.new_bucket("public-read", name=BUCKET)
            for name in CHANNELS:
                create_channel(bucket, name, frag_duration=1, frag_count=100)
            self._life(seconds * 0.6 if self.fails else seconds)
            if self.fails:
                self.server.kill()
                self.faults.clear()
                self.server.start()
                self._life(seconds * 0.4)
        finally:
            self.server.kill()

    def _life(self, seconds: float) -> None:
        stop = threading.Event()
        acts = [(self._write, (n, self.source.random(), stop)) for n in range(WRITERS)] + [(self._list, (stop,)), (self._watch, (stop,))]
        threads = [threading.Thread(target=act, args=arguments) for act, arguments in acts]
        bucket = self.server.bucket(BUCKET)
        pushers = [Pusher(self.tags, bucket.sign_rtmp_url(name, "playlist.m3u8", 600)).start() for name in CHANNELS]
        for thread in threads:
            thread.start()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.fails:
                for pattern in (Faults.METADATA, Faults.METADATA_LOG):
                    self.faults.add("sync", pattern, first=self.source.randint(1, 3), times=1, drop=2)
            time.sleep(min(0.5, max(0.0, end - time.monotonic())))
        stop.set()
        for thread in threads:
            thread.join(60)
        for pusher in pushers:
            pusher.stop(20)
        self._look()

    def _write(self, writer: int, seed: float, stop: threading.Event) -> None:
        source, number = random.Random(seed), 0
        client = self._client()
        while not stop.is_set():
            number += 1
            key = f"{writer}/{source.randrange(40)}"
            data = body(f"{key}/{seed}", number, source.choice([100, 700, 3_000, 3_000, 3_000, 30_000, 700_000]))
            kind = source.random()
            if kind < 0.1:
                self.history.change(key, None, lambda: client.delete_object(key))
            elif kind < 0.13:
                data = body(key, number, 210_000)
                self.history.change(key, data, lambda: in_parts(client, key, data))
            else:
                self.history.change(key, data, lambda: client.put_object(key, data))

    def _client(self) -> oss2.Bucket:
        return oss2.Bucket(self.server.bucket(BUCKET).auth, self.server.endpoint, BUCKET, connect_timeout=20)

    def _list(self, stop: threading.Event) -> None:
        """A reader for whom the metadata of a moment is kept, so that its log cannot begin anew."""
        client = self._client()
        while not stop.wait(0.02):
            try:
                client.list_objects(max_keys=1000)
            except (oss2.exceptions.OssError, requests.RequestException):
                pass

    def _watch(self, stop: threading.Event) -> None:
        while not stop.wait(0.1):
            self._look()

    def _look(self) -> None:
        for name in CHANNELS:
            try:
                answer = requests.get(self.server.url(f"{BUCKET}/{name}/playlist.m3u8"), timeout=20)
                for segment in Playlist.parse(answer.text).segments if answer.status_code == 200 else []:
                    path = f"{name}/{segment.uri}"
                    if path not in self.history.segments:
                        found = requests.get(self.server.url(f"{BUCKET}/{path}"), timeout=20)
                        if found.status_code == 200:
                            self.history.segments[path] = (self.history.here(), digest_of(found.content))
                        elif found.status_code < 500:
                            self.history.wrong.append(f"{path}: {found.status_code} although it is listed")
            except requests.RequestException:
                pass

    def cuts(self, count: int, deadline: float = float("inf")) -> "tuple":
        """Cuts the power at so many moments; how many it were, and what is wrong."""
        all_steps = list(steps(self.journal))
        # Between a flush and what is told because of it is where promises are broken.
        flushes = [n for n, step in enumerate(all_steps) if step.op in "SDY"]
        moments = {self.source.choice(flushes) + self.source.choice([0, 0, 1, 2]) if self.source.random() < 0.7 else
                   self.source.randrange(len(all_steps)) for _ in range(count)}  # fmt: skip
        moments.add(len(all_steps) - 1)
        disk, wrong, done = CutDisk(self.server.data, random.Random(self.source.random())), list(self.history.wrong), 0
        for n, step in enumerate(all_steps):
            disk.play(step)
            if n in moments and time.monotonic() < deadline:
                done += 1
                folder = self.folder / "cut"
                disk.cut(folder / "data", self.source)
                wrong += [f"cut after {n + 1} of {len(all_steps)} steps: {what}" for what in self.after(folder, step.end)]
        if self.fails and disk.failed_flushes == 0:
            wrong.append("no flush failed")
        return done, wrong

    def after(self, folder: Path, cut: int) -> List[str]:
        """Starts the server on what is left and compares."""
        server = Server(folder, list(self.server.arguments))
        (folder / "server.log").unlink(missing_ok=True)
        # Before the server was ready nothing was promised.
        promised = any(change.done is not None and change.done <= cut for changes in self.history.keys.values() for change in changes)
        try:
            server.start()
        except AssertionError as error:
            return [f"it does not start: {error}"] if promised else []
        wrong = []
        try:
            wrong += self._compare(server, cut)
            if server.stop() != 0 or "panicked" in server.log():
                wrong.append("it did not end well")
        finally:
            server.kill()
        findings = server.findings()
        if findings.returncode != 0:
            wrong.append(findings.stdout.strip())
        return wrong

    def _compare(self, server: Server, cut: int) -> List[str]:
        wrong: List[str] = []
        client = oss2.Bucket(server.bucket(BUCKET).auth, server.endpoint, BUCKET, connect_timeout=20)
        for key in sorted(self.history.keys):
            try:
                found = digest_of(client.get_object(key).read())
            except (oss2.exceptions.NoSuchKey, oss2.exceptions.NoSuchBucket):
                found = ABSENT
            except (oss2.exceptions.OssError, requests.RequestException) as error:
                wrong.append(f"{key}: {error}")
                continue
            if found not in self.history.may_be(key, cut):
                wrong.append(f"{key}: {'lost' if found is None else 'another than was acknowledged'}")
        for name in CHANNELS:
            seen = {path: digest for path, (at, digest) in self.history.segments.items() if at <= cut and path.startswith(f"{name}/")}
            if not seen:
                continue
            answer = server.get(f"{BUCKET}/{name}/playlist.m3u8")
            try:
                playlist = Playlist.parse(answer.text)
            except Malformed as error:
                wrong.append(f"{name}: {answer.status_code} {error}")
                continue
            wrong += [f"{name}: {what}" for what in violations(playlist)]
            listed = {f"{name}/{segment.uri}" for segment in playlist.segments}
            wrong += [f"{path}: listed no more" for path in seen if path not in listed]
            for path, digest in seen.items():
                content = server.get(f"{BUCKET}/{path}")
                if content.status_code != 200 or digest_of(content.content) != digest:
                    wrong.append(f"{path}: {content.status_code}, another than was listed")
        return wrong


def sweep(folder: Path, seconds: float, source: random.Random) -> int:
    """Runs and cuts for so long; the exit code."""
    tags = flv_tags(media.make_source(folder / "source.flv", seconds=6))
    deadline, runs, cuts, wrong = time.monotonic() + seconds, 0, 0, []
    while runs == 0 or time.monotonic() < deadline:
        run = Run(folder / "run", tags, source, fails=runs % 2 == 1)
        run.work(4)
        done, found = run.cuts(10, deadline if runs else float("inf"))
        runs, cuts = runs + 1, cuts + done
        wrong += found
        for what in found:
            print(f"  {'failed flushes: ' if run.fails else ''}{what}", flush=True)
    print(f"power cuts: {cuts} in {runs} runs, {len(wrong)} findings")
    return 1 if wrong else 0
