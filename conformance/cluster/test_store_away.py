"""An S3-compatible store that is away for longer than memory can wait: segments queue on the disk of their server."""

from __future__ import annotations

import re
import sys
import time
import urllib.request
from pathlib import Path

import oss2
import pytest

from millpond_test import media
from millpond_test.pusher import Pusher, flv_tags
from millpond_test.server import Server, create_channel, wait_for
from engines import BUCKET, S3_KEY, S3_SECRET
from test_moving import millpond
from test_neighbours import status
from test_two_servers import playlist, push_url

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "python" / "tests"))
from test_console_operations import call, good  # noqa: E402


def listed_ms(server, bucket):
    text = server.get(f"{bucket.bucket_name}/test-channel/playlist.m3u8").text
    return sum(1000 * float(length) for length in re.findall(r"#EXTINF:([0-9.]+)", text))


@pytest.mark.parametrize("ends", ["waits", "kill -9", "SIGTERM", "restarts meanwhile"])
def test_segments_wait_on_disk_for_a_store_that_is_away(servers, tmp_path, seaweed, ends):
    """More media than memory takes: the encoder is read from all the time, and all of it is listed when the store is back."""
    path = media.make_source(tmp_path / "heavy.flv", size="640x360", noise=30)
    a, b = servers
    bucket = a.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    create_channel(bucket)
    push = Pusher(flv_tags(path), push_url(a, bucket)).start()
    wait_for(lambda: len(playlist(b, bucket)[1]) >= 2, "two segments", 30)
    seaweed.kill()
    away, known = time.monotonic(), playlist(a, bucket)[1]
    sent_ms = push.sent_ms
    time.sleep(25)
    assert push.sent_ms - sent_ms > 23_000 and len(push.sessions) == 1, "the encoder is not held up"
    assert playlist(a, bucket)[1][:-2] == known[:-2], "the playlist stands still"
    (shown,) = good(call(b, "on-air", query={"bucket": bucket.bucket_name, "state": "live"}))["channels"]
    assert "store_away" in shown["warnings"]
    for server, says in ((a, "; segments of 1 pushes wait on the disk of this server"), (b, "")):
        ready = server.admin("/readyz")
        assert ready.status_code == 200
        assert re.fullmatch(r"degraded: the S3-compatible store does not answer \(.+\)" + says + "\n", ready.text), ready.text
        assert 'millpond_dependency_up{dependency="blobs"} 0' in server.admin("/metrics").text
        (health,) = [one for one in good(call(server, "about"))["health"] if one["name"] == "blobs"]
        assert health["state"] == "warn" and health["message"].startswith("do not answer: ")
    # What is sent to a server that stops lies in its socket, and nobody reads it any more.
    sent_ms = push.sent_ms
    if ends == "kill -9":
        a.kill()
    elif ends != "waits":
        begun = time.monotonic()
        assert a.stop() == 0
        print(f"\nstopped after {time.monotonic() - begun:.1f} s")
    push.stop(1)
    if ends == "restarts meanwhile":
        a.start()
    seaweed.start()
    if ends in ("kill -9", "SIGTERM"):
        a.start()
    wait_for(lambda: listed_ms(b, bucket) > sent_ms - 2_000, lambda: f"{sent_ms} ms sent, {listed_ms(b, bucket)} listed", 60)
    print(f"\n{sent_ms} ms sent, {listed_ms(b, bucket):.0f} listed, the store was away for {time.monotonic() - away:.0f} s")
    for server in servers:
        wait_for(lambda: server.admin("/readyz").text == "ready\n", lambda: server.admin("/readyz").text, 30)
        assert 'millpond_dependency_up{dependency="blobs"} 1' in server.admin("/metrics").text
    sequence, uris, gaps = playlist(b, bucket)
    assert gaps == 0 and uris[: len(known)] == known
    assert media.decode_listed(b.url(f"{bucket.bucket_name}/test-channel/playlist.m3u8"))


