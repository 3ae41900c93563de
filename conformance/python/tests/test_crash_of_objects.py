"""SIGKILL amid puts, parts, completions, appends, copies and deletions: what was answered is there, whole, and no name leads
nowhere."""

import hashlib
import threading
import time

import oss2
import pytest
from oss2.models import PartInfo

from millpond_test.server import wait_for

PART = 100 * 1024


class Writer(threading.Thread):
    """Does one kind of thing until the server is gone, and remembers what was answered."""

    def __init__(self, server, name, number, work):
        super().__init__(daemon=True)
        self.bucket = server.bucket(name)
        self.number, self.work = number, work
        self.known, self.unsure, self.done = {}, {}, 0

    def run(self):
        while True:
            try:
                self.work(self)
                self.done += 1
            except (oss2.exceptions.RequestError, oss2.exceptions.ServerError):
                return

    def write(self, key, body, call):
        """`call` makes `key` the object `body` (`None`: absent); until it answers, either may be there."""
        self.unsure[key] = body
        call()
        self.known[key] = self.unsure.pop(key)


def body_of(writer, size):
    return hashlib.sha256(f"{writer.number}-{writer.done}".encode()).digest() * (size // 32)


def put(writer):
    body = body_of(writer, 64 if writer.done % 2 else 40_000)
    key = f"put-{writer.number}-{writer.done % 5}"
    writer.write(key, body, lambda: writer.bucket.put_object(key, body))


def parts(writer):
    key = f"parts-{writer.number}"
    first, second = body_of(writer, PART + 32), body_of(writer, 96)
    upload_id = writer.bucket.init_multipart_upload(key).upload_id
    tags = [PartInfo(2, writer.bucket.upload_part(key, upload_id, 2, second).etag)]
    tags.insert(0, PartInfo(1, writer.bucket.upload_part(key, upload_id, 1, first).etag))
    writer.write(key, first + second, lambda: writer.bucket.complete_multipart_upload(key, upload_id, tags))


def append(writer):
    key = f"log-{writer.number}"
    before = writer.known.get(key, b"")
    piece = body_of(writer, 9_600)
    writer.write(key, before + piece, lambda: writer.bucket.append_object(key, len(before), piece))


def copy(writer):
    body = body_of(writer, 32_000)
    source, target = f"source-{writer.number}", f"copy-{writer.number}"
    writer.write(source, body, lambda: writer.bucket.put_object(source, body))
    writer.write(target, body, lambda: writer.bucket.copy_object(writer.bucket.bucket_name, source, target))
    writer.write(source, None, lambda: writer.bucket.batch_delete_objects([source]))


def share(writer):
    """An object made of a copied part and a copied range, whose source goes away under it."""
    source, target, bucket = f"shared-{writer.number}", f"joined-{writer.number}", writer.bucket
    body = body_of(writer, 1_200_000)
    writer.write(source, body, lambda: bucket.put_object(source, body))
    upload_id = bucket.init_multipart_upload(target).upload_id
    ranges = [None, (32, 1_100_031)]
    tags = [
        PartInfo(number, bucket.upload_part_copy(bucket.bucket_name, source, byte_range, target, upload_id, number).etag)
        for number, byte_range in enumerate(ranges, 1)
    ]
    writer.write(source, None, lambda: bucket.batch_delete_objects([source]))
    whole = body + body[32:1_100_032]
    writer.write(target, whole, lambda: bucket.complete_multipart_upload(target, upload_id, tags))


def link_and_tag(writer):
    key = f"tagged-{writer.number}"
    body = body_of(writer, 20_000)
    writer.write(key, body, lambda: writer.bucket.put_object(key, body))
    writer.bucket.put_symlink(key, f"link-{writer.number}")
    writer.bucket.put_object_acl(key, "public-read")


def read(bucket, key):
    try:
        return bucket.get_object(key).read()
    except oss2.exceptions.NoSuchKey:
        return None


@pytest.mark.parametrize("after_s", [0, 0.2, 0.7])
def test_a_kill_leaves_the_old_or_the_new(fresh_server, after_s):
    server = fresh_server()
    name = server.new_bucket().bucket_name
    writers = [Writer(server, name, number, work) for number, work in enumerate([put, put, parts, append, copy, share, link_and_tag])]
    for writer in writers:
        writer.start()
    wait_for(lambda: all(writer.done for writer in writers), "everybody has done something", timeout_s=60)
    time.sleep(after_s)
    server.kill()
    for writer in writers:
        writer.join(30)
    findings = server.findings()
    assert findings.returncode == 0, findings.stdout
    server.start()
    bucket = server.bucket(name)
    for writer in writers:
        for key in writer.known.keys() | writer.unsure.keys():
            found = read(bucket, key)
            allowed = [writer.known.get(key)] + ([writer.unsure[key]] if key in writer.unsure else [])
            assert found in allowed, f"{key} is neither the old nor the new object"
    assert server.stop() == 0
    assert server.findings().returncode == 0
