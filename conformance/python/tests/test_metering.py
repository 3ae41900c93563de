"""What is counted for each bucket and month (LiveChannel 7.3)."""

import re
import time

import pytest
import requests

from millpond_test import media
from millpond_test.server import create_channel, wait_for
from millpond_test.wire import signed_request
from test_live_channel_rules import configuration


def numbers(server, bucket) -> dict:
    """The counters of a bucket, and that all of them are of this month."""
    found = {}
    for line in server.admin("/metrics").text.splitlines():
        match = re.fullmatch(r'millpond_(live|hls)_(\w+)_total\{bucket="(.+)",month="(.+)"\} (\d+)', line)
        if match and match[3] == bucket.bucket_name:
            assert match[4] == time.strftime("%Y-%m", time.gmtime())
            found[f"{match[1]}_{match[2]}"] = int(match[5])
    return found


@pytest.fixture
def metered(fresh_server):
    server = fresh_server()
    return server, server.new_bucket("public-read")


def test_requests_count_by_what_they_are(metered):
    server, bucket = metered
    name = bucket.bucket_name
    assert numbers(server, bucket) == {}
    for method, key, query, body, status in (
        ("PUT", "chan", "live", configuration(), 200),
        ("PUT", "chan", "live", configuration(), 200),
        ("PUT", "chan", "live&status=disabled", b"", 200),
        ("GET", "", "live", b"", 200),
        ("GET", "chan", "live", b"", 200),
        ("GET", "chan", "live&comp=stat", b"", 200),
        ("GET", "chan", "live&comp=history", b"", 200),
        ("GET", "nothing", "live", b"", 404),
        ("GET", "chan", "vod&startTime=1&endTime=1", b"", 400),
        ("POST", "chan/v.m3u8", "vod&startTime=1&endTime=1", b"", 400),
        ("DELETE", "chan", "live", b"", 204),
    ):
        assert signed_request(server, method, name, key, query, body).status_code == status
    assert numbers(server, bucket) == {
        "live_channel_creations": 2,
        "live_status_changes": 1,
        "live_standard_requests": 7,
        "live_vod_playlists": 2,
    }
    # Buckets that do not exist have no counters, or strangers could make as many as they like.
    assert signed_request(server, "GET", "test-no-such-bucket", "chan", "live").status_code == 404
    assert "test-no-such-bucket" not in server.admin("/metrics").text


def test_answers_of_500_and_more_do_not_count(fresh_server):
    server = fresh_server(settings="[live]\nmax_list_calls_per_s = 2\n")
    bucket = server.new_bucket()
    codes = [signed_request(server, "GET", bucket.bucket_name, "", "live").status_code for _ in range(12)]
    assert 503 in codes
    assert numbers(server, bucket) == {"live_standard_requests": codes.count(200)}


def test_a_push_and_its_players_count(metered, short_source):
    server, bucket = metered
    create_channel(bucket)
    url = bucket.sign_rtmp_url("test-channel", "playlist.m3u8", 3600)
    with media.Push(short_source.path, url) as push:
        wait_for(lambda: numbers(server, bucket).get("live_ingest_bytes", 0) > 10_000, "bytes while it runs")
        assert numbers(server, bucket)["live_ingest_seconds"] == 60
        push.wait(30)
    wait_for(lambda: bucket.get_live_channel_stat("test-channel").status == "Idle", "idle")
    counted = numbers(server, bucket)
    assert counted["live_ingest_seconds"] == 60
    # The file is the same payload with 15 bytes of framing a tag and its metadata.
    size = short_source.path.stat().st_size
    assert 0.9 * size < counted["live_ingest_bytes"] < size
    assert "hls_requests" not in counted

    playlist = requests.get(server.url(f"{bucket.bucket_name}/test-channel/playlist.m3u8"), timeout=10)
    segment = playlist.text.splitlines()[-1]
    part = requests.get(server.url(f"{bucket.bucket_name}/test-channel/{segment}"), headers={"Range": "bytes=0-187"}, timeout=10)
    assert (playlist.status_code, part.status_code) == (200, 206)
    requests.head(server.url(f"{bucket.bucket_name}/test-channel/{segment}"), timeout=10)
    counted = numbers(server, bucket)
    assert counted["hls_requests"] == 2
    assert counted["hls_sent_bytes"] == len(playlist.content) + 188
    # Somebody else's minute is another one.
    media.push_file(short_source.path, url)
    wait_for(lambda: numbers(server, bucket)["live_ingest_seconds"] == 120, "the second minute")
