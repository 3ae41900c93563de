"""How rights are decided, step by step (access control 3, 5.2), over HTTP, with the words and numbers of each refusal (8)."""

import itertools
import json
import re
import time
from dataclasses import dataclass, replace

import oss2
import pytest

from millpond_test.accounts import new_user, statement
from millpond_test.signing import ROOT, Request, form, form_policy, v1_form, v1_header, v1_url, v4_header, v4_url
from test_refusals_of_authentication import seen

ANONYMOUS = "Anonymous access is forbidden for this operation."
FOREIGN = "The bucket you access does not belong to you."
BUCKET_ACL = "You have no right to access this object because of bucket acl."
NO_READ = "You do not have read permission on this object."
NO_WRITE = "You do not have write permission on this object."
BY_POLICY = "Access denied by bucket policy."
BY_AUTHORIZER = "Access denied by authorizer's policy."
SIGN = {"nobody": None, "user": v1_header}
LEVELS = ("private", "public-read", "public-read-write")


@pytest.fixture(scope="module")
def user(server):
    """A user without any policy, and its key."""
    made = new_user(server)
    return made, made.key()


def answer(server, request: Request, key=None, sign=v1_header, of: str = "") -> "tuple[int, str, str, str]":
    """Status, code, message and number; a refusal names the bucket of the request, or the one that it is about."""
    signed = sign(request, key) if key else request
    found = signed.send(server)
    if found.status < 400:
        return found.status, "", "", ""
    status, code, message, elements, ec = seen(found, request.method)
    if code == "AccessDenied" and request.bucket:
        assert elements == [("BucketName", of or request.bucket)], elements
    return status, code, message, ec


def denied(message: str, ec: str = "") -> "tuple[int, str, str, str]":
    return 403, "AccessDenied", message, ec


def policy(bucket, *statements: dict) -> None:
    name = bucket.bucket_name
    defaults = {"Effect": "Allow", "Principal": ["*"], "Resource": [f"acs:oss:*:*:{name}", f"acs:oss:*:*:{name}/*"]}
    bucket.put_bucket_policy(json.dumps({"Version": "1", "Statement": [{**defaults, **each} for each in statements]}))


@dataclass
class Operation:
    name: str
    kind: str
    make: object


def operations(name: str) -> "list[Operation]":
    """Requests about the object `o`, and the upload of it whose number is put in."""
    source = ("x-oss-copy-source", f"/{name}/o")
    ask = lambda method, *query, **more: lambda upload: Request(  # noqa: E731
        method, name, more.pop("key", "o"), [(n, v if v != "UPLOAD" else upload) for n, v in query], **more
    )
    complete = b'<CompleteMultipartUpload><Part><PartNumber>9</PartNumber><ETag>"0"</ETag></Part></CompleteMultipartUpload>'
    tags = b"<Tagging><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tagging>"
    return [
        Operation("GetObject", "read", ask("GET")),
        Operation("HeadObject", "read", ask("HEAD")),
        Operation("GetObjectMeta", "read", ask("HEAD", ("objectMeta", None))),
        Operation("GetSymlink", "read", ask("GET", ("symlink", None))),
        Operation("InitiateMultipartUpload", "write", ask("POST", ("uploads", None))),
        Operation("UploadPart", "write", ask("PUT", ("partNumber", "1"), ("uploadId", "UPLOAD"), body=b"x")),
        Operation("ListParts", "write", ask("GET", ("uploadId", "UPLOAD"))),
        Operation("CompleteMultipartUpload", "write", ask("POST", ("uploadId", "UPLOAD"), body=complete)),
        Operation("AppendObject", "write", ask("POST", ("append", None), ("position", "0"), body=b"x")),
        Operation("CopyObject to it", "write", ask("PUT", headers=[("x-oss-copy-source", f"/{name}/open")])),
        Operation("PutSymlink", "write", ask("PUT", ("symlink", None), headers=[("x-oss-symlink-target", "open")])),
        Operation("PutObject", "write", ask("PUT", body=b"x")),
        Operation("PutObject with an ACL", "write", ask("PUT", body=b"x", headers=[("x-oss-object-acl", "ACL")])),
        Operation("PostObject", "write", lambda upload: form(name, {})),
        Operation("AbortMultipartUpload", "write", ask("DELETE", ("uploadId", "UPLOAD"))),
        Operation("DeleteMultipleObjects", "write", lambda upload: Request(
            "POST", name, "", [("delete", None)], body=b"<Delete><Object><Key>o</Key></Object></Delete>"
        )),
        Operation("DeleteObject", "write", ask("DELETE")),
        Operation("GetObjectTagging", "owner", ask("GET", ("tagging", None))),
        Operation("PutObjectTagging", "owner", ask("PUT", ("tagging", None), body=tags)),
        Operation("DeleteObjectTagging", "owner", ask("DELETE", ("tagging", None))),
        Operation("GetObjectACL", "read acl", ask("GET", ("acl", None))),
        Operation("PutObjectACL", "write acl", ask("PUT", ("acl", None), headers=[("x-oss-object-acl", "private")])),
    ]  # fmt: skip


