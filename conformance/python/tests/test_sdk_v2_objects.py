"""The newer official SDK, alibabacloud-oss-v2, on parts, copies, appends, links, tags, batches and settings."""

import alibabacloud_oss_v2 as oss
import pytest

from millpond_test.server import ACCESS_KEY_ID, ACCESS_KEY_SECRET, REGION

PART = b"0123456789abcdef" * 6400


@pytest.fixture(params=["v4", "v1"])
def client(server, request):
    config = oss.config.load_default()
    config.credentials_provider = oss.credentials.StaticCredentialsProvider(ACCESS_KEY_ID, ACCESS_KEY_SECRET)
    config.region = REGION
    config.endpoint = server.endpoint
    config.signature_version = request.param
    return oss.Client(config)


@pytest.fixture
def name(server):
    return server.new_bucket().bucket_name


def refused(call, status, code):
    with pytest.raises(oss.exceptions.OperationError) as caught:
        call()
    error = caught.value.unwrap()
    assert (error.status_code, error.code) == (status, code)


def test_an_upload_in_parts(client, name):
    begun = client.initiate_multipart_upload(oss.InitiateMultipartUploadRequest(bucket=name, key="a b", metadata={"who": "me"}))
    first = client.upload_part(
        oss.UploadPartRequest(bucket=name, key="a b", upload_id=begun.upload_id, part_number=1, body=PART)
    )
    client.put_object(oss.PutObjectRequest(bucket=name, key="source", body=PART))
    second = client.upload_part_copy(
        oss.UploadPartCopyRequest(
            bucket=name, key="a b", upload_id=begun.upload_id, part_number=2, source_key="source", source_range="bytes=0-9"
        )
    )
    parts = client.list_parts(oss.ListPartsRequest(bucket=name, key="a b", upload_id=begun.upload_id)).parts
    assert [(part.part_number, part.size) for part in parts] == [(1, len(PART)), (2, 10)]
    assert parts[0].hash_crc64 == first.hash_crc64
    uploads = client.list_multipart_uploads(oss.ListMultipartUploadsRequest(bucket=name)).uploads
    assert [(upload.key, upload.upload_id) for upload in uploads] == [("a b", begun.upload_id)]
    chosen = [oss.UploadPart(part_number=1, etag=first.etag), oss.UploadPart(part_number=2, etag=second.etag)]
    done = client.complete_multipart_upload(
        oss.CompleteMultipartUploadRequest(
            bucket=name, key="a b", upload_id=begun.upload_id, complete_multipart_upload=oss.CompleteMultipartUpload(parts=chosen)
        )
    )
    got = client.get_object(oss.GetObjectRequest(bucket=name, key="a b"))
    assert (got.body.read(), got.etag, got.metadata["who"]) == (PART + b"0123456789", done.etag, "me")
    gone = oss.AbortMultipartUploadRequest(bucket=name, key="a b", upload_id=begun.upload_id)
    refused(lambda: client.abort_multipart_upload(gone), 404, "NoSuchUpload")


def test_the_managers_move_files(client, name, tmp_path):
    path, back = tmp_path / "file", tmp_path / "back"
    path.write_bytes(PART * 30)
    uploaded = client.uploader(part_size=200 * 1024).upload_file(oss.PutObjectRequest(bucket=name, key="k"), str(path))
    assert uploaded.status_code == 200
    client.downloader(part_size=200 * 1024).download_file(oss.GetObjectRequest(bucket=name, key="k"), str(back))
    assert back.read_bytes() == path.read_bytes()


def test_a_copy(client, name):
    client.put_object(oss.PutObjectRequest(bucket=name, key="from/测试", body=PART, metadata={"a": "1"}))
    copied = client.copy_object(oss.CopyObjectRequest(bucket=name, key="to", source_key="from/测试"))
    head = client.head_object(oss.HeadObjectRequest(bucket=name, key="to"))
    assert (head.etag, head.metadata["a"], head.content_length) == (copied.etag, "1", len(PART))


