"""A push that may not happen is refused with a reason that the user of ffmpeg can read, and leaves nothing behind."""

import time
import urllib.parse

import oss2
import pytest

from millpond_test import media
from millpond_test.server import create_channel


@pytest.fixture(scope="module")
def bucket(server):
    bucket = server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    create_channel(bucket)
    create_channel(bucket, "switched-off", status="disabled")
    return bucket


def flip(url: str) -> str:
    """The same URL with one character of the signature changed."""
    at = url.index("Signature=") + len("Signature=")
    return url[:at] + ("A" if url[at] != "A" else "B") + url[at + 1 :]


def without(url: str, name: str) -> str:
    head, query = url.split("?", 1)
    return head + "?" + "&".join(part for part in query.split("&") if part.split("=")[0] != name)


def credential(server, bucket, key="LTAI5tFakeKeyForSpec0001", day=None, end="aliyun_v4_request") -> str:
    """A URL with a V4 credential and nothing else that signs."""
    day = day or time.strftime("%Y%m%d", time.gmtime())
    text = urllib.parse.quote(f"{key}/{day}/cn-hangzhou/oss/{end}", safe="")
    return f"rtmp://{server.http_address}/{bucket.bucket_name}/live/test-channel?Credential={text}"


CASES = {
    "unsigned": (lambda s, b: b.sign_rtmp_url("test-channel", None, 60).split("?")[0], ["AccessDenied"]),
    "anonymous with a playlist name": (
        lambda s, b: s.anonymous(b.bucket_name).sign_rtmp_url("test-channel", "playlist.m3u8", 60),
        ["AccessDenied"],
    ),
    "wrong secret": (
        lambda s, b: s.bucket(b.bucket_name, secret="not-the-secret").sign_rtmp_url("test-channel", "playlist.m3u8", 60),
        ["SignatureDoesNotMatch", "0002-00000807"],
    ),
    "changed signature": (
        lambda s, b: flip(b.sign_rtmp_url("test-channel", "playlist.m3u8", 60)),
        ["SignatureDoesNotMatch", "0002-00000807"],
    ),
    "changed parameter": (
        lambda s, b: b.sign_rtmp_url("test-channel", "playlist.m3u8", 60).replace("playlist.m3u8", "another.m3u8"),
        ["SignatureDoesNotMatch", "0002-00000807"],
    ),
    "signed for another channel": (
        lambda s, b: b.sign_rtmp_url("switched-off", "playlist.m3u8", 60).replace("switched-off", "test-channel"),
        ["SignatureDoesNotMatch", "0002-00000807"],
    ),
    "expired": (lambda s, b: b.sign_rtmp_url("test-channel", "playlist.m3u8", -5), ["AccessDenied", "0002-00000805"]),
    "no expiry": (
        lambda s, b: without(b.sign_rtmp_url("test-channel", "playlist.m3u8", 60), "Expires"),
        ["AccessDenied", "0002-00000803"],
    ),
    "no signature": (
        lambda s, b: without(b.sign_rtmp_url("test-channel", "playlist.m3u8", 60), "Signature"),
        ["AccessDenied", "0002-00000806"],
    ),
    "no access key": (
        lambda s, b: without(b.sign_rtmp_url("test-channel", "playlist.m3u8", 60), "OSSAccessKeyId"),
        ["AccessDenied", "0002-00000801"],
    ),
    "unknown access key": (
        lambda s, b: s.bucket(b.bucket_name, key="LTAI5tUnknownKey0000001").sign_rtmp_url("test-channel", "playlist.m3u8", 60),
        ["InvalidAccessKeyId", "0002-00000902"],
    ),
    "access key of wrong characters": (
        lambda s, b: b.sign_rtmp_url("test-channel", "playlist.m3u8", 60).replace("LTAI5t", "LTAI%205t"),
        ["AccessDenied", "0002-00000802"],
    ),
    "empty access key": (
        lambda s, b: without(b.sign_rtmp_url("test-channel", "playlist.m3u8", 60), "OSSAccessKeyId") + "&OSSAccessKeyId=",
        ["AccessDenied", "0002-00000801"],
    ),
    "expiry that is no number": (
        lambda s, b: without(b.sign_rtmp_url("test-channel", "playlist.m3u8", 60), "Expires") + "&Expires=soon",
        ["AccessDenied", "0002-00000804"],
    ),
    "V4": (
        lambda s, b: b.sign_rtmp_url("test-channel", "playlist.m3u8", 60) + "&SignatureVersion=OSS4-HMAC-SHA256",
        ["AccessDenied", "0002-00000808"],
    ),
    "V4 credential of wrong characters": (lambda s, b: credential(s, b, "LTAI 5t"), ["AccessDenied", "0002-00000809"]),
    "V4 credential of long ago": (lambda s, b: credential(s, b, day="20200101"), ["AccessDenied", "0002-00000810"]),
    "V4 credential of another service": (lambda s, b: credential(s, b, end="aws4_request"), ["AccessDenied", "0002-00000811"]),
    "V4 credential and nothing else": (lambda s, b: credential(s, b), ["AccessDenied", "0002-00000801"]),
    "V4 with a wrong credential": (
        lambda s, b: credential(s, b, "LTAI 5t") + "&SignatureVersion=OSS4-HMAC-SHA256",
        ["AccessDenied", "0002-00000808"],
    ),
    "no such channel": (
        lambda s, b: b.sign_rtmp_url("nowhere", "playlist.m3u8", 60),
        ["NoSuchLiveChannel", "The specified live channel does not exist.", "0026-00000021"],
    ),
    "channel name of 64 bytes": (
        lambda s, b: b.sign_rtmp_url("x" * 64, "playlist.m3u8", 60),
        ["InvalidArgument", "0017-00000258"],
    ),
    "no such bucket": (
        lambda s, b: s.bucket("test-no-such-bucket").sign_rtmp_url("test-channel", "playlist.m3u8", 60),
        ["NoSuchBucket"],
    ),
    "disabled channel": (
        lambda s, b: b.sign_rtmp_url("switched-off", "playlist.m3u8", 60),
        ["LiveChannelDisabled", "Live channel is disabled by owner."],
    ),
    "playlist name without extension": (
        lambda s, b: b.sign_rtmp_url("test-channel", "playlist.txt", 60),
        ["InvalidArgument", "0044-00000018"],
    ),
    "playlist name of five bytes": (
        lambda s, b: b.sign_rtmp_url("test-channel", ".m3u8", 60),
        ["InvalidArgument", "0044-00000017"],
    ),
    # LiveChannel 3.9: the first failing check is the one that is named.
    "expired and for no channel": (
        lambda s, b: b.sign_rtmp_url("nowhere", "playlist.m3u8", -5),
        ["AccessDenied", "0002-00000805"],
    ),
    "wrong signature for no channel": (
        lambda s, b: flip(b.sign_rtmp_url("nowhere", "playlist.m3u8", 60)),
        ["SignatureDoesNotMatch", "0002-00000807"],
    ),
    "V4 and unsigned otherwise, in no bucket": (
        lambda s, b: f"rtmp://{s.http_address}/test-no-such-bucket/live/nowhere?SignatureVersion=OSS4-HMAC-SHA256",
        ["NoSuchBucket"],
    ),
    "disabled and a wrong playlist name": (
        lambda s, b: b.sign_rtmp_url("switched-off", "playlist.txt", 60),
        ["LiveChannelDisabled"],
    ),
    "playlist name with a slash": (
        lambda s, b: b.sign_rtmp_url("test-channel", "a/playlist.m3u8", 60),
        ["InvalidArgument", "0044-00000016"],
    ),
}


