"""Buckets through oss2 and on the wire: create, inspect, share, list, delete."""

import calendar
import time
import uuid

import oss2
import pytest
import requests

from millpond_test.wire import check_common_headers, check_document, check_error, signed_request

DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'


def refused(call, status: int, code: str):
    with pytest.raises(oss2.exceptions.ServerError) as caught:
        call()
    assert (caught.value.status, caught.value.code) == (status, code), caught.value
    return caught.value


def test_a_new_bucket_has_info_location_and_acl(server, version):
    bucket = server.new_bucket(version=version)
    info = bucket.get_bucket_info()
    assert info.name == bucket.bucket_name
    assert info.location == "oss-cn-hangzhou"
    assert info.storage_class == "Standard"
    assert info.acl.grant == "private"
    created = calendar.timegm(time.strptime(info.creation_date, "%Y-%m-%dT%H:%M:%S.000Z"))
    assert abs(created - time.time()) < 10
    assert info.owner.id == info.owner.display_name and info.owner.id.isdigit()
    assert bucket.get_bucket_location().location == "oss-cn-hangzhou"
    assert bucket.get_bucket_acl().acl == "private"


@pytest.mark.parametrize("acl", ["private", "public-read", "public-read-write"])
def test_acls_at_creation_and_later(server, version, acl):
    bucket = server.new_bucket(acl, version)
    assert bucket.get_bucket_acl().acl == acl
    for other in ("public-read", "private", acl):
        bucket.put_bucket_acl(other)
        assert bucket.get_bucket_acl().acl == other


def test_creating_again_is_fine_and_may_change_the_acl(server, version):
    bucket = server.new_bucket("public-read", version)
    assert bucket.create_bucket().status == 200
    assert bucket.get_bucket_acl().acl == "public-read"
    bucket.create_bucket("private")
    assert bucket.get_bucket_acl().acl == "private"


def test_an_acl_opens_and_closes_reading_and_writing(server):
    bucket = server.new_bucket()
    bucket.put_object("key", b"body")
    url = server.url(f"{bucket.bucket_name}/key")
    for acl, read, write in (("private", 403, 403), ("public-read", 200, 403), ("public-read-write", 200, 200), ("private", 403, 403)):
        bucket.put_bucket_acl(acl)
        assert requests.get(url, timeout=10).status_code == read, acl
        assert requests.put(url, data=b"body", timeout=10).status_code == write, acl


def test_deleting(server, version):
    bucket = server.new_bucket(version=version)
    bucket.put_object("key", b"body")
    refused(bucket.delete_bucket, 409, "BucketNotEmpty")
    bucket.delete_object("key")
    assert bucket.delete_bucket().status == 204
    refused(bucket.get_bucket_info, 404, "NoSuchBucket")
    refused(bucket.delete_bucket, 404, "NoSuchBucket")


def test_buckets_are_listed_with_prefix_and_pages(server, version):
    prefix = f"list-{uuid.uuid4().hex[:8]}-"
    names = [f"{prefix}{number}" for number in range(5)]
    for name in names:
        server.new_bucket(name=name)
    service = server.service(version)
    assert [bucket.name for bucket in service.list_buckets(prefix=prefix).buckets] == names
    page = service.list_buckets(prefix=prefix, max_keys=2)
    assert ([bucket.name for bucket in page.buckets], page.is_truncated, page.next_marker) == (names[:2], True, names[1])
    page = service.list_buckets(prefix=prefix, marker=names[3], max_keys=2)
    assert ([bucket.name for bucket in page.buckets], page.is_truncated) == (names[4:], False)
    assert [bucket.name for bucket in oss2.BucketIterator(service, prefix=prefix, max_keys=2)] == names


@pytest.mark.parametrize("max_keys", ["0", "1001", "x"])
def test_page_sizes_out_of_range_are_refused(server, max_keys):
    response = signed_request(server, "GET", query=f"max-keys={max_keys}")
    assert (response.status_code, "<Code>InvalidArgument</Code>" in response.text) == (400, True)


def test_strangers_list_nothing(server):
    response = requests.get(server.endpoint + "/", timeout=10)
    assert (response.status_code, "<Code>AccessDenied</Code>" in response.text) == (403, True)


@pytest.mark.parametrize("name", ["ab", "x" * 64, "Upper", "under_score", "-dash", "dash-", "favicon.ico"])
def test_names_that_are_no_bucket_names(server, name):
    response = requests.get(server.url(f"{name}/key"), timeout=10)
    check_common_headers(response)
    assert (response.status_code, "<Code>InvalidBucketName</Code>" in response.text) == (400, True), response.text


def test_the_reserved_path_is_no_bucket(server):
    assert requests.get(server.url("-/play"), timeout=10).status_code == 200


def test_the_location_document(server, bucket):
    check_document(
        signed_request(server, "GET", bucket.bucket_name, "", "location"),
        200,
        DECLARATION + "<LocationConstraint>oss-cn-hangzhou</LocationConstraint>\n",
    )


def test_the_acl_document(server, bucket):
    owner = bucket.get_bucket_info().owner.id
    check_document(
        signed_request(server, "GET", bucket.bucket_name, "", "acl"),
        200,
        DECLARATION + "<AccessControlPolicy>\n  <Owner>\n"
        f"    <ID>{owner}</ID>\n    <DisplayName>{owner}</DisplayName>\n  </Owner>\n"
        "  <AccessControlList>\n    <Grant>private</Grant>\n  </AccessControlList>\n</AccessControlPolicy>\n",
    )


def test_an_unknown_acl_is_refused(server, bucket):
    response = signed_request(server, "PUT", bucket.bucket_name, "", "acl", headers={"x-oss-acl": "everybody"})
    check_error(
        response,
        400,
        "InvalidArgument",
        "no such bucket access control exists",
        response.headers.get("x-oss-ec", ""),
        "  <ArgumentName>x-oss-acl</ArgumentName>\n  <ArgumentValue>everybody</ArgumentValue>\n",
    )


def test_the_error_of_a_missing_bucket(server):
    response = signed_request(server, "GET", "test-no-such-bucket", "", "bucketInfo")
    check_common_headers(response)
    assert response.status_code == 404
    assert "<Code>NoSuchBucket</Code>" in response.text
    assert "<Message>The specified bucket does not exist.</Message>" in response.text
