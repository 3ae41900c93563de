"""An operation that is not built never runs as another one (HTTP API 0.3, 0.4, 15, D22): every query name and every header that the
SDKs know, on the service, buckets and objects, with every method; what the server keeps is compared before and after."""

import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List, Tuple

import oss2
import pytest

from millpond_test.raw import ask, head
from millpond_test.server import create_channel
from millpond_test.signing import Request, v1_header, v1_url, v4_header, v4_url
from millpond_test.state import Client, changes, state_of


def known() -> Dict[str, List[str]]:
    names: Dict[str, List[str]] = {}
    for line in (Path(__file__).parents[2] / "sdk-names.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            kind, name = line.split()
            names.setdefault(kind, []).append(name)
    return names


NAMES = known()
# A name that no SDK knows is outside of every row too.
STRANGE = ["utm_source", "_", "v", "Acl"]
# What changes something even without a body that means anything; all other rows need one, or a header.
CHANGING = {
    ("bucket", "DELETE"): ["cors", "referer", "lifecycle", "policy", "logging", "website", "tagging"],
    ("object", "DELETE"): ["tagging", "live"],
    ("object", "POST"): ["uploads"],
}
# The rows that need one, and answer about what is missing.
ROWS = {
    ("bucket", "PUT"): ["acl", "cors", "referer", "lifecycle", "policy", "logging", "website", "tagging", "versioning", "live"],
    ("bucket", "POST"): ["delete", "vod"],
    ("bucket", "DELETE"): ["live"],
    ("object", "PUT"): ["live", "acl", "symlink", "tagging", "uploadId"],
    ("object", "POST"): ["uploadId", "append", "vod", "restore"],
    ("object", "DELETE"): ["uploadId"],
}
# Names of rows on this resource with another method.
OTHER_METHOD = {
    "service": ["regions"],
    "bucket": [
        "live", "vod", "acl", "uploads", "delete", "policyStatus", "location", "bucketInfo", "stat", "versioning", "versions",
        "tagging", "cors", "referer", "lifecycle", "policy", "logging", "website",
    ],
    "object": ["live", "vod", "acl", "uploads", "uploadId", "append", "objectMeta", "symlink", "tagging", "restore"],
}  # fmt: skip
WRITES = ["PUT", "POST", "DELETE"]


@dataclass
class World:
    """A bucket with one of everything, one that is empty, and a client; `state` is all that there is."""

    client: Client
    full: str
    empty: str
    absent: str
    upload: str
    keys: List[str] = field(default_factory=lambda: ["channel", "document", "new", "link", "part"])

    def state(self):
        buckets = [self.full, self.empty, self.absent]
        return state_of(self.client, buckets, {self.full: self.keys}, [(self.full, "part", self.upload)])

    def targets(self, resource: str) -> List[Tuple[str, str]]:
        return {
            "service": [("", "")],
            "bucket": [(self.full, ""), (self.empty, ""), (self.absent, "")],
            "object": [(self.full, "document"), (self.full, "new")],
        }[resource]


def make_world(server) -> World:
    bucket, empty = server.new_bucket(version="v4"), server.new_bucket(version="v4")
    rule = oss2.models.LifecycleRule("rule", "old/", expiration=oss2.models.LifecycleExpiration(days=9))
    bucket.put_bucket_lifecycle(oss2.models.BucketLifecycle([rule]))
    bucket.put_bucket_cors(oss2.models.BucketCors([oss2.models.CorsRule(["*"], ["GET"])]))
    bucket.put_bucket_website(oss2.models.BucketWebsite("index.html", "error.html"))
    bucket.put_bucket_referer(oss2.models.BucketReferer(True, ["http://a.example"]))
    # To a bucket that is not compared: logs come when they are ready.
    bucket.put_bucket_logging(oss2.models.BucketLogging(server.new_bucket().bucket_name, "log/"))
    tags = oss2.models.TaggingRule()
    tags.add("a", "b")
    bucket.put_bucket_tagging(oss2.models.Tagging(tags))
    bucket.put_bucket_policy(
        '{"Version":"1","Statement":[{"Effect":"Deny","Principal":["1"],"Action":"oss:GetObject",'
        f'"Resource":"acs:oss:*:*:{bucket.bucket_name}/none"}}]}}'
    )
    kept = {"x-oss-meta-a": "1", "x-oss-object-acl": "public-read", "x-oss-tagging": "a=b", "Cache-Control": "no-cache"}
    bucket.put_object("document", b"a document that nobody meant to lose", headers=kept)
    bucket.put_symlink("document", "link")
    create_channel(bucket, "channel")
    upload = bucket.init_multipart_upload("part").upload_id
    bucket.upload_part("part", upload, 1, b"part")
    absent = f"test-{uuid.uuid4().hex[:12]}"
    return World(Client(server), bucket.bucket_name, empty.bucket_name, absent, upload)


# Configurations that are never there, so that deleting them succeeds (HTTP API 15).
NEVER_CONFIGURED = {
    "accessPoint", "accessPointForObjectProcess", "accessPointPolicy", "accessmonitor", "archiveDirectRead", "asyncFetch",
    "bucketArchiveDirectRead", "cname", "encryption", "httpsConfig", "inventory", "inventoryId", "metaQuery", "processConfiguration",
    "publicAccessBlock", "qos", "qosInfo", "redundancyTransition", "replication", "replicationLocation", "replicationProgress",
    "requestPayment", "requesterQosInfo", "resourceGroup", "resourcePool", "resourcePoolInfo", "responseHeader", "rtc", "style",
    "styleName", "transferAcceleration", "userDefinedLogFieldsConfig", "worm", "wormExtend", "wormId",
}  # fmt: skip


def is_refused(resource: str, method: str, name: str, exists: bool, answer) -> bool:
    """Whether a write with a name that has no row here was answered as decided."""
    if method == "DELETE" and resource != "object" and name in NEVER_CONFIGURED:
        return answer.status == (204 if exists else 404)
    if name in OTHER_METHOD[resource]:
        return answer.status == 405
    if answer.status == 501:
        return answer.code == "NotImplemented" and name.encode() in answer.body
    if answer.status == 405:
        return resource == "service" or (resource, method) == ("object", "POST")
    return answer.seen == (400, "InvalidArgument") and name in NAMES["partner"] or (answer.status == 404 and not exists)


@pytest.mark.parametrize("resource", ["service", "bucket", "object"])
def test_no_name_changes_what_has_no_row_for_it(server, resource):
    world = make_world(server)
    before, wrong, walked = world.state(), [], []
    names = [*NAMES["query"], *NAMES["partner"], *STRANGE]
    for index, name in enumerate(names):
        for method in ["GET", "HEAD", *WRITES]:
            if name in CHANGING.get((resource, method), []):
                continue
            for bucket, key in world.targets(resource):
                # A bucket is made of an empty body.
                body = b"lost" if method in ("PUT", "POST") and bucket != world.absent else b""
                answer = world.client.ask(method, bucket, key, [name], body=body)
                walked.append(f"{method} {bucket}/{key}?{name} {answer.seen}")
                has_row = method not in WRITES or name in ROWS.get((resource, method), [])
                if not has_row and not is_refused(resource, method, name, bucket != world.absent, answer):
                    wrong.append(walked[-1])
        if index % 10 == 9 or index == len(names) - 1:
            difference = changes(before, world.state())
            if difference:
                wrong.append(f"changed {sorted(difference)} by one of {walked}")
                world = make_world(server)
                before = world.state()
            walked.clear()
    assert not wrong, "\n".join(wrong)


def test_rows_that_exist_do_change_something(server):
    """The walk above would pass on a server that does nothing at all."""
    for (resource, method), names in CHANGING.items():
        for name in names:
            world = make_world(server)
            key = {"bucket": "", "object": "channel" if name == "live" else "document"}[resource]
            before = world.state()
            answer = world.client.ask(method, world.full, key, [name])
            assert answer.status in (200, 204), (method, name, answer.seen)
            assert changes(before, world.state()), (method, name)


@pytest.mark.parametrize("name", NAMES["harmless"])
def test_harmless_names_pass(server, name):
    bucket = server.new_bucket(version="v4")
    # Credentials in the query count, so that these stand in signed URLs.
    if name in ("Signature", "OSSAccessKeyId", "Expires"):
        send = lambda request: ask(server, v1_url(request).bytes(), request.method)  # noqa: E731
        more = []
    elif name.startswith(("x-oss-signature", "x-oss-credential", "x-oss-date", "x-oss-expires", "x-oss-access-key")):
        send = lambda request: ask(server, v4_url(request).bytes(), request.method)  # noqa: E731
        more = []
    else:
        send = lambda request: ask(server, v4_header(request).bytes(), request.method)  # noqa: E731
        more = [(name, {"versionId": "null"}.get(name, ""))]
    for method, key, body, status in [("PUT", "key", b"x", 200), ("DELETE", "key", b"", 204), ("PUT", "", b"", 200)]:
        assert send(Request(method, bucket.bucket_name, key, more, [], body)).status == status, (method, key)


def refused(answer, code, name):
    assert (answer.seen, name.encode() in answer.body) == (code, True), answer.body


def test_a_write_names_one_operation(server):
    world = make_world(server)
    before = world.state()
    for method, key, query in [
        ("PUT", "document", ["acl", "tagging"]),
        ("PUT", "document", ["acl", "legalHold"]),
        ("PUT", "document", ["retention", "legalHold"]),
        ("DELETE", "document", ["tagging", "uploadId=A"]),
        ("DELETE", "document", ["acl", "cors"]),
        ("POST", "document", ["append", "position=0", "uploads"]),
        ("DELETE", "", ["cors", "lifecycle"]),
        ("PUT", "", ["acl", "versioning"]),
    ]:
        headers = [("x-oss-object-acl", "private")] if key else [("x-oss-acl", "public-read")]
        answer = world.client.ask(method, world.full, key, query, headers=headers, body=b"x" if method != "DELETE" else b"")
        assert answer.seen == (400, "InvalidArgument"), (method, key, query)
    for method, key, query, seen in [
        ("PUT", "document", ["partNumber=1"], (400, "InvalidArgument")),
        ("PUT", "part", [f"uploadId={world.upload}"], (400, "InvalidArgument")),
        ("POST", "new", ["append"], (400, "MissingArgument")),
        ("POST", "new", ["position=0"], (405, "MethodNotAllowed")),
        ("PUT", "document", ["comp=stat"], (400, "InvalidArgument")),
        ("DELETE", "channel", ["status=disabled"], (400, "InvalidArgument")),
        ("PUT", "document", ["versionId=other"], (501, "NotImplemented")),
        ("DELETE", "document", ["versionId=other"], (404, "NoSuchVersion")),
        # The policy of callbacks is not the policy of the bucket.
        ("PUT", "", ["policy", "comp=callback"], (501, "NotImplemented")),
        ("DELETE", "", ["policy", "comp=callback"], (501, "NotImplemented")),
        ("GET", "", ["policy", "comp=callback"], (501, "NotImplemented")),
    ]:
        answer = world.client.ask(method, world.full, key, query, body=b"x" if method in ("PUT", "POST") else b"")
        assert answer.seen == seen, (method, key, query)
    assert not changes(before, world.state())


def test_reads_take_what_nobody_knows(server):
    world = make_world(server)
    for name in STRANGE:
        answer = world.client.ask("GET", world.full, "document", [f"{name}=1"])
        assert (answer.status, answer.body[:10]) == (200, b"a document"), name
        assert world.client.ask("HEAD", world.full, "document", [name]).status == 200
        assert world.client.ask("GET", world.full, "", [name]).status == 200
    for name in ["legalHold", "retention", "select", "seal"]:
        for method in ("GET", "HEAD"):
            assert world.client.ask(method, world.full, "document", [name]).seen == (501, "NotImplemented"), (method, name)
    assert world.client.ask("GET", world.full, "", ["overwriteConfig"]).seen == (501, "NotImplemented")
    assert world.client.ask("HEAD", world.full, "", ["encryption"]).seen == (404, "NoSuchServerSideEncryptionRule")
    assert world.client.ask("GET", world.full, "document", ["x-oss-process=image/resize,w_9"]).seen == (501, "NotImplemented")


@pytest.mark.parametrize("sign", [v1_header, v4_header], ids=["v1", "v4"])
@pytest.mark.parametrize("name", ["legalHold", "retention"])
def test_what_the_go_sdk_sends_to_hold_an_object_keeps_it(server, sign, name):
    """PutObjectLegalHold and PutObjectRetention of the Go SDK: a PUT of a document onto the key."""
    document = {
        "legalHold": "<LegalHold><Status>ON</Status></LegalHold>",
        "retention": "<Retention><Mode>COMPLIANCE</Mode><RetainUntilDate>2099-01-01T00:00:00.000Z</RetainUntilDate></Retention>",
    }[name]
    bucket = server.new_bucket()
    bucket.put_object("contract", b"signed and sealed")
    request = Request("PUT", bucket.bucket_name, "contract", [(name, None)], [("Content-Type", "application/xml")], document.encode())
    refused(ask(server, sign(request).bytes(), "PUT"), (501, "NotImplemented"), name)
    assert bucket.get_object("contract").read() == b"signed and sealed"


def test_strangers_hear_what_strangers_hear(server):
    private, public = server.new_bucket(), server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ_WRITE)
    for bucket in (private, public):
        bucket.put_object("key", b"kept")
    for query in ["legalHold", "utm_source=a", "acl&tagging", "partNumber=1"]:
        for key in ("key", "absent"):
            for method in ("PUT", "DELETE"):
                if query == "acl&tagging" and method == "DELETE":
                    continue
                answer = ask(server, head(method, f"/{private.bucket_name}/{key}?{query}".encode(), headers={"Content-Length": "0"}), method)
                assert answer.seen == (403, "AccessDenied"), (method, key, query)
        answer = ask(server, head("PUT", f"/no-such-bucket/key?{query}".encode(), headers={"Content-Length": "0"}), "PUT")
        assert answer.seen == (404, "NoSuchBucket"), query
    for query, seen in [("legalHold", (403, "AccessDenied")), ("utm_source=a", (501, "NotImplemented"))]:
        answer = ask(server, head("PUT", f"/{public.bucket_name}/key?{query}".encode(), headers={"Content-Length": "0"}), "PUT")
        assert answer.seen == seen, query
    assert [bucket.get_object("key").read() for bucket in (private, public)] == [b"kept", b"kept"]