@pytest.mark.parametrize("ends", ["the encoder", "its server"])
def test_an_encoder_that_comes_again_meanwhile_is_recorded(servers, tmp_path, seaweed, ends):
    """To the server that has what waits, after its connection or its server has ended: both are listed, in their order."""
    path = media.make_source(tmp_path / "again.flv", size="320x180")
    a, b = servers
    bucket = a.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    create_channel(bucket)
    push = Pusher(flv_tags(path), push_url(a, bucket)).start()
    wait_for(lambda: len(playlist(b, bucket)[1]) >= 2, "two segments", 30)
    seaweed.kill()
    known = playlist(a, bucket)[1]
    time.sleep(10)
    sent_ms = push.sent_ms
    if ends == "its server":
        a.kill()
        push.stop(1)
        a.start()
    else:
        push.stop(1)
    begun = time.monotonic()
    again = Pusher(flv_tags(path), push_url(a, bucket)).start()
    wait_for(lambda: again.sent_ms > 5_000, "the second push runs", 30)
    print(f"\n5 s of the second push after {time.monotonic() - begun:.1f} s")
    assert len(again.sessions) == 1, "it is not refused"
    seaweed.start()
    wait_for(lambda: listed_ms(b, bucket) > sent_ms, lambda: f"{listed_ms(b, bucket)} ms are listed", 30)
    sent_again_ms = again.sent_ms
    again.stop(1)
    wait_for(lambda: listed_ms(b, bucket) > sent_ms + sent_again_ms - 2_500, lambda: f"{listed_ms(b, bucket)} ms are listed", 30)
    print(f"{sent_ms} and {sent_again_ms} ms sent, {listed_ms(b, bucket):.0f} listed")
    _, uris, gaps = playlist(b, bucket)
    assert gaps == 1 and uris[: len(known)] == known and len(set(uris)) == len(uris)
    assert media.decode_listed(b.url(f"{bucket.bucket_name}/test-channel/playlist.m3u8"))


@pytest.mark.parametrize("ends", ["the encoder", "its server"])
def test_another_server_refuses_it_and_gives_up_nothing(servers, environment, tmp_path, seaweed, ends):
    """What waits lies on the disk of the server where it was pushed. Whoever comes to another one is told to wait, as often as it tries; the
    first server then records it at once, and lists both."""
    path = media.make_source(tmp_path / "again.flv", size="320x180")
    a, b = servers
    bucket = a.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    create_channel(bucket)
    push = Pusher(flv_tags(path), push_url(a, bucket)).start()
    wait_for(lambda: len(playlist(b, bucket)[1]) >= 2, "two segments", 30)
    seaweed.kill()
    time.sleep(10)
    known, sent_ms = playlist(b, bucket)[1], push.sent_ms
    if ends == "its server":
        a.kill()
        push.stop(1)
    else:
        push.stop(1)
        sent_ms = push.sent_ms
    waits_s = []
    for _ in range(3):
        begun = time.monotonic()
        # Until the lease of a dead server has run out nobody else has the channel, and nobody knows what became of it.
        said = media.push_refused(path, push_url(b, bucket), timeout_s=60)
        waits_s.append(round(time.monotonic() - begun, 1))
        if ends == "the encoder":
            assert "ChannelStillLive: " in said, said
        else:
            assert "ServiceUnavailable: " in said and "they are not on the disk of this server" in said, said
    print(f"\nrefused after {waits_s} s: {[line for line in said.splitlines() if ': The ' in line]}")
    assert playlist(b, bucket)[1] == known, "the playlist stands still"
    if ends == "its server":
        a.start()
    begun = time.monotonic()
    again = Pusher(flv_tags(path), push_url(a, bucket)).start()
    wait_for(lambda: again.sent_ms > 5_000, "the second push runs", 30)
    print(f"5 s of the second push after {time.monotonic() - begun:.1f} s")
    assert len(again.sessions) == 1, "it is not refused"
    seaweed.start()
    wait_for(lambda: listed_ms(b, bucket) > sent_ms, lambda: f"{listed_ms(b, bucket)} ms are listed", 30)
    again.stop()
    wait_for(lambda: status(b, bucket).status == "Idle", "the end of the push", 60)
    found = listed_ms(b, bucket)
    print(f"{sent_ms} and {again.sent_ms} ms sent, {found:.0f} listed")
    # kill -9 costs what PostgreSQL had not been told of.
    assert sent_ms + again.sent_ms - (2_500 if ends == "its server" else 600) < found < sent_ms + again.sent_ms + 600
    _, uris, gaps = playlist(b, bucket)
    assert gaps == 1 and uris[: len(known)] == known and len(set(uris)) == len(uris)
    assert media.decode_listed(b.url(f"{bucket.bucket_name}/test-channel/playlist.m3u8"))
    assert len(b.bucket(bucket.bucket_name).get_live_channel_history("test-channel").records) == 2
    checked = millpond("check", environment={**environment, "MILLPOND_DATA_DIR": str(tmp_path / "no")})
    assert checked.returncode == 0 and " 0 faults" in checked.stdout, checked.stdout + checked.stderr


