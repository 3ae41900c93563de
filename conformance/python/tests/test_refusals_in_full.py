"""Refusals and headers as HTTP API 4 and 6 have them: which elements an error names, and which check comes first."""

import re

import pytest

from millpond_test.raw import Connection, ask, head

XML = {"Content-Type": "application/xml"}


@pytest.fixture
def name(bucket):
    return bucket.bucket_name


def request(server, name, method, key="", query="", headers=None, body=b"", announced=True):
    """One signed request; `query` is signed as it stands."""
    target = f"/{name}/{key}{'?' + query if query else ''}".encode()
    headers = dict(headers or {})
    if announced and (body or method in ("PUT", "POST")):
        headers["Content-Length"] = str(len(body))
    return ask(server, head(method, target, target, headers) + body, method)


def elements(answer):
    """What an error says of its own: the elements behind HostId, without the EC."""
    own = answer.body.decode().split("</HostId>")[1].split("<EC>")[0]
    return dict(re.findall(r"<(\w+)>([^<]*)</", own))


@pytest.mark.parametrize(
    "setting, code",
    [
        ("cors", "NoSuchCORSConfiguration"),
        ("lifecycle", "NoSuchLifecycle"),
        ("policy", "NoSuchBucketPolicy"),
        ("website", "NoSuchWebsiteConfiguration"),
        ("encryption", "NoSuchServerSideEncryptionRule"),
        ("worm", "NoSuchWORMConfiguration"),
    ],
)
def test_what_is_not_configured_names_the_bucket(server, name, setting, code):
    answer = request(server, name, "GET", query=setting)
    assert (answer.seen, elements(answer)) == ((404, code), {"BucketName": name})


def test_appends_that_do_not_fit_name_the_key(server, bucket, name):
    bucket.put_object("normal", b"x")
    answer = request(server, name, "POST", "normal", "append&position=1", body=b"y")
    assert (answer.seen, elements(answer)) == ((409, "ObjectNotAppendable"), {"Key": "normal"})
    answer = request(server, name, "POST", "log", "append&position=3", body=b"y")
    assert (answer.seen, elements(answer)) == ((409, "PositionNotEqualToLength"), {"Key": "log"})
    assert answer.headers["x-oss-next-append-position"] == "0"


def test_an_append_at_the_beginning_may_forbid_overwriting(server, bucket, name):
    forbid = {"x-oss-forbid-overwrite": "true"}
    for body in (b"", b"line"):
        bucket.append_object("log", 0, body)
        answer = request(server, name, "POST", "log", "append&position=0", forbid, b"other")
        assert (answer.seen, elements(answer)) == ((409, "FileAlreadyExists"), {"Key": "log"})
    assert request(server, name, "POST", "log", "append&position=4", forbid, b"+").status == 200
    assert bucket.get_object("log").read() == b"line+"


@pytest.mark.parametrize(
    "method, key, query, headers",
    [
        ("PUT", "key", "", {"x-oss-forbid-overwrite": "true"}),
        ("PUT", "key", "partNumber=1&uploadId=0123456789ABCDEF0123456789ABCDEF", {}),
        ("POST", "key", "append&position=7", {}),
    ],
    ids=["object", "part", "append"],
)
def test_the_body_is_judged_before_what_is_stored(server, bucket, name, method, key, query, headers):
    bucket.put_object("key", b"there")
    unannounced = request(server, name, method, key, query, headers, announced=False)
    assert unannounced.seen == (411, "MissingContentLength")
    digest = request(server, name, method, key, query, {**headers, "Content-MD5": "no digest"}, b"body")
    assert digest.seen == (400, "InvalidDigest")
    large = request(server, name, method, key, query, {**headers, "Content-Length": str(5 * 2**30 + 1)}, announced=False)
    assert large.seen == (400, "EntityTooLarge")


def test_a_form_needs_a_length_and_an_end(server):
    name = server.new_bucket("public-read-write").bucket_name
    path = f"/{name}/".encode()
    form = {"Content-Type": "multipart/form-data; boundary=b"}
    assert ask(server, head("POST", path, None, form)).seen == (411, "MissingContentLength")
    field = b'--b\r\nContent-Disposition: form-data; name="key"\r\n\r\nk\r\n'
    for body, code in [
        (field + b"--b--\r\n", "IncorrectNumberOfFilesInPOSTRequest"),
        (field, "MalformedPOSTRequest"),
        (b"no form at all", "MalformedPOSTRequest"),
    ]:
        answer = ask(server, head("POST", path, None, {**form, "Content-Length": str(len(body))}) + body)
        assert answer.seen == (400, code), body


def test_an_acl_makes_a_bucket_and_none_does_not(server):
    name = server.bucket("test-" + "a" * 20).bucket_name
    assert request(server, name, "PUT", query="acl").seen == (404, "NoSuchBucket")
    made = request(server, name, "PUT", query="acl", headers={"x-oss-acl": "public-read"})
    assert (made.status, made.headers["Location"]) == (200, f"/{name}")
    assert request(server, name, "PUT", query="acl").status == 200
    assert b"<Grant>public-read</Grant>" in request(server, name, "GET", query="acl").body


def test_every_answer_says_whether_the_connection_stays(server, bucket, name):
    bucket.put_object("key", b"x")
    path = f"/{name}/key".encode()
    with Connection(server) as connection:
        for method, target in [("GET", path), ("HEAD", path), ("GET", path + b"-absent"), ("DELETE", path + b"-absent")]:
            answer = connection.send(head(method, target, target)).answer(method)
            assert answer.headers.get_all("Connection") == ["keep-alive"], (method, target)
        last = connection.send(head("GET", path, path, {"Connection": "close"})).answer()
        assert last.headers.get_all("Connection") == ["close"]
        assert connection.is_closed()
    old = head("GET", path, path).replace(b"HTTP/1.1", b"HTTP/1.0")
    with Connection(server) as connection:
        assert connection.send(old).answer().headers.get_all("Connection") == ["close"]
        assert connection.is_closed()
    with Connection(server) as connection:
        asks = old.replace(b"\r\n\r\n", b"\r\nConnection: keep-alive\r\n\r\n")
        for _ in range(2):
            assert connection.send(asks).answer().headers.get_all("Connection") == ["keep-alive"]


def test_preflights_that_are_refused_say_what_was_wanted(server, name):
    def preflight(path, headers):
        return ask(server, head("OPTIONS", path.encode(), None, headers), "OPTIONS")

    wish = {"Origin": "https://a.example", "Access-Control-Request-Method": "PUT"}
    for path, resource in [("/", "Service"), (f"/{name}/", "Bucket"), (f"/{name}/key", "Object")]:
        answer = preflight(path, wish)
        assert (answer.seen, elements(answer)) == ((403, "AccessForbidden"), {"Method": "PUT", "ResourceType": resource})
    assert preflight("/no-such-bucket/key", wish).seen == (404, "NoSuchBucket")
    assert preflight("/no-such-bucket/key", {}).seen == (400, "BadRequest")


@pytest.mark.parametrize("header", ["x-oss-server-side-encryption", "x-oss-server-side-encryption-key-id"])
def test_encryption_that_is_not_there_is_not_promised(server, name, header):
    answer = request(server, name, "PUT", "key", headers={header: "KMS"}, body=b"x")
    assert (answer.seen, elements(answer)) == ((501, "NotImplemented"), {"Header": header})
