"""Every URL shape that an SDK or an encoder makes of the same signed push leads to the same channel (LiveChannel 3.4, 3.7, 3.8)."""

import base64
import hashlib
import hmac
import time
import uuid
from urllib.parse import quote

import oss2
import pytest

from millpond_test import media
from millpond_test.playback import read_stream
from millpond_test.server import ACCESS_KEY_ID, ACCESS_KEY_SECRET, create_channel, wait_for


@pytest.fixture
def target(server):
    """A bucket whose channel name exists in no other bucket of this server."""
    bucket = server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    name = f"chan-{uuid.uuid4().hex[:8]}"
    create_channel(bucket, name)
    return bucket, name


def arrives(server, bucket, name, source, url, *options):
    media.push_file(source.path, url, options=list(options))
    wait_for(lambda: bucket.get_live_channel_stat(name).status == "Idle", "idle")
    _, report = read_stream(server.url(f"{bucket.bucket_name}/{quote(name)}/playlist.m3u8"))
    assert report.video_frames == len(source.decoded.video)


SHAPES = {
    "oss2, Go, C#, C": "rtmp://{host}/{bucket}/live/{name}?{query}",
    "C++": "rtmp://{host}/live/{bucket}/{name}?{query}",
    "Java, PHP, Node without the bucket": "rtmp://{host}/live/{name}?{query}",
    "doubled slashes": "rtmp://{host}/{bucket}/live//{name}?{query}",
}


@pytest.mark.parametrize("shape", list(SHAPES))
def test_the_shapes_of_the_sdks(server, target, short_source, shape):
    bucket, name = target
    query = bucket.sign_rtmp_url(name, "playlist.m3u8", 60).split("?", 1)[1]
    url = SHAPES[shape].format(host=server.http_address, bucket=bucket.bucket_name, name=name, query=query)
    arrives(server, bucket, name, short_source, url)


def test_a_virtual_host_names_the_bucket(server, target, short_source):
    bucket, name = target
    query = bucket.sign_rtmp_url(name, "playlist.m3u8", 60).split("?", 1)[1]
    # The name needs no resolver: ffmpeg is told what to announce as tcUrl.
    arrives(
        server, bucket, name, short_source, f"rtmp://{server.rtmp_address}/live/{name}?{query}",
        "-rtmp_tcurl", f"rtmp://{bucket.bucket_name}.localhost:{server.port}/live",
    )  # fmt: skip


@pytest.mark.parametrize("parameter", ["vhost", "bucket", "domain"])
def test_the_bucket_as_a_parameter_of_the_application(server, target, short_source, parameter):
    bucket, name = target
    query = bucket.sign_rtmp_url(name, "playlist.m3u8", 60).split("?", 1)[1]
    arrives(
        server, bucket, name, short_source, f"rtmp://{server.rtmp_address}/live/{name}",
        "-rtmp_app", f"live?{parameter}={bucket.bucket_name}", "-rtmp_playpath", f"{name}?{query}",
    )  # fmt: skip


def signed_query(bucket: str, name: str, wanted: str) -> str:
    """Searches an expiry whose signature contains `wanted`, and leaves the signature unescaped, as people paste it."""
    for expires in range(int(time.time()) + 600, int(time.time()) + 6000):
        digest = hmac.new(ACCESS_KEY_SECRET.encode(), f"{expires}\n/{bucket}/{name}".encode(), hashlib.sha1).digest()
        signature = base64.b64encode(digest).decode()
        if wanted in signature:
            return f"OSSAccessKeyId={ACCESS_KEY_ID}&Expires={expires}&Signature={signature}"
    raise AssertionError(f"no signature with {wanted}")


@pytest.mark.parametrize("character", ["/", "+"])
def test_an_unescaped_signature_still_verifies(server, target, short_source, character):
    bucket, name = target
    query = signed_query(bucket.bucket_name, name, character)
    arrives(server, bucket, name, short_source, f"rtmp://{server.http_address}/{bucket.bucket_name}/live/{name}?{query}")


@pytest.mark.parametrize("name", ["live channel 2", "测试通过"])
def test_names_beyond_ascii_verify_raw_and_escaped(server, short_source, name):
    bucket = server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    create_channel(bucket, name)
    url = bucket.sign_rtmp_url(name, "playlist.m3u8", 60)
    assert name in url
    arrives(server, bucket, name, short_source, url.replace(name, quote(name)))
    # As OBS sends it; ffmpeg itself would cut a URL at its first space.
    media.push_file(
        short_source.path,
        f"rtmp://{server.http_address}/{bucket.bucket_name}/live/x",
        options=["-rtmp_playpath", f"{name}?{url.split('?', 1)[1]}"],
    )


def test_a_name_that_ends_in_flv_is_found(server, short_source):
    # ffmpeg takes `.flv` away from a name without a query (LiveChannel 3.7, trap 4).
    bucket = server.new_bucket("public-read-write")
    create_channel(bucket, "camera")
    arrives(server, bucket, "camera", short_source, f"rtmp://{server.http_address}/{bucket.bucket_name}/live/camera.flv")


def test_a_name_that_ends_in_mp4_is_found(server, short_source):
    bucket = server.new_bucket("public-read-write")
    create_channel(bucket, "camera.mp4")
    arrives(server, bucket, "camera.mp4", short_source, f"rtmp://{server.http_address}/{bucket.bucket_name}/live/camera.mp4")