# Which headers an operation obeys, judges itself, or gets because another request of the same upload obeys them.
UPLOAD = {"forbid-overwrite", "object-acl", "server-side-encryption", "storage-class", "tagging"}
IN_PARTS = {*UPLOAD, "complete-all", "metadata-directive", "tagging-directive"}
SOURCE = {"copy-source-if-match", "copy-source-if-modified-since", "copy-source-if-none-match", "copy-source-if-unmodified-since"}
OPERATIONS = {
    "PutBucket": ("PUT", "absent", "", [], {"acl", "bucket-tagging", "hns-status"}),
    "PutBucketAcl": ("PUT", "full", "", ["acl"], {"acl"}),
    "PutBucketCors": ("PUT", "full", "", ["cors"], set()),
    "DeleteBucketCors": ("DELETE", "full", "", ["cors"], set()),
    "DeleteBucket": ("DELETE", "empty", "", [], set()),
    "DeleteMultipleObjects": ("POST", "full", "", ["delete"], set()),
    "PutObject": ("PUT", "full", "new", [], UPLOAD),
    "overwriting": ("PUT", "full", "document", [], UPLOAD),
    "CopyObject": ("PUT", "full", "new", [], {*UPLOAD, *SOURCE, "metadata-directive", "tagging-directive"}),
    "AppendObject": ("POST", "full", "new", ["append", "position=0"], UPLOAD),
    "PutSymlink": ("PUT", "full", "new", ["symlink"], {*UPLOAD, "symlink-target"}),
    "PutObjectAcl": ("PUT", "full", "document", ["acl"], {"object-acl"}),
    "PutObjectTagging": ("PUT", "full", "document", ["tagging"], set()),
    "DeleteObjectTagging": ("DELETE", "full", "document", ["tagging"], set()),
    "DeleteObject": ("DELETE", "full", "document", [], set()),
    "InitiateMultipartUpload": ("POST", "full", "new", ["uploads"], IN_PARTS),
    "UploadPart": ("PUT", "full", "part", ["partNumber=2", "uploadId={upload}"], UPLOAD),
    "CompleteMultipartUpload": ("POST", "full", "part", ["uploadId={upload}"], IN_PARTS),
    "AbortMultipartUpload": ("DELETE", "full", "part", ["uploadId={upload}"], IN_PARTS),
    "PutLiveChannel": ("PUT", "full", "new", ["live"], set()),
    "PutLiveChannelStatus": ("PUT", "full", "channel", ["live", "status=disabled"], set()),
    "DeleteLiveChannel": ("DELETE", "full", "channel", ["live"], set()),
    "PostVodPlaylist": ("POST", "full", "channel/new.m3u8", ["vod", "startTime=1", "endTime=2"], set()),
    "PostObject": ("POST", "full", "", [], {"object-acl"}),
}


