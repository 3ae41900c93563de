"""Lifecycle rules: kept as sent, and at work, dry and in earnest, in a running server and on a stopped one."""

import subprocess

import oss2
import pytest
import requests
from oss2.models import AbortMultipartUpload, BucketLifecycle, LifecycleExpiration, LifecycleRule, PartInfo

from millpond_test.server import BINARY, wait_for
from test_multipart import refused


def date_rule(name, prefix, **options):
    import datetime

    expiration = LifecycleExpiration(date=datetime.date(2020, 1, 1))
    return LifecycleRule(name, prefix, status=LifecycleRule.ENABLED, expiration=expiration, **options)


def test_rules_are_kept(server, version):
    bucket = server.new_bucket(version=version)
    refused(bucket.get_bucket_lifecycle, 404, "NoSuchLifecycle")
    rules = [
        LifecycleRule("one", "live/", status=LifecycleRule.ENABLED, expiration=LifecycleExpiration(days=3)),
        LifecycleRule("", "logs/", status=LifecycleRule.DISABLED, abort_multipart_upload=AbortMultipartUpload(days=1)),
    ]
    bucket.put_bucket_lifecycle(BucketLifecycle(rules))
    kept = bucket.get_bucket_lifecycle().rules
    assert [(rule.prefix, rule.status) for rule in kept] == [("live/", "Enabled"), ("logs/", "Disabled")]
    assert (kept[0].id, kept[0].expiration.days, len(kept[1].id) > 0) == ("one", 3, True)
    put = bucket.put_object("live/1.ts", b"x")
    for answer in (put, bucket.head_object("live/1.ts"), bucket.get_object("live/1.ts")):
        assert 'rule-id="one"' in answer.headers["x-oss-expiration"]
    assert "x-oss-expiration" not in bucket.put_object("other", b"x").headers
    upload_id = bucket.init_multipart_upload("live/parts").upload_id
    part = bucket.upload_part("live/parts", upload_id, 1, b"x")
    parts = [PartInfo(1, part.etag)]
    for answer in (
        bucket.append_object("live/log", 0, b"x"),
        bucket.copy_object(bucket.bucket_name, "other", "live/copy"),
        bucket.complete_multipart_upload("live/parts", upload_id, parts),
    ):
        assert 'rule-id="one"' in answer.headers["x-oss-expiration"]
    twice = BucketLifecycle([rules[0], LifecycleRule("two", "live/a", status="Enabled", expiration=LifecycleExpiration(days=9))])
    refused(lambda: bucket.put_bucket_lifecycle(twice), 400, "InvalidArgument")
    bucket.delete_bucket_lifecycle()
    refused(bucket.get_bucket_lifecycle, 404, "NoSuchLifecycle")


def fill(server):
    bucket = server.new_bucket()
    for key in ("tmp/1", "tmp/2", "kept"):
        bucket.put_object(key, b"x" * 20_000)
    bucket.put_bucket_lifecycle(BucketLifecycle([date_rule("old", "tmp/")]))
    return bucket


def keys(bucket):
    return [entry.key for entry in bucket.list_objects().object_list]


def run(server, *arguments):
    return subprocess.run(
        [str(BINARY), "lifecycle", "--data-dir", str(server.data), *arguments], capture_output=True, text=True, timeout=60
    )


def test_a_stopped_server_is_cleaned_and_says_before_what_would_go(fresh_server):
    server = fresh_server()
    bucket = fill(server)
    busy = run(server, "--dry-run")
    assert (busy.returncode, "another millpond runs" in busy.stderr) == (1, True)
    server.stop()
    dry = run(server, "--dry-run")
    name = bucket.bucket_name
    lines = [f'{name}: delete "tmp/1"', f'{name}: delete "tmp/2"']
    assert (dry.returncode, dry.stdout.splitlines()[:2]) == (0, lines), dry.stderr
    assert dry.stdout.splitlines()[2] == "2 objects would be deleted, 0 labelled, 0 uploads aborted"
    server.start()
    again = server.bucket(name)
    assert keys(again) == ["kept", "tmp/1", "tmp/2"]
    server.stop()
    assert run(server).stdout.splitlines()[2] == "2 objects deleted, 0 labelled, 0 uploads aborted"
    assert server.findings().returncode == 0
    server.start()
    assert keys(server.bucket(name)) == ["kept"]


