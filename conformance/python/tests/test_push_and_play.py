"""A push becomes HLS objects that hold exactly what was pushed."""

import pytest

from millpond_test import media
from millpond_test.playback import read_stream
from millpond_test.server import create_channel, wait_for


@pytest.mark.parametrize("port", ["http", "rtmp"])
def test_every_frame_of_a_signed_push_comes_back_in_order(channel, source, port):
    url = channel.push_url if port == "http" else channel.server.on_rtmp_port(channel.push_url)
    media.push_file(source.path, url)
    wait_for(lambda: channel.status() == "Idle", "the channel is idle after the push")
    media.assert_same_frames(media.decode_live(channel.play_url), source.decoded)


def test_the_segments_are_correct_transport_streams(channel, source):
    media.push_file(source.path, channel.push_url)
    wait_for(lambda: channel.status() == "Idle", "the channel is idle after the push")
    playlist, report = read_stream(channel.play_url)
    assert len(playlist.segments) == media.SOURCE_SECONDS // media.GOP_SECONDS
    assert all(report.key_frame_at_start)
    assert report.video_frames == len(source.decoded.video)
    assert report.audio_frames == len(source.decoded.audio)
    assert sum(segment.duration_ms for segment in playlist.segments) == pytest.approx(media.SOURCE_SECONDS * 1000, abs=2)


def test_a_push_without_audio_plays(channel, tmp_path):
    path = media.make_source(tmp_path / "silent.flv", seconds=6, audio=False)
    expected = media.decode(str(path))
    media.push_file(path, channel.push_url)
    wait_for(lambda: channel.status() == "Idle", "the channel is idle after the push")
    found = media.decode_listed(channel.play_url)
    assert found.errors == ""
    assert found.video == expected.video
    assert found.audio == []
    read_stream(channel.play_url)


@pytest.mark.parametrize("rate", [48000, 32000])
def test_audio_of_other_rates_is_sample_exact(channel, tmp_path, rate):
    path = media.make_source(tmp_path / "audio.flv", seconds=6, audio_rate=rate)
    media.push_file(path, channel.push_url)
    wait_for(lambda: channel.status() == "Idle", "the channel is idle after the push")
    _, report = read_stream(channel.play_url)
    assert report.sample_rate == rate
    media.assert_same_frames(media.decode_listed(channel.play_url), media.decode(str(path)))


def test_an_mp4_pushed_by_copy_keeps_every_picture(channel, source, tmp_path):
    path = tmp_path / "source.mp4"
    made = media.run(["ffmpeg", "-v", "error", "-i", str(source.path), "-c", "copy", str(path)])
    assert made.returncode == 0, made.stderr
    media.push_file(path, channel.push_url)
    wait_for(lambda: channel.status() == "Idle", "the channel is idle after the push")
    found = media.decode_listed(channel.play_url)
    assert found.errors == ""
    assert found.video == source.decoded.video
    read_stream(channel.play_url)


def test_segments_are_ordinary_objects_of_the_bucket(channel, short_source):
    media.push_file(short_source.path, channel.push_url)
    wait_for(lambda: channel.status() == "Idle", "the channel is idle after the push")
    playlist, _ = read_stream(channel.play_url)
    keys = [entry.key for entry in channel.bucket.list_objects_v2(prefix=f"{channel.name}/").object_list]
    assert keys == [f"{channel.name}/{uri}" for uri in playlist.uris] + [f"{channel.name}/playlist.m3u8"]
    head = channel.bucket.head_object(keys[0])
    assert head.headers["Content-Type"] == "video/MP2T"
    assert head.headers["x-oss-object-type"] == "Normal"
    assert len(playlist.uris[0]) == len("1893456035123.ts")


def test_the_playlist_name_of_the_push_url_overrides_the_configured_one(channel, short_source):
    url = channel.bucket.sign_rtmp_url(channel.name, "other.m3u8", 3600)
    media.push_file(short_source.path, url)
    wait_for(lambda: channel.status() == "Idle", "the channel is idle after the push")
    read_stream(channel.play_url.replace("playlist.m3u8", "other.m3u8"))
    assert not channel.bucket.object_exists(f"{channel.name}/playlist.m3u8")


def test_an_unsigned_push_to_a_public_read_write_bucket_is_accepted(server, short_source):
    bucket = server.new_bucket("public-read-write")
    create_channel(bucket)
    media.push_file(short_source.path, f"rtmp://{server.http_address}/{bucket.bucket_name}/live/test-channel")
    wait_for(lambda: bucket.get_live_channel_stat("test-channel").status == "Idle", "idle")
    read_stream(server.url(f"{bucket.bucket_name}/test-channel/playlist.m3u8"))
