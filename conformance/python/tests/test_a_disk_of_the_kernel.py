"""Trouble that the kernel makes itself, while a push and uploads run: an ext4 whose disk takes nothing for a while (and whose pages
are clean then, though they are not on it), one that is frozen, one that is mounted read-only. The server says degraded and why,
recovers alone, and what it acknowledged is on the disk itself, without what the kernel has in memory."""

from __future__ import annotations

import os
import re
import subprocess
import threading
import time
from pathlib import Path

import oss2
import pytest
import requests

from millpond_test.playback import fetch_playlist, fetch_segments
from millpond_test.playlist import violations
from millpond_test.pusher import Pusher, flv_tags
from millpond_test.server import Server, create_channel, wait_for

MIB = 1 << 20
IMAGE_MIB = 160
STANDSTILL_S = 8


def run(*command: str) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done


class Ext4:
    """An ext4 on a file whose free blocks have no room of their own: a disk that can be made to fail by taking that room."""

    def __init__(self, folder: Path):
        self.shelf, self.data = folder / "shelf", folder / "server" / "data"
        self.image = self.shelf / "image"
        for place in (self.shelf, self.data):
            place.mkdir(parents=True)
        run("mount", "-t", "tmpfs", "-o", f"size={IMAGE_MIB + 16}m", "none", str(self.shelf))
        run("truncate", "-s", f"{IMAGE_MIB}M", str(self.image))
        run("mkfs.ext4", "-q", "-b", "4096", "-E", "lazy_itable_init=0,lazy_journal_init=0", "-J", "size=8", str(self.image))
        # Room for all of it, that of the journal and of the inodes too; then the free blocks give theirs back.
        run("fallocate", "-l", f"{IMAGE_MIB}M", str(self.image))
        self.mount()
        # Folders of blobs, so that no metadata of the file system has to go to new blocks meanwhile.
        for n in range(4096):
            (self.data / "blobs" / f"{n >> 8:x}" / f"{n & 255:02x}").mkdir(parents=True, exist_ok=True)
        run("sync", "-f", str(self.data))
        run("fstrim", str(self.data))

    def mount(self) -> None:
        run("mount", "-o", "loop,errors=continue", str(self.image), str(self.data))
        # A loop device takes a write of which a part found room for one that has succeeded. So every block is written alone.
        device = Path(run("findmnt", "-n", "-o", "SOURCE", str(self.data)).stdout.strip()).name
        Path(f"/sys/block/{device}/queue/max_sectors_kb").write_text("4")
        os.chmod(self.data, 0o700)

    def unmount(self) -> None:
        """With it goes what the kernel has in memory."""
        wait_for(lambda: subprocess.run(["umount", str(self.data)], capture_output=True).returncode == 0, "unmounted", 20)

    def fail(self) -> None:
        """No block of the file system that has no room yet finds any."""
        with (self.shelf / "others").open("wb", buffering=0) as others:
            try:
                while others.write(bytes(MIB // 4)):
                    pass
            except OSError:
                pass

    def be_well(self) -> None:
        (self.shelf / "others").unlink(missing_ok=True)

    def close(self) -> None:
        subprocess.run(["fsfreeze", "-u", str(self.data)], capture_output=True)
        for place in (self.data, self.data, self.shelf):
            subprocess.run(["umount", "-l", str(place)], capture_output=True)


@pytest.fixture
def disk(tmp_path):
    if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode != 0:
        pytest.skip("nothing can be mounted here, which takes root")
    made = Ext4(tmp_path)
    yield made
    made.close()


class Uploads:
    """One upload after the other; what was acknowledged, and how many were refused."""

    def __init__(self, server: Server, bucket: str):
        self.bucket = server.bucket(bucket)
        # Who waits longer than any disk here stands still.
        self.bucket.timeout = 60
        self.acknowledged, self.refused, self.other = {}, 0, []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        number = 0
        while not self._stop.wait(0.02):
            number += 1
            key, body = f"o/{number}", f"{number};".encode() * (100, 3_000, 100_000)[number % 3]
            try:
                self.bucket.put_object(key, body)
                self.acknowledged[key] = body
            except oss2.exceptions.ServerError as error:
                self.refused += 1
                if error.status != 503:
                    self.other.append(str(error))
            except oss2.exceptions.RequestError as error:
                self.other.append(str(error))

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(90)


def readiness(server: Server) -> str:
    answer = server.admin("/readyz")
    assert answer.status_code == 200, answer.text
    return answer.text


def lost_ms(server: Server) -> float:
    found = re.findall(r"^millpond_media_lost_seconds_total(?:\{[^}]*\})? (\S+)$", server.admin("/metrics").text, re.MULTILINE)
    return 1000 * sum(map(float, found))


def read(url: str):
    """The playlist, which is legal; each of its segments is there, in whole packets. (The sound of a file that is pushed in a loop
    does not fit together where it begins anew, so nothing is said about that.)"""
    playlist = fetch_playlist(url)
    assert violations(playlist) == []
    for content in fetch_segments(url, playlist):
        assert content and len(content) % 188 == 0
    return playlist


def trouble(server: Server, source, begin, end, word: str) -> "tuple[Uploads, float]":
    """A push and uploads while the disk is in trouble, which /readyz says in `word`, if anything is to be said; nobody is cut off,
    and what is lost is counted."""
    bucket = server.new_bucket("public-read", name="kernel-bucket")
    create_channel(bucket, "held")
    url = bucket.sign_rtmp_url("held", "playlist.m3u8", 600)
    uploads, pusher = Uploads(server, bucket.bucket_name), Pusher(flv_tags(source.path), url).start()
    play_url = server.url(f"{bucket.bucket_name}/held/playlist.m3u8")
    wait_for(lambda: requests.get(play_url, timeout=20).status_code == 200, "a segment", 30)
    thaws_at = time.monotonic() + STANDSTILL_S
    begin()
    try:
        if word:
            wait_for(lambda: readiness(server).startswith("degraded: the disk ") and word in readiness(server), "the word of it", 40)
            time.sleep(1)
        else:
            time.sleep(max(0.0, thaws_at - time.monotonic()))
    finally:
        end()
    wait_for(lambda: readiness(server) == "ready\n", "the disk is well again", 60)
    wait_for(lambda: uploads.bucket.put_object("after", b"after" * 10_000).status == 200, "an upload")
    time.sleep(3)
    pusher.stop(60)
    uploads.stop()
    assert len(pusher.sessions) == 1 and pusher.errors == [], "the push was not cut off"
    assert uploads.other == [], "uploads are taken, or answered with 503"
    wait_for(lambda: "millpond_publications 0" in server.admin("/metrics").text, "the push has ended", 60)
    playlist = read(play_url)
    counted = lost_ms(server)
    assert sum(s.duration_ms for s in playlist.segments) + counted == pytest.approx(pusher.sent_ms, abs=150)
    assert any(s.discontinuity for s in playlist.segments) == (counted > 0)
    return uploads, counted


def assert_on_the_disk(disk: Ext4, server: Server, uploads: Uploads) -> None:
    """After a kill, and without the memory of the kernel."""
    playlist = requests.get(server.url("kernel-bucket/held/playlist.m3u8"), timeout=20).text
    server.kill()
    disk.unmount()
    disk.mount()
    server.start()
    bucket = server.bucket("kernel-bucket")
    for key, body in {**uploads.acknowledged, "after": b"after" * 10_000}.items():
        assert bucket.get_object(key).read() == body, key
    assert requests.get(server.url("kernel-bucket/held/playlist.m3u8"), timeout=20).text == playlist
    read(server.url("kernel-bucket/held/playlist.m3u8"))
    assert server.stop() == 0
    findings = server.findings()
    assert findings.returncode == 0, findings.stdout + findings.stderr


def test_a_disk_that_fails_and_comes_back(disk, fresh_server, short_source):
    server = fresh_server()
    uploads, _ = trouble(server, short_source, disk.fail, disk.be_well, "cannot be written to")
    assert uploads.refused > 0
    assert_on_the_disk(disk, server, uploads)


def test_a_disk_that_is_frozen_and_thawed(disk, fresh_server, short_source):
    """As agents that take snapshots of virtual machines do. Even memory that a file stands behind cannot be written to then, so
    requests stand still with it, sooner or later. The pages for operators do not, and say so then."""
    server = fresh_server()
    said, stands_still = set(), (503, "the metadata store does not answer")

    def freeze() -> None:
        run("fsfreeze", "-f", str(disk.data))
        last = time.monotonic() + STANDSTILL_S
        while time.monotonic() < last and stands_still not in said:
            assert server.admin("/healthz").text == "ok\n"
            assert "millpond_publications 1" in server.admin("/metrics").text
            answer = server.admin("/readyz")
            said.add((answer.status_code, answer.text.partition(":")[0].strip()))
            time.sleep(0.1)

    def thaw() -> None:
        run("fsfreeze", "-u", str(disk.data))

    uploads, counted = trouble(server, short_source, freeze, thaw, "")
    assert counted == 0
    assert said and said <= {(200, "ready"), (200, "degraded"), stands_still}
    assert_on_the_disk(disk, server, uploads)


def test_a_disk_that_is_mounted_read_only_and_back(disk, fresh_server, short_source):
    """Whoever has a file open for writing keeps the kernel from doing that to the file system itself, so it is done to the path."""
    server = fresh_server()

    def begin() -> None:
        run("mount", "--bind", str(disk.data), str(disk.data))
        run("mount", "-o", "remount,bind,ro", str(disk.data))

    uploads, _ = trouble(server, short_source, begin, lambda: run("umount", "-l", str(disk.data)), "read-only")
    assert uploads.refused > 0
    assert_on_the_disk(disk, server, uploads)
