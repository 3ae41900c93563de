"""The newer official SDK, alibabacloud-oss-v2, on the operations of this server; it signs V4 unless told otherwise."""

import alibabacloud_oss_v2 as oss
import pytest
import requests

from millpond_test.server import ACCESS_KEY_ID, ACCESS_KEY_SECRET, REGION

BODY = b"0123456789" * 1000


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


def test_a_bucket_from_birth_to_death(client):
    name = "sdk-v2-life"
    assert client.put_bucket(oss.PutBucketRequest(bucket=name, acl="private")).status_code == 200
    assert client.is_bucket_exist(name)
    info = client.get_bucket_info(oss.GetBucketInfoRequest(bucket=name)).bucket_info
    assert (info.name, info.location, info.acl) == (name, "oss-cn-hangzhou", "private")
    client.put_bucket_acl(oss.PutBucketAclRequest(bucket=name, acl="public-read"))
    assert client.get_bucket_acl(oss.GetBucketAclRequest(bucket=name)).acl == "public-read"
    assert client.get_bucket_location(oss.GetBucketLocationRequest(bucket=name)).location == "oss-cn-hangzhou"
    assert name in [bucket.name for bucket in client.list_buckets(oss.ListBucketsRequest(prefix="sdk-v2")).buckets]
    assert client.delete_bucket(oss.DeleteBucketRequest(bucket=name)).status_code == 204
    assert not client.is_bucket_exist(name)


def test_an_object_from_birth_to_death(client, name):
    put = client.put_object(oss.PutObjectRequest(bucket=name, key="dir/a b", body=BODY, metadata={"author": "me"}))
    assert put.status_code == 200
    head = client.head_object(oss.HeadObjectRequest(bucket=name, key="dir/a b"))
    assert (head.content_length, head.etag, head.metadata["author"]) == (len(BODY), put.etag, "me")
    got = client.get_object(oss.GetObjectRequest(bucket=name, key="dir/a b"))
    assert got.body.read() == BODY
    part = client.get_object(oss.GetObjectRequest(bucket=name, key="dir/a b", range_header="bytes=10-19", range_behavior="standard"))
    assert (part.status_code, part.body.read()) == (206, BODY[10:20])
    assert client.delete_object(oss.DeleteObjectRequest(bucket=name, key="dir/a b")).status_code == 204
    assert not client.is_object_exist(name, "dir/a b")


def test_listing(client, name):
    keys = sorted(f"live/{number}.ts" for number in range(7)) + ["z"]
    for key in keys:
        client.put_object(oss.PutObjectRequest(bucket=name, key=key, body=b"x"))
    pages = client.list_objects_v2_paginator(limit=3)
    found = [entry.key for page in pages.iter_page(oss.ListObjectsV2Request(bucket=name)) for entry in page.contents or []]
    assert found == keys
    folded = client.list_objects_v2(oss.ListObjectsV2Request(bucket=name, delimiter="/"))
    assert [entry.prefix for entry in folded.common_prefixes] == ["live/"]
    assert folded.key_count == 2
    first = client.list_objects(oss.ListObjectsRequest(bucket=name, max_keys=2))
    assert [entry.key for entry in first.contents] == keys[:2]


def test_presigned_urls(client, name):
    put = client.presign(oss.PutObjectRequest(bucket=name, key="dir/key"))
    assert requests.put(put.url, data=BODY, headers=put.signed_headers, timeout=10).status_code == 200
    get = client.presign(oss.GetObjectRequest(bucket=name, key="dir/key"))
    assert requests.get(get.url, headers=get.signed_headers, timeout=10).content == BODY


def test_errors_are_understood(client, name):
    with pytest.raises(oss.exceptions.OperationError) as caught:
        client.get_object(oss.GetObjectRequest(bucket=name, key="nothing"))
    error = caught.value.unwrap()
    assert (error.status_code, error.code, len(error.request_id)) == (404, "NoSuchKey", 24)
    with pytest.raises(oss.exceptions.OperationError) as caught:
        client.head_object(oss.HeadObjectRequest(bucket=name, key="nothing"))
    assert caught.value.unwrap().code == "NoSuchKey"
