"""What the disk does not confirm is never listed: a flush that fails once is final for its file (D29), and media that cannot be
stored is counted, shown and marked as a discontinuity. The disk fails by order of millpond_test.faults."""

from __future__ import annotations

import errno
import json
import re
import time
from concurrent.futures import ThreadPoolExecutor

import oss2
import pytest

from millpond_test import media
from millpond_test.faults import Faults
from millpond_test.playback import Poller, fetch_segments, read_stream
from millpond_test.playlist import Playlist, violations
from millpond_test.server import create_channel, wait_for
from millpond_test.ts import check

from conftest import Channel

LOST = "millpond_media_lost_seconds_total"


@pytest.fixture
def faulty(fresh_server, tmp_path):
    """A channel on a server whose disk obeys `channel.faults`."""

    def make(*arguments: str, **configuration) -> Channel:
        faults = Faults(tmp_path)
        running = fresh_server(*arguments, environment=faults.environment)
        bucket = running.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
        create_channel(bucket, **configuration)
        channel = Channel(running, bucket)
        channel.faults = faults
        return channel

    return make


def metric(server, name: str) -> float:
    """The sum over all labels; 0 while there is none."""
    lines = re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", server.admin("/metrics").text, re.MULTILINE)
    return sum(map(float, lines))


def log_lines(server, text: str) -> "list[dict]":
    found = [json.loads(line) for line in server.log().splitlines() if text in line]
    return [line for line in found if text in json.dumps(line)]


def ended(channel) -> dict:
    """The session's report as it is logged."""
    (line,) = wait_for(lambda: log_lines(channel.server, "push ended"), "the report")
    return line.get("fields", line)


def warnings(server) -> "list[dict]":
    lines = [json.loads(line) for line in server.log().splitlines()]
    return [line for line in lines if line["level"] in ("WARN", "ERROR")]


def push_through(channel, source, *rules) -> None:
    """Pushes all of the source at its pace; the rules hold from its middle on."""
    with media.Push(source.path, channel.push_url, options=["-flush_packets", "1"]) as push:
        wait_for(lambda: channel.status() == "Live", "live")
        time.sleep(3)
        for rule in rules:
            rule()
        assert push.wait(60) == 0, push.stderr[-2000:]
    wait_for(lambda: channel.status() == "Idle", "idle", 30)


def assert_nothing_is_missing(channel, source) -> None:
    playlist, report = read_stream(channel.play_url)
    assert not any(segment.discontinuity for segment in playlist.segments)
    media.assert_same_frames(media.decode_listed(channel.play_url), source.decoded)
    assert metric(channel.server, LOST) == 0
    assert channel.server.stop() == 0
    findings = channel.server.findings()
    assert findings.returncode == 0, findings.stdout + findings.stderr


@pytest.mark.parametrize(
    "operation, pattern, error",
    [
        ("sync", Faults.OPEN_SEGMENTS, errno.EIO),
        ("sync", Faults.FINISHED_BLOBS, errno.EIO),
        ("sync", Faults.BLOB_FOLDERS, errno.EIO),
        ("write", Faults.OPEN_SEGMENTS, errno.ENOSPC),
        ("rename", Faults.FINISHED_BLOBS, errno.EIO),
        ("open", Faults.OPEN_SEGMENTS, errno.EMFILE),
        ("sync", Faults.METADATA_LOG, errno.EIO),
    ],
    ids=["flush of the open segment", "flush at its end", "flush of the folder", "write", "rename", "open", "flush of the metadata"],
)
def test_d29_what_one_failure_touches_is_written_again(faulty, source, operation, pattern, error):
    channel = faulty()
    faults = channel.faults
    rules = []
    push_through(channel, source, lambda: rules.append(faults.add(operation, pattern, error, times=1, drop=operation == "sync")))
    assert len(faults.hits(rules[0])) == 1
    if operation == "sync" and pattern != Faults.BLOB_FOLDERS:
        (hit,) = faults.hits(rules[0])
        assert hit.end > hit.start >= 0, "the failure took bytes with it"
    assert_nothing_is_missing(channel, source)
    assert metric_of_log(channel, "lost_ms") == 0
    told = [line for line in warnings(channel.server) if "cannot be stored" in json.dumps(line)]
    # The commit that fails may be another one than that of a segment.
    assert len(told) == 1 or (pattern == Faults.METADATA_LOG and not told)