@pytest.mark.parametrize("object_level", ["absent", "default", *LEVELS])
@pytest.mark.parametrize("level", LEVELS)
def test_the_matrix_of_acls(server, user, level, object_level):
    """What others than the owner may, by the ACLs of bucket and object (access control 5.2): nobody, and a user without policies."""
    bucket = server.new_bucket(level)
    name = bucket.bucket_name
    bucket.put_object("open", b"x", headers={"x-oss-object-acl": "public-read"})
    own = object_level in LEVELS
    effective = object_level if own else level
    readable, writable = effective != "private", effective == "public-read-write"

    def expected(kind: str) -> "tuple[int, str, str, str] | None":
        if kind == "read" and not readable:
            return denied(NO_READ) if own else denied(BUCKET_ACL, "0003-00000001")
        if kind == "write" and not writable:
            return denied(NO_WRITE) if own else denied(BUCKET_ACL, "0003-00000001")
        if kind == "read acl":
            return denied("You do not have read acl permission on this object.", "0003-00000007")
        if kind == "write acl":
            return denied("You do not have write acl permission on this object.")
        if kind == "owner":
            return denied(BUCKET_ACL, "0003-00000001")
        return None

    for operation, (who, sign) in itertools.product(operations(name), SIGN.items()):
        if operation.name == "PostObject" and who == "user":
            continue
        upload = bucket.init_multipart_upload("o").upload_id
        if object_level == "absent":
            bucket.delete_object("o")
        else:
            bucket.put_object("o", b"x", headers={"x-oss-object-acl": object_level} if own else {})
        request = operation.make(upload)
        if operation.name == "PutObject with an ACL":
            request = request.changed("x-oss-object-acl", "private")
        if operation.name == "PostObject":
            # The form stores another key than the operations before.
            if object_level != "absent":
                bucket.put_object("form", b"x", headers={"x-oss-object-acl": object_level} if own else {})
            else:
                bucket.delete_object("form")
        found = answer(server, request, user[1] if sign else None)
        wanted = expected(operation.kind)
        if wanted:
            assert found == wanted, (operation.name, who)
        else:
            assert found[0] != 403 and found[0] < 500, (operation.name, who, found)
    # The owner may do everything.
    bucket.put_object("o", b"x", headers={"x-oss-object-acl": "private"})
    assert answer(server, Request("GET", name, "o"), ROOT) == (200, "", "", "")


