"""ACLs, tags, symbolic links and batches of deletions through the SDKs, and what one caller may do with them."""

import alibabacloud_oss_v2 as oss
import oss2
import pytest
import requests

from millpond_test.server import ACCESS_KEY_ID, ACCESS_KEY_SECRET
from test_multipart import refused


@pytest.fixture
def bucket(server, version):
    return server.new_bucket(version=version)


def test_acls_of_objects(bucket, server):
    bucket.put_object("key", b"x")
    before = bucket.head_object("key").last_modified
    anyone = server.anonymous(bucket.bucket_name)
    assert bucket.get_object_acl("key").acl == "default"
    refused(lambda: anyone.get_object("key"), 403, "AccessDenied")
    for acl in ("public-read", "private", "public-read-write", "default"):
        bucket.put_object_acl("key", acl)
        assert bucket.get_object_acl("key").acl == acl
        if acl.startswith("public"):
            assert anyone.get_object("key").read() == b"x"
        else:
            refused(lambda: anyone.get_object("key"), 403, "AccessDenied")
    assert bucket.head_object("key").last_modified == before
    refused(lambda: bucket.put_object_acl("key", "open"), 400, "InvalidArgument")
    refused(lambda: bucket.put_object_acl("absent", "private"), 404, "NoSuchKey")
    refused(lambda: bucket.get_object_acl("absent"), 404, "NoSuchKey")
    bucket.put_object_acl("key", "public-read-write")
    refused(lambda: anyone.get_object_acl("key"), 403, "AccessDenied")
    refused(lambda: anyone.put_object_acl("key", "default"), 403, "AccessDenied")


def tagging(**tags):
    rule = oss2.models.TaggingRule()
    for key, value in tags.items():
        rule.add(key, value)
    return oss2.models.Tagging(rule)


def test_tags_of_objects(bucket):
    bucket.put_object("key", b"x", headers={"x-oss-tagging": "a=1&b=%E4%B8%AD"})
    assert bucket.get_object_tagging("key").tag_set.tagging_rule == {"a": "1", "b": "中"}
    assert bucket.head_object("key").headers["x-oss-tagging-count"] == "2"
    bucket.put_object_tagging("key", tagging(c="3", d=""))
    assert bucket.get_object_tagging("key").tag_set.tagging_rule == {"c": "3", "d": ""}
    bucket.delete_object_tagging("key")
    assert bucket.get_object_tagging("key").tag_set.tagging_rule == {}
    assert "x-oss-tagging-count" not in bucket.head_object("key").headers
    refused(lambda: bucket.put_object_tagging("key", tagging(**{f"k{n}": "v" for n in range(11)})), 400, "InvalidTag")
    refused(lambda: bucket.put_object_tagging("absent", tagging(a="1")), 404, "NoSuchKey")
    refused(lambda: bucket.put_object("key", b"", headers={"x-oss-tagging": "a=1&a=2"}), 400, "InvalidArgument")


def test_links_are_followed(bucket):
    bucket.put_object("dir/target 1", b"content", headers={"Content-Type": "text/x"})
    bucket.put_symlink("dir/target 1", "link", headers={"x-oss-meta-a": "1"})
    got = bucket.get_object("link")
    assert (got.read(), got.headers["x-oss-object-type"], got.content_type) == (b"content", "Symlink", "text/x")
    assert got.etag == bucket.head_object("dir/target 1").etag == bucket.head_object("link").etag
    assert bucket.get_object("link", byte_range=(1, 3)).read() == b"ont"
    link = bucket.get_symlink("link")
    assert (link.target_key, link.headers["x-oss-meta-a"]) == ("dir/target 1", "1")
    listed = {entry.key: entry for entry in bucket.list_objects_v2().object_list}
    assert (listed["link"].type, listed["link"].size) == ("Symlink", 0)
    refused(lambda: bucket.get_symlink("dir/target 1"), 400, "NotSymlink")
    refused(lambda: bucket.get_symlink("absent"), 404, "NoSuchKey")
    bucket.put_symlink("link", "second")
    refused(lambda: bucket.get_object("second"), 400, "InvalidTargetType")
    bucket.delete_object("dir/target 1")
    refused(lambda: bucket.get_object("link"), 404, "SymlinkTargetNotExist")
    bucket.delete_object("link")
    assert not bucket.object_exists("link")