def test_no_header_that_would_change_what_is_stored_is_ignored(server):
    world = make_world(server)
    before, wrong = world.state(), []
    for operation, (method, bucket, key, query, obeyed) in OPERATIONS.items():
        extra = [("x-oss-copy-source", f"/{world.full}/document")] if operation == "CopyObject" else []
        query = [text.format(upload=world.upload) for text in query]
        for header in NAMES["header"]:
            if header.removeprefix("x-oss-") in obeyed:
                continue
            body = b"lost" if method != "DELETE" else b""
            answer = world.client.ask(method, getattr(world, bucket), key, query, [*extra, (header, "x")], body)
            if answer.seen != (501, "NotImplemented") or header.encode() not in answer.body:
                wrong.append(f"{operation} {header} {answer.seen}")
        difference = changes(before, world.state())
        if difference:
            wrong.append(f"{operation} changed {sorted(difference)}")
            world = make_world(server)
            before = world.state()
    assert not wrong, "\n".join(wrong)


def test_a_bucket_that_is_to_encrypt_is_not_made(server):
    client, name = Client(server), f"test-{uuid.uuid4().hex[:12]}"
    answer = client.ask("PUT", name, headers=[("x-oss-server-side-encryption", "AES256")])
    refused(answer, (501, "NotImplemented"), "x-oss-server-side-encryption")
    assert client.ask("GET", name).seen == (404, "NoSuchBucket")


