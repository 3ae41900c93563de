"""CompleteMultipartUpload without parts makes an empty object: so the Java and Go v2 SDKs upload empty files."""

import oss2
import pytest

from millpond_test.signing import Request, v1_header, v4_header
from test_multipart import PART, crc64, refused

EMPTY_TAG = '"D41D8CD98F00B204E9800998ECF8427E-0"'


@pytest.fixture
def bucket(server, version):
    return server.new_bucket(version=version)


def complete(server, bucket, key, upload_id, body: bytes, headers=()):
    query = [("uploadId", upload_id)]
    return v1_header(Request("POST", bucket.bucket_name, key, query=query, headers=list(headers), body=body)).send(server)


def test_an_upload_without_parts_is_an_empty_object(bucket):
    headers = {"Content-Type": "text/x", "x-oss-meta-a": "1"}
    upload_id = bucket.init_multipart_upload("empty", headers=headers).upload_id
    done = bucket.complete_multipart_upload("empty", upload_id, [])
    assert (done.status, done.headers["ETag"], done.headers["x-oss-hash-crc64ecma"]) == (200, EMPTY_TAG, crc64(b""))
    got = bucket.get_object("empty")
    assert (got.read(), got.content_type, got.headers["x-oss-meta-a"], got.headers["Content-Length"]) == (b"", "text/x", "1", "0")
    assert (got.headers["x-oss-object-type"], got.headers["ETag"]) == ("Multipart", EMPTY_TAG)
    listed = bucket.list_objects_v2().object_list
    assert [(entry.key, entry.size) for entry in listed] == [("empty", 0)]
    assert list(oss2.MultipartUploadIterator(bucket)) == []
    # It can be copied and overwritten like any other.
    bucket.copy_object(bucket.bucket_name, "empty", "copy")
    assert bucket.get_object("copy").read() == b""
    bucket.put_object("empty", b"x")
    assert bucket.get_object("empty").read() == b"x"


@pytest.mark.parametrize("body", [b"<CompleteMultipartUpload></CompleteMultipartUpload>", b"<CompleteMultipartUpload/>", b'<?xml version="1.0" encoding="UTF-8"?>\n<CompleteMultipartUpload>\n</CompleteMultipartUpload>'])  # fmt: skip
def test_as_other_clients_write_it(server, bucket, body):
    upload_id = bucket.init_multipart_upload("empty").upload_id
    answer = complete(server, bucket, "empty", upload_id, body)
    assert answer.status == 200, answer.body
    assert bucket.get_object("empty").read() == b""


def test_an_upload_that_is_not_there_is_said_first(server, bucket):
    """A client that repeats its completion learns that it is over, whatever its list says."""
    upload_id = bucket.init_multipart_upload("empty").upload_id
    bucket.complete_multipart_upload("empty", upload_id, [])
    bad = b"<CompleteMultipartUpload><Part></Part></CompleteMultipartUpload>"
    for key, one in (("empty", upload_id), ("other", upload_id), ("empty", "nonsense")):
        for body in (b"<CompleteMultipartUpload></CompleteMultipartUpload>", bad, b"", b"nonsense"):
            assert complete(server, bucket, key, one, body).seen == (404, "NoSuchUpload"), (key, body)
    twice = [("x-oss-complete-all", "yes")]
    assert complete(server, bucket, "empty", upload_id, b"x", twice).seen == (404, "NoSuchUpload")


def test_parts_are_not_thrown_away_for_an_empty_list(server, bucket):
    bucket.put_object("key", b"old")
    upload_id = bucket.init_multipart_upload("key").upload_id
    part = oss2.models.PartInfo(1, bucket.upload_part("key", upload_id, 1, b"x" * PART).etag)
    refused(lambda: bucket.complete_multipart_upload("key", upload_id, []), 400, "MalformedXML")
    assert bucket.get_object("key").read() == b"old"
    bucket.complete_multipart_upload("key", upload_id, [part])
    assert bucket.get_object("key").read() == b"x" * PART


def test_what_is_no_list_is_still_refused(server, bucket):
    upload_id = bucket.init_multipart_upload("key").upload_id
    for body in (b"", b"nonsense", b"<Complete></Complete>", b"<CompleteMultipartUpload><Part></Part></CompleteMultipartUpload>"):
        assert complete(server, bucket, "key", upload_id, body).seen == (400, "MalformedXML"), body
    assert complete(server, bucket, "key", upload_id, b"", [("x-oss-complete-all", "yes")]).seen == (400, "InvalidPart")
    bucket.put_object("key", b"old")
    forbid = {"x-oss-forbid-overwrite": "true"}
    refused(lambda: bucket.complete_multipart_upload("key", upload_id, [], headers=forbid), 409, "FileAlreadyExists")
    assert bucket.get_object("key").read() == b"old"


def test_an_empty_completion_is_signed_v4_too(server, bucket):
    upload_id = bucket.init_multipart_upload("empty").upload_id
    body = b"<CompleteMultipartUpload></CompleteMultipartUpload>"
    request = Request("POST", bucket.bucket_name, "empty", query=[("uploadId", upload_id)], body=body)
    assert v4_header(request).send(server).status == 200
