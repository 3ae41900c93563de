"""The recorded bytes of OBS, ffmpeg, GStreamer and librtmp replay to whole, decodable segments, whatever way they are split."""

import random

import pytest

from millpond_test import media
from millpond_test.playback import read_stream
from millpond_test.replay import CAPTURE_BUCKET, CAPTURE_CHANNEL, CAPTURE_NAMES, capture, exchange, pieces, replay, whole
from millpond_test.server import create_channel, wait_for


def record(server, parts, port: str = "http"):
    """Replays into a new bucket of the captures' name and returns playlist, strict report and the URL."""
    bucket = server.new_bucket("public-read", name=CAPTURE_BUCKET)
    create_channel(bucket, CAPTURE_CHANNEL)
    replay(server.http_address if port == "http" else server.rtmp_address, parts)
    url = server.url(f"{CAPTURE_BUCKET}/{CAPTURE_CHANNEL}/playlist.m3u8")
    wait_for(lambda: bucket.get_live_channel_stat(CAPTURE_CHANNEL).status == "Idle", "idle after the replay")
    assert len(bucket.get_live_channel_history(CAPTURE_CHANNEL).records) == 1, server.log()[-2000:]
    playlist, report = read_stream(url)
    return playlist, report, url


@pytest.mark.parametrize("port", ["http", "rtmp"])
@pytest.mark.parametrize("name", CAPTURE_NAMES)
def test_a_capture_replays_to_whole_segments(fresh_server, name, port):
    playlist, report, url = record(fresh_server(), whole(capture(name)), port)
    assert all(report.key_frame_at_start)
    assert report.video_frames > 100 and report.audio_frames > 150
    assert sum(segment.duration_ms for segment in playlist.segments) > 4000
    found = media.decode_listed(url)
    assert found.errors == ""
    assert len(found.video) == report.video_frames
    assert len(found.audio) == report.audio_frames


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("name", CAPTURE_NAMES)
def test_the_way_the_bytes_are_split_changes_nothing(fresh_server, name, seed):
    data = capture(name)
    _, expected, _ = record(fresh_server(name="whole"), whole(data))
    _, found, _ = record(fresh_server(name="pieces"), pieces(data, seed))
    assert [unit.data for unit in found.video] == [unit.data for unit in expected.video]
    assert b"".join(unit.data for unit in found.audio) == b"".join(unit.data for unit in expected.audio)
    assert [unit.dts - found.video[0].dts for unit in found.video] == [
        unit.dts - expected.video[0].dts for unit in expected.video
    ]


@pytest.mark.parametrize("name", CAPTURE_NAMES)
def test_a_capture_that_breaks_off_keeps_what_had_arrived(fresh_server, name):
    data = capture(name)
    cut = len(data) * 2 // 3
    _, report, url = record(fresh_server(), whole(data[:cut]))
    assert report.video_frames > 60
    assert media.decode_listed(url).errors == ""


def test_any_bytes_on_any_port_end_only_that_connection(fresh_server):

    server = fresh_server()
    source = random.Random(7)
    starts = [b"\x03", b"\x16\x03\x01", b"GET ", b"\x00", b"PUT /b/k HTTP/1.1\r\n", b"\xff", b""]
    mutated = bytearray(capture("ffmpeg-5.1")[:6000])
    for round_number in range(40):
        for address in (server.http_address, server.rtmp_address, server.admin_address):
            _, closed = exchange(address, starts[round_number % len(starts)] + source.randbytes(source.randint(0, 5000)))
            assert closed, "the connection stays open although nothing more can come"
        broken = bytearray(mutated)
        for _ in range(20):
            broken[source.randrange(3073, len(broken))] = source.randrange(256)
        exchange(server.http_address, bytes(broken))
    assert server.running()
    assert server.admin("/healthz").status_code == 200