@pytest.mark.parametrize("level", LEVELS)
def test_operations_on_buckets_are_never_opened_by_an_acl(server, user, level):
    bucket = server.new_bucket(level)
    name = bucket.bucket_name
    for method, query in [
        ("GET", []), ("GET", [("list-type", "2")]), ("GET", [("versions", None)]), ("GET", [("uploads", None)]), ("HEAD", []),
        ("GET", [("bucketInfo", None)]), ("GET", [("acl", None)]), ("GET", [("cors", None)]), ("GET", [("referer", None)]),
        ("GET", [("lifecycle", None)]), ("GET", [("policy", None)]), ("GET", [("logging", None)]), ("GET", [("live", None)]),
        ("DELETE", []), ("PUT", [("cors", None)]),
    ]:  # fmt: skip
        request = Request(method, name, "", query)
        assert answer(server, request) == denied(ANONYMOUS), (method, query)
        assert answer(server, request, user[1]) == denied(FOREIGN), (method, query)
    channel = Request("GET", name, "channel", [("live", None)])
    assert answer(server, channel) == denied(ANONYMOUS)
    assert answer(server, channel, user[1]) == denied(FOREIGN)


def test_the_service_and_what_does_not_exist(server, user):
    assert answer(server, Request()) == denied(ANONYMOUS)
    assert answer(server, Request(), user[1]) == denied("You are forbidden to list buckets.")
    for who in (None, user[1], ROOT):
        found = answer(server, Request("GET", "no-such-bucket-at-all", "a"), who)
        assert found[:2] == (404, "NoSuchBucket")
        assert answer(server, Request("GET", "no-such-bucket-at-all"), who)[:2] == (404, "NoSuchBucket")
    # To make a bucket is a right, whether there is one of the name or not.
    assert answer(server, Request("PUT", "no-such-bucket-at-all"), user[1])[:2] == (403, "AccessDenied")
    assert answer(server, Request("PUT", "no-such-bucket-at-all"))[:2] == (403, "AccessDenied")
    private = server.new_bucket()
    # What may not be read is 403, be it there or not (HTTP API 6.3).
    assert answer(server, Request("GET", private.bucket_name, "absent"), user[1]) == denied(BUCKET_ACL, "0003-00000001")
    public = server.new_bucket("public-read")
    assert answer(server, Request("GET", public.bucket_name, "absent"))[:2] == (404, "NoSuchKey")


def test_steps_in_their_order(server):
    bucket = server.new_bucket()
    name = bucket.bucket_name
    bucket.put_object("a", b"a")
    get = Request("GET", name, "a")
    made = new_user(server)
    key = made.key()
    objects = [f"acs:oss:*:*:{name}/*"]
    allowed = (200, "", "", "")
    # 7: either policy allows.
    policy(bucket, {"Action": "oss:GetObject"})
    assert answer(server, get) == answer(server, get, key) == allowed
    policy(bucket, {"Action": "oss:GetObject", "Principal": [made.uid]})
    assert answer(server, get, key) == allowed
    assert answer(server, get) == denied(BUCKET_ACL, "0003-00000001")
    bucket.delete_bucket_policy()
    made.allow("get", statement("Allow", "oss:GetObject", objects))
    assert answer(server, get, key) == allowed
    # 6: a denial of either wins, also over the ACL and over the other one.
    policy(bucket, {"Effect": "Deny", "Action": "oss:GetObject", "Principal": [made.uid]})
    for sign in (v1_header, v4_header, v1_url, v4_url):
        assert answer(server, get, key, sign) == denied(BY_POLICY, "0003-00000201")
    bucket.put_bucket_acl("public-read-write")
    assert answer(server, get, key) == denied(BY_POLICY, "0003-00000201")
    assert answer(server, get) == allowed
    policy(bucket, {"Action": "oss:*"})
    made.allow("never", statement("Deny", "oss:GetObject", objects))
    assert answer(server, get, key) == denied(BY_AUTHORIZER)
    # 3 comes before: the hotlink rules, for URLs.
    bucket.put_bucket_referer(oss2.models.BucketReferer(False, ["http://ok.example/"]))
    hotlink = denied("You are denied by bucket referer policy.", "0003-00000501")
    assert answer(server, get, key, v1_url) == hotlink
    assert answer(server, get, key) == denied(BY_AUTHORIZER)
    assert answer(server, get, ROOT, v4_url) == hotlink
    assert answer(server, get, ROOT) == allowed
    bucket.put_bucket_referer(oss2.models.BucketReferer(True, []))
    # 1 and 2 come before everything.
    bucket.put_bucket_policy(json.dumps({"Version": "1", "Statement": [
        {"Effect": "Deny", "Action": "oss:*", "Principal": "*", "Resource": [f"acs:oss:*:*:{name}/*"], "Condition": {"Bool": {"acs:SecureTransport": "false"}}}
    ]}))  # fmt: skip
    assert answer(server, get, ROOT) == denied(BY_POLICY, "0003-00000201")
    assert answer(server, get, replace(ROOT, secret="wrong"))[1] == "SignatureDoesNotMatch"
    bucket.delete_bucket_policy()


