"""Makes a data directory for `tests/test_old_data_directories.py` with the binary of `MILLPOND_BIN`, and a list of what is in it.

Run once for each release whose files later releases have to open; what it makes is committed and never made again:

    MILLPOND_BIN=PATH python make_old_data.py ../data/NAME
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import oss2

from millpond_test import media
from millpond_test.accounts import manage, new_user
from millpond_test.server import Server, create_channel, wait_for

PART = 100 * 1024


def pattern(length: int, seed: int) -> bytes:
    """Bytes that compress well and differ from offset to offset."""
    return bytes((index * 7 + index // 251 + seed) % 64 for index in range(length))


def fill_bucket(server: Server) -> oss2.Bucket:
    bucket = server.new_bucket(name="old-objects")
    bucket.put_object("small.txt", b"small", headers={"Content-Type": "text/plain", "x-oss-meta-color": "blue"})
    bucket.put_object("folder/large.bin", pattern(3 * PART, 1), headers={"x-oss-object-acl": "public-read"})
    bucket.put_object("empty", b"")
    bucket.put_object_tagging("small.txt", oss2.models.Tagging(tag_set(team="live")))
    bucket.copy_object("old-objects", "folder/large.bin", "copy-of-large.bin")
    bucket.put_symlink("small.txt", "link-to-small")
    bucket.append_object("appended", 0, pattern(PART, 2))
    bucket.append_object("appended", PART, b"and more")
    whole = bucket.init_multipart_upload("of-parts").upload_id
    parts = [
        oss2.models.PartInfo(number, bucket.upload_part("of-parts", whole, number, pattern(PART + number, number)).etag)
        for number in (1, 2)
    ]
    bucket.complete_multipart_upload("of-parts", whole, parts)
    open_upload = bucket.init_multipart_upload("not-complete").upload_id
    bucket.upload_part("not-complete", open_upload, 1, pattern(PART, 9))
    bucket.upload_part_copy("old-objects", "folder/large.bin", (0, 2 * PART), "not-complete", open_upload, 2)
    return bucket


def tag_set(**tags: str) -> oss2.models.TaggingRule:
    rule = oss2.models.TaggingRule()
    for key, value in tags.items():
        rule.add(key, value)
    return rule


def configure_bucket(bucket: oss2.Bucket) -> None:
    models = oss2.models
    rule = models.CorsRule(["http://page.example"], ["GET"], allowed_headers=["*"], max_age_seconds=60)
    bucket.put_bucket_cors(models.BucketCors([rule]))
    bucket.put_bucket_referer(models.BucketReferer(True, ["http://page.example"]))
    expire = models.LifecycleRule("keep-a-year", "tmp/", expiration=models.LifecycleExpiration(days=365))
    bucket.put_bucket_lifecycle(models.BucketLifecycle([expire]))
    bucket.put_bucket_website(models.BucketWebsite("index.html", "error.html"))
    bucket.put_bucket_logging(models.BucketLogging("old-objects", "log/"))
    bucket.put_bucket_tagging(models.Tagging(tag_set(kind="old")))
    policy = {
        "Version": "1",
        "Statement": [{"Effect": "Allow", "Principal": ["*"], "Action": ["oss:GetObject"], "Resource": ["acs:oss:*:*:old-objects/folder/*"]}],
    }
    bucket.put_bucket_policy(json.dumps(policy))


def push(server: Server, source: Path) -> None:
    """One push that ended, and one that is cut off by `kill -9` in its third segment."""
    bucket = server.new_bucket(name="old-live", acl=oss2.BUCKET_ACL_PUBLIC_READ)
    for name in ("ended", "torn"):
        create_channel(bucket, name, frag_duration=2, frag_count=6)
    media.push_file(source, bucket.sign_rtmp_url("ended", "playlist.m3u8", 3600))
    wait_for(lambda: bucket.get_live_channel_stat("ended").status == "Idle", "the push to be over")
    bucket.post_vod_playlist("ended", "vod.m3u8", int(time.time()) - 600, int(time.time()) + 60)
    create_channel(bucket, "disabled", status="disabled")
    with media.Push(source, bucket.sign_rtmp_url("torn", "playlist.m3u8", 3600)) as running:
        wait_for(lambda: bucket.get_live_channel_stat("torn").status == "Live", "the push to be live")
        time.sleep(5)
        server.kill()
        running.wait(30)


def small_source(folder: Path) -> Path:
    path = folder / "source.flv"
    subprocess.run(
        ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "color=gray:size=160x90:rate=10", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=44100",
         "-t", "8", "-c:v", "libx264", "-preset", "veryfast", "-g", "10", "-bf", "2", "-pix_fmt", "yuv420p", "-c:a", "aac", "-b:a", "24k", "-ac", "1", str(path)],
        check=True,
    )  # fmt: skip
    return path


def describe(server: Server, bucket: oss2.Bucket) -> dict:
    """What a client sees of the objects."""
    objects = {}
    for entry in oss2.ObjectIterator(bucket):
        head = bucket.head_object(entry.key)
        objects[entry.key] = {
            "size": entry.size,
            "etag": entry.etag,
            "type": entry.type,
            "crc64": head.headers.get("x-oss-hash-crc64ecma"),
            "acl": bucket.get_object_acl(entry.key).acl,
            "content_type": head.headers.get("Content-Type"),
            "meta": {name: value for name, value in head.headers.items() if name.lower().startswith("x-oss-meta-")},
            "tags": bucket.get_object_tagging(entry.key).tag_set.tagging_rule,
        }
    uploads = {upload.key: [part.size for part in oss2.PartIterator(bucket, upload.key, upload.upload_id)] for upload in oss2.MultipartUploadIterator(bucket)}
    return {"objects": objects, "uploads": uploads}


def main() -> None:
    target = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as folder:
        source = small_source(Path(folder))
        server = Server(Path(folder) / "server", settings='[live]\nvod_program_date_time = true\n').start()
        bucket = fill_bucket(server)
        user = new_user(server, "reader")
        key = user.key()
        user.allow("AliyunOSSReadOnlyAccess")
        session = user.session(duration_s=43200)
        other = new_user(server, "writer")
        other.allow("some", {"Effect": "Allow", "Action": ["oss:PutObject"], "Resource": ["acs:oss:*:*:old-objects/in/*"]})
        other_key = other.key()
        manage(server, "key", "list", "writer")
        configure_bucket(bucket)
        found = describe(server, bucket)
        push(server, source)
        found["keys"] = {"reader": [key.id, key.secret], "writer": [other_key.id, other_key.secret], "session": [session.id]}
        target.mkdir(parents=True, exist_ok=True)
        (target / "expected.json").write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
        with tarfile.open(target / "data.tar.xz", "w:xz") as archive:
            archive.add(server.data, "data")
        shutil.rmtree(server.data)
        print(f"{target}: {len(found['objects'])} objects, {(target / 'data.tar.xz').stat().st_size} bytes")


if __name__ == "__main__":
    main()
