"""VOD playlists: both operations list the segments of a time span and play whole."""

import hashlib
import time

import oss2
import pytest

from millpond_test import media
from millpond_test.playlist import Playlist, violations
from millpond_test.server import wait_for


@pytest.fixture
def span(channel, source):
    start = int(time.time())
    media.push_file(source.path, channel.push_url)
    wait_for(lambda: channel.status() == "Idle", "idle")
    return start, int(time.time()) + 1


@pytest.mark.parametrize("signature", ["v1", "v4"])
def test_a_posted_vod_playlist_plays_every_frame(channel, source, span, signature):
    bucket = channel.server.bucket(channel.bucket.bucket_name, signature)
    result = bucket.post_vod_playlist(channel.name, "vod.m3u8", *span)
    assert result.status == 200
    assert result.headers["Content-Length"] == "0"
    url = channel.play_url.replace("playlist.m3u8", "vod.m3u8")
    media.assert_same_frames(media.decode(url), source.decoded)
    stored = bucket.get_object(f"{channel.name}/vod.m3u8")
    text = stored.read()
    assert stored.headers["Content-Type"] == "application/x-mpegURL"
    assert result.headers["ETag"] == f'"{hashlib.md5(text).hexdigest().upper()}"'
    playlist = Playlist.parse(text.decode())
    assert violations(playlist) == []
    assert playlist.end_list and playlist.media_sequence == 0


@pytest.mark.parametrize("signature", ["v1", "v4"])
def test_the_returned_vod_playlist_is_the_posted_one(channel, source, span, signature):
    bucket = channel.server.bucket(channel.bucket.bucket_name, signature)
    bucket.post_vod_playlist(channel.name, "vod.m3u8", *span)
    returned = bucket.get_vod_playlist(channel.name, *span)
    assert returned.headers["Content-Type"] == "application/x-mpegURL"
    assert returned.playlist.encode() == bucket.get_object(f"{channel.name}/vod.m3u8").read()
    assert returned.headers["ETag"] == f'"{hashlib.md5(returned.playlist.encode()).hexdigest().upper()}"'


def test_the_vod_playlist_follows_the_layout_of_the_specification(channel, span):
    playlist = Playlist.parse(channel.bucket.get_vod_playlist(channel.name, *span).playlist)
    lines = ["#EXTM3U", "#EXT-X-VERSION:3", "#EXT-X-MEDIA-SEQUENCE:0", "#EXT-X-TARGETDURATION:2"]
    for segment in playlist.segments:
        lines += [f"#EXTINF:{segment.duration_ms / 1000:.3f},", segment.uri]
    assert playlist.text == "\n".join(lines + ["#EXT-X-ENDLIST", ""])


def test_a_deleted_segment_is_left_out(channel, span):
    before = Playlist.parse(channel.bucket.get_vod_playlist(channel.name, *span).playlist)
    channel.bucket.delete_object(f"{channel.name}/{before.uris[2]}")
    after = Playlist.parse(channel.bucket.get_vod_playlist(channel.name, *span).playlist)
    assert after.uris == before.uris[:2] + before.uris[3:]


def test_the_vod_survives_the_channel(channel, source, span):
    channel.bucket.delete_live_channel(channel.name)
    assert len(Playlist.parse(channel.bucket.get_vod_playlist(channel.name, *span).playlist).segments) == 6


def test_a_live_update_overwrites_a_vod_of_the_same_name(channel, short_source, span):
    channel.bucket.post_vod_playlist(channel.name, "playlist.m3u8", *span)
    assert channel.bucket.get_object(f"{channel.name}/playlist.m3u8").read().endswith(b"#EXT-X-ENDLIST\n")
    media.push_file(short_source.path, channel.push_url)
    wait_for(lambda: channel.status() == "Idle", "idle")
    assert b"#EXT-X-ENDLIST" not in channel.bucket.get_object(f"{channel.name}/playlist.m3u8").read()


NOW = int(time.time())


@pytest.mark.parametrize(
    "start, end, ec",
    [
        (0, 0, "0044-00000308"),
        (NOW, NOW, "0044-00000308"),
        (NOW, NOW + 60, "0044-00000308"),
        (NOW + 2, NOW + 1, "0044-00000306"),
        (NOW - 86400, NOW, "0044-00000308"),
        (NOW - 86401, NOW, "0044-00000307"),
        ("", NOW, "0044-00000304"),
        ("x", NOW, "0044-00000304"),
        (NOW, "", "0044-00000305"),
        (NOW, "-1", "0044-00000305"),
    ],
    # Names that are the same in every process that collects the tests.
    ids=["zero", "now", "a minute", "backwards", "a day", "too long", "no start", "no number", "no end", "negative end"],
)
def test_a_span_that_selects_nothing_or_is_wrong_is_refused(bucket, start, end, ec):
    for call in (
        lambda: bucket.post_vod_playlist("no-channel", "vod.m3u8", start, end),
        lambda: bucket.get_vod_playlist("no-channel", start, end),
    ):
        with pytest.raises(oss2.exceptions.ServerError) as caught:
            call()
        assert (caught.value.status, caught.value.code) == (400, "InvalidArgument")
        assert caught.value.details.get("EC") == ec
        if ec == "0044-00000308":
            assert caught.value.message == "No ts file found in specified time span."


def test_a_playlist_name_without_its_extension_is_refused(bucket):
    with pytest.raises(oss2.exceptions.ServerError) as caught:
        bucket.post_vod_playlist("no-channel", "vod.txt", NOW, NOW)
    assert (caught.value.status, caught.value.code) == (400, "InvalidRequest")
    assert caught.value.message == 'Playlist name must ends with ".m3u8".'
    assert caught.value.details.get("EC") == "0044-00000403"