def test_an_encoder_that_keeps_trying_another_server_costs_nothing_that_waits(servers, tmp_path, seaweed):
    """Its own server starts again meanwhile and has what waits, so it is listed when the store is back, and the encoder is recorded behind it."""
    path = media.make_source(tmp_path / "again.flv", size="320x180")
    a, b = servers
    bucket = a.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    create_channel(bucket)
    push = Pusher(flv_tags(path), push_url(a, bucket)).start()
    wait_for(lambda: len(playlist(b, bucket)[1]) >= 2, "two segments", 30)
    seaweed.kill()
    time.sleep(10)
    known, sent_ms = playlist(b, bucket)[1], push.sent_ms
    a.kill()
    push.stop(1)
    again = Pusher(flv_tags(path), push_url(b, bucket))
    # Whenever the first server starts, the other has the channel for a moment.
    again.pause_s = 0.02
    again.start()
    wait_for(lambda: len(again.errors) >= 2, "it is refused", 60)
    a.start()
    time.sleep(5)
    assert again.sent_ms == 0 and playlist(b, bucket)[1] == known
    seaweed.start()
    wait_for(lambda: again.sent_ms > 5_000, lambda: again.errors[-1], 60)
    again.stop()
    wait_for(lambda: status(b, bucket).status == "Idle", "the end of the push", 60)
    found = listed_ms(b, bucket)
    print(f"\nrefused {len(again.errors)} times; {sent_ms} and {again.sent_ms} ms sent, {found:.0f} listed")
    assert sent_ms + again.sent_ms - 2_500 < found < sent_ms + again.sent_ms + 600
    _, uris, gaps = playlist(b, bucket)
    assert gaps == 1 and uris[: len(known)] == known and len(set(uris)) == len(uris)


def test_a_bucket_of_the_store_that_is_gone_is_said(tmp_path, seaweed):
    """An answer that an object is not there is none about the bucket: a store without it does not count as well."""
    folder = f"http://127.0.0.1:{seaweed.ports['filer']}/buckets/short-lived/"

    def change(method, query=""):
        with urllib.request.urlopen(urllib.request.Request(folder + query, method=method), timeout=10) as answer:
            answer.read()

    change("POST")
    given = {
        "MILLPOND_BLOBS": seaweed.url.replace(f"s3://{BUCKET}", "s3://short-lived"),
        "AWS_ACCESS_KEY_ID": S3_KEY,
        "AWS_SECRET_ACCESS_KEY": S3_SECRET,
        "MILLPOND_SECRETS_KEY": "5a" * 32,
    }
    server = Server(tmp_path / "one", environment=given).start()
    try:
        ready = lambda: server.admin("/readyz").text  # noqa: E731
        wait_for(lambda: ready() == "ready\n", ready, 20)
        change("DELETE", "?recursive=true")
        wait_for(lambda: "the bucket does not exist (NoSuchBucket)" in ready(), ready, 20)
        assert 'millpond_dependency_up{dependency="blobs"} 0' in server.admin("/metrics").text
        change("POST")
        wait_for(lambda: ready() == "ready\n", ready, 20)
    finally:
        server.kill()