def metric_of_log(channel, name: str) -> int:
    return int(ended(channel).get(name, 0))


def test_every_flush_that_fails_for_a_while_costs_nothing(faulty, source):
    channel = faulty(frag_duration=5)
    faults = channel.faults

    def fail() -> None:
        rule = faults.add("sync", Faults.OPEN_SEGMENTS, drop=True)
        time.sleep(2)
        assert faults.hits(rule)
        faults.clear()

    push_through(channel, source, fail)
    assert_nothing_is_missing(channel, source)


@pytest.mark.parametrize("durability", ["full", "relaxed"])
def test_what_cannot_be_stored_is_counted_shown_and_marked(faulty, source, durability):
    """The disk takes nothing new for longer than a FragDuration."""
    channel = faulty("--durability", durability)
    faults = channel.faults
    refused = []

    def fail() -> None:
        refused.append(faults.add("open", Faults.OPEN_SEGMENTS, errno.ENOSPC))
        refused.append(faults.add("write", Faults.OPEN_SEGMENTS, errno.ENOSPC))
        time.sleep(4.5)
        faults.clear()

    with Poller(channel.play_url) as poller:
        push_through(channel, source, fail)
        time.sleep(0.3)
    assert poller.faults == []
    assert all(faults.hits(rule) for rule in refused)
    playlist, report = read_stream(channel.play_url)
    listed_ms = sum(segment.duration_ms for segment in playlist.segments)
    lost_ms = round(metric(channel.server, LOST) * 1000)
    assert lost_ms >= 1000
    assert listed_ms + lost_ms == pytest.approx(media.SOURCE_SECONDS * 1000, abs=120)
    assert metric_of_log(channel, "lost_ms") == lost_ms
    assert sum(segment.discontinuity for segment in playlist.segments) == 1
    found = media.decode_listed(channel.play_url)
    assert found.errors == ""
    assert len(found.video) == report.video_frames
    # The same in the list of the whole recording.
    now = int(time.time())
    channel.bucket.post_vod_playlist(channel.name, "vod.m3u8", now - 60, now + 1)
    vod = Playlist.parse(channel.bucket.get_object(f"{channel.name}/vod.m3u8").read().decode())
    assert violations(vod) == []
    assert [(s.uri.split("/")[-1], s.duration_ms, s.discontinuity) for s in vod.segments] == [
        (s.uri, s.duration_ms, s.discontinuity) for s in playlist.segments
    ]
    # One warning when it began, one that says what it cost.
    told = [line for line in warnings(channel.server) if channel.name in json.dumps(line)]
    assert len(told) == 2, told
    assert "is lost" in json.dumps(told[1])


def test_d29_what_cannot_be_written_again_ends_before_the_hole(faulty, source):
    """The flush fails, that of every other file too: what was durable stays, cut at a whole access unit."""
    channel = faulty(frag_duration=5)
    faults = channel.faults
    rules = []

    def fail() -> None:
        rules.append(faults.add("sync", Faults.OPEN_SEGMENTS, drop=True))
        wait_for(lambda: metric(channel.server, LOST) > 0, "the loss", 30)
        faults.clear()

    push_through(channel, source, fail)
    assert all(faults.hits(rule) for rule in rules)
    assert metric(channel.server, "millpond_segments_cut_short_total") == 1
    playlist, report = read_stream(channel.play_url)
    found = media.decode_listed(channel.play_url)
    assert found.errors == ""
    assert set(found.video) <= set(source.decoded.video)
    lost_ms = round(metric(channel.server, LOST) * 1000)
    assert sum(s.duration_ms for s in playlist.segments) + lost_ms == pytest.approx(media.SOURCE_SECONDS * 1000, abs=120)
    first_gap = [segment.discontinuity for segment in playlist.segments].index(True)
    assert first_gap >= 1 and sum(segment.discontinuity for segment in playlist.segments) == 1
    assert playlist.segments[first_gap - 1].duration_ms < 5000


