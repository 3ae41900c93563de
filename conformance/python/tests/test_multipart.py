"""Multipart uploads through both SDKs: parts in any order, replaced, copied, listed, completed, given up."""

import hashlib

import crcmod
import oss2
import pytest
from oss2.models import PartInfo

PART = 100 * 1024


@pytest.fixture
def bucket(server, version):
    return server.new_bucket(version=version)


def refused(call, status: int, code: str):
    with pytest.raises(oss2.exceptions.ServerError) as caught:
        call()
    assert (caught.value.status, caught.value.code) == (status, code), caught.value
    return caught.value


def crc64(data: bytes) -> str:
    return str(crcmod.Crc(0x142F0E1EBA9EA3693, initCrc=0, rev=True, xorOut=0xFFFFFFFFFFFFFFFF).new(data).crcValue)


def upload(bucket, key, pieces, order=None, **options):
    upload_id = bucket.init_multipart_upload(key, **options).upload_id
    parts = {}
    for number in order or sorted(pieces):
        parts[number] = PartInfo(number, bucket.upload_part(key, upload_id, number, pieces[number]).etag)
    return upload_id, [parts[number] for number in sorted(parts)]


def test_parts_in_any_order_become_one_object(bucket):
    pieces = {1: b"a" * PART, 7: b"b" * (PART + 1), 10000: b"tail"}
    upload_id, parts = upload(
        bucket, "dir/big", pieces, order=[10000, 1, 7], headers={"x-oss-meta-who": "me", "Content-Type": "video/x"}
    )
    assert len(upload_id) == 32
    done = bucket.complete_multipart_upload("dir/big", upload_id, parts)
    whole = b"".join(pieces[number] for number in sorted(pieces))
    tags = "".join(hashlib.md5(pieces[number]).hexdigest().upper() for number in sorted(pieces))
    assert done.etag == f"{hashlib.md5(tags.encode()).hexdigest().upper()}-3"
    assert done.headers["x-oss-hash-crc64ecma"] == crc64(whole)
    got = bucket.get_object("dir/big")
    assert got.read() == whole
    assert (got.headers["x-oss-object-type"], got.headers["x-oss-meta-who"]) == ("Multipart", "me")
    assert (got.headers["x-oss-hash-crc64ecma"], got.content_type, got.etag) == (crc64(whole), "video/x", done.etag)
    assert "Content-MD5" not in got.headers
    across = bucket.get_object("dir/big", byte_range=(PART - 3, PART + 4))
    assert across.read() == whole[PART - 3 : PART + 5]
    refused(lambda: bucket.complete_multipart_upload("dir/big", upload_id, parts), 404, "NoSuchUpload")


def test_sdk_quirk_11_the_tag_of_an_upload_is_made_as_documented(bucket):
    upload_id, parts = upload(bucket, "key", {1: b"a" * 102400, 5: b"b" * 10})
    assert bucket.complete_multipart_upload("key", upload_id, parts).etag == "16F2D8490DA86AC7AA4B726C3553BAC8-2"


def test_a_part_sent_again_replaces_the_one_before(bucket):
    upload_id, _ = upload(bucket, "key", {1: b"a" * PART, 2: b"old"})
    second = bucket.upload_part("key", upload_id, 2, b"new")
    listed = bucket.list_parts("key", upload_id).parts
    assert [(part.part_number, part.size) for part in listed] == [(1, PART), (2, 3)]
    bucket.complete_multipart_upload("key", upload_id, [PartInfo(1, listed[0].etag), PartInfo(2, second.etag)])
    assert bucket.get_object("key").read() == b"a" * PART + b"new"


def test_parts_that_are_not_listed_are_left_out(bucket):
    upload_id, parts = upload(bucket, "key", {1: b"a" * PART, 2: b"b" * PART, 3: b"c"})
    bucket.complete_multipart_upload("key", upload_id, [parts[0], parts[2]])
    assert bucket.get_object("key").read() == b"a" * PART + b"c"


def test_complete_all(bucket):
    upload_id, parts = upload(bucket, "key", {2: b"b" * PART, 9: b"c"})
    both = {"x-oss-complete-all": "yes"}
    refused(lambda: bucket.complete_multipart_upload("key", upload_id, parts, headers=both), 400, "InvalidArgument")
    bucket.complete_multipart_upload("key", upload_id, None, headers=both)
    assert bucket.get_object("key").read() == b"b" * PART + b"c"


def test_what_a_completion_refuses(bucket):
    upload_id, parts = upload(bucket, "key", {1: b"a" * PART, 2: b"b" * PART, 3: b"c"})
    complete = lambda chosen: (lambda: bucket.complete_multipart_upload("key", upload_id, chosen))  # noqa: E731
    # The SDK sorts what it is given, so that a wrong order has to be signed by hand.
    refused(complete([parts[0], PartInfo(4, parts[1].etag)]), 400, "InvalidPart")
    refused(complete([parts[0], PartInfo(2, "0" * 32)]), 400, "InvalidPart")
    refused(complete([]), 400, "MalformedXML")
    refused(lambda: bucket.complete_multipart_upload("other", upload_id, parts), 404, "NoSuchUpload")
    small, small_parts = upload(bucket, "small", {1: b"a" * (PART - 1), 2: b"b"})
    refused(lambda: bucket.complete_multipart_upload("small", small, small_parts), 400, "EntityTooSmall")
    bucket.put_object("key", b"old")
    forbid = {"x-oss-forbid-overwrite": "true"}
    refused(lambda: bucket.complete_multipart_upload("key", upload_id, parts, headers=forbid), 409, "FileAlreadyExists")
    refused(lambda: bucket.init_multipart_upload("key", headers=forbid), 409, "FileAlreadyExists")
    bucket.complete_multipart_upload("key", upload_id, parts, headers={"x-oss-object-acl": "public-read"})
    assert bucket.get_object_acl("key").acl == "public-read"
    assert len(bucket.get_object("key").read()) == 2 * PART + 1


