"""Two servers over one PostgreSQL and one S3-compatible store: any takes any push and serves everything, and either may die."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import threading
import time
from pathlib import Path

import oss2
import pytest
import requests

from millpond_test import media
from millpond_test.pusher import Pusher, flv_tags
from millpond_test.server import BINARY, create_channel, wait_for


def push_url(server, bucket, channel="test-channel"):
    return server.on_rtmp_port(server.bucket(bucket.bucket_name).sign_rtmp_url(channel, "playlist.m3u8", 3600))


def playlist(server, bucket, channel="test-channel"):
    """The sequence number, the URIs and the number of discontinuities of a live playlist; nothing before the first segment."""
    answer = server.get(f"{bucket.bucket_name}/{channel}/playlist.m3u8")
    if answer.status_code != 200:
        return 0, [], 0
    text = answer.text
    sequence = int(re.search(r"#EXT-X-MEDIA-SEQUENCE:(\d+)", text).group(1))
    return sequence, [line for line in text.splitlines() if line and not line.startswith("#")], text.count("DISCONTINUITY\n")


@pytest.mark.quick
def test_any_server_serves_what_another_recorded(servers, source):
    path, decoded = source
    a, b = servers
    bucket = a.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    create_channel(b.bucket(bucket.bucket_name))
    media.push_file(path, push_url(b, bucket))
    # The last segments are stored behind the end of the push.
    wait_for(lambda: bucket.get_live_channel_stat("test-channel").status == "Idle", "the end of the push", 60)
    for server in servers:
        found = media.decode_listed(server.url(f"{bucket.bucket_name}/test-channel/playlist.m3u8"))
        media.assert_same_frames(found, decoded)


@pytest.mark.quick
def test_objects_are_the_same_everywhere(servers):
    a, b = servers
    here = a.new_bucket()
    there = b.bucket(here.bucket_name)
    contents = {f"key-{size}": os.urandom(size) for size in (0, 10, 5_000, 300_000, 17 << 20, 40 << 20)}
    for key, content in contents.items():
        here.put_object(key, content)
    for key, content in contents.items():
        assert hashlib.sha256(there.get_object(key).read()).digest() == hashlib.sha256(content).digest(), key
    part = there.get_object(f"key-{40 << 20}", byte_range=(33_000_000, 33_000_999)).read()
    assert part == contents[f"key-{40 << 20}"][33_000_000:33_001_000]
    there.put_object("key-10", b"another")
    assert here.get_object("key-10").read() == b"another"
    here.delete_object("key-5000")
    assert not there.object_exists("key-5000")
    assert sorted(found.key for found in oss2.ObjectIterator(there)) == sorted(contents.keys() - {"key-5000"})
    # A key that one server makes is known to the other at once.
    for n in range(20):
        (here, there)[n % 2].put_object(f"turn-{n}", str(n))
        assert (there, here)[n % 2].get_object(f"turn-{n}").read() == str(n).encode()


@pytest.mark.quick
def test_one_publisher_at_a_time(servers, source):
    path, _ = source
    a, b = servers
    bucket = a.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    create_channel(bucket)
    with media.Push(path, push_url(a, bucket), loop=True) as push:
        wait_for(lambda: playlist(b, bucket)[1], "a segment of the first push", 30)
        media.push_refused(path, push_url(b, bucket))
        assert push.running()


@pytest.mark.quick
def test_a_server_that_dies_costs_its_stream_a_reconnect(servers, source):
    path, _ = source
    a, b = servers
    bucket = a.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    create_channel(bucket)
    with media.Push(path, push_url(a, bucket), loop=True):
        wait_for(lambda: len(playlist(b, bucket)[1]) >= 3, "three segments", 30)
        before = playlist(b, bucket)
        a.kill()
        died = time.monotonic()
    # An encoder that tries again each second, at the server that is left.
    while True:
        push = media.Push(path, push_url(b, bucket), loop=True)
        time.sleep(1)
        if push.running():
            break
        assert time.monotonic() - died < 60, push.stderr[-2000:]
    with push:
        accepted = time.monotonic() - died
        wait_for(lambda: len(playlist(b, bucket)[1]) > len(before[1]), "a segment of the new push", 30)
        listed = time.monotonic() - died
        sequence, uris, discontinuities = playlist(b, bucket)
        assert sequence == before[0] and uris[: len(before[1])] == before[1], "what was listed is still listed"
        assert discontinuities >= 1
        for uri in uris:
            answer = b.get(f"{bucket.bucket_name}/test-channel/{uri}")
            assert answer.status_code == 200 and len(answer.content) % 188 == 0, uri
        print(f"\naccepted again after {accepted:.1f} s, in the playlist after {listed:.1f} s")
        # The dead server comes back: its old push is not taken from the new one.
        a.start()
        known = len(uris)
        wait_for(lambda: len(playlist(a, bucket)[1]) > known, "the push goes on", 30)
        assert push.running()


def test_a_push_whose_encoder_stays_away_is_ended_by_the_others(servers, source):
    path, _ = source
    a, b = servers
    bucket = a.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    create_channel(bucket)
    with media.Push(path, push_url(a, bucket), loop=True):
        wait_for(lambda: len(playlist(b, bucket)[1]) >= 2, "two segments", 30)
        publisher = bucket.get_live_channel_stat("test-channel").remote_addr
        a.kill()
        stored = time.time()
    # Pushes that other tests left behind are ended too.
    ended = ("a push whose server died was ended", bucket.bucket_name)
    wait_for(lambda: any(all(word in line for word in ended) for line in b.log().splitlines()), "the reaper", 60)
    # It ended with its last segment, whoever wrote that down, and when.
    (record,) = b.bucket(bucket.bucket_name).get_live_channel_history("test-channel").records
    assert record.remote_addr == publisher and stored - 8 < record.end_time < stored + 1


def test_postgresql_that_dies_is_a_delay(servers, source, postgres):
    path, _ = source
    a, b = servers
    bucket = a.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    create_channel(bucket)
    stop = threading.Event()
    acknowledged, failures, slowest = [], [], [0.0]

    def write(server, name):
        target = server.bucket(bucket.bucket_name)
        n = 0
        while not stop.is_set():
            key, begun = f"{name}-{n}", time.monotonic()
            try:
                target.put_object(key, key)
                acknowledged.append(key)
            except oss2.exceptions.OssError as error:
                failures.append(f"{key}: {error.status} {error.code}")
            slowest[0] = max(slowest[0], time.monotonic() - begun)
            n += 1

    with media.Push(path, push_url(a, bucket), loop=True) as push:
        wait_for(lambda: playlist(b, bucket)[1], "a segment", 30)
        writers = [threading.Thread(target=write, args=(server, name)) for server, name in ((a, "a"), (b, "b"))]
        for writer in writers:
            writer.start()
        for _ in range(2):
            time.sleep(2)
            postgres.kill()
            postgres.start()
            known = len(playlist(b, bucket)[1])
            wait_for(lambda: len(playlist(b, bucket)[1]) > known, "the playlist goes on", 40)
        stop.set()
        for writer in writers:
            writer.join(60)
        assert push.running(), push.stderr[-2000:]
    found = {item.key for item in oss2.ObjectIterator(b.bucket(bucket.bucket_name), max_keys=1000)}
    assert not set(acknowledged) - found, "acknowledged objects are away"
    print(f"\n{len(acknowledged)} objects acknowledged, {len(failures)} failed, slowest {slowest[0]:.1f} s: {failures[:3]}")
    assert len(acknowledged) > 20


@pytest.mark.quick
def test_a_machine_that_is_lost_costs_its_stream_about_a_second(servers, source):
    """Its disk is gone too, and the open segment is all there is: it comes from the tails in the store."""
    path, _ = source
    a, b = servers
    bucket = a.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    create_channel(bucket, frag_duration=60)
    push = Pusher(flv_tags(path), push_url(a, bucket)).start()
    wait_for(lambda: push.sent_ms > 9_000, "nine seconds of media", 30)
    a.kill()
    sent_ms = push.sent_ms
    push.stop(5)
    shutil.rmtree(a.data)
    wait_for(lambda: playlist(b, bucket)[1], "the segment of the lost machine", 60)
    text = b.get(f"{bucket.bucket_name}/test-channel/playlist.m3u8").text
    listed_ms = sum(1000 * float(length) for length in re.findall(r"#EXTINF:([0-9.]+)", text))
    print(f"\n{sent_ms} ms were sent, {listed_ms:.0f} ms are listed")
    assert sent_ms - 2_000 < listed_ms < sent_ms + 500
    (uri,) = playlist(b, bucket)[1]
    assert media.decode(b.url(f"{bucket.bucket_name}/test-channel/{uri}"))


def test_a_store_that_is_away_makes_the_playlist_wait(servers, source, seaweed):
    path, _ = source
    a, b = servers
    bucket = a.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    create_channel(bucket)
    with media.Push(path, push_url(a, bucket), loop=True) as push:
        wait_for(lambda: len(playlist(b, bucket)[1]) >= 2, "two segments", 30)
        seaweed.kill()
        known = playlist(a, bucket)[1]
        # What the recording server has is in its cache.
        assert a.get(f"{bucket.bucket_name}/test-channel/{known[0]}").status_code == 200
        time.sleep(5)
        seaweed.start()
        wait_for(lambda: len(playlist(b, bucket)[1]) > len(known) + 1, "the playlist goes on", 60)
        assert push.running(), push.stderr[-2000:]
        sequence, uris, _ = playlist(b, bucket)
        assert uris[: len(known)] == known
        for uri in uris:
            assert b.get(f"{bucket.bucket_name}/test-channel/{uri}").status_code == 200, uri


@pytest.mark.quick
def test_secrets_are_in_no_process_list_and_no_log(servers, environment):
    hidden = [environment[name] for name in ("PGPASSWORD", "AWS_SECRET_ACCESS_KEY", "MILLPOND_SECRETS_KEY")]
    for server in servers:
        shown = Path(f"/proc/{server.process.pid}/cmdline").read_text() + server.log()
        assert not [secret for secret in hidden if secret in shown]
    refused = media.run([str(BINARY), "store", "init", "--meta", "postgres://u:open-secret@127.0.0.1/d"])
    assert refused.returncode != 0 and "open-secret" not in refused.stdout + refused.stderr
    assert "PGPASSWORD" in refused.stderr


@pytest.mark.quick
@pytest.mark.parametrize("missing", ["MILLPOND_SECRETS_KEY", "MILLPOND_META"])
def test_what_is_missing_is_named(environment, tmp_path, missing):
    given = {**{name: value for name, value in os.environ.items() if not name.startswith("MILLPOND_")}, **environment}
    given.update(OSS_ACCESS_KEY_ID="LTAI5tFakeKeyForSpec0001", OSS_ACCESS_KEY_SECRET="FakeSecretForSpecOnly0000000001")
    given.pop(missing)
    if missing == "MILLPOND_META":
        given["MILLPOND_META"] = environment["MILLPOND_META"] + "?schema=empty"
    command = ["env", "-i", *[f"{name}={value}" for name, value in given.items()], str(BINARY), "serve", "--listen", "127.0.0.1:0"]
    command += ["--rtmp-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data-dir", str(tmp_path / "data")]
    refused = media.run(command, 30)
    assert refused.returncode != 0
    assert ("store init" if missing == "MILLPOND_META" else missing) in refused.stderr + refused.stdout
