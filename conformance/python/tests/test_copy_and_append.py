"""CopyObject and AppendObject through the SDKs, with their directives, conditions and refusals."""

import hashlib
import threading

import oss2
import pytest

from test_multipart import PART, crc64, refused, upload

BODY = bytes(range(256)) * 500


@pytest.fixture
def bucket(server, version):
    return server.new_bucket(version=version)


@pytest.mark.parametrize("body", [b"", b"small", BODY], ids=["empty", "small", "large"])
def test_a_copy_has_the_bytes_and_the_metadata(bucket, server, body):
    headers = {"Content-Type": "text/x", "x-oss-meta-a": "1", "x-oss-object-acl": "public-read", "x-oss-tagging": "k=v"}
    bucket.put_object("from key?", body, headers=headers)
    target = server.new_bucket()
    for to in (bucket, target):
        copied = to.copy_object(bucket.bucket_name, "from key?", "to")
        assert copied.etag == hashlib.md5(body).hexdigest().upper()
        got = to.get_object("to")
        assert (got.read(), got.content_type, got.headers["x-oss-meta-a"]) == (body, "text/x", "1")
        assert got.headers["x-oss-hash-crc64ecma"] == copied.headers["x-oss-hash-crc64ecma"] == crc64(body)
        assert to.get_object_acl("to").acl == "default"
        assert to.get_object_tagging("to").tag_set.tagging_rule == {"k": "v"}
    bucket.delete_object("from key?")
    assert bucket.get_object("to").read() == body


def test_metadata_and_tags_are_replaced_on_request(bucket):
    bucket.put_object("from", BODY, headers={"x-oss-meta-a": "1", "x-oss-tagging": "k=v"})
    headers = {
        "x-oss-metadata-directive": "REPLACE",
        "x-oss-tagging-directive": "Replace",
        "x-oss-tagging": "n=w",
        "x-oss-meta-b": "2",
        "Content-Type": "text/y",
        "x-oss-object-acl": "private",
        "x-oss-storage-class": "IA",
    }
    bucket.copy_object(bucket.bucket_name, "from", "to", headers=headers)
    head = bucket.head_object("to")
    assert (head.headers["x-oss-meta-b"], head.content_type, head.headers["x-oss-storage-class"]) == ("2", "text/y", "IA")
    assert "x-oss-meta-a" not in head.headers
    assert bucket.get_object_tagging("to").tag_set.tagging_rule == {"n": "w"}
    assert bucket.get_object_acl("to").acl == "private"
    # With COPY the headers of the request are not those of the object.
    bucket.copy_object(bucket.bucket_name, "from", "to", headers={"x-oss-meta-c": "3"})
    head = bucket.head_object("to")
    assert (head.headers["x-oss-meta-a"], "x-oss-meta-c" in head.headers) == ("1", False)


def test_a_copy_onto_itself_changes_metadata_alone(bucket):
    bucket.put_object("key", BODY, headers={"x-oss-meta-a": "1"})
    copied = bucket.copy_object(bucket.bucket_name, "key", "key", headers={"x-oss-meta-b": "2"})
    got = bucket.get_object("key")
    assert (got.read(), got.etag) == (BODY, copied.etag)
    assert (got.headers["x-oss-meta-b"], "x-oss-meta-a" in got.headers) == ("2", False)
    bucket.update_object_meta("key", {"x-oss-meta-c": "3"})
    assert bucket.head_object("key").headers["x-oss-meta-c"] == "3"
    assert bucket.get_object("key").read() == BODY


def test_a_copy_of_parts_is_a_normal_object(bucket):
    upload_id, parts = upload(bucket, "from", {1: b"a" * PART, 2: b"b"})
    bucket.complete_multipart_upload("from", upload_id, parts)
    bucket.copy_object(bucket.bucket_name, "from", "to")
    head = bucket.head_object("to")
    assert (head.headers["x-oss-object-type"], head.etag) == (
        "Normal",
        hashlib.md5(b"a" * PART + b"b").hexdigest().upper(),
    )


def test_conditions_on_the_source(bucket):
    etag = bucket.put_object("from", b"x").etag
    past, future = "Mon, 01 Jan 2024 00:00:00 GMT", "Thu, 01 Jan 2032 00:00:00 GMT"
    copy = lambda **conditions: lambda: bucket.copy_object(  # noqa: E731
        bucket.bucket_name, "from", "to", headers={f"x-oss-copy-source-if-{n.replace('_', '-')}": v for n, v in conditions.items()}
    )
    copy(match=etag)()
    copy(unmodified_since=future)()
    copy(modified_since=past)()
    copy(none_match="0" * 32)()
    refused(copy(match="0" * 32), 412, "PreconditionFailed")
    refused(copy(unmodified_since=past), 412, "PreconditionFailed")
    for conditions in ({"none_match": etag}, {"modified_since": future}):
        with pytest.raises(oss2.exceptions.NotModified):
            copy(**conditions)()