def test_a_copied_link_is_a_link(bucket):
    bucket.put_object("target", b"content")
    bucket.put_symlink("target", "link")
    bucket.copy_object(bucket.bucket_name, "link", "copy")
    assert bucket.get_symlink("copy").target_key == "target"
    assert bucket.get_object("copy").read() == b"content"


def test_a_link_opens_nothing(server):
    bucket = server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ_WRITE)
    bucket.put_object("secret", b"content", headers={"x-oss-object-acl": "private"})
    anyone = server.anonymous(bucket.bucket_name)
    anyone.put_symlink("secret", "link")
    refused(lambda: anyone.get_object("link"), 403, "AccessDenied")
    assert bucket.get_object("link").read() == b"content"


def test_batches_are_deleted(bucket):
    keys = ["a", "dir/b c", "测试", "&<>\"'"]
    for key in keys:
        bucket.put_object(key, b"x")
    bucket.put_object("kept", b"x")
    assert bucket.batch_delete_objects(keys + ["absent", "a"]).deleted_keys == keys + ["absent", "a"]
    assert [entry.key for entry in bucket.list_objects_v2().object_list] == ["kept"]
    refused(lambda: bucket.batch_delete_objects([f"k{n}" for n in range(1001)]), 400, "MalformedXML")


def test_quiet_batches_say_nothing(server):
    bucket = server.new_bucket()
    bucket.put_object("key", b"x")
    config = oss.config.load_default()
    config.credentials_provider = oss.credentials.StaticCredentialsProvider(ACCESS_KEY_ID, ACCESS_KEY_SECRET)
    config.region, config.endpoint = "cn-hangzhou", server.endpoint
    client = oss.Client(config)
    request = oss.DeleteMultipleObjectsRequest(bucket=bucket.bucket_name, objects=[oss.DeleteObject(key="key")], quiet=True)
    assert client.delete_multiple_objects(request).status_code == 200
    assert not bucket.object_exists("key")


def test_a_batch_is_deleted_whole_or_not_at_all(server):
    bucket = server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ_WRITE)
    bucket.put_object("open", b"x")
    bucket.put_object("closed", b"x", headers={"x-oss-object-acl": "public-read"})
    anyone = server.anonymous(bucket.bucket_name)
    refused(lambda: anyone.batch_delete_objects(["open", "closed"]), 403, "AccessDenied")
    assert bucket.object_exists("open")
    anyone.batch_delete_objects(["open"])
    assert not bucket.object_exists("open")


def test_versions_of_a_bucket_that_has_none(bucket):
    for key in ("a", "b/1", "b/2"):
        bucket.put_object(key, b"x")
    versions = bucket.list_object_versions().versions
    assert [(entry.key, entry.versionid, entry.is_latest) for entry in versions] == [
        (key, "null", True) for key in ("a", "b/1", "b/2")
    ]
    folded = bucket.list_object_versions(delimiter="/")
    assert ([entry.key for entry in folded.versions], folded.prefix_list if hasattr(folded, "prefix_list") else folded.common_prefix) == (["a"], ["b/"])
    page = bucket.list_object_versions(max_keys=1)
    assert (page.is_truncated, page.next_key_marker) == (True, "a")


def test_the_tag_of_an_upload_needs_the_right_to_tag(server):
    bucket = server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ_WRITE)
    answer = requests.put(server.url(f"{bucket.bucket_name}/key"), data=b"x", headers={"x-oss-tagging": "a=1"}, timeout=10)
    assert answer.status_code == 403
    assert requests.put(server.url(f"{bucket.bucket_name}/key"), data=b"x", timeout=10).status_code == 200