@pytest.mark.parametrize("port", ["http", "rtmp"])
@pytest.mark.parametrize("case", list(CASES))
def test_q13_the_reason_is_visible_in_ffmpeg(server, bucket, short_source, case, port):
    make_url, expected = CASES[case]
    url = make_url(server, bucket)
    if port == "rtmp":
        url = server.on_rtmp_port(url)
    printed = media.push_refused(short_source.path, url)
    for text in expected:
        assert text in printed, printed
    assert "RequestId=" in printed
    # These texts would start an authentication dance in ffmpeg and OBS (LiveChannel 3.9).
    assert "authmod=" not in printed and "need auth" not in printed


def test_an_unknown_application_is_refused(server, bucket, short_source):
    printed = media.push_refused(short_source.path, f"rtmp://{server.http_address}/vod/test-channel")
    assert "Server error" in printed, printed


def test_refusals_leave_nothing_behind(server, bucket, short_source):
    media.push_refused(short_source.path, bucket.sign_rtmp_url("test-channel", "playlist.m3u8", -5))
    assert bucket.list_objects_v2().object_list == []
    assert bucket.get_live_channel_stat("test-channel").status == "Idle"
    assert bucket.get_live_channel_history("test-channel").records == []


def test_a_signature_is_verified_on_a_public_read_write_bucket_too(server, short_source):
    bucket = server.new_bucket("public-read-write")
    create_channel(bucket)
    printed = media.push_refused(short_source.path, flip(bucket.sign_rtmp_url("test-channel", "playlist.m3u8", 60)))
    assert "SignatureDoesNotMatch" in printed


def test_pulling_over_rtmp_is_refused(server, bucket):
    pulled = media.run(["ffmpeg", "-v", "info", "-i", f"rtmp://{server.http_address}/{bucket.bucket_name}/live/test-channel", "-f", "null", "-"], 20)
    assert pulled.returncode != 0
    assert "NetStream.Play.Failed" in pulled.stderr or "Server error" in pulled.stderr, pulled.stderr


def test_the_same_push_is_accepted_once_nothing_is_wrong(server, short_source):
    bucket = server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    create_channel(bucket)
    media.push_file(short_source.path, bucket.sign_rtmp_url("test-channel", "playlist.m3u8", 60))