def test_a_session_may_what_its_policy_allows_and_no_more(server):
    """Step 4: a session policy that does not allow refuses what even strangers may."""
    bucket = server.new_bucket("public-read")
    name = bucket.bucket_name
    bucket.put_object("a", b"a")
    bucket.put_object("b", b"b")
    made = new_user(server)
    narrow = {"Version": "1", "Statement": [statement("Allow", "oss:GetObject", [f"acs:oss:*:*:{name}/a"])]}
    session = made.session(policy=narrow)
    for sign in (v1_header, v4_header, v1_url, v4_url):
        assert answer(server, Request("GET", name, "a"), session, sign) == (200, "", "", "")
        assert answer(server, Request("GET", name, "b"), session, sign) == denied(BY_AUTHORIZER)
        assert answer(server, Request("PUT", name, "a", body=b"x"), session, sign)[:2] == (403, "AccessDenied")
    assert answer(server, Request("GET", name), session) == denied(BY_AUTHORIZER)
    policy(bucket, {"Action": "oss:*"})
    assert answer(server, Request("GET", name, "b"), session) == denied(BY_AUTHORIZER)
    # An explicit denial of the user counts in the session too, and what the user gets later is gained by it.
    made.allow("all", statement("Allow", "oss:*", ["acs:oss:*:*:*"]), statement("Deny", "oss:GetObject", [f"acs:oss:*:*:{name}/a"]))
    assert answer(server, Request("GET", name, "a"), session) == denied(BY_AUTHORIZER)
    of_root = new_user(server)
    of_root.name = "root"
    everything = of_root.session()
    assert answer(server, Request("GET", name), everything) == (200, "", "", "")
    # Even the account's session obeys its own policy.
    little = of_root.session(policy=narrow)
    assert answer(server, Request("GET", name), little) == denied(BY_AUTHORIZER)


def test_nobody_locks_himself_out(server, user):
    bucket = server.new_bucket()
    name = bucket.bucket_name
    account = bucket.get_bucket_info().owner.id
    policy(bucket, {"Effect": "Deny", "Action": "oss:*", "Principal": [account]})
    assert answer(server, Request("GET", name), ROOT) == denied(BY_POLICY, "0003-00000201")
    assert answer(server, Request("GET", name, "", [("policy", None)]), ROOT) == (200, "", "", "")
    policy(bucket, {"Effect": "Deny", "Action": "oss:*", "Principal": [account]})
    assert answer(server, Request("GET", name, "", [("policy", None)]), user[1]) == denied(FOREIGN)
    bucket.delete_bucket_policy()
    assert answer(server, Request("GET", name), ROOT) == (200, "", "", "")


