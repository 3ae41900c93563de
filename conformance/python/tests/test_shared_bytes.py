"""Copies share the bytes of their source: nothing is written for them, and the bytes live as long as anything names them."""

import hashlib
import socket
import threading

import oss2
import pytest
import requests
from oss2.models import PartInfo

from millpond_test.replay import CAPTURE_BUCKET, CAPTURE_CHANNEL, capture, replay, whole
from millpond_test.server import create_channel, wait_for
from test_multipart import PART, crc64, refused, upload

MIB = 1 << 20
# What lost its last name is deleted after a second.
SETTINGS = "[storage]\ngarbage_grace_s = 1\n"


@pytest.fixture
def sharing(fresh_server):
    return fresh_server(settings=SETTINGS)


def blobs(server) -> int:
    return sum(1 for path in (server.data / "blobs").rglob("*") if path.is_file() and path.name != "hold")


def bytes_of(size: int) -> bytes:
    return (bytes(range(251)) * (size // 251 + 1))[:size]


def check_clean(server):
    assert server.stop() == 0
    findings = server.findings()
    assert (findings.returncode, "0 blobs without a name" in findings.stdout) == (0, True), findings.stdout


def test_small_objects_are_in_no_file(sharing):
    """One commit each, whichever way they come, and playlists that are written with each segment too."""
    bucket = sharing.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ_WRITE, name=CAPTURE_BUCKET)
    body = bytes_of(16_384)
    bucket.put_object("put", body)
    bucket.copy_object(CAPTURE_BUCKET, "put", "copy")
    bucket.append_object("log", 0, body[:10])
    bucket.append_object("log", 10, body[10:])
    form = requests.post(sharing.url(CAPTURE_BUCKET), data={"key": "form"}, files={"file": body}, timeout=10)
    assert form.status_code == 204
    for key in ("put", "copy", "log", "form"):
        assert bucket.get_object(key).read() == body
    assert blobs(sharing) == 0
    bucket.put_object("larger", body + b"x")
    assert blobs(sharing) == 1
    create_channel(bucket, CAPTURE_CHANNEL)
    replay(sharing.http_address, whole(capture("ffmpeg-5.1")))
    wait_for(lambda: bucket.get_live_channel_stat(CAPTURE_CHANNEL).status == "Idle", "idle after the replay")
    recorded = [entry.key for entry in bucket.list_objects(CAPTURE_CHANNEL).object_list]
    assert f"{CAPTURE_CHANNEL}/playlist.m3u8" in recorded and len(recorded) > 2
    wait_for(lambda: blobs(sharing) == len(recorded), "a file for each segment and for the larger object")
    check_clean(sharing)


def test_copies_write_nothing_and_outlive_their_source(sharing):
    body = bytes_of(300_000)
    bucket, other = sharing.new_bucket(), sharing.new_bucket()
    bucket.put_object("from", body)
    for to, key in [(bucket, "one"), (other, "two"), (other, "two")]:
        assert to.copy_object(bucket.bucket_name, "from", key).etag == hashlib.md5(body).hexdigest().upper()
    other.copy_object(other.bucket_name, "two", "three")
    assert blobs(sharing) == 1
    bucket.put_object("from", b"something else")
    bucket.delete_object("one")
    # Long after the grace of what was deleted, the others are whole.
    other.put_object("witness", body)
    other.delete_object("witness")
    wait_for(lambda: blobs(sharing) == 1, "the witness is deleted")
    for key in ("two", "three"):
        got = other.get_object(key)
        assert (got.read(), got.headers["x-oss-hash-crc64ecma"]) == (body, crc64(body))
    other.batch_delete_objects(["two", "three"])
    wait_for(lambda: blobs(sharing) == 0, "nothing names the bytes any more")
    check_clean(sharing)


def test_a_copy_of_parts_or_appends_gets_the_md5_and_writes_nothing(sharing):
    bucket = sharing.new_bucket()
    pieces = {1: bytes_of(PART), 2: b"b" * PART, 3: b"tail"}
    upload_id, parts = upload(bucket, "parts", pieces)
    bucket.complete_multipart_upload("parts", upload_id, parts)
    bucket.append_object("log", 0, bytes_of(50_000))
    bucket.append_object("log", 50_000, b"x" * 20_000)
    before = blobs(sharing)
    for source, body in [("parts", b"".join(pieces.values())), ("log", bytes_of(50_000) + b"x" * 20_000)]:
        copied = bucket.copy_object(bucket.bucket_name, source, f"copy of {source}")
        assert copied.etag == hashlib.md5(body).hexdigest().upper()
        got = bucket.get_object(f"copy of {source}")
        assert (got.read(), got.headers["x-oss-object-type"]) == (body, "Normal")
        assert got.headers["x-oss-hash-crc64ecma"] == crc64(body)
    assert blobs(sharing) == before
    # What is appended to the original stays out of its copy.
    bucket.append_object("log", 70_000, b"more")
    assert bucket.get_object("copy of log").read() == bytes_of(50_000) + b"x" * 20_000
    bucket.batch_delete_objects(["parts", "log"])
    assert bucket.get_object("copy of parts", byte_range=(PART - 1, PART)).read() == pieces[1][-1:] + b"b"
    bucket.batch_delete_objects(["copy of parts", "copy of log"])
    wait_for(lambda: blobs(sharing) == 0, "nothing names the bytes any more")
    check_clean(sharing)


def test_parts_share_whole_objects_and_long_ranges(sharing):
    bucket = sharing.new_bucket()
    body, small = bytes_of(3 * MIB), bytes_of(200_000)
    bucket.put_object("from", body)
    bucket.put_object("small", small)
    upload_id = bucket.init_multipart_upload("to").upload_id
    ranges = [("from", (0, 2 * MIB - 1)), ("from", (MIB + 1, 3 * MIB - 1)), ("small", None), ("from", None)]
    parts, pieces = [], []
    for number, (source, byte_range) in enumerate(ranges, 1):
        piece = {"from": body, "small": small}[source]
        piece = piece if byte_range is None else piece[byte_range[0] : byte_range[1] + 1]
        done = bucket.upload_part_copy(bucket.bucket_name, source, byte_range, "to", upload_id, number)
        assert done.etag == hashlib.md5(piece).hexdigest().upper()
        parts.append(PartInfo(number, done.etag))
        pieces.append(piece)
    assert blobs(sharing) == 2
    # A part put again lets go of what it shared.
    assert bucket.upload_part_copy(bucket.bucket_name, "from", None, "to", upload_id, 4).etag == parts[3].etag
    bucket.batch_delete_objects(["from", "small"])
    done = bucket.complete_multipart_upload("to", upload_id, parts)
    expected = b"".join(pieces)
    assert done.headers["x-oss-hash-crc64ecma"] == crc64(expected)
    assert bucket.get_object("to").read() == expected
    assert bucket.get_object("to", byte_range=(2 * MIB - 2, 2 * MIB + 1)).read() == expected[2 * MIB - 2 : 2 * MIB + 2]
    # A few bytes do not keep a large blob: they are copied.
    upload_id = bucket.init_multipart_upload("few").upload_id
    bucket.upload_part_copy(bucket.bucket_name, "to", (5, PART), "few", upload_id, 1)
    assert blobs(sharing) == 3
    bucket.abort_multipart_upload("few", upload_id)
    bucket.delete_object("to")
    wait_for(lambda: blobs(sharing) == 0, "nothing names the bytes any more")
    check_clean(sharing)


def test_a_copied_segment_keeps_its_tag_and_outlives_the_recording(sharing):
    bucket = sharing.new_bucket(name=CAPTURE_BUCKET)
    create_channel(bucket, CAPTURE_CHANNEL)
    replay(sharing.http_address, whole(capture("ffmpeg-5.1")))
    wait_for(lambda: bucket.get_live_channel_stat(CAPTURE_CHANNEL).status == "Idle", "idle after the replay")
    segment = next(entry.key for entry in bucket.list_objects(CAPTURE_CHANNEL).object_list if entry.key.endswith(".ts"))
    original = bucket.get_object(segment)
    body = original.read()
    before = blobs(sharing)
    copied = bucket.copy_object(CAPTURE_BUCKET, segment, "kept.ts")
    assert (copied.etag, blobs(sharing)) == (original.etag, before)
    bucket.delete_live_channel(CAPTURE_CHANNEL)
    bucket.batch_delete_objects([entry.key for entry in bucket.list_objects(CAPTURE_CHANNEL).object_list])
    wait_for(lambda: blobs(sharing) == 1, "only the copy is left")
    assert bucket.get_object("kept.ts").read() == body
    check_clean(sharing)


def test_copies_race_with_writes_of_their_source(sharing):
    bucket = sharing.new_bucket()
    bodies = [bytes([number]) * 100_000 for number in range(4)]
    bucket.put_object("from", bodies[0])
    faults = []

    def run(work):
        own = sharing.bucket(bucket.bucket_name)
        for number in range(40):
            try:
                work(own, number)
            except oss2.exceptions.NoSuchKey:
                pass
            except Exception as error:  # noqa: BLE001
                faults.append(error)

    def copy(own, number):
        own.copy_object(bucket.bucket_name, "from", f"copy-{number % 3}")
        if own.get_object(f"copy-{number % 3}").read() not in bodies:
            faults.append(f"copy {number} is no whole object")

    works = [
        lambda own, number: own.put_object("from", bodies[number % 4]),
        lambda own, number: own.delete_object("from" if number % 5 == 0 else f"copy-{number % 3}"),
        copy,
        copy,
    ]
    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    bucket.batch_delete_objects(["from", "copy-0", "copy-1", "copy-2"])
    wait_for(lambda: blobs(sharing) == 0, "nothing names the bytes any more")
    check_clean(sharing)


@pytest.mark.parametrize("is_replaced", [False, True], ids=["deleted", "replaced"])
def test_a_long_download_outlives_its_object(sharing, is_replaced):
    """The parts that are not open yet stay until their turn, long after the grace."""
    bucket = sharing.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    pieces = {number: bytes([number]) * MIB for number in range(1, 25)}
    upload_id, parts = upload(bucket, "big", pieces)
    bucket.complete_multipart_upload("big", upload_id, parts)
    assert blobs(sharing) == 24
    host, port = sharing.http_address.rsplit(":", 1)
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        slow.settimeout(30)
        slow.connect((host, int(port)))
        slow.sendall(f"GET /{bucket.bucket_name}/big HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        received = bytearray(slow.recv(65_536))
        if is_replaced:
            bucket.put_object("big", b"new")
        else:
            bucket.delete_object("big")
        wait_for(lambda: blobs(sharing) == 8, "the open parts have lost their names, the others are waited for")
        while piece := slow.recv(1 << 20):
            received += piece
    head, _, body = bytes(received).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert hashlib.md5(body).digest() == hashlib.md5(b"".join(pieces[number] for number in range(1, 25))).digest()
    wait_for(lambda: blobs(sharing) == 0, "nobody waits any more")
    if not is_replaced:
        refused(lambda: bucket.get_object("big"), 404, "NoSuchKey")
    check_clean(sharing)
