"""One system call of the stores fails, the n-th, for every n: whatever comes of it, what was acknowledged is there after a crash,
`millpond check` finds nothing, and nothing panics.

The calls are those that faults.c sees: open, read, write, flush, rename, unlink, mkdir and truncate on files of the data directory,
those of SQLite included.
"""

from __future__ import annotations

import errno
import random
import shutil
import time
from pathlib import Path
from typing import Dict, List, Optional

import oss2
import requests

from . import media
from .faults import Faults
from .pusher import Pusher, Tag, flv_tags
from .server import Server, create_channel, wait_for
from .workload import ABSENT, Objects

ERRORS = [errno.ENOSPC, errno.EIO, errno.EMFILE]
DATA = "*/data/*"
BUCKET = "syscall-bucket"


class Sweep:
    """Runs of the same work, each with another call that fails."""

    def __init__(self, folder: Path, seconds_of_media: int = 2):
        self.folder = folder
        self.tags: List[Tag] = flv_tags(media.make_source(folder / "source.flv", seconds=seconds_of_media))
        self.template = folder / "template"
        # Every run begins on the same data, so that the n-th call is about the same one.
        server = Server(self.template).start()
        bucket = server.new_bucket("public-read", name=BUCKET)
        create_channel(bucket)
        bucket.put_object("before", b"before" * 10_000)
        bucket.put_object("before-small", b"before")
        assert server.stop() == 0

    def count(self) -> int:
        """How many calls there are in a run in which none fails."""
        faults_of, calls = self._run(0, 0)
        assert faults_of == [], faults_of
        return calls

    def fail(self, n: int, error: int) -> List[str]:
        """The n-th call fails; what is wrong with what came of it."""
        return [f"call {n} {errno.errorcode[error]}: {what}" for what in self._run(n, error)[0]]

    def _run(self, n: int, error: int) -> "tuple[List[str], int]":
        folder = self.folder / "run"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        shutil.copytree(self.template / "data", folder / "data")
        faults = Faults(folder)
        # Only counted calls are logged, so one that never comes counts them all.
        rule = faults.add("any", DATA, error, first=max(n, 1), times=1 if n else 0)
        server = Server(folder, environment=faults.environment)
        wrong: List[str] = []
        try:
            server.start()
        except AssertionError:
            # One that cannot begin says why, and begins when the disk is well again.
            if "panicked" in server.log():
                wrong.append("a panic at the start")
            server.kill()
            faults.clear()
            server.start()
        model = self._work(server)
        calls = len(faults.hits(rule)) if not n else 0
        faults.clear()
        if "panicked" in server.log():
            wrong.append(f"a panic: {[line for line in server.log().splitlines() if 'panicked' in line][:1]}")
        if not server.running():
            wrong.append("the server died")
        server.kill()
        server.environment = {}
        server.start()
        model.server = server
        model.settle()
        wrong += [f"lost or wrong: {key}" for key in model.lost + model.wrong]
        if server.stop() != 0:
            wrong.append("it did not end well")
        findings = server.findings()
        if findings.returncode != 0:
            wrong.append(findings.stdout.strip())
        return wrong, calls

    def _work(self, server: Server) -> Objects:
        """A bit of everything; errors are answers."""
        model = Objects(server, BUCKET, 0, random.Random(1))
        model.may = {"before": {digest(b"before" * 10_000)}, "before-small": {digest(b"before")}}
        bucket = oss2.Bucket(server.bucket(BUCKET).auth, server.endpoint, BUCKET, connect_timeout=10)
        pusher = Pusher(self.tags, bucket.sign_rtmp_url("test-channel", "playlist.m3u8", 600)).start()
        put(model, "small", b"s" * 100, lambda data: bucket.put_object("small", data))
        put(model, "large", b"l" * 100_000, lambda data: bucket.put_object("large", data))
        put(model, "small", b"t" * 90, lambda data: bucket.put_object("small", data))
        put(model, "copy", b"before" * 10_000, lambda _: bucket.copy_object(BUCKET, "before", "copy"))
        put(model, "appended", b"a" * 40_000, lambda data: bucket.append_object("appended", 0, data))
        put(model, "parts", b"p" * 110_000, lambda data: in_parts(bucket, "parts", data))
        put(model, "before", ABSENT, lambda _: bucket.delete_object("before"))
        for key in ("small", "large", "copy", "appended", "parts"):
            model.compare(key)
        time.sleep(0.5)
        pusher.stop(20)
        return model


def digest(data: Optional[bytes]) -> Optional[str]:
    import hashlib

    return ABSENT if data is None else hashlib.md5(data).hexdigest()


def put(model: Objects, key: str, data: Optional[bytes], change) -> None:
    model.may.setdefault(key, {ABSENT}).add(digest(data))
    try:
        change(data)
    except (oss2.exceptions.OssError, requests.RequestException, OSError):
        return
    model.may[key] = {digest(data)}


def in_parts(bucket: oss2.Bucket, key: str, data: bytes) -> None:
    upload = bucket.init_multipart_upload(key).upload_id
    parts = []
    for number, start in enumerate(range(0, len(data), 102_400), 1):
        part = bucket.upload_part(key, upload, number, data[start : start + 102_400])
        parts.append(oss2.models.PartInfo(number, part.etag))
    bucket.complete_multipart_upload(key, upload, parts)


def sweep(folder: Path, seconds: float, source: random.Random) -> int:
    """Every call with every error, in a random order, as many as there is time for; the exit code."""
    runs = Sweep(folder)
    calls = runs.count()
    cases = [(n, error) for n in range(1, calls + 1) for error in ERRORS]
    source.shuffle(cases)
    deadline, wrong, done = time.monotonic() + seconds, [], 0
    for n, error in cases:
        if time.monotonic() > deadline:
            break
        found = runs.fail(n, error)
        done += 1
        wrong += found
        for what in found:
            print(f"  {what}", flush=True)
    print(f"syscalls: {calls} calls x {len(ERRORS)} errors, {done} of {len(cases)} tried, {len(wrong)} findings")
    return 1 if wrong else 0