def test_several_objects_are_allowed_together_or_not_at_all(server):
    bucket = server.new_bucket()
    name = bucket.bucket_name
    for key in ("a", "b", "c"):
        bucket.put_object(key, key.encode())
    made = new_user(server)
    key = made.key()
    made.allow("some", statement("Allow", "oss:DeleteObject", [f"acs:oss:*:*:{name}/a", f"acs:oss:*:*:{name}/b"]))
    batch = lambda *keys: Request(  # noqa: E731
        "POST", name, "", [("delete", None)], body=("<Delete>" + "".join(f"<Object><Key>{k}</Key></Object>" for k in keys) + "</Delete>").encode()
    )
    assert answer(server, batch("a", "b", "c"), key) == denied(BUCKET_ACL, "0003-00000001")
    policy(bucket, {"Effect": "Deny", "Action": "oss:DeleteObject", "Resource": [f"acs:oss:*:*:{name}/b"], "Principal": [made.uid]})
    assert answer(server, batch("a", "b"), key) == denied(BY_POLICY, "0003-00000204")
    assert answer(server, Request("DELETE", name, "b"), key) == denied(BY_POLICY, "0003-00000201")
    assert [entry.key for entry in bucket.list_objects().object_list] == ["a", "b", "c"]
    assert answer(server, batch("a", "a", "nothing"), key) == denied(BUCKET_ACL, "0003-00000001")
    assert answer(server, batch("a"), key) == (200, "", "", "")


def test_copies_read_here_and_write_there(server, user):
    source, target = server.new_bucket(), server.new_bucket("public-read-write")
    source.put_object("a", b"a")
    source.put_object("shown", b"a", headers={"x-oss-object-acl": "public-read"})
    target.put_object("kept", b"k", headers={"x-oss-object-acl": "public-read"})
    copy = lambda key, to: Request("PUT", target.bucket_name, to, headers=[("x-oss-copy-source", f"/{source.bucket_name}/{key}")])  # noqa: E731
    for who in (None, user[1]):
        assert answer(server, copy("a", "x"), who, of=source.bucket_name) == denied(BUCKET_ACL, "0003-00000001")
        assert answer(server, copy("shown", "x"), who) == (200, "", "", "")
        assert answer(server, copy("shown", "kept"), who) == denied(NO_WRITE)
    # The rule about pages is for reads: a copy sends no Referer (access control 6.1).
    source.put_bucket_referer(oss2.models.BucketReferer(False, ["http://ok.example/"]))
    for sign in (v1_url, v4_url):
        assert answer(server, copy("a", "y"), ROOT, sign) == (200, "", "", "")
    # What one may not tag may not be copied with its tags.
    source.put_object("tagged", b"a", headers={"x-oss-tagging": "k=v", "x-oss-object-acl": "public-read"})
    assert answer(server, copy("tagged", "z"), of=source.bucket_name) == denied(BUCKET_ACL, "0003-00000001")
    bare = copy("tagged", "z").with_headers(("x-oss-tagging-directive", "Replace"))
    assert answer(server, bare) == (200, "", "", "")


def test_links_are_read_with_their_targets(server, user):
    bucket = server.new_bucket()
    name = bucket.bucket_name
    bucket.put_object("hidden", b"h")
    bucket.put_object("shown", b"s", headers={"x-oss-object-acl": "public-read"})
    for key, target in {"to-hidden": "hidden", "to-shown": "shown"}.items():
        bucket.put_symlink(target, key, headers={"x-oss-object-acl": "public-read"})
    bucket.put_symlink("shown", "hidden-link")
    for who in (None, user[1]):
        assert answer(server, Request("GET", name, "to-shown"), who) == (200, "", "", "")
        for method in ("GET", "HEAD"):
            assert answer(server, Request(method, name, "to-hidden"), who) == denied(BUCKET_ACL, "0003-00000001")
            assert answer(server, Request(method, name, "hidden-link"), who) == denied(BUCKET_ACL, "0003-00000001")
        # What the link says of itself is the link's.
        assert answer(server, Request("GET", name, "to-hidden", [("symlink", None)]), who) == (200, "", "", "")