def test_other_headers_pass(server):
    client, name = Client(server), server.new_bucket().bucket_name
    for header in [*NAMES["other"], "x-oss-some-day"]:
        assert client.ask("PUT", name, "key", [], [(header, "1")], b"x").status == 200, header
    assert client.ask("PUT", name, "key", [], [("x-oss-meta-a", "1"), ("x-oss-forbid-overwrite", "false")], b"x").status == 200
    # Nothing that is asked for is missing where a header only repeats what happens anyway.
    assert client.ask("PUT", name, "key", ["acl"], [("x-oss-object-acl", "private"), ("x-oss-forbid-overwrite", "false")]).status == 200


def test_what_ali_oss_says_twice_of_a_copy_passes(server):
    client, name = Client(server), server.new_bucket().bucket_name
    assert client.ask("PUT", name, "from", [], [], b"x").status == 200
    said = [("x-oss-copy-source", f"/{name}/from"), ("x-oss-metadata-directive", "REPLACE"), ("content-type", "text/plain")]
    twice = [("x-oss-copy-source-content-type", "text/plain"), ("x-oss-copy-source-x-oss-object-acl", "private")]
    assert client.ask("PUT", name, "to", [], [*said, *twice]).status == 200
    refused(client.ask("PUT", name, "to", [], [*said, ("x-oss-copy-source-range", "bytes=0-0")]), (501, "NotImplemented"), "x-oss-copy-source-range")


