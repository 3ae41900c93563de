"""Metadata that is not what it was: a disk that cannot be read answers 503 until it can, a damaged page is said at the start, and a file
that lost commits which were on disk is reported until somebody has heard of it."""

from __future__ import annotations

import errno
import shutil

import oss2
import pytest
import requests

from millpond_test.faults import Faults
from millpond_test.server import wait_for

from test_bit_rot import check, logged


def test_a_disk_that_cannot_be_read_is_503_and_comes_back(fresh_server, tmp_path):
    faults = Faults(tmp_path)
    server = fresh_server(environment=faults.environment)
    bucket = server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    body = b"a small body " * 1000
    for n in range(300):
        bucket.put_object(f"small-{n}", body)
    assert server.stop() == 0
    server.start()
    rules = [faults.add("read", pattern, error=errno.EIO) for pattern in (Faults.METADATA, Faults.METADATA_LOG)]
    url = server.url(f"{bucket.bucket_name}/small-250")
    answer = requests.get(url, timeout=20)
    assert answer.status_code == 503, answer.text
    assert answer.headers["retry-after"]
    assert faults.hits(rules[0])
    assert not [line for line in logged(server, "malformed") if "which SQLite takes for" not in line]
    faults.clear()
    wait_for(lambda: requests.get(url, timeout=20).content == body, "the disk to be read again", 20)


def test_a_damaged_page_is_said_at_the_start(fresh_server):
    server = fresh_server()
    bucket = server.new_bucket()
    for n in range(300):
        bucket.put_object(f"small-{n}", b"a small body " * 1000)
    assert server.stop() == 0
    path = server.data / "meta.sqlite"
    content = bytearray(path.read_bytes())
    # A page of a tree, not of a body, from the middle: far behind those that a start must read.
    kinds_of_trees = (2, 5, 10, 13)
    page = next(at for at in range(len(content) // 8192 * 4096, len(content), 4096) if content[at] in kinds_of_trees)
    content[page : page + 4096] = bytes(4096)
    path.write_bytes(content)
    assert check(server).returncode != 0
    server.start()
    wait_for(lambda: logged(server, "the metadata file is damaged"), "the log")


@pytest.mark.parametrize("what", ["an old file", "a log that is cut off"])
def test_lost_commits_are_reported_until_somebody_has_heard_of_them(fresh_server, tmp_path, what):
    server = fresh_server()
    bucket = server.new_bucket()
    bucket.put_object("before", b"1")
    assert server.stop() == 0
    backup = tmp_path / "backup.sqlite"
    shutil.copy(server.data / "meta.sqlite", backup)
    server.start()
    bucket = server.bucket(bucket.bucket_name)
    for n in range(20):
        bucket.put_object(f"after-{n}", b"2")
    stamp = server.data / "meta.sqlite-stamp"
    first = stamp.read_bytes()
    wait_for(lambda: bucket.put_object("more", b"3") and stamp.read_bytes() != first, "the stamp", 20)
    if what == "an old file":
        assert server.stop() == 0
        shutil.copy(backup, server.data / "meta.sqlite")
    else:
        server.kill()
        log = server.data / "meta.sqlite-wal"
        log.write_bytes(log.read_bytes()[: 32 + 4120])
        (server.data / "meta.sqlite-shm").unlink(missing_ok=True)
    server.start()
    wait_for(lambda: logged(server, "the metadata file has lost commits"), "the log")
    bucket = server.bucket(bucket.bucket_name)
    # New commits do not hide it.
    for n in range(60):
        bucket.put_object(f"later-{n}", b"4")
    assert server.stop() == 0
    found = check(server)
    assert found.returncode != 0 and "has lost commits: its last commit was number" in found.stdout, found.stdout
    assert "will not be reported again" in check(server, "--repair").stdout
    assert check(server).returncode == 0
