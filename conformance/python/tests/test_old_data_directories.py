"""A data directory that an earlier release wrote opens, shows what was put in, goes on with the push that was cut off, and checks clean.

`../data/*/` holds such directories as `make_old_data.py` made them with the binary of that release, each with a list of what a client saw.
`0.1` was written by the binary of commit f135af7, from before operations and services were rebuilt (docs/design/operations.md).
"""

import json
import tarfile

import oss2
import pytest

from make_old_data import describe
from millpond_test.accounts import Key
from millpond_test.playback import read_stream
from millpond_test.playlist import violations
from millpond_test.server import ROOT, Server, create_channel, wait_for
from millpond_test import media

DIRECTORIES = sorted((ROOT / "conformance" / "data").iterdir())


@pytest.fixture(params=DIRECTORIES, ids=lambda path: path.name)
def old(request, tmp_path):
    """The directory, unpacked, and what is expected in it."""
    with tarfile.open(request.param / "data.tar.xz") as archive:
        archive.extractall(tmp_path / "server")
    server = Server(tmp_path / "server")
    yield server, json.loads((request.param / "expected.json").read_text())
    server.kill()


def test_everything_is_there_and_checks_clean(old):
    server, expected = old
    server.start()
    bucket = server.bucket("old-objects")
    assert describe(server, bucket) == {"objects": expected["objects"], "uploads": expected["uploads"]}
    for key, known in expected["objects"].items():
        # oss2 compares what it reads with the CRC-64 that the answer names.
        body = bucket.get_object(key).read()
        assert len(body) == (5 if known["type"] == "Symlink" else known["size"]), key
    assert server.stop() == 0
    found = server.findings()
    assert found.returncode == 0, found.stdout + found.stderr


def test_its_rules_hold(old):
    server, _ = old
    server.start()
    bucket = server.bucket("old-objects")
    assert [rule.allowed_origins for rule in bucket.get_bucket_cors().rules] == [["http://page.example"]]
    assert bucket.get_bucket_referer().referers == ["http://page.example"]
    assert [rule.id for rule in bucket.get_bucket_lifecycle().rules] == ["keep-a-year"]
    assert bucket.get_bucket_website().index_file == "index.html"
    assert bucket.get_bucket_logging().target_prefix == "log/"
    assert bucket.get_bucket_tagging().tag_set.tagging_rule == {"kind": "old"}
    assert json.loads(bucket.get_bucket_policy().policy)["Statement"][0]["Action"] == ["oss:GetObject"]
    anonymous = server.anonymous("old-objects")
    assert len(anonymous.get_object("folder/large.bin").read()) == 3 * 100 * 1024
    with pytest.raises(oss2.exceptions.AccessDenied):
        anonymous.get_object("small.txt")


def test_its_users_sign_with_their_sealed_keys(old):
    server, expected = old
    server.start()
    reader, writer = (Key(*expected["keys"][name]) for name in ("reader", "writer"))
    assert reader.bucket(server, "old-objects", "v4").get_object("small.txt").read() == b"small"
    writer.bucket(server, "old-objects").put_object("in/new", b"new")
    with pytest.raises(oss2.exceptions.AccessDenied):
        writer.bucket(server, "old-objects").get_object("small.txt")


def test_an_upload_that_was_begun_is_completed(old):
    server, _ = old
    server.start()
    bucket = server.bucket("old-objects")
    upload = next(iter(oss2.MultipartUploadIterator(bucket)))
    parts = [oss2.models.PartInfo(part.part_number, part.etag) for part in oss2.PartIterator(bucket, upload.key, upload.upload_id)]
    bucket.complete_multipart_upload(upload.key, upload.upload_id, parts)
    large = bucket.get_object("folder/large.bin").read()
    assert bucket.get_object("not-complete").read()[100 * 1024 :] == large[: 200 * 1024 + 1]


def test_the_push_that_was_cut_off_is_listed_and_the_next_one_follows(old, short_source):
    server, _ = old
    server.start()
    bucket = server.bucket("old-live")
    assert sorted(channel.name for channel in oss2.LiveChannelIterator(bucket)) == ["disabled", "ended", "torn"]
    assert bucket.get_live_channel_stat("disabled").status == "Disabled"
    ended, report = read_stream(server.url("old-live/ended/playlist.m3u8"))
    assert violations(ended) == [] and report.video_frames == 80
    vod, _ = read_stream(server.url("old-live/ended/vod.m3u8"))
    assert len(vod.segments) == len(ended.segments)
    torn, report = read_stream(server.url("old-live/torn/playlist.m3u8"))
    assert violations(torn) == [] and len(torn.segments) >= 3
    assert sum(segment.duration_ms for segment in torn.segments) >= 4000
    media.push_file(short_source.path, bucket.sign_rtmp_url("torn", "playlist.m3u8", 3600))
    wait_for(lambda: bucket.get_live_channel_stat("torn").status == "Idle", "the push to be over")
    after, _ = read_stream(server.url("old-live/torn/playlist.m3u8"))
    assert violations(after, torn) == []
    assert after.next_sequence > torn.next_sequence
    create_channel(bucket, "new")
    assert server.stop() == 0
    assert server.findings().returncode == 0
