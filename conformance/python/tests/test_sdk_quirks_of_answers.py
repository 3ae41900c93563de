"""What single SDKs need of answers, one test for each row of HTTP API 17 that is about answers. `docs/compatibility.md` lists all
rows. What Go, Java and ossutil send is sent here byte for byte, since those do not run in this suite."""

import re
import xml.etree.ElementTree
from urllib.parse import unquote, unquote_plus

import alibabacloud_oss_v2 as oss
import crcmod
import oss2
import pytest

from millpond_test.raw import Connection, ask, head
from millpond_test.server import ACCESS_KEY_ID, ACCESS_KEY_SECRET, REGION
from test_multipart import PART, refused, upload

CRC64 = crcmod.mkCrcFun(0x142F0E1EBA9EA3693, initCrc=0, rev=True, xorOut=0xFFFFFFFFFFFFFFFF)


@pytest.fixture
def bucket(server, version):
    return server.new_bucket(version=version)


@pytest.fixture
def newer(server):
    """The newer Python SDK."""
    config = oss.config.load_default()
    config.credentials_provider = oss.credentials.StaticCredentialsProvider(ACCESS_KEY_ID, ACCESS_KEY_SECRET)
    config.region, config.endpoint = REGION, server.endpoint
    return oss.Client(config)


def document(bucket, key="", **parameters) -> bytes:
    """The body of a GET, as it was sent."""
    method = bucket._Bucket__do_object if key else bucket._Bucket__do_bucket
    arguments = ("GET", key) if key else ("GET",)
    return method(*arguments, params={name.replace("_", "-"): value for name, value in parameters.items()}).read()


def documents(server, bucket):
    """Every document that lists and settings answer with, of a bucket where all of them have something to say."""
    bucket.put_object("dir/a b+c", b"x", headers={"x-oss-tagging": "k=v"})
    upload_id, _ = upload(bucket, "dir/up", {1: b"part"})
    bucket.put_bucket_cors(oss2.models.BucketCors([oss2.models.CorsRule(allowed_origins=["*"], allowed_methods=["GET"])]))
    rule = oss2.models.LifecycleRule("r", "p/", expiration=oss2.models.LifecycleExpiration(days=1))
    bucket.put_bucket_lifecycle(oss2.models.BucketLifecycle([rule]))
    bucket.put_bucket_website(oss2.models.BucketWebsite("i.html", "e.html"))
    found = [document(bucket, **{name: ""}) for name in (
        "acl", "bucketInfo", "location", "stat", "uploads", "versions", "cors", "referer", "lifecycle", "logging", "website", "tagging",
        "versioning", "requestPayment", "live",
    )]  # fmt: skip
    found += [document(bucket), document(bucket, list_type="2"), document(bucket, "dir/a b+c", acl=""), document(bucket, "dir/a b+c", tagging="")]
    found.append(document(bucket, "dir/up", uploadId=upload_id))
    found.append(server.service()._do("GET", "", "").read())
    found.append(ask(server, b"GET /no-such-bucket-here/key HTTP/1.1\r\nHost: x\r\n\r\n").body)
    return found


def test_sdk_quirk_01_no_document_has_a_namespace(server, bucket):
    for text in documents(server, bucket):
        assert text.startswith(b"<?xml") and b"xmlns" not in text, text


