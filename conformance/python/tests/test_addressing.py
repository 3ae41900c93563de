"""Every operation of HTTP API 0 through both Python SDKs, under V1 and V4, however a bucket can be addressed: in the path, as a
host below a domain, and as a domain of its own (HTTP API 1.2, 1.5)."""

import socket
from urllib.parse import quote, unquote

import alibabacloud_oss_v2 as oss
import oss2
import pytest
import requests
from oss2.models import BucketCors, BucketLifecycle, BucketReferer, CorsRule, LifecycleExpiration, LifecycleRule, PartInfo

from millpond_test.server import ACCESS_KEY_ID, ACCESS_KEY_SECRET, REGION, Server, auth
from test_multipart import PART
from test_object_settings import tagging

DOMAIN = "oss.millpond.test"
BUCKETS = [f"{style}-{version}-{sdk}" for style in ("path", "host", "cname") for version in ("v1", "v4") for sdk in ("oss2", "py2")]
SETTINGS = f'domains = ["{DOMAIN}"]\n[custom_domains]\n' + "".join(f'"{name}.test" = "{name}"\n' for name in BUCKETS)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = Server(tmp_path_factory.mktemp("addressing"), settings=SETTINGS).start()
    yield running
    assert running.stop() == 0
    assert "panicked" not in running.log()


@pytest.fixture(autouse=True)
def names_are_loopback(monkeypatch):
    """Names below `.test`, which no resolver knows, lead to the server."""
    resolve = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *rest, **more: resolve("127.0.0.1" if str(host).endswith(".test") else host, *rest, **more)
    )


@pytest.fixture(params=["path", "host", "cname"])
def style(request):
    return request.param


def endpoint(server, style, name) -> str:
    return {"path": server.endpoint, "host": f"http://{DOMAIN}:{server.port}", "cname": f"http://{name}.test:{server.port}"}[style]


def fetched(url, **headers) -> bytes:
    answer = requests.get(url, headers=headers, timeout=10)
    assert answer.status_code == 200, answer.text
    return answer.content


def test_a_tour_with_oss2(server, style, version):
    name = f"{style}-{version}-oss2"
    bucket = oss2.Bucket(auth(version), endpoint(server, style, name), name, is_cname=style == "cname", region=REGION)
    bucket.create_bucket("public-read")
    if style != "cname":
        service = oss2.Service(auth(version), endpoint(server, style, name), region=REGION)
        assert name in [entry.name for entry in service.list_buckets(prefix=name).buckets]
        assert service.describe_regions().regions

    assert (bucket.get_bucket_info().name, bucket.get_bucket_location().location) == (name, "oss-cn-hangzhou")
    bucket.put_bucket_acl("private")
    assert bucket.get_bucket_acl().acl == "private"
    bucket.put_bucket_cors(BucketCors([CorsRule(allowed_origins=["*"], allowed_methods=["GET"])]))
    assert bucket.get_bucket_cors().rules[0].allowed_methods == ["GET"]
    bucket.put_bucket_referer(BucketReferer(True, ["http://a.example"]))
    assert bucket.get_bucket_referer().referers == ["http://a.example"]
    bucket.put_bucket_referer(BucketReferer(True, []))
    bucket.put_bucket_lifecycle(BucketLifecycle([LifecycleRule("r", "p/", expiration=LifecycleExpiration(days=1))]))
    assert bucket.get_bucket_lifecycle().rules[0].id == "r"
    bucket.put_bucket_logging(oss2.models.BucketLogging(name, "logs/"))
    assert bucket.get_bucket_logging().target_prefix == "logs/"
    bucket.put_bucket_website(oss2.models.BucketWebsite("i.html", "e.html"))
    assert bucket.get_bucket_website().index_file == "i.html"
    bucket.put_bucket_tagging(tagging(a="1"))
    assert bucket.get_bucket_tagging().tag_set.tagging_rule == {"a": "1"}
    policy = '{"Version":"1","Statement":[{"Effect":"Allow","Principal":["1"],"Action":"oss:*","Resource":"acs:oss:*:*:%s/*"}]}' % name
    bucket.put_bucket_policy(policy)
    assert bucket.get_bucket_policy().policy == policy
    assert bucket.get_bucket_versioning().status in (None, "")
    for forget in ("cors", "lifecycle", "logging", "website", "tagging", "policy"):
        assert getattr(bucket, f"delete_bucket_{forget}")().status == 204

    key, body = "dir/测试 a+b", bytes(range(256)) * 100
    bucket.put_object(key, body)
    assert bucket.get_object(key, byte_range=(5, 9)).read() == body[5:10]
    assert bucket.head_object(key).content_length == len(body)
    assert bucket.get_object_meta(key).content_length == len(body)
    assert fetched(bucket.sign_url("GET", key, 60)) == body
    assert fetched(bucket.sign_url("GET", key, 60, slash_safe=True)) == body
    bucket.copy_object(name, key, "copy")
    bucket.append_object("log", 0, b"x")
    bucket.put_symlink(key, "link")
    assert (bucket.get_symlink("link").target_key, bucket.get_object("link").read()) == (key, body)
    bucket.put_object_acl(key, "public-read")
    assert bucket.get_object_acl(key).acl == "public-read"
    bucket.put_object_tagging(key, tagging(b="2"))
    assert bucket.get_object_tagging(key).tag_set.tagging_rule == {"b": "2"}
    bucket.delete_object_tagging(key)
    expected = ["copy", key, "link", "log"]
    assert [entry.key for entry in bucket.list_objects().object_list] == expected
    assert [entry.key for entry in oss2.ObjectIteratorV2(bucket, max_keys=2)] == expected
    assert [entry.key for entry in bucket.list_object_versions().versions] == expected

    upload_id = bucket.init_multipart_upload("parts").upload_id
    first = bucket.upload_part("parts", upload_id, 1, b"a" * PART)
    second = bucket.upload_part_copy(name, key, (0, 9), "parts", upload_id, 2)
    assert [part.size for part in bucket.list_parts("parts", upload_id).parts] == [PART, 10]
    assert [entry.upload_id for entry in bucket.list_multipart_uploads().upload_list] == [upload_id]
    bucket.complete_multipart_upload("parts", upload_id, [PartInfo(1, first.etag), PartInfo(2, second.etag)])
    assert bucket.get_object("parts").read() == b"a" * PART + body[:10]
    bucket.abort_multipart_upload("parts", bucket.init_multipart_upload("parts").upload_id)
    assert bucket.get_bucket_stat().object_count == 5

    bucket.batch_delete_objects(expected)
    bucket.delete_object("parts")
    assert bucket.delete_bucket().status == 204
    with pytest.raises(oss2.exceptions.NoSuchBucket):
        bucket.get_bucket_info()


