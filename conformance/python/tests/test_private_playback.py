"""A private bucket refuses strangers, and plays through `x-oss-process=hls/sign` for whoever holds one signed URL."""

import time
from urllib.parse import unquote

import pytest
import requests

from millpond_test import media
from millpond_test.playback import fetch_playlist
from millpond_test.playlist import Playlist
from millpond_test.server import create_channel, wait_for

KEY = "test-channel/playlist.m3u8"


@pytest.fixture(scope="module")
def recorded(server, source):
    """A private bucket with one finished push in it."""
    bucket = server.new_bucket()
    create_channel(bucket)
    media.push_file(source.path, bucket.sign_rtmp_url("test-channel", "playlist.m3u8", 600))
    wait_for(lambda: bucket.get_live_channel_stat("test-channel").status == "Idle", "idle")
    return bucket


def signed_url(bucket, expires: int = 600) -> str:
    return bucket.sign_url("GET", KEY, expires, params={"x-oss-process": "hls/sign"}, slash_safe=True)


def test_anonymous_reads_are_denied(server, recorded):
    playlist = Playlist.parse(recorded.get_object(KEY).read().decode())
    for key in (KEY, f"test-channel/{playlist.uris[0]}"):
        response = server.get(f"{recorded.bucket_name}/{key}")
        assert response.status_code == 403
        assert response.headers["Content-Type"] == "application/xml"
        assert "<Code>AccessDenied</Code>" in response.text


def test_one_signed_playlist_url_plays_everything(server, recorded, source, version):
    bucket = server.bucket(recorded.bucket_name, version)
    media.assert_same_frames(media.decode_live(signed_url(bucket)), source.decoded)


def test_every_line_is_signed_and_nothing_else_changes(server, recorded, version):
    bucket = server.bucket(recorded.bucket_name, version)
    plain = recorded.get_object(KEY).read().decode()
    url = signed_url(bucket)
    signed = requests.get(url, timeout=10)
    assert signed.status_code == 200
    assert signed.headers["Content-Type"] == "application/x-mpegURL"
    assert int(signed.headers["Content-Length"]) == len(signed.content)
    names = {"v1": {"OSSAccessKeyId", "Expires", "Signature"}, "v4": {
        "x-oss-credential", "x-oss-date", "x-oss-expires", "x-oss-signature-version", "x-oss-signature"}}[version]  # fmt: skip
    for before, after in zip(plain.splitlines(), signed.text.splitlines(), strict=True):
        if before.startswith("#"):
            assert after == before
        else:
            uri, query = after.split("?", 1)
            assert uri == before
            assert {part.split("=", 1)[0] for part in query.split("&")} == names
    assert requests.get(url, timeout=10).headers["ETag"] == signed.headers["ETag"]


def test_the_form_of_the_sample_code_works_raw_and_corrected(recorded, source):
    # The sample code of the requirement puts the process text into the object name, then asks users to repair the URL by hand.
    raw = recorded.sign_url("GET", f"{KEY}?x-oss-process=hls/sign", 600)
    assert "%3F" in raw
    path, query = raw.split("?", 1)
    corrected = unquote(path) + "&" + query
    for url in (corrected, raw):
        playlist = requests.get(url, timeout=10)
        assert playlist.status_code == 200, playlist.text
        assert "Signature=" in playlist.text
    media.assert_same_frames(media.decode_listed(corrected), source.decoded)


def test_a_stream_watched_through_a_signed_url_stays_signed_while_it_grows(server, source):
    bucket = server.new_bucket()
    create_channel(bucket, frag_count=3)
    url = signed_url(bucket)
    with media.Push(source.path, bucket.sign_rtmp_url("test-channel", "playlist.m3u8", 600)):
        first = wait_for(lambda: requests.get(url, timeout=10).ok and fetch_playlist(url), "a playlist", 10)
        second = wait_for(lambda: (now := fetch_playlist(url)).next_sequence > first.next_sequence and now, "growth", 10)
    assert second.segments[-1].uri.split("?")[0] not in [uri.split("?")[0] for uri in first.uris]


def test_the_signed_playlist_expires(server, recorded, version):
    bucket = server.bucket(recorded.bucket_name, version)
    url = signed_url(bucket, 2)
    segment_url = url.split("?")[0].rsplit("/", 1)[0] + "/" + Playlist.parse(
        "\n".join(requests.get(url, timeout=10).text.splitlines()) + "\n"
    ).uris[0]
    assert requests.get(segment_url, timeout=10).status_code == 200
    time.sleep(3.2)
    for expired in (url, segment_url):
        response = requests.get(expired, timeout=10)
        assert response.status_code == 403
        assert "<Message>Request has expired.</Message>" in response.text


@pytest.mark.parametrize(
    "name, key, status, ec",
    [
        ("not a playlist", "test-channel/notes.txt", 400, "0044-00000403"),
        ("no segments", "test-channel/empty.m3u8", 400, "0044-00000408"),
        ("missing", "test-channel/missing.m3u8", 404, "0026-00000001"),
    ],
)
def test_what_cannot_be_signed_is_refused(recorded, name, key, status, ec):
    recorded.put_object("test-channel/notes.txt", b"text")
    recorded.put_object("test-channel/empty.m3u8", b"#EXTM3U\n#EXT-X-VERSION:3\n")
    response = requests.get(recorded.sign_url("GET", key, 60, params={"x-oss-process": "hls/sign"}, slash_safe=True), timeout=10)
    assert (response.status_code, response.headers.get("x-oss-ec")) == (status, ec), response.text


def test_a_header_signed_request_is_not_rewritten(recorded):
    response = requests.get(recorded.sign_url("GET", KEY, 60), timeout=10)
    assert response.status_code == 200
    try:
        recorded.get_object(KEY, params={"x-oss-process": "hls/sign"})
    except Exception as error:  # noqa: BLE001
        assert (error.status, error.code, error.details["EC"]) == (400, "InvalidRequest", "0044-00000410")
    else:
        raise AssertionError("a header-signed hls/sign request was answered")