def test_sdk_quirk_02_dates_have_three_zeros_and_a_z(server, bucket):
    names = "CreationDate|LastModified|Initiated|Date|CreatedBeforeDate"
    dates = [date for text in documents(server, bucket) for date in re.findall(rf"<(?:{names})>([^<]*)<".encode(), text)]
    assert len(dates) >= 6
    for date in dates:
        assert re.fullmatch(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000Z", date), date


def test_sdk_quirk_03_listed_objects_have_all_their_elements(bucket):
    bucket.put_object("normal", b"x")
    bucket.append_object("appended", 0, b"x")
    bucket.put_symlink("normal", "link")
    for entry in bucket.list_objects().object_list:
        assert all([entry.type, entry.owner.id, entry.owner.display_name, entry.storage_class, entry.etag, entry.last_modified])
    root = xml.etree.ElementTree.fromstring(document(bucket))
    needed = {"Key", "LastModified", "ETag", "Type", "Size", "StorageClass", "Owner"}
    assert [{child.tag for child in entry} >= needed for entry in root.findall("Contents")] == [True] * 3


def test_sdk_quirk_04_listed_buckets_have_all_their_elements(server, version):
    name = server.new_bucket().bucket_name
    (entry,) = server.service(version).list_buckets(prefix=name).buckets
    assert (entry.location, entry.storage_class) == ("oss-cn-hangzhou", "Standard")
    assert all([entry.creation_date, entry.extranet_endpoint, entry.intranet_endpoint])


def test_sdk_quirk_05_an_empty_list_of_uploads_has_its_markers(bucket):
    page = bucket.list_multipart_uploads()
    assert (page.upload_list, page.is_truncated, page.next_key_marker, page.next_upload_id_marker) == ([], False, "", "")
    root = xml.etree.ElementTree.fromstring(document(bucket, uploads=""))
    assert {"NextKeyMarker", "NextUploadIdMarker", "IsTruncated"} <= {child.tag for child in root}


def test_sdk_quirk_06_lifecycle_rules_get_an_id(bucket):
    rule = "<Rule><Status>Enabled</Status><Expiration><Days>1</Days></Expiration></Rule>"
    bucket._Bucket__do_bucket("PUT", data=f"<LifecycleConfiguration>{rule}</LifecycleConfiguration>", params={"lifecycle": ""})
    (kept,) = bucket.get_bucket_lifecycle().rules
    assert (bool(kept.id), kept.prefix, kept.status) == (True, "", "Enabled")


def test_sdk_quirk_07_checksums_are_those_of_the_sdks(bucket, newer):
    # Both SDKs compare the header with their own sum after each upload and each whole download, and raise.
    body = bytes(range(256)) * 300
    assert bucket.enable_crc
    put = bucket.put_object("key", body)
    assert put.headers["x-oss-hash-crc64ecma"] == str(put.crc) == str(CRC64(body))
    got = bucket.get_object("key")
    assert got.read() == body
    oss2.utils.check_crc("get", got.client_crc, got.server_crc, got.request_id)
    part = bucket.get_object("key", byte_range=(1, 9))
    assert (part.read(), part.headers["x-oss-hash-crc64ecma"]) == (body[1:10], str(CRC64(body)))
    request = oss.GetObjectRequest(bucket=bucket.bucket_name, key="key")
    assert newer.get_object(request).hash_crc64 == str(CRC64(body))


def encoded_keys(bucket) -> list:
    bucket.put_object("a b+c%d/测", b"x")
    return re.findall(rb"<Key>([^<]*)</Key>", document(bucket, encoding_type="url"))


def test_sdk_quirk_08_a_space_is_percent_20_in_lists(bucket):
    (encoded,) = encoded_keys(bucket)
    assert b"%20" in encoded and unquote(encoded.decode()) == "a b+c%d/测"


def test_sdk_quirk_09_a_plus_is_percent_2b_in_lists(bucket):
    # Go undoes forms, where a bare plus would be a space.
    (encoded,) = encoded_keys(bucket)
    assert b"%2B" in encoded and unquote_plus(encoded.decode()) == "a b+c%d/测"


def test_sdk_quirk_10_tags_are_quoted_upper_case_hex(bucket):
    tag = bucket.put_object("key", b"hello oss").headers["ETag"]
    assert re.fullmatch(r'"[0-9A-F]{32}"', tag)
    assert bucket.head_object("key").headers["ETag"] == tag
    assert tag in document(bucket).decode().replace("&quot;", '"')


def test_sdk_quirk_12_request_ids_have_24_hex_digits(server):
    for path in ("-/play", "no-such-bucket/key", "x", ""):
        assert re.fullmatch("[0-9A-F]{24}", server.get(path).headers["x-oss-request-id"]), path


def test_sdk_quirk_13_metadata_headers_are_lower_case_on_the_wire(server, bucket):
    bucket.put_object("key", b"x", headers={"X-Oss-Meta-MiXed": "V"})
    path = f"/{bucket.bucket_name}/key".encode()
    with Connection(server) as connection:
        connection.send(head("GET", path, path, {"Connection": "close"}))
        assert b"\r\nx-oss-meta-mixed: V\r\n" in connection.rest()


def test_sdk_quirk_14_header_values_are_bytes(server, bucket):
    # Java writes UTF-8, which is no header value by the letter of HTTP; it signs the same bytes.
    path = f"/{bucket.bucket_name}/key".encode()
    sent = head("PUT", path, path, {"x-oss-meta-name": "测试 ümlaut", "Content-Length": "0"})
    assert "测试".encode() in sent
    assert ask(server, sent).status == 200
    got = ask(server, head("GET", path, path))
    assert got.headers["x-oss-meta-name"].encode("latin-1").decode() == "测试 ümlaut"


def test_sdk_quirk_15_numbers_are_never_missing(bucket):
    upload_id, _ = upload(bucket, "up", {1: b"x"})
    for text, names in [
        (document(bucket), ["MaxKeys"]),
        (document(bucket, list_type="2"), ["MaxKeys", "KeyCount"]),
        (document(bucket, uploads=""), ["MaxUploads"]),
        (document(bucket, "up", uploadId=upload_id), ["MaxParts", "PartNumberMarker", "NextPartNumberMarker"]),
    ]:
        root = xml.etree.ElementTree.fromstring(text)
        assert all(root.findtext(name).isdigit() for name in names), text


def test_sdk_quirk_16_a_skewed_clock_is_told_the_time(server, bucket):
    path = f"/{bucket.bucket_name}/key".encode()
    answer = ask(server, head("GET", path, path, {"Date": "Tue, 02 Jan 2024 03:04:05 GMT"}))
    assert answer.seen == (403, "RequestTimeTooSkewed")
    root = xml.etree.ElementTree.fromstring(answer.body)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000Z", root.findtext("ServerTime"))
    assert root.findtext("MaxAllowedSkewMilliseconds") == "900000"


FAULTS = [b"/no-such-bucket-here/key", b"/Bad_Bucket/key", b"/%ff", b"/x", b"/"]


@pytest.mark.parametrize("target", FAULTS)
def test_sdk_quirk_19_errors_have_a_date(server, target):
    assert ask(server, head("GET", target)).headers["Date"].endswith(" GMT")


@pytest.mark.parametrize("target", FAULTS)
def test_sdk_quirk_20_errors_are_xml_and_say_so(server, target):
    answer = ask(server, head("GET", target))
    assert (answer.headers["Content-Type"], answer.body[:5]) == ("application/xml", b"<?xml")


def test_sdk_quirk_21_permanent_faults_have_no_status_that_is_retried(server, bucket):
    # The newer SDKs retry 401, 408, 429 and 5xx. The one exception is 501 for what is not built (D19).
    for call in [
        lambda: bucket.get_object("absent"),
        lambda: bucket.put_object("k", b"", headers={"x-oss-object-acl": "?"}),
        lambda: bucket.put_bucket_acl("?"),
        lambda: bucket.append_object("k", 7, b""),
        lambda: bucket.get_object("k", headers={"If-Match": "x"}) if bucket.put_object("k", b"") else None,
        lambda: server.bucket(bucket.bucket_name, secret="wrong").get_object("k"),
        lambda: server.anonymous(bucket.bucket_name).get_object("k"),
        lambda: bucket.complete_multipart_upload("k", "0" * 32, []),
        lambda: bucket._Bucket__do_bucket("PUT", data=b"<", params={"cors": ""}),
    ]:
        with pytest.raises(oss2.exceptions.ServerError) as caught:
            call()
        assert 400 <= caught.value.status < 500 and caught.value.status not in (401, 408, 429), caught.value


def test_sdk_quirk_23_nothing_is_compressed(server, bucket):
    body = b"compressible " * 1000
    bucket.put_object("key", body, headers={"Content-Type": "text/plain"})
    path = f"/{bucket.bucket_name}/key".encode()
    answer = ask(server, head("GET", path, path, {"Accept-Encoding": "gzip"}))
    assert (answer.body, answer.headers["Content-Encoding"], answer.headers["Content-Length"]) == (body, None, str(len(body)))
    assert "ETag" in answer.headers


def test_sdk_quirk_24_existence_is_asked_by_object_meta(server, bucket):
    bucket.put_object("key", b"x")
    assert bucket.object_exists("key") and not bucket.object_exists("absent")
    for name, key, code in ((bucket.bucket_name, "absent", "NoSuchKey"), ("no-such-bucket-here", "key", "NoSuchBucket")):
        path = f"/{name}/{key}?objectMeta".encode()
        assert ask(server, head("HEAD", path, path), "HEAD").seen == (404, code)


def test_sdk_quirk_25_a_missing_bucket_has_its_exact_code(server, version):
    missing = server.bucket("no-such-bucket-here", version)
    refused(missing.get_bucket_acl, 404, "NoSuchBucket")
    refused(missing.get_bucket_info, 404, "NoSuchBucket")


def test_sdk_quirk_26_the_referer_of_a_fresh_bucket(bucket):
    root = xml.etree.ElementTree.fromstring(document(bucket, referer=""))
    assert [root.findtext(name) for name in ("AllowEmptyReferer", "AllowTruncateQueryString")] == ["true", "true"]
    assert list(root.find("RefererList")) == []
    assert (bucket.get_bucket_referer().allow_empty_referer, bucket.get_bucket_referer().referers) == (True, [])


def test_sdk_quirk_28_appends_are_told_where_to_go_on(server, bucket, newer):
    name = bucket.bucket_name
    assert newer.append_object(oss.AppendObjectRequest(bucket=name, key="log", position=0, body=b"12345")).next_position == 5
    path = f"/{name}/log?append&position=2".encode()
    answer = ask(server, head("POST", path, path, {"Content-Length": "0"}))
    assert (answer.seen, answer.headers["x-oss-next-append-position"]) == ((409, "PositionNotEqualToLength"), "5")


def test_sdk_quirk_39_a_quiet_batch_has_no_body(bucket):
    bucket.put_object("key", b"x")
    body = "<Delete><Quiet>true</Quiet><Object><Key>key</Key></Object><Object><Key>absent</Key></Object></Delete>"
    answer = bucket._Bucket__do_bucket("POST", data=body, params={"delete": ""})
    assert (answer.status, answer.headers["Content-Length"], answer.read()) == (200, "0", b"")
    assert not bucket.object_exists("key")


def test_sdk_quirk_44_success_has_its_status(bucket):
    upload_id, parts = upload(bucket, "up", {1: b"a" * PART})
    given_up = bucket.init_multipart_upload("up").upload_id
    cors = oss2.models.BucketCors([oss2.models.CorsRule(allowed_origins=["*"], allowed_methods=["GET"])])
    for expected, answer in [
        (200, bucket.create_bucket()),
        (200, bucket.put_bucket_cors(cors)),
        (204, bucket.delete_bucket_cors()),
        (204, bucket.delete_bucket_website()),
        (200, bucket.put_object("key", b"x")),
        (200, bucket.copy_object(bucket.bucket_name, "key", "copy")),
        (200, bucket.append_object("log", 0, b"x")),
        (200, bucket.batch_delete_objects(["copy"])),
        (204, bucket.delete_object("key")),
        (204, bucket.abort_multipart_upload("up", given_up)),
        (200, bucket.complete_multipart_upload("up", upload_id, parts)),
    ]:
        assert answer.status == expected, answer.resp.headers
