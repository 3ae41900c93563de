"""What Apple's authoring rules want of playlists: some of it always, the rest with `live.authoring = "apple"`, and the checker."""

import gzip
import subprocess
import time

import oss2
import pytest
import requests

from millpond_test import media
from millpond_test.playlist import Playlist
from millpond_test.server import BINARY, create_channel, wait_for

REGISTERED, USUAL = "application/vnd.apple.mpegurl", "application/x-mpegURL"
LIVE, VOD = "cam/playlist.m3u8", "cam/archive.m3u8"


def recorded(server, source, acl=oss2.BUCKET_ACL_PUBLIC_READ):
    """A bucket with a push that is over, and its recording."""
    bucket = server.new_bucket(acl)
    create_channel(bucket, "cam", frag_duration=1, frag_count=2)
    begun = int(time.time()) - 1
    media.push_file(source.path, bucket.sign_rtmp_url("cam", "playlist.m3u8", 600))
    wait_for(lambda: bucket.get_live_channel_stat("cam").status == "Idle", "the channel is idle")
    bucket.post_vod_playlist("cam", "archive.m3u8", begun, int(time.time()) + 1)
    return bucket


@pytest.fixture
def apple(fresh_server, source):
    server = fresh_server(settings='[live]\nauthoring = "apple"\n')
    return server, recorded(server, source)


def get(server, path, **headers) -> requests.Response:
    """The answer as it comes, not unpacked."""
    named = {"Accept-Encoding": "identity", **{name.replace("_", "-"): value for name, value in headers.items()}}
    answer = requests.get(f"{server.endpoint}/{path}", headers=named, timeout=10, stream=True)
    answer.bytes = answer.raw.read(decode_content=False)
    return answer


def check_hls(url) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([str(BINARY), "check-hls", url], capture_output=True, text=True, timeout=30)


def test_by_default_lists_are_those_of_oss(server, source):
    bucket = recorded(server, source)
    for key in (LIVE, VOD):
        answer = get(server, f"{bucket.bucket_name}/{key}", Accept_Encoding="gzip")
        assert (answer.headers["Content-Type"], answer.headers.get("Content-Encoding")) == (USUAL, None)
        assert "x-oss-hash-crc64ecma" in answer.headers
    assert answer.bytes.startswith(b"#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-TARGETDURATION:")
    live = Playlist.parse(get(server, f"{bucket.bucket_name}/{LIVE}").bytes.decode())
    assert live.independent and "#EXT-X-DISCONTINUITY-SEQUENCE:0\n" in live.text and len(live.segments) == 2
    found = check_hls(f"{server.endpoint}/{bucket.bucket_name}/{VOD}")
    assert found.returncode == 1 and "PLAYLIST-TYPE" in found.stdout and "media type" in found.stdout


def test_apples_rules_are_kept(apple):
    server, bucket = apple
    for key in (LIVE, VOD):
        found = check_hls(f"{server.endpoint}/{bucket.bucket_name}/{key}")
        assert (found.returncode, found.stdout.count("in order")) == (0, 1), found
    live = Playlist.parse(get(server, f"{bucket.bucket_name}/{LIVE}").bytes.decode())
    assert len(live.segments) == 6 and live.independent
    assert Playlist.parse(get(server, f"{bucket.bucket_name}/{VOD}").bytes.decode()).is_vod
    made = requests.get(bucket.sign_url("GET", "cam", 60, params={"vod": "", "startTime": "1", "endTime": str(int(time.time()))}), timeout=10)
    assert made.status_code in (200, 400), made.text


@pytest.mark.parametrize("key", [LIVE, VOD])
def test_gzip_is_a_representation_of_its_own(apple, key):
    server, bucket = apple
    path = f"{bucket.bucket_name}/{key}"
    plain, packed = get(server, path), get(server, path, Accept_Encoding="br, gzip;q=0.8")
    assert gzip.decompress(packed.bytes) == plain.bytes
    assert packed.headers["Content-Encoding"] == "gzip" and "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Length"] == str(len(packed.bytes))
    assert {plain.headers["Content-Type"], packed.headers["Content-Type"]} == {REGISTERED}
    assert packed.headers["ETag"] != plain.headers["ETag"]
    assert not {"x-oss-hash-crc64ecma", "Content-MD5", "Accept-Ranges"} & set(packed.headers)
    assert "x-oss-hash-crc64ecma" in plain.headers
    for answer in (plain, packed):
        assert "Accept-Encoding" in answer.headers["Vary"]
    # Each tag is good for its own representation.
    for encoding, mine, other in [("gzip", packed, plain), ("identity", plain, packed)]:
        again = get(server, path, Accept_Encoding=encoding, If_None_Match=mine.headers["ETag"])
        assert (again.status_code, again.bytes) == (304, b"") and "Accept-Encoding" in again.headers["Vary"]
        assert get(server, path, Accept_Encoding=encoding, If_None_Match=other.headers["ETag"]).status_code == 200
    part = get(server, path, Accept_Encoding="gzip", Range="bytes=0-6")
    assert (part.status_code, part.bytes) == (206, b"#EXTM3U")
    assert get(server, path, Accept_Encoding="gzip;q=0").bytes == plain.bytes


def test_signed_lists_too(fresh_server, source):
    server = fresh_server(settings='[live]\nauthoring = "apple"\n')
    bucket = recorded(server, source, oss2.BUCKET_ACL_PRIVATE)
    url = bucket.sign_url("GET", LIVE, 600, params={"x-oss-process": "hls/sign"})
    plain = requests.get(url, headers={"Accept-Encoding": "identity"}, timeout=10)
    packed = requests.get(url, headers={"Accept-Encoding": "gzip"}, timeout=10)
    assert plain.content == packed.content and packed.headers["Content-Encoding"] == "gzip"
    assert packed.headers["ETag"] != plain.headers["ETag"]
    # oss2 writes the slashes of keys as %2F, and the lines lead to the segments all the same.
    assert "%2F" in url.split("?")[0]
    lines = [line for line in plain.text.splitlines() if not line.startswith("#")]
    assert lines and requests.get(requests.compat.urljoin(url, lines[-1]), timeout=10).content[:1] == b"\x47"
    assert check_hls(url).returncode == 0