def test_what_a_part_refuses(bucket):
    upload_id = bucket.init_multipart_upload("key").upload_id
    for number in (0, 10001):
        refused(lambda: bucket.upload_part("key", upload_id, number, b"x"), 400, "InvalidArgument")
    refused(lambda: bucket.upload_part("key", "0" * 32, 1, b"x"), 404, "NoSuchUpload")
    refused(lambda: bucket.upload_part("other", upload_id, 1, b"x"), 404, "NoSuchUpload")
    wrong = {"Content-MD5": "1B2M2Y8AsgTpgAmY7PhCfg=="}
    refused(lambda: bucket.upload_part("key", upload_id, 1, b"x", headers=wrong), 400, "InvalidDigest")
    assert bucket.list_parts("key", upload_id).parts == []


def test_an_aborted_upload_is_gone(bucket):
    upload_id, _ = upload(bucket, "key", {1: b"a" * PART})
    assert bucket.abort_multipart_upload("key", upload_id).status == 204
    refused(lambda: bucket.abort_multipart_upload("key", upload_id), 404, "NoSuchUpload")
    refused(lambda: bucket.upload_part("key", upload_id, 2, b"x"), 404, "NoSuchUpload")
    refused(lambda: bucket.list_parts("key", upload_id), 404, "NoSuchUpload")
    assert not bucket.object_exists("key")
    bucket.delete_bucket()


def test_copied_parts(bucket, server):
    source = bytes(range(256)) * 800
    bucket.put_object("source key", source)
    other = server.new_bucket()
    upload_id = bucket.init_multipart_upload("key").upload_id
    first = bucket.upload_part_copy(bucket.bucket_name, "source key", (0, PART - 1), "key", upload_id, 1)
    assert first.headers["Content-Range"] == f"bytes 0-{PART - 1}/{len(source)}"
    second = bucket.upload_part_copy(bucket.bucket_name, "source key", None, "key", upload_id, 2)
    parts = [PartInfo(1, first.etag), PartInfo(2, second.etag)]
    refused(
        lambda: bucket.upload_part_copy(other.bucket_name, "absent", None, "key", upload_id, 3), 404, "NoSuchKey"
    )
    refused(
        lambda: bucket.upload_part_copy(
            bucket.bucket_name, "source key", None, "key", upload_id, 3, headers={"x-oss-copy-source-if-match": "x"}
        ),
        412,
        "PreconditionFailed",
    )
    bucket.complete_multipart_upload("key", upload_id, parts)
    assert bucket.get_object("key").read() == source[:PART] + source


def test_lists_of_parts_are_paged(bucket):
    upload_id, _ = upload(bucket, "测试 key", {number: b"x" * number for number in range(1, 8)})
    numbers = [part.part_number for part in oss2.PartIterator(bucket, "测试 key", upload_id, max_parts=3)]
    assert numbers == list(range(1, 8))
    page = bucket.list_parts("测试 key", upload_id, marker="2", max_parts=2)
    assert ([part.part_number for part in page.parts], page.is_truncated, page.next_marker) == ([3, 4], True, "4")
    assert (page.parts[0].etag, page.parts[0].size) == (hashlib.md5(b"xxx").hexdigest().upper(), 3)


def test_lists_of_uploads_are_paged_and_folded(bucket):
    keys = ["a", "a", "b b", "dir/1", "dir/2", "测试"]
    begun = sorted((key, bucket.init_multipart_upload(key).upload_id) for key in keys)
    found = [(entry.key, entry.upload_id) for entry in oss2.MultipartUploadIterator(bucket, max_uploads=2)]
    assert found == begun
    folded = bucket.list_multipart_uploads(delimiter="/")
    assert folded.prefix_list == ["dir/"]
    assert [entry.key for entry in folded.upload_list] == ["a", "a", "b b", "测试"]
    assert [entry.key for entry in bucket.list_multipart_uploads(prefix="dir/").upload_list] == ["dir/1", "dir/2"]
    ids = [entry.upload_id for entry in oss2.ObjectUploadIterator(bucket, "a")]
    assert ids == sorted(upload_id for key, upload_id in begun if key == "a")
    stat = bucket.get_bucket_stat()
    assert stat.multi_part_upload_count == len(keys)


def test_the_transfer_helper_of_the_sdk(bucket, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * 4096 * 3)
    oss2.resumable_upload(
        bucket, "key", str(path), store=oss2.ResumableStore(root=str(tmp_path)), multipart_threshold=PART, part_size=PART * 2, num_threads=4
    )
    target = tmp_path / "back"
    oss2.resumable_download(
        bucket, "key", str(target), store=oss2.ResumableDownloadStore(root=str(tmp_path)), multiget_threshold=PART, part_size=PART, num_threads=4
    )
    assert target.read_bytes() == path.read_bytes()


def test_many_parts_stream_from_many_blobs(bucket):
    pieces = {number: bytes([number]) * PART for number in range(1, 41)}
    upload_id, parts = upload(bucket, "key", pieces)
    bucket.complete_multipart_upload("key", upload_id, parts)
    assert bucket.get_object("key").read() == b"".join(pieces[number] for number in sorted(pieces))
    bucket.delete_object("key")
    assert bucket.get_bucket_stat().storage_size_in_bytes == 0