def test_what_a_copy_refuses(bucket, server):
    bucket.put_object("from", b"x")
    name = bucket.bucket_name
    refused(lambda: bucket.copy_object(name, "absent", "to"), 404, "NoSuchKey")
    refused(lambda: bucket.copy_object("no-such-bucket-here", "from", "to"), 404, "NoSuchBucket")
    bucket.put_object("to", b"old")
    forbid = {"x-oss-forbid-overwrite": "true"}
    refused(lambda: bucket.copy_object(name, "from", "to", headers=forbid), 409, "FileAlreadyExists")
    refused(lambda: bucket.copy_object(name, "from", "to", headers={"x-oss-metadata-directive": "x"}), 400, "InvalidArgument")
    refused(
        lambda: bucket.put_object("to", b"", headers={"x-oss-copy-source": "nothing"}), 400, "InvalidArgument"
    )
    assert bucket.get_object("to").read() == b"old"


def test_a_copy_needs_to_read_the_source_and_write_the_target(server):
    private = server.new_bucket()
    private.put_object("from", b"secret")
    public = server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ_WRITE)
    public.put_object("from", b"open")
    anyone = server.anonymous(public.bucket_name)
    anyone.copy_object(public.bucket_name, "from", "to")
    assert public.get_object("to").read() == b"open"
    refused(lambda: anyone.copy_object(private.bucket_name, "from", "stolen"), 403, "AccessDenied")
    elsewhere = server.anonymous(private.bucket_name)
    refused(lambda: elsewhere.copy_object(public.bucket_name, "from", "in"), 403, "AccessDenied")


def test_appends_grow_an_object(bucket):
    pieces = [b"", b"line 1\n", b"x" * 20_000, b"y" * 300_000, b"z", b"end"]
    whole = b""
    for number, piece in enumerate(pieces):
        headers = {"Content-Type": "text/plain", "x-oss-meta-a": "1"} if number == 0 else {"x-oss-meta-b": "2"}
        done = bucket.append_object("log", len(whole), piece, headers=headers)
        whole += piece
        assert done.next_position == len(whole)
        assert done.headers["x-oss-hash-crc64ecma"] == crc64(whole)
        got = bucket.get_object("log")
        assert got.read() == whole
        assert (got.headers["x-oss-object-type"], got.headers["x-oss-next-append-position"]) == ("Appendable", str(len(whole)))
        assert (got.headers["x-oss-meta-a"], "x-oss-meta-b" in got.headers, got.content_type) == ("1", False, "text/plain")
    assert bucket.get_object("log", byte_range=(6, 20_008)).read() == whole[6:20_009]


def test_what_an_append_refuses(bucket):
    refused(lambda: bucket.append_object("log", 5, b"x"), 409, "PositionNotEqualToLength")
    bucket.append_object("log", 0, b"12345")
    error = refused(lambda: bucket.append_object("log", 3, b"x"), 409, "PositionNotEqualToLength")
    assert error.headers["x-oss-next-append-position"] == "5"
    refused(lambda: bucket.append_object("log", "x", b"x"), 400, "InvalidArgument")
    bucket.put_object("plain", b"")
    refused(lambda: bucket.append_object("plain", 0, b"x"), 409, "ObjectNotAppendable")
    bucket.put_object("log", b"plain now")
    refused(lambda: bucket.append_object("log", 9, b"x"), 409, "ObjectNotAppendable")


def test_of_concurrent_appends_one_wins(bucket, server, version):
    outcomes = []

    def append(number):
        client = server.bucket(bucket.bucket_name, version)
        try:
            outcomes.append(client.append_object("log", 0, bytes([number]) * 50_000).next_position)
        except oss2.exceptions.PositionNotEqualToLength as error:
            outcomes.append(error.code)

    threads = [threading.Thread(target=append, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, outcomes)) == ["50000"] + ["PositionNotEqualToLength"] * 7
    assert len(set(bucket.get_object("log").read())) == 1


def test_many_short_appends(bucket):
    for number in range(60):
        bucket.append_object("log", number * 1000, bytes([number]) * 1000)
    assert bucket.get_object("log").read() == b"".join(bytes([number]) * 1000 for number in range(60))