def test_overwriting_forgets_the_acl_and_writers_may_set_one(server):
    bucket = server.new_bucket("public-read-write")
    name = bucket.bucket_name
    acl = lambda: bucket.get_object_acl("a").acl  # noqa: E731
    assert answer(server, Request("PUT", name, "a", body=b"1", headers=[("x-oss-object-acl", "public-read-write")]))[0] == 200
    assert acl() == "public-read-write"
    assert answer(server, Request("PUT", name, "a", body=b"2"))[0] == 200
    assert acl() == "default"
    assert answer(server, Request("PUT", name, "a", body=b"3", headers=[("x-oss-object-acl", "private")]))[0] == 200
    assert acl() == "private"
    assert answer(server, Request("PUT", name, "a", body=b"4")) == denied(NO_WRITE)


def test_an_upload_is_judged_again_when_it_is_completed(server, user):
    bucket = server.new_bucket("public-read-write")
    name = bucket.bucket_name
    begun = Request("POST", name, "a", [("uploads", None)]).send(server)
    upload = re.search(rb"<UploadId>(\w+)<", begun.body).group(1).decode()
    part = Request("PUT", name, "a", [("partNumber", "1"), ("uploadId", upload)], body=b"x").send(server)
    assert part.status == 200
    bucket.put_object("a", b"mine", headers={"x-oss-object-acl": "private"})
    body = f"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{part.headers['ETag']}</ETag></Part></CompleteMultipartUpload>"
    complete = Request("POST", name, "a", [("uploadId", upload)], body=body.encode())
    assert answer(server, complete) == answer(server, complete, user[1]) == denied(NO_WRITE)
    assert bucket.get_object("a").read() == b"mine"
    assert answer(server, complete, ROOT) == (200, "", "", "")


def test_overrides_of_the_answer_need_a_signature(server):
    bucket = server.new_bucket("public-read")
    bucket.put_object("a", b"a")
    for name in ("content-type", "cache-control", "content-disposition", "content-encoding", "content-language", "expires"):
        for method in ("GET", "HEAD"):
            request = Request(method, bucket.bucket_name, "a", [(f"response-{name}", "x")])
            found = seen(request.send(server), method)
            assert found[:3] == (400, "InvalidRequest", "Request specific response headers cannot be used for anonymous GET requests.")
        signed = v4_url(Request("GET", bucket.bucket_name, "a", [(f"response-{name}", "x")]))
        assert signed.send(server).headers[name] == "x"


def test_a_changed_acl_counts_at_once(server):
    bucket = server.new_bucket()
    bucket.put_object("a", b"a")
    get = Request("GET", bucket.bucket_name, "a")
    for level in ("public-read", "private", "public-read-write", "private") * 3:
        bucket.put_bucket_acl(level)
        assert get.send(server).status == (403 if level == "private" else 200), level
        bucket.put_object_acl("a", "public-read" if level == "private" else "private")
        assert get.send(server).status == (200 if level == "private" else 403), level
        bucket.put_object_acl("a", "default")


def test_a_form_of_a_user(server):
    bucket = server.new_bucket()
    made = new_user(server)
    key = made.key()
    post = lambda: form(bucket.bucket_name, v1_form(form_policy(bucket.bucket_name, time.time() + 60), key)).send(server)  # noqa: E731
    refusal = seen(post(), "POST")
    assert refusal == (403, "AccessDenied", BUCKET_ACL, [("BucketName", bucket.bucket_name)], "0003-00000001")
    made.allow("put", statement("Allow", "oss:PutObject", [f"acs:oss:*:*:{bucket.bucket_name}/form"]))
    assert post().status == 204
    made.allow("never", statement("Deny", "oss:PutObject", [f"acs:oss:*:*:{bucket.bucket_name}/*"]))
    assert seen(post(), "POST")[2] == BY_AUTHORIZER