def test_a_crash_after_a_loss_does_not_hide_it(faulty, source):
    """The segment that is open behind a lost one is recovered as what it is: a discontinuity."""
    channel = faulty(frag_duration=4)
    faults = channel.faults
    with media.Push(source.path, channel.push_url) as push:
        wait_for(lambda: channel.status() == "Live", "live")
        time.sleep(4.6)
        faults.add("open", Faults.OPEN_SEGMENTS, errno.ENOSPC)
        faults.add("write", Faults.OPEN_SEGMENTS, errno.ENOSPC)
        wait_for(lambda: metric(channel.server, LOST) > 0, "the loss", 30)
        faults.clear()
        time.sleep(1.6)
        channel.server.kill()
        push.wait(30)
    channel.server.start()
    channel.bucket = channel.server.bucket(channel.bucket.bucket_name)
    playlist, _ = read_stream(channel.play_url)
    assert playlist.segments[-1].discontinuity, playlist.text


def test_d29_an_upload_that_is_not_on_disk_is_refused(faulty):
    channel = faulty()
    faults, bucket = channel.faults, channel.bucket
    body = bytes(range(256)) * 4096
    for name, pattern in [("data", Faults.FINISHED_BLOBS), ("folder", Faults.BLOB_FOLDERS), ("log", Faults.METADATA_LOG)]:
        rule = faults.add("sync", pattern, times=1, drop=True)
        with pytest.raises(oss2.exceptions.ServerError) as refused:
            bucket.put_object(name, body)
        assert refused.value.status == 503 and faults.hits(rule)
        assert not bucket.object_exists(name)
        bucket.put_object(name, body)
        assert bucket.get_object(name).read() == body
        upload = bucket.init_multipart_upload(f"{name}-parts").upload_id
        rule = faults.add("sync", pattern, times=1, drop=True)
        with pytest.raises(oss2.exceptions.ServerError) as refused:
            bucket.upload_part(f"{name}-parts", upload, 1, body)
        assert refused.value.status == 503 and faults.hits(rule)
        assert list(oss2.PartIterator(bucket, f"{name}-parts", upload)) == []
        part = bucket.upload_part(f"{name}-parts", upload, 1, body)
        bucket.complete_multipart_upload(f"{name}-parts", upload, [oss2.models.PartInfo(1, part.etag)])
        assert bucket.get_object(f"{name}-parts").read() == body
    # What was refused for its own flush is gone from the disk; after an unclear commit it stays for the sweep.
    names = {path.name for path in (channel.server.data / "blobs").glob("?/??/*")}
    assert not [name for name in names if name.endswith(".part")]
    assert len(names) in (6, 7, 8)


def test_d29_acknowledged_commits_survive_failed_ones(faulty):
    """Commits whose flush fails are refused and those after them are durable, also when the process dies right then."""
    channel = faulty()
    faults, server = channel.faults, channel.server
    acknowledged, refused = [], []

    def put(number: int) -> None:
        try:
            server.bucket(channel.bucket.bucket_name).put_object(f"o/{number}", f"body {number}")
            acknowledged.append(number)
        except (oss2.exceptions.ServerError, oss2.exceptions.RequestError):
            refused.append(number)

    rules = [
        faults.add("sync", Faults.METADATA_LOG, first=20 * n, times=2, drop=True) for n in range(1, 12)
    ] + [faults.add("sync", Faults.METADATA, times=2)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(put, range(800)))
    server.kill()
    assert all(faults.hits(rule) for rule in rules[:3])
    assert refused and len(acknowledged) > 400
    faults.clear()
    server.start()
    bucket = server.bucket(channel.bucket.bucket_name)
    for number in acknowledged:
        assert bucket.get_object(f"o/{number}").read() == f"body {number}".encode()
    assert server.stop() == 0
    findings = server.findings()
    assert findings.returncode == 0, findings.stdout + findings.stderr
