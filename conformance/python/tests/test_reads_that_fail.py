"""A disk that cannot be read says so: whatever call fails while an object is read, the answer is 503 or is cut off, and never
other bytes with 200. The calls are those that the server really makes: reads at a place, peeks into the page cache, files that the
kernel sends, and those of SQLite."""

from __future__ import annotations

import errno
import hashlib

import oss2
import pytest
import requests

from millpond_test.faults import Faults
from millpond_test.server import create_channel
from millpond_test import media

SIZES = {"map": 3_000, "blob": 50_000, "blocks": 700_000, "long": 5_000_000}


@pytest.fixture
def stored(fresh_server, tmp_path):
    """A server that has read nothing yet, so that nothing is in its memory."""
    faults = Faults(tmp_path)
    server = fresh_server(environment=faults.environment)
    bucket = server.new_bucket("public-read")
    bodies = {name: (f"{name};".encode() * size)[:size] for name, size in SIZES.items()}
    for name, body in bodies.items():
        bucket.put_object(name, body)
    assert server.stop() == 0
    server.start()
    return server, bucket.bucket_name, bodies, faults


def read(server, path: str, body: bytes, **headers) -> str:
    """What came of reading it: "whole", "503" or "cut off"; anything else is wrong."""
    try:
        answer = requests.get(server.url(path), timeout=20, headers=headers)
    except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
        return "cut off"
    if answer.status_code == 503:
        return "503"
    assert answer.status_code in (200, 206), answer.text
    assert hashlib.md5(answer.content).digest() == hashlib.md5(body).digest(), "wrong bytes"
    return "whole"


@pytest.mark.parametrize("name", [name for name in SIZES if name != "map"])
@pytest.mark.parametrize("error", [errno.EIO, errno.ENOMEM], ids=["EIO", "ENOMEM"])
def test_whatever_read_of_a_blob_fails_no_other_bytes_are_sent(stored, name, error):
    server, bucket, bodies, faults = stored
    path, body = f"{bucket}/{name}", bodies[name]
    seen, hits = set(), 0
    # The first time it is compared with its checksums, later the kernel sends it.
    for first in (1, 2, 3, 4, 5, 7, 10, 20, 40, 80):
        rule = faults.add("read", Faults.FINISHED_BLOBS, error, first=first, times=1)
        for _ in range(2):
            seen.add(read(server, path, body))
        hit = len(faults.hits(rule))
        faults.clear(rule)
        hits += hit
    assert hits >= 2, "the reads are seen"
    assert "whole" in seen and seen <= {"whole", "503", "cut off"}
    # For good: nothing can be read, and nothing is said with 200.
    faults.add("read", Faults.FINISHED_BLOBS, error)
    assert read(server, path, body) in ("503", "cut off")
    assert read(server, path, body[100:200], Range="bytes=100-199") in ("503", "cut off")
    faults.clear()
    assert read(server, path, body) == "whole", "it is not taken for damaged"
    assert read(server, path, body[100:200], Range="bytes=100-199") == "whole"


def test_what_the_kernel_sends_is_cut_off_where_it_cannot_be_read(stored):
    server, bucket, bodies, faults = stored
    path, body = f"{bucket}/long", bodies["long"]
    assert read(server, path, body) == read(server, path, body) == "whole"
    # Everything is known to be sound and in the page cache, which only the kernel itself finds out not to be so.
    rule = faults.add("read", Faults.FINISHED_BLOBS, first=2, times=1)
    seen = [read(server, path, body) for _ in range(3)]
    assert faults.hits(rule) and set(seen) <= {"whole", "503", "cut off"}
    faults.clear()
    assert read(server, path, body) == "whole"


@pytest.mark.parametrize("pattern", [Faults.METADATA, Faults.METADATA_LOG, "*/meta.sqlite*"], ids=["file", "log", "both"])
def test_whatever_read_of_the_metadata_fails_no_other_bytes_are_sent(stored, pattern):
    server, bucket, bodies, faults = stored
    for first in range(1, 40):
        rule = faults.add("read", pattern, first=first, times=3)
        for name, body in bodies.items():
            assert read(server, f"{bucket}/{name}", body) in ("whole", "503")
        try:
            server.bucket(bucket).put_object("new", b"new")
        except oss2.exceptions.ServerError as refused:
            assert refused.status == 503, refused
        hit = faults.hits(rule)
        faults.clear(rule)
        if not hit:
            break
    for name, body in bodies.items():
        assert read(server, f"{bucket}/{name}", body) == "whole"
    assert server.stop() == 0
    findings = server.findings()
    assert findings.returncode == 0, findings.stdout + findings.stderr


def test_a_segment_that_cannot_be_read_is_not_taken_for_damaged(fresh_server, tmp_path, short_source):
    faults = Faults(tmp_path)
    server = fresh_server(environment=faults.environment)
    bucket = server.new_bucket("public-read")
    create_channel(bucket)
    media.push_file(short_source.path, bucket.sign_rtmp_url("test-channel", "playlist.m3u8", 600))
    listed = requests.get(server.url(f"{bucket.bucket_name}/test-channel/playlist.m3u8"), timeout=20).text
    segment = f"{bucket.bucket_name}/test-channel/{next(line for line in listed.splitlines() if line.endswith('.ts'))}"
    body = requests.get(server.url(segment), timeout=20).content
    assert server.stop() == 0
    server.start()
    faults.add("read", Faults.FINISHED_BLOBS)
    assert read(server, segment, body) in ("503", "cut off")
    faults.clear()
    assert read(server, segment, body) == "whole"
    assert 'millpond_damaged_objects_total 0' in server.admin("/metrics").text