def test_appends(client, name):
    first = client.append_object(oss.AppendObjectRequest(bucket=name, key="log", position=0, body=b"one "))
    assert first.next_position == 4
    second = client.append_object(
        oss.AppendObjectRequest(bucket=name, key="log", position=4, body=b"two", init_hash_crc64=first.hash_crc64)
    )
    assert second.next_position == 7
    refused(
        lambda: client.append_object(oss.AppendObjectRequest(bucket=name, key="log", position=4, body=b"x")),
        409,
        "PositionNotEqualToLength",
    )
    assert client.get_object(oss.GetObjectRequest(bucket=name, key="log")).body.read() == b"one two"


def test_links_tags_and_acls(client, name):
    client.put_object(oss.PutObjectRequest(bucket=name, key="target", body=b"content", tagging="a=1"))
    client.put_symlink(oss.PutSymlinkRequest(bucket=name, key="link", symlink_target="target"))
    assert client.get_symlink(oss.GetSymlinkRequest(bucket=name, key="link")).target == "target"
    assert client.get_object(oss.GetObjectRequest(bucket=name, key="link")).body.read() == b"content"
    tags = client.get_object_tagging(oss.GetObjectTaggingRequest(bucket=name, key="target")).tag_set.tags
    assert [(tag.key, tag.value) for tag in tags] == [("a", "1")]
    client.delete_object_tagging(oss.DeleteObjectTaggingRequest(bucket=name, key="target"))
    client.put_object_acl(oss.PutObjectAclRequest(bucket=name, key="target", acl="public-read"))
    acl = client.get_object_acl(oss.GetObjectAclRequest(bucket=name, key="target"))
    assert acl.acl == "public-read"


def test_a_batch(client, name):
    for key in ("a", "b c"):
        client.put_object(oss.PutObjectRequest(bucket=name, key=key, body=b"x"))
    objects = [oss.DeleteObject(key=key) for key in ("a", "b c", "absent")]
    done = client.delete_multiple_objects(oss.DeleteMultipleObjectsRequest(bucket=name, objects=objects))
    assert [entry.key for entry in done.deleted_objects] == ["a", "b c", "absent"]
    versions = client.list_object_versions(oss.ListObjectVersionsRequest(bucket=name))
    assert not versions.version


def test_settings(client, name):
    refused(lambda: client.get_bucket_cors(oss.GetBucketCorsRequest(bucket=name)), 404, "NoSuchCORSConfiguration")
    rule = oss.CORSRule(allowed_origins=["*"], allowed_methods=["GET"], allowed_headers=["*"], max_age_seconds=5)
    client.put_bucket_cors(
        oss.PutBucketCorsRequest(bucket=name, cors_configuration=oss.CORSConfiguration(cors_rules=[rule]))
    )
    kept = client.get_bucket_cors(oss.GetBucketCorsRequest(bucket=name)).cors_configuration.cors_rules
    assert [rule.allowed_origins for rule in kept] == [["*"]]
    assert client.delete_bucket_cors(oss.DeleteBucketCorsRequest(bucket=name)).status_code == 204
    expire = oss.LifecycleRule(id="r", prefix="p/", status="Enabled", expiration=oss.LifecycleRuleExpiration(days=1))
    client.put_bucket_lifecycle(
        oss.PutBucketLifecycleRequest(bucket=name, lifecycle_configuration=oss.LifecycleConfiguration(rules=[expire]))
    )
    rules = client.get_bucket_lifecycle(oss.GetBucketLifecycleRequest(bucket=name)).lifecycle_configuration.rules
    assert [(rule.id, rule.expiration.days) for rule in rules] == [("r", 1)]
    head = client.put_object(oss.PutObjectRequest(bucket=name, key="p/1", body=b"x"))
    assert 'rule-id="r"' in head.headers["x-oss-expiration"]
    assert client.get_bucket_versioning(oss.GetBucketVersioningRequest(bucket=name)).version_status in (None, "")
    referer = client.get_bucket_referer(oss.GetBucketRefererRequest(bucket=name)).referer_configuration
    assert referer.allow_empty_referer is True
