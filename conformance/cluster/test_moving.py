"""An installation moves from one machine to PostgreSQL and an S3-compatible store, and back, with all that is in it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import urllib.error
import urllib.request

import oss2
import pytest

from engines import BUCKET
from millpond_test import media
from millpond_test.accounts import manage, new_user
from millpond_test.server import ACCESS_KEY_ID, ACCESS_KEY_SECRET, BINARY, Server, create_channel, wait_for

FOLDER = 1 << 31
PART = os.urandom(5 << 20)
CONTENTS = {f"key-{size}": os.urandom(size) for size in (0, 10, 5_000, 300_000, 17 << 20, 21 << 20)}
CONTENTS.update({f"many/{n:02}": os.urandom(1 << 20) for n in range(60)})


def millpond(*arguments, environment=None, timeout_s=180):
    given = {**os.environ, "OSS_ACCESS_KEY_ID": ACCESS_KEY_ID, "OSS_ACCESS_KEY_SECRET": ACCESS_KEY_SECRET, **(environment or {})}
    return subprocess.run([str(BINARY), *arguments], env=given, capture_output=True, text=True, timeout=timeout_s)


def place(environment, name):
    """Options and variables of a store of its own on the same engines."""
    meta = f"{environment['MILLPOND_META']}?schema={name}"
    blobs = environment["MILLPOND_BLOBS"].replace(f"{BUCKET}/mill", f"{BUCKET}/{name}")
    return meta, blobs, {**environment, "MILLPOND_META": meta, "MILLPOND_BLOBS": blobs}


def engines_only(environment):
    """The variables for the engines, without those that a server has."""
    return {name: value for name, value in environment.items() if not name.startswith("MILLPOND_")}


def files_below(seaweed, path):
    """What lies below a path of the bucket, as the filer knows it, without folders."""
    url = f"http://127.0.0.1:{seaweed.ports['filer']}/buckets/{BUCKET}/{path}/?limit=1000"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers={"Accept": "application/json"}), timeout=10) as answer:
            entries = json.load(answer)["Entries"] or []
    except urllib.error.HTTPError:
        return []
    found = []
    for entry in entries:
        name = entry["FullPath"].split("/", 3)[3]
        found += files_below(seaweed, name) if entry["Mode"] & FOLDER else [name]
    return found


def everything(server, bucket_name, upload_id, user_key):
    """All that clients can see."""
    bucket = server.bucket(bucket_name)
    names = [found.key for found in oss2.ObjectIterator(bucket, max_keys=100)]
    return {
        "objects": {name: hashlib.sha256(bucket.get_object(name).read()).hexdigest() for name in names},
        "etags": {name: bucket.head_object(name).etag for name in names},
        "playlist": server.get(f"{bucket_name}/test-channel/playlist.m3u8").text,
        "uploads": [(found.key, found.upload_id) for found in oss2.MultipartUploadIterator(bucket)],
        "parts": [(part.part_number, part.size, part.etag) for part in bucket.list_parts("begun", upload_id).parts],
        "users": manage(server, "user", "list"),
        # Its secret is sealed: it signs nothing unless it can be opened.
        "by user": hashlib.sha256(user_key.bucket(server, bucket_name).get_object("key-5000").read()).hexdigest(),
        "channel": bucket.get_live_channel("test-channel").target.playlist_name,
        "history": len(bucket.get_live_channel_history("test-channel").records),
    }


@pytest.fixture
def one(tmp_path, source):
    """A server on one machine with something of every kind, and what is in it."""
    server = Server(tmp_path / "one").start()
    bucket = server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    for key, content in CONTENTS.items():
        bucket.put_object(key, content)
    bucket.copy_object(bucket.bucket_name, f"key-{17 << 20}", "copied")
    upload = bucket.init_multipart_upload("begun").upload_id
    bucket.upload_part("begun", upload, 1, PART)
    create_channel(bucket)
    url = bucket.sign_rtmp_url("test-channel", "playlist.m3u8", 3600)
    media.push_file(source[0], server.on_rtmp_port(url))
    wait_for(lambda: bucket.get_live_channel_stat("test-channel").status == "Idle", "the end of the push", 60)
    user = new_user(server)
    user.allow("AliyunOSSFullAccess")
    yield server, bucket.bucket_name, upload, user.key()
    server.kill()
    assert "panicked" not in server.log(), server.log()[-3000:]


def refuses_changes(server, bucket_name, source):
    bucket = server.bucket(bucket_name)
    for change in (
        lambda: bucket.put_object("too-late", b"x"),
        lambda: bucket.delete_object("key-10"),
        lambda: bucket.init_multipart_upload("too-late"),
        lambda: server.bucket("another-bucket").create_bucket(),
        lambda: create_channel(bucket, "another-channel"),
    ):
        with pytest.raises(oss2.exceptions.ServerError) as refused:
            change()
        assert refused.value.status == 503 and "read-only" in str(refused.value), refused.value
    media.push_refused(source[0], server.on_rtmp_port(bucket.sign_rtmp_url("test-channel", "playlist.m3u8", 3600)))


def test_an_installation_moves_in_and_out(one, environment, seaweed, source, tmp_path):
    server, name, upload, key = one
    before = everything(server, name, upload, key)
    assert len(before["objects"]) > len(CONTENTS) + 3 and before["history"] == 1
    meta, blobs, there = place(environment, "moved")
    engines = engines_only(environment)
    move_in = ["migrate", "--from-data-dir", str(server.data), "--to-meta", meta, "--to-blobs", blobs]

    refused = millpond(*move_in, environment=engines)
    assert refused.returncode != 0 and "another millpond runs" in refused.stderr, refused.stderr
    assert server.stop() == 0
    # It serves on while all is copied, and changes nothing.
    server.environment = {"MILLPOND_READ_ONLY": "true"}
    server.start()
    assert everything(server, name, upload, key) == before
    refuses_changes(server, name, source)

    # Killed when the first blobs are there.
    given = {**os.environ, **engines}
    with (tmp_path / "killed").open("wb") as log:
        killed = subprocess.Popen([str(BINARY), *move_in], env=given, stdout=log, stderr=log)
        wait_for(lambda: files_below(seaweed, "moved") or killed.poll() is not None, "the first blobs", 60, 0.05)
        assert killed.poll() is None, (tmp_path / "killed").read_text()
        killed.kill()
        killed.wait()
    secrets_key = (server.data / "secrets.key").read_text().strip()
    target = Server(tmp_path / "target", environment={**there, "MILLPOND_SECRETS_KEY": secrets_key})
    with pytest.raises(AssertionError, match="was not finished"):
        target.start()
    # Nothing else comes into what is half full.
    another = Server(tmp_path / "another").start()
    assert another.stop() == 0
    other = millpond("migrate", "--from-data-dir", str(another.data), "--to-meta", meta, "--to-blobs", blobs, environment=engines)
    assert other.returncode != 0 and "was not finished" in other.stderr, other.stdout + other.stderr

    went_on = millpond(*move_in, "--compare", environment=engines)
    assert went_on.returncode == 0, went_on.stdout + went_on.stderr
    print("\n" + went_on.stdout)
    copied, present = map(int, re.search(r"(\d+) blobs copied .*, (\d+) were there", went_on.stdout).groups())
    assert copied > 0 and present > 0, "what was there was not copied again"
    assert "going on from" in went_on.stdout and secrets_key not in went_on.stdout + went_on.stderr
    assert everything(server, name, upload, key) == before
    assert server.stop() == 0

    target.start()
    assert everything(target, name, upload, key) == before
    bucket = target.bucket(name)
    media.assert_same_frames(media.decode_listed(target.url(f"{name}/test-channel/playlist.m3u8")), source[1])
    # It goes on there: the upload is completed, objects are written, another push is recorded.
    last = bucket.upload_part("begun", upload, 2, b"the end")
    first = bucket.list_parts("begun", upload).parts[0]
    bucket.complete_multipart_upload("begun", upload, [first, oss2.models.PartInfo(2, last.etag)])
    assert bucket.get_object("begun").read() == PART + b"the end"
    media.push_file(source[0], target.on_rtmp_port(bucket.sign_rtmp_url("test-channel", "playlist.m3u8", 3600)))
    wait_for(lambda: bucket.get_live_channel_stat("test-channel").status == "Idle", "the end of the push", 60)
    checked = millpond("check", environment={**there, "MILLPOND_SECRETS_KEY": secrets_key, "MILLPOND_DATA_DIR": str(tmp_path / "no")})
    assert checked.returncode == 0 and " 0 faults" in checked.stdout, checked.stdout + checked.stderr
    ran = millpond("lifecycle", "--dry-run", environment={**there, "MILLPOND_DATA_DIR": str(tmp_path / "no")})
    assert ran.returncode == 0 and "0 objects would be deleted" in ran.stdout, ran.stdout + ran.stderr

    # A target that is an installation takes nothing.
    again = millpond(*move_in, environment=engines)
    assert again.returncode != 0 and "empty place" in again.stderr, again.stdout + again.stderr
    upload = bucket.init_multipart_upload("begun").upload_id
    bucket.upload_part("begun", upload, 1, PART)
    wait_for(lambda: bucket.get_live_channel_history("test-channel").records, "the history", 30)
    before = everything(target, name, upload, key)

    # And back, while the server goes on serving.
    move_out = ["migrate", "--from-meta", meta, "--from-blobs", blobs, "--to-data-dir", str(tmp_path / "two" / "data")]
    moved = millpond(*move_out, environment={**engines, "MILLPOND_SECRETS_KEY": secrets_key})
    assert moved.returncode == 0, moved.stdout + moved.stderr
    print(moved.stdout)
    assert hashlib.sha256(bucket.get_object("key-5000").read()).hexdigest() == before["objects"]["key-5000"]
    with pytest.raises(oss2.exceptions.ServerError) as write:
        bucket.put_object("too-late", b"x")
    assert write.value.status == 503
    two = Server(tmp_path / "two", environment={"MILLPOND_SECRETS_KEY": secrets_key}).start()
    try:
        assert everything(two, name, upload, key) == before
        two.bucket(name).put_object("new", b"new")
    finally:
        two.stop()
    assert two.findings().returncode == 1, "its check needs the key"
    found = millpond("check", "--data-dir", str(two.data), environment={"MILLPOND_SECRETS_KEY": secrets_key})
    assert found.returncode == 0, found.stdout + found.stderr
    writable = millpond("store", "writable", "--meta", meta, environment=engines)
    assert writable.returncode == 0, writable.stderr
    bucket.put_object("again", b"x")
    target.kill()
    assert "panicked" not in target.log() + two.log()


def test_a_push_that_is_on_is_not_moved_and_goes_on(servers, environment, source, tmp_path):
    a, b = servers
    bucket = a.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    create_channel(bucket)
    listed = lambda: b.get(f"{bucket.bucket_name}/test-channel/playlist.m3u8").text.count(".ts")  # noqa: E731
    url = a.on_rtmp_port(a.bucket(bucket.bucket_name).sign_rtmp_url("test-channel", "playlist.m3u8", 3600))
    with media.Push(source[0], url, loop=True) as push:
        wait_for(listed, "a segment", 30)
        refused = millpond(
            "migrate", "--from-meta", environment["MILLPOND_META"], "--from-blobs", environment["MILLPOND_BLOBS"],
            "--to-data-dir", str(tmp_path / "out"), environment={**engines_only(environment),
            "MILLPOND_SECRETS_KEY": environment["MILLPOND_SECRETS_KEY"]})  # fmt: skip
        assert refused.returncode != 0 and f"{bucket.bucket_name}/test-channel" in refused.stderr, refused.stderr
        known = listed()
        wait_for(lambda: listed() > known, "the push goes on", 30)
        assert push.running()


def test_engines_are_tried(environment, seaweed, postgres):
    tried = millpond("check", "--store", environment=environment)
    assert tried.returncode == 0, tried.stdout + tried.stderr
    print("\n" + tried.stdout)
    for seen in ("SeaweedFS", "fs.configure", "PostgreSQL", "this role owns the map", "two parts are joined", "5 names on 3 pages"):
        assert seen in tried.stdout, seen
    assert not [name for name in files_below(seaweed, "mill") if "probe" in name]
    assert environment["AWS_SECRET_ACCESS_KEY"] not in tried.stdout + tried.stderr

    wrong = millpond("check", "--store", environment={**environment, "AWS_SECRET_ACCESS_KEY": "not-the-secret"})
    assert wrong.returncode == 1 and "BAD   write" in wrong.stdout, wrong.stdout + wrong.stderr
    nowhere = millpond("check", "--store", "--blobs", "s3://pond?endpoint=http://127.0.0.1:1", environment=engines_only(environment))
    assert nowhere.returncode == 1 and "BAD" in nowhere.stdout, nowhere.stdout + nowhere.stderr
    nothing = millpond("check", "--store")
    assert nothing.returncode == 1 and "name what is to be tried" in nothing.stderr