def test_a_running_server_cleans_up(fresh_server):
    server = fresh_server(settings="[storage]\nlifecycle_interval_s = 1\n")
    bucket = fill(server)
    wait_for(lambda: keys(bucket) == ["kept"], "expired objects are gone")
    assert 'delete \\"tmp/1\\"' in server.log() or "tmp/1" in server.log()
    server.stop()
    assert server.findings().returncode == 0


def test_a_running_server_relabels_and_gives_up_uploads(fresh_server):
    server = fresh_server(settings="[storage]\nlifecycle_interval_s = 1\n")
    bucket = server.new_bucket()
    for key in ("cold/small", "cold/large", "cold/keep", "warm"):
        bucket.put_object(key, b"x" * (9 if "small" in key else 2_000))
    written = bucket.head_object("cold/large").last_modified
    for key, tags in (("up/plain", ""), ("up/tagged", "k=v"), ("up/keep", "k=v")):
        bucket.init_multipart_upload(key, headers={"x-oss-tagging": tags} if tags else None)
    past = "<CreatedBeforeDate>2100-01-01T00:00:00.000Z</CreatedBeforeDate>"
    not_ = "<Not><Prefix>%s</Prefix></Not>"
    rules = (
        f"<Rule><Prefix>cold/</Prefix><Status>Enabled</Status><Filter>{not_ % 'cold/keep'}"
        f"<ObjectSizeGreaterThan>1000</ObjectSizeGreaterThan></Filter>"
        f"<Transition>{past}<StorageClass>Archive</StorageClass><IsAccessTime>false</IsAccessTime></Transition></Rule>"
        f"<Rule><Prefix>up/</Prefix><Status>Enabled</Status><Tag><Key>k</Key><Value>v</Value></Tag>"
        f"<Filter>{not_ % 'up/keep'}</Filter><AbortMultipartUpload>{past}</AbortMultipartUpload></Rule>"
    )
    bucket.put_bucket_lifecycle(f"<LifecycleConfiguration>{rules}</LifecycleConfiguration>")
    kept = bucket._do("GET", bucket.bucket_name, "", params={"lifecycle": ""}).read().decode()
    assert "<IsAccessTime>false</IsAccessTime>" in kept
    label = lambda key: bucket.head_object(key).headers["x-oss-storage-class"]  # noqa: E731
    uploads = lambda: [upload.key for upload in bucket.list_multipart_uploads().upload_list]  # noqa: E731
    wait_for(lambda: label("cold/large") == "Archive" and len(uploads()) == 2, "the rules have run")
    assert [label(key) for key in ("cold/small", "cold/keep", "warm")] == ["Standard"] * 3
    assert uploads() == ["up/keep", "up/plain"]
    assert bucket.head_object("cold/large").last_modified == written
    assert keys(bucket) == ["cold/keep", "cold/large", "cold/small", "warm"]
    server.stop()
    assert server.findings().returncode == 0


def test_expired_segments_leave_the_index(fresh_server, short_source):
    from millpond_test.server import create_channel

    server = fresh_server()
    bucket = server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    create_channel(bucket)
    url = bucket.sign_rtmp_url("test-channel", "playlist.m3u8", 3600)
    pushed = subprocess.run(
        ["ffmpeg", "-v", "error", "-re", "-i", str(short_source.path), "-c", "copy", "-f", "flv", url],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert pushed.returncode == 0, pushed.stderr
    wait_for(lambda: bucket.get_live_channel_stat("test-channel").status == "Idle", "the push has ended")
    assert any(key.endswith(".ts") for key in keys(bucket))
    import time

    now = int(time.time())
    bucket.post_vod_playlist("test-channel", "before.m3u8", now - 3600, now + 60)
    bucket.put_bucket_lifecycle(BucketLifecycle([date_rule("old", "test-channel/")]))
    stored = keys(bucket)
    server.stop()
    assert run(server).stdout.splitlines()[-1].startswith(f"{len(stored)} objects deleted")
    server.start()
    bucket = server.bucket(bucket.bucket_name)
    with pytest.raises(oss2.exceptions.ServerError):
        bucket.post_vod_playlist("test-channel", "after.m3u8", now - 3600, now + 60)
    server.stop()
    assert server.findings().returncode == 0
