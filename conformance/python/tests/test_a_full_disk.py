"""A full disk can be emptied through the API, and a disk that takes nothing is said to: below a reserve uploads are answered with
503, deletions find room, a segment keeps what is on disk, and all of it recovers alone. A full disk is a small tmpfs, which only
root can mount."""

from __future__ import annotations

import errno
import os
import re
import time

import oss2
import pytest

from millpond_test import media
from millpond_test.disks import MIB, fill, small_disk
from millpond_test.faults import Faults
from millpond_test.playback import read_stream
from millpond_test.server import create_channel, wait_for

from conftest import Channel

LOST = "millpond_media_lost_seconds_total"


@pytest.fixture(name="small_disk")
def small_disk_of_the_server(tmp_path):
    """Below the data directory of a server called `server`."""
    with small_disk(tmp_path / "server" / "data") as data:
        yield data


def readiness(server) -> str:
    answer = server.admin("/readyz")
    assert answer.status_code == 200, answer.text
    return answer.text


def metric(server, name: str) -> float:
    lines = re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", server.admin("/metrics").text, re.MULTILINE)
    return sum(map(float, lines))


def upload_until_refused(bucket) -> "tuple[list, oss2.exceptions.ServerError]":
    stored = []
    for number in range(80):
        try:
            bucket.put_object(f"o/{number}", bytes(MIB))
            stored.append(f"o/{number}")
        except oss2.exceptions.ServerError as refused:
            return stored, refused
        time.sleep(0.05)
    raise AssertionError("80 MiB on a disk of 64")


def test_a_full_disk_is_emptied_through_the_api_and_recovers_alone(small_disk, fresh_server):
    server = fresh_server()
    bucket = server.new_bucket()
    upload = bucket.init_multipart_upload("parts").upload_id
    bucket.upload_part("parts", upload, 1, bytes(MIB))
    assert readiness(server) == "ready\n"
    stored, refused = upload_until_refused(bucket)
    assert (refused.status, refused.code) == (503, "ServiceUnavailable")
    assert refused.headers["Retry-After"]
    free, reserve = map(int, re.findall(r"(\d+) bytes", refused.message))
    assert 0 < free < reserve <= 64 * MIB // 20
    # Somebody else takes the rest.
    fill(small_disk)
    wait_for(lambda: readiness(server).startswith("degraded: the disk "), "the word to whoever operates it")
    for name in stored[: len(stored) - 3]:
        assert bucket.delete_object(name).status == 204
    assert bucket.batch_delete_objects(stored[-3:-1]).status == 200
    assert bucket.abort_multipart_upload("parts", upload).status == 204
    assert bucket.get_object(stored[-1]).read() == bytes(MIB)
    wait_for(lambda: readiness(server) == "ready\n", "room", 60)
    bucket.put_object("again", bytes(MIB))
    assert metric(server, "millpond_disk_refused_total") >= 1
    assert server.stop() == 0
    findings = server.findings()
    assert findings.returncode == 0, findings.stdout + findings.stderr


def test_a_segment_keeps_what_is_on_a_full_disk(small_disk, fresh_server, source):
    server = fresh_server()
    bucket = server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    create_channel(bucket, frag_duration=10)
    channel = Channel(server, bucket)
    with media.Push(source.path, channel.push_url, options=["-flush_packets", "1"]) as push:
        wait_for(lambda: channel.status() == "Live", "live")
        time.sleep(6)
        fill(small_disk)
        assert push.wait(60) == 0, push.stderr[-2000:]
    wait_for(lambda: channel.status() == "Idle", "idle", 60)
    playlist, _ = read_stream(channel.play_url)
    listed_ms = sum(segment.duration_ms for segment in playlist.segments)
    assert listed_ms >= 4000, playlist.text
    assert listed_ms + 1000 * metric(server, LOST) == pytest.approx(media.SOURCE_SECONDS * 1000, abs=150)
    found = media.decode_listed(channel.play_url)
    assert found.errors == "" and set(found.video) <= set(source.decoded.video)
    assert server.stop() == 0
    findings = server.findings()
    assert findings.returncode == 0, findings.stdout + findings.stderr


@pytest.mark.parametrize("error", [errno.EIO, errno.EROFS], ids=["EIO", "read-only"])
def test_a_disk_that_takes_nothing_is_said_to_and_recovers_alone(fresh_server, tmp_path, error):
    faults = Faults(tmp_path)
    server = fresh_server(environment=faults.environment)
    bucket = server.new_bucket()
    bucket.put_object("before", bytes(100_000))
    for operation in ("write", "sync"):
        faults.add(operation, Faults.BLOBS, error)
    with pytest.raises(oss2.exceptions.ServerError) as refused:
        bucket.put_object("during", bytes(100_000))
    assert refused.value.status == 503 and refused.value.headers["Retry-After"]
    wait_for(lambda: readiness(server).startswith("degraded: the disk cannot be written to"), "the word of it")
    with pytest.raises(oss2.exceptions.ServerError) as refused:
        bucket.put_object("during", bytes(100_000))
    assert refused.value.status == 503
    assert "bytes are free, the reserve is" in refused.value.message and os.strerror(error) in refused.value.message
    assert bucket.get_object("before").read() == bytes(100_000)
    bucket.delete_object("before")
    faults.clear()
    wait_for(lambda: readiness(server) == "ready\n", "the disk")
    bucket.put_object("after", bytes(100_000))
    assert not bucket.object_exists("during")