def test_a_tour_with_the_newer_sdk(server, style, version):
    name = f"{style}-{version}-py2"
    config = oss.config.load_default()
    config.credentials_provider = oss.credentials.StaticCredentialsProvider(ACCESS_KEY_ID, ACCESS_KEY_SECRET)
    config.region, config.signature_version = REGION, version
    config.endpoint = endpoint(server, style, name)
    config.use_cname = style == "cname"
    client = oss.Client(config)

    def on_bucket(operation, **arguments):
        return ask(operation, bucket=name, **arguments)

    def on(key, operation, **arguments):
        return ask(operation, bucket=name, key=key, **arguments)

    def ask(operation, **arguments):
        request = getattr(oss, "".join(word.title() for word in operation.split("_")) + "Request")
        return getattr(client, operation)(request(**arguments))

    on_bucket("put_bucket", acl="public-read")
    if style != "cname":
        assert name in [entry.name for entry in ask("list_buckets", prefix=name).buckets]
        assert ask("describe_regions").region_info

    assert on_bucket("get_bucket_info").bucket_info.name == name
    assert on_bucket("get_bucket_location").location == "oss-cn-hangzhou"
    on_bucket("put_bucket_acl", acl="private")
    assert on_bucket("get_bucket_acl").acl == "private"
    rule = oss.CORSRule(allowed_origins=["*"], allowed_methods=["GET"])
    on_bucket("put_bucket_cors", cors_configuration=oss.CORSConfiguration(cors_rules=[rule]))
    assert on_bucket("get_bucket_cors").cors_configuration.cors_rules[0].allowed_methods == ["GET"]
    referers = oss.RefererList(referers=["http://a.example"])
    on_bucket("put_bucket_referer", referer_configuration=oss.RefererConfiguration(allow_empty_referer=True, referer_list=referers))
    assert on_bucket("get_bucket_referer").referer_configuration.referer_list.referers == ["http://a.example"]
    expire = oss.LifecycleRule(id="r", prefix="p/", status="Enabled", expiration=oss.LifecycleRuleExpiration(days=1))
    on_bucket("put_bucket_lifecycle", lifecycle_configuration=oss.LifecycleConfiguration(rules=[expire]))
    assert on_bucket("get_bucket_lifecycle").lifecycle_configuration.rules[0].id == "r"
    logging = oss.LoggingEnabled(target_bucket=name, target_prefix="logs/")
    on_bucket("put_bucket_logging", bucket_logging_status=oss.BucketLoggingStatus(logging_enabled=logging))
    assert on_bucket("get_bucket_logging").bucket_logging_status.logging_enabled.target_prefix == "logs/"
    website = oss.WebsiteConfiguration(index_document=oss.IndexDocument(suffix="i.html"), error_document=oss.ErrorDocument(key="e.html"))
    on_bucket("put_bucket_website", website_configuration=website)
    assert on_bucket("get_bucket_website").website_configuration.index_document.suffix == "i.html"
    on_bucket("put_bucket_tags", tagging=oss.Tagging(tag_set=oss.TagSet(tags=[oss.Tag(key="a", value="1")])))
    assert [tag.key for tag in on_bucket("get_bucket_tags").tagging.tag_set.tags] == ["a"]
    policy = '{"Version":"1","Statement":[{"Effect":"Allow","Principal":["1"],"Action":"oss:*","Resource":"acs:oss:*:*:%s/*"}]}' % name
    on_bucket("put_bucket_policy", body=policy)
    assert on_bucket("get_bucket_policy").body == policy
    assert on_bucket("get_bucket_policy_status").policy_status.is_public is False
    assert on_bucket("get_bucket_versioning").version_status in (None, "")
    for forget in ("cors", "lifecycle", "logging", "website", "tags", "policy"):
        assert on_bucket(f"delete_bucket_{forget}").status_code == 204

    key, body = "dir/测试 a+b", bytes(range(256)) * 100
    on(key, "put_object", body=body)
    part = on(key, "get_object", range_header="bytes=5-9", range_behavior="standard")
    assert part.body.read() == body[5:10]
    assert on(key, "head_object").content_length == on(key, "get_object_meta").content_length == len(body)
    signed = client.presign(oss.GetObjectRequest(bucket=name, key=key))
    assert fetched(signed.url, **signed.signed_headers) == body
    on("copy", "copy_object", source_key=key)
    on("log", "append_object", position=0, body=b"x")
    on("link", "put_symlink", symlink_target=quote(key))
    assert unquote(on("link", "get_symlink").target) == key
    assert on("link", "get_object").body.read() == body
    on(key, "put_object_acl", acl="public-read")
    assert on(key, "get_object_acl").acl == "public-read"
    on(key, "put_object_tagging", tagging=oss.Tagging(tag_set=oss.TagSet(tags=[oss.Tag(key="b", value="2")])))
    assert [tag.value for tag in on(key, "get_object_tagging").tag_set.tags] == ["2"]
    on(key, "delete_object_tagging")
    expected = ["copy", key, "link", "log"]
    assert [entry.key for entry in on_bucket("list_objects").contents] == expected
    assert [entry.key for entry in on_bucket("list_objects_v2", start_after="copy").contents] == expected[1:]
    assert [entry.key for entry in on_bucket("list_object_versions").version] == expected

    upload_id = on("parts", "initiate_multipart_upload").upload_id
    first = on("parts", "upload_part", upload_id=upload_id, part_number=1, body=b"a" * PART)
    second = on("parts", "upload_part_copy", upload_id=upload_id, part_number=2, source_key=key, source_range="bytes=0-9")
    assert [part.size for part in on("parts", "list_parts", upload_id=upload_id).parts] == [PART, 10]
    assert [upload.upload_id for upload in on_bucket("list_multipart_uploads").uploads] == [upload_id]
    chosen = [oss.UploadPart(part_number=number, etag=part.etag) for number, part in ((1, first), (2, second))]
    done = oss.CompleteMultipartUpload(parts=chosen)
    on("parts", "complete_multipart_upload", upload_id=upload_id, complete_multipart_upload=done)
    assert on("parts", "get_object").body.read() == b"a" * PART + body[:10]
    given_up = on("parts", "initiate_multipart_upload").upload_id
    assert on("parts", "abort_multipart_upload", upload_id=given_up).status_code == 204
    assert on_bucket("get_bucket_stat").object_count == 5

    gone = on_bucket("delete_multiple_objects", objects=[oss.DeleteObject(key=each) for each in expected])
    assert [entry.key for entry in gone.deleted_objects] == expected
    assert on("parts", "delete_object").status_code == 204
    assert on_bucket("delete_bucket").status_code == 204
    assert not client.is_bucket_exist(name)


@pytest.mark.parametrize("host, path, expected", [
    (f"path-v1-oss2.{DOMAIN}", "/", 403),
    (f"PATH-V1-oss2.{DOMAIN.upper()}.", "/key", 404),
    ("no-such-bucket-here.localhost", "/key", 404),
    (f"nested.bucket.{DOMAIN}", "/key", 400),
    ("127.0.0.1", "/no-such-bucket-here/key", 404),
    ("unknown.example", "/no-such-bucket-here/key", 404),
    ("no-such-bucket-here.oss-cn-beijing.aliyuncs.com", "/key", 404),
])  # fmt: skip
def test_hosts_without_a_signature(server, host, path, expected):
    server.bucket("path-v1-oss2").create_bucket("public-read")
    answer = requests.get(f"http://127.0.0.1:{server.port}{path}", headers={"Host": f"{host}:{server.port}"}, timeout=10)
    assert answer.status_code == expected, answer.text
