"""What one server knows and does about the pushes, readers and duties of another: takeover, what is on air, ending a push, garbage."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from pathlib import Path

import oss2
import pytest
import requests

from millpond_test import media
from millpond_test.server import create_channel, wait_for
from test_two_servers import playlist, push_url

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "python" / "tests"))
from test_console_operations import call, good  # noqa: E402


def said(server, text: str, **fields) -> "list[dict]":
    lines = [json.loads(line) for line in server.log().splitlines() if line.startswith("{")]
    return [line for line in lines if text in line["message"] and all(line.get(name) == value for name, value in fields.items())]


def channel_of(servers):
    bucket = servers[0].new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    create_channel(bucket, frag_duration=2)
    return bucket


def numbers(uris: "list[str]") -> "list[int]":
    return [int(re.fullmatch(r"(\d+)\.ts", uri).group(1)) for uri in uris]


def assert_rising(uris: "list[str]") -> None:
    found = numbers(uris)
    assert found == sorted(set(found)), uris


def status(server, bucket):
    return server.bucket(bucket.bucket_name).get_live_channel_stat("test-channel")


@pytest.mark.quick
def test_a_silent_publisher_of_another_server_is_replaced(servers, source):
    path, _ = source
    a, b = servers
    bucket = channel_of(servers)
    with media.Push(path, push_url(a, bucket), loop=True) as ghost:
        wait_for(lambda: playlist(b, bucket)[1], "a segment", 30)
        os.kill(ghost.process.pid, signal.SIGSTOP)  # The connection stays, nothing comes: a lost radio link.
        try:
            time.sleep(1)
            begun = time.monotonic()
            assert "ChannelStillLive" in media.push_refused(path, push_url(b, bucket))
            refused_s = time.monotonic() - begun
            time.sleep(3)
            known = len(playlist(b, bucket)[1])
            begun = time.monotonic()
            with media.Push(path, push_url(b, bucket), loop=True) as push:
                wait_for(lambda: said(b, "push begins"), "the push begins", 20)
                taken_s = time.monotonic() - begun
                wait_for(lambda: len(playlist(a, bucket)[1]) > known, "a segment of the new push", 20)
                assert push.running(), push.stderr[-2000:]
                assert said(a, "a silent publisher is replaced")
        finally:
            os.kill(ghost.process.pid, signal.SIGCONT)
        assert ghost.wait(20) != 0, "the ghost finds its connection closed"
    print(f"\nrefused after {refused_s:.2f} s while it was not silent for long; taken over after {taken_s:.2f} s")
    assert taken_s < 5
    assert_rising(playlist(a, bucket)[1])
    wait_for(lambda: status(a, bucket).status == "Idle", "the end", 20)
    records = b.bucket(bucket.bucket_name).get_live_channel_history("test-channel").records
    assert len(records) == 2
    # Nobody wants anything any more, so nothing is answered any more.
    assert not said(a, "cannot be answered")


def test_a_paused_server_loses_its_channel_and_never_publishes_beside_the_other(servers, source):
    path, _ = source
    a, b = servers
    bucket = channel_of(servers)
    with media.Push(path, push_url(a, bucket), loop=True) as first:
        wait_for(lambda: len(playlist(b, bucket)[1]) >= 2, "two segments", 30)
        before = playlist(b, bucket)[1]
        os.kill(a.process.pid, signal.SIGSTOP)
        paused = time.monotonic()
        try:
            # The encoder waits at the other server until it is certain that the first one lost the channel.
            with media.Push(path, push_url(b, bucket), loop=True) as second:
                wait_for(lambda: said(b, "push begins"), "the push begins", 20)
                taken_s = time.monotonic() - paused
                wait_for(lambda: len(playlist(b, bucket)[1]) > len(before), "a segment", 20)
                os.kill(a.process.pid, signal.SIGCONT)
                assert first.wait(30) != 0, "the first server learns that it has lost the channel"
                known = len(playlist(b, bucket)[1])
                wait_for(lambda: len(playlist(b, bucket)[1]) >= known + 3, "more segments", 30)
                assert second.running(), second.stderr[-2000:]
                uris = playlist(a, bucket)[1]
                assert_rising(uris)
                for uri in uris:
                    assert a.get(f"{bucket.bucket_name}/test-channel/{uri}").status_code == 200, uri
        finally:
            os.kill(a.process.pid, signal.SIGCONT)
    print(f"\ntaken over {taken_s:.1f} s after its server was paused")
    assert taken_s < 14


@pytest.mark.quick
def test_what_is_on_air_is_true_at_every_server(servers, source):
    path, _ = source
    a, b = servers
    bucket = channel_of(servers)
    with media.Push(path, push_url(a, bucket), loop=True):
        wait_for(lambda: playlist(b, bucket)[1], "a segment", 30)

        def shown(server):
            channels = good(call(server, "on-air", query={"bucket": bucket.bucket_name, "state": "live"}))["channels"]
            return channels[0] if channels and channels[0]["video"] else None

        here, there = (wait_for(lambda: shown(server), "it is shown", 10) for server in servers)
        assert here["server"] == there["server"] and there["video"]["width"] == 320
        assert there["video"]["codec"] == "H264" and there["audio"]["codec"] == "AAC"
        assert (here["since"], here["remote"]) == (there["since"], there["remote"])
        found = wait_for(lambda: status(b, bucket).video and status(b, bucket), "rates", 10)
        local = status(a, bucket)
        assert found.status == "Live" and found.remote_addr == local.remote_addr
        assert found.video.codec == local.video.codec and found.video.width == 320
        assert 0 < found.video.bandwidth < 10 * local.video.bandwidth and found.audio.sample_rate == 44100
        # Who was refused at one server is known at the other, with the name of the server.
        media.push_refused(path, push_url(a, bucket))
        sessions = f"channels/{bucket.bucket_name}/test-channel/sessions"
        refusals = wait_for(lambda: good(call(b, sessions))["refusals"], "the refusal", 10)
        assert refusals[0]["code"] == "ChannelStillLive" and refusals[0]["server"] == here["server"]
        about = good(call(b, "about"))
        names = {one["name"]: one for one in about["servers"] if one["state"] == "alive"}
        # Servers that other tests killed a moment ago count as alive until their leases end.
        listening = [listener for one in names.values() for listener in one["listeners"]]
        assert here["server"] in names
        assert all({"purpose": "http", "address": server.http_address} in listening for server in servers)
        assert {"purpose": "http", "address": a.http_address} in names[here["server"]]["listeners"]


@pytest.mark.quick
def test_disabling_at_any_server_ends_the_push(servers, source):
    path, _ = source
    a, b = servers
    bucket = channel_of(servers)
    with media.Push(path, push_url(a, bucket), loop=True) as push:
        wait_for(lambda: playlist(b, bucket)[1], "a segment", 30)
        begun = time.monotonic()
        b.bucket(bucket.bucket_name).put_live_channel_status("test-channel", "disabled")
        answered_s = time.monotonic() - begun
        assert push.wait(10) != 0
        ended_s = time.monotonic() - begun
        assert "LiveChannelDisabled" in push.stderr
    print(f"\nanswered after {answered_s:.2f} s, the encoder was told after {ended_s:.2f} s")
    assert ended_s < 3
    assert len(bucket.get_live_channel_history("test-channel").records) == 1
    assert "LiveChannelDisabled" in media.push_refused(path, push_url(a, bucket))
    b.bucket(bucket.bucket_name).put_live_channel_status("test-channel", "enabled")
    media.push_file(path, push_url(a, bucket))


def test_duties_are_done_by_one_server_and_go_on_when_it_dies(start):
    settings = "[storage]\ngarbage_grace_s = 1\n"
    servers = [start("a", settings), start("b", settings)]
    bucket = servers[0].new_bucket()

    def holders():
        return [server for server in servers if said(server, "does it for all", duty="garbage")]

    wait_for(holders, "somebody collects garbage", 30)
    time.sleep(3)
    (holder,) = holders()
    (other,) = [server for server in servers if server is not holder]
    holder.kill()
    died = time.monotonic()
    wait_for(lambda: said(other, "does it for all", duty="garbage"), "the other goes on", 30)
    print(f"\nthe other collects garbage {time.monotonic() - died:.1f} s later")
    other.bucket(bucket.bucket_name).put_object("key", b"x")
    # Who leaves in order leaves it at once.
    holder.start()
    assert other.stop() == 0
    wait_for(lambda: len(said(holder, "does it for all", duty="garbage")) >= 2, "the first goes on", 8)


def test_a_list_ends_whose_server_did_not_live_to_end_it(start, source):
    path, _ = source
    settings = "[live]\nend_list_after_s = 4\n"
    servers = a, b = start("a", settings), start("b", settings)
    bucket = channel_of(servers)
    media.push_file(path, push_url(a, bucket))
    wait_for(lambda: status(b, bucket).status == "Idle", "the end of the push", 30)
    a.kill()
    name = f"{bucket.bucket_name}/test-channel/playlist.m3u8"
    assert "ENDLIST" not in b.get(name).text
    wait_for(lambda: "ENDLIST" in b.get(name).text, "the end of the list", 60)


def test_what_a_reader_of_another_server_reads_is_not_collected(start):
    settings = "[storage]\ngarbage_grace_s = 1\ncache_mib = 16\n"
    a, b = start("a", settings), start("b", settings)
    bucket = a.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    content = os.urandom(1 << 20) * 20
    bucket.put_object("long", content)
    bucket.put_object("short", b"s" * 300_000)
    with requests.get(b.url(f"{bucket.bucket_name}/long"), stream=True, timeout=30) as answer:
        pieces = [answer.raw.read(1 << 20)]
        bucket.delete_object("long")
        bucket.delete_object("short")
        time.sleep(15)
        pieces.append(answer.raw.read())
    assert b"".join(pieces) == content