def test_what_ossfs_says_of_every_object_passes_where_it_is_true(server):
    private, public = server.new_bucket().bucket_name, server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ).bucket_name
    client, said = Client(server), [("x-oss-acl", "private")]
    assert client.ask("PUT", private, "key", [], said, b"x").status == 200
    assert client.ask("POST", private, "key", ["uploads"], said).status == 200
    refused(client.ask("PUT", public, "key", [], said, b"x"), (501, "NotImplemented"), "x-oss-acl")
    refused(client.ask("PUT", private, "key", [], [("x-oss-acl", "public-read")], b"x"), (501, "NotImplemented"), "x-oss-acl")
    assert client.ask("GET", public, "key").status == 404


def test_fields_of_a_form_say_no_more_than_headers(server):
    bucket = server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ_WRITE)

    def post(fields, headers=None, query=""):
        parts = [("key", "from-form"), *fields]
        text = "".join(f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in parts)
        body = (text + '--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nx\r\n--b--\r\n').encode()
        sent = {"Content-Type": "multipart/form-data; boundary=b", "Content-Length": str(len(body)), **(headers or {})}
        return ask(server, head("POST", f"/{bucket.bucket_name}/{query}".encode(), headers=sent) + body, "POST")

    refused(post([("x-oss-object-worm-mode", "GOVERNANCE")]), (501, "NotImplemented"), "x-oss-object-worm-mode")
    refused(post([], {"x-oss-forbid-overwrite": "true"}), (501, "NotImplemented"), "x-oss-forbid-overwrite")
    refused(post([], query="?overwriteConfig"), (403, "AccessDenied"), "AccessDenied")
    refused(post([], query="?utm_source=a"), (501, "NotImplemented"), "utm_source")
    assert not bucket.object_exists("from-form")
    assert post([("x-oss-storage-class", "IA"), ("x-oss-meta-a", "1")]).status == 204
    assert bucket.head_object("from-form").headers["x-oss-storage-class"] == "IA"
