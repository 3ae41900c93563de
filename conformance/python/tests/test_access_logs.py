"""PutBucketLogging is delivered: lines of the documented form, an object an hour, written on time and when the server stops."""

import hashlib
import re
import threading

import oss2
import pytest
import requests
from oss2.models import BucketLogging

from millpond_test.server import ACCESS_KEY_ID, SERVERS, wait_for

FIELDS = [
    "remote_ip", "reserved", "reserved_too", "time", "url", "status", "sent", "took_ms", "referer", "agent", "host", "request_id",
    "flag", "requester", "operation", "bucket", "key", "object_size", "server_ms", "error", "request_bytes", "owner", "delta",
    "sync", "storage_class", "target_class", "access_point", "access_key",
]  # fmt: skip
TOKEN = re.compile(r'"([^"]*)"|\[([^\]]*)\]|(\S+)')


def parse(line: str) -> dict:
    values = ["".join(groups) for groups in TOKEN.findall(line)]
    assert len(values) == len(FIELDS), line
    return dict(zip(FIELDS, values))


def log_objects(target):
    return sorted(entry.key for entry in target.list_objects("logs/").object_list)


def lines(target):
    text = b"".join(target.get_object(key).read() for key in log_objects(target)).decode()
    assert text == "" or text.endswith("\n")
    return [parse(line) for line in text.splitlines()]


def logged(server):
    """A bucket, and the one that gets its log."""
    bucket, target = server.new_bucket(), server.new_bucket()
    bucket.put_bucket_logging(BucketLogging(target.bucket_name, "logs/"))
    return bucket, target


def lax(interval_s: int) -> str:
    return f"[storage]\naccess_log_interval_s = {interval_s}\n"


def test_requests_become_lines(fresh_server):
    server = fresh_server(settings=lax(1))
    bucket, target = logged(server)
    name = bucket.bucket_name
    bucket.put_object("a b", b"x" * 1000, headers={"Referer": "https://example.com/page", "User-Agent": 'me "1"'})
    bucket.get_object("a b", byte_range=(0, 9)).read()
    bucket.head_object("a b")
    with pytest.raises(oss2.exceptions.NoSuchKey):
        bucket.get_object("absent")
    refused = requests.get(server.url(f"{name}/a%20b?Signature=secret&x=1"), timeout=10)
    bucket.list_objects()
    other = server.new_bucket()
    other.put_object("unlogged", b"x")
    found = wait_for(lambda: (seen := lines(target)) and len(seen) >= 6 and seen, "six lines")
    # The configuration itself was put before there was any.
    expected = [
        ("PutObject", "200"), ("GetObject", "206"), ("HeadObject", "200"), ("GetObject", "404"), ("GetObject", "403"), ("ListObjects", "200"),
    ]  # fmt: skip
    if SERVERS > 1:
        # Each writes the lines of its own requests.
        found.sort(key=lambda line: expected.index((line["operation"], line["status"])))
    assert [(line["operation"], line["status"]) for line in found] == expected
    put, part, head, absent, anonymous, listed = found
    owner = bucket.get_bucket_info().owner.id
    for line in found:
        assert (line["remote_ip"], line["reserved"], line["flag"], line["bucket"]) == ("127.0.0.1", "-", "true", name)
        assert re.fullmatch(r"\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000", line["time"])
        assert (line["owner"], line["host"], len(line["request_id"])) == (owner, server.http_address, 24)
        assert int(line["took_ms"]) >= int(line["server_ms"]) >= 0
        assert int(line["request_bytes"]) > 100
    assert (put["url"], put["status"], put["sent"]) == (f"PUT /{name}/a%20b HTTP/1.1", "200", "0")
    assert (put["referer"], put["agent"], put["key"]) == ("https://example.com/page", "me %221%22", "a%20b")
    assert (put["object_size"], put["requester"], put["access_key"]) == ("1000", owner, ACCESS_KEY_ID)
    assert int(put["request_bytes"]) > 1000
    assert (part["status"], part["sent"], part["object_size"], part["storage_class"]) == ("206", "10", "1000", "Standard")
    assert (head["status"], head["sent"], head["object_size"], head["error"]) == ("200", "0", "1000", "-")
    assert (absent["status"], absent["error"], absent["key"]) == ("404", "NoSuchKey", "absent")
    assert (anonymous["status"], anonymous["requester"], anonymous["access_key"]) == (str(refused.status_code), "-", "-")
    assert int(anonymous["sent"]) == len(refused.content)
    assert anonymous["url"] == f"GET /{name}/a%20b?Signature=***&x=1 HTTP/1.1"
    assert anonymous["request_id"] == refused.headers["x-oss-request-id"]
    assert listed["key"] == "-"
    bucket.delete_bucket_logging()
    bucket.put_object("after", b"x")
    bucket.put_bucket_logging(BucketLogging(target.bucket_name, "logs/"))
    bucket.put_object("again", b"x")
    wait_for(lambda: any(line["key"] == "again" for line in lines(target)), "a line after logging was switched on again")
    assert all(line["key"] != "after" for line in lines(target))


def test_an_object_grows_for_an_hour_and_stays_whole(fresh_server):
    server = fresh_server(settings=lax(1))
    bucket, target = logged(server)
    count = 0
    for size in (1, 200, 5):
        for _ in range(size):
            bucket.object_exists(f"key-{count}")
            count += 1
        wait_for(lambda: len(lines(target)) == count, f"{count} lines")
    # Two when the hour ends just now, of each server.
    names = log_objects(target)
    assert 1 <= len(names) <= 2 * SERVERS
    for name in names:
        assert re.fullmatch(rf"logs/{bucket.bucket_name}\d{{4}}(-\d\d){{5}}-[0-9A-F]+", name), name
        got = target.get_object(name)
        body = got.read()
        assert got.etag == hashlib.md5(body).hexdigest().upper()
        assert (got.headers["x-oss-object-type"], got.content_type) == ("Normal", "text/plain")
    keys = [line["key"] for line in lines(target)]
    if SERVERS > 1:
        keys.sort(key=lambda key: int(key.removeprefix("key-")))
    assert keys == [f"key-{number}" for number in range(count)]
    # An object that somebody took away is not written again.
    target.batch_delete_objects(names)
    bucket.object_exists("later")
    wait_for(lambda: [line["key"] for line in lines(target)] == ["later"], "a new object")
    assert not set(names) & set(log_objects(target))


def test_lines_are_written_when_the_server_stops(fresh_server):
    server = fresh_server(settings=lax(3600))
    bucket, target = logged(server)

    def ask(number):
        own = server.bucket(bucket.bucket_name)
        for _ in range(50):
            own.object_exists(f"key-{number}")

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert log_objects(target) == []
    assert server.stop() == 0
    assert server.findings().returncode == 0
    server.start()
    target = server.bucket(target.bucket_name)
    assert sorted(line["key"] for line in lines(target)) == sorted(f"key-{number}" for number in range(4) for _ in range(50))


def test_lines_without_a_bucket_are_counted(fresh_server):
    server = fresh_server(settings=lax(1))
    bucket, target = logged(server)
    target.delete_bucket()
    bucket.object_exists("key")
    wait_for(lambda: "millpond_access_log_dropped_total 1" in server.admin("/metrics").text, "the drop is counted")
    assert bucket.get_bucket_logging().target_bucket == target.bucket_name
