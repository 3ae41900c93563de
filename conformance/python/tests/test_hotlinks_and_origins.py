"""Hotlink protection (access control 6) and requests of other origins (7), row by row over HTTP."""

from dataclasses import replace

import oss2
import pytest
from oss2.models import BucketCors, CorsRule

from millpond_test.signing import ROOT, Request, form, v1_header, v1_url, v4_header, v4_url
from test_refusals_of_authentication import seen

EMPTY, LISTED_NOT, BLACK = "0003-00000501", "0003-00000503", "0003-00000502"
DENIED = "You are denied by bucket referer policy."


def configure(bucket, allow_empty: bool, white=(), black=(), **switches) -> None:
    """As XML: oss2 has no way to say all of it."""
    flags = "".join(f"<{name}>{str(value).lower()}</{name}>" for name, value in switches.items())
    lists = lambda name, items: f"<{name}>" + "".join(f"<Referer>{item}</Referer>" for item in items) + f"</{name}>"  # noqa: E731
    body = (
        f"<RefererConfiguration><AllowEmptyReferer>{str(allow_empty).lower()}</AllowEmptyReferer>{flags}"
        f"{lists('RefererList', white)}{lists('RefererBlacklist', black) if black else ''}</RefererConfiguration>"
    )
    put = v1_header(Request("PUT", bucket.bucket_name, "", [("referer", None)], body=body.encode())).send(bucket.server)
    assert put.status == 200, put.body


@pytest.fixture(scope="module")
def shown(server):
    """A public bucket with an object."""
    bucket = server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    bucket.server = server
    bucket.put_object("a", b"a")
    return bucket


def get(bucket, referer: "str | None", sign=None, method: str = "GET", key: str = "a") -> "int | str":
    """The status, or the number of the refusal."""
    request = Request(method, bucket.bucket_name, key)
    request = request if referer is None else request.with_headers(("Referer", referer))
    answer = (sign(request) if sign else request).send(bucket.server)
    if answer.status == 200:
        return 200
    status, code, message, elements, ec = seen(answer, method)
    assert (status, code, message, elements) == (403, "AccessDenied", DENIED, [("BucketName", bucket.bucket_name)])
    return ec


@pytest.mark.parametrize("sign", [None, v1_url, v4_url], ids=["nobody", "V1 URL", "V4 URL"])
@pytest.mark.parametrize(
    "allow_empty, white, without, listed, other",
    [(True, [], 200, 200, 200), (False, [], 200, 200, 200), (True, ["http://ok.example/"], 200, 200, LISTED_NOT),
     (False, ["http://ok.example/"], EMPTY, 200, LISTED_NOT)],
)  # fmt: skip
def test_typical_configurations(shown, sign, allow_empty, white, without, listed, other):
    configure(shown, allow_empty, white)
    for method in ("GET", "HEAD"):
        for empty in (None, "", "   "):
            assert get(shown, empty, sign, method) == without, (method, empty)
        assert get(shown, "http://ok.example/", sign, method) == listed
        assert get(shown, "  http://ok.example/page ", sign, method) == listed
        assert get(shown, "http://other.example/", sign, method) == other
        for header in (v1_header, v4_header):
            for referer in (None, "http://ok.example/", "http://other.example/"):
                assert get(shown, referer, header, method) == 200


def test_only_reads_of_objects_are_protected(server):
    bucket = server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ_WRITE)
    bucket.server = server
    bucket.put_object("a", b"a")
    bucket.put_symlink("a", "link")
    configure(bucket, False, ["http://ok.example/"])
    name = bucket.bucket_name
    refused = [
        Request("GET", name, "a"), Request("HEAD", name, "a"), Request("HEAD", name, "a", [("objectMeta", None)]),
        Request("GET", name, "link"), Request("GET", name, "link", [("symlink", None)]), Request("GET", name, "absent"),
    ]  # fmt: skip
    for request in refused:
        for sign in (lambda request: request, v1_url, v4_url):
            answer = sign(request).send(server)
            assert (answer.status, answer.headers["x-oss-ec"]) == (403, EMPTY), request
        assert v1_header(request).send(server).status in (200, 404)
    for request in (
        Request("PUT", name, "b", body=b"x"), Request("DELETE", name, "b"), Request("POST", name, "p", [("append", None), ("position", "0")], body=b"x"),
        Request("POST", name, "u", [("uploads", None)]), Request("PUT", name, "c", headers=[("x-oss-copy-source", f"/{name}/a")]), form(name, {}),
    ):  # fmt: skip
        assert request.send(server).status in (200, 204), request
        if request.body[:2] != b"--":
            for sign in (v1_url, v4_url):
                assert sign(replace(request, key=request.key + "2") if "append" in dict(request.query) else request).send(server).status in (200, 204, 409), request
    for sign in (v1_url, v4_url):
        assert sign(Request("GET", name)).send(server).status == 200
        assert sign(Request("GET", name, "", [("acl", None)])).send(server).status == 200
    asked = Request("OPTIONS", name, "a", headers=[("Origin", "http://x.example"), ("Access-Control-Request-Method", "GET")])
    assert asked.send(server).code == "AccessForbidden"


@pytest.mark.parametrize(
    "pattern, referer, fits",
    [
        ("http://www.example.com", "http://www.example.com/page?x=1", True),
        ("http://www.example.com", "https://www.example.com/", False),
        ("http://www.example.com", "http://www.example.com.evil.net/", True),
        ("http://www.example.com/", "http://www.example.com.evil.net/", False),
        ("www.example.com", "http://www.example.com/a", True),
        ("www.example.com", "https://www.example.com/a", True),
        ("*.example.com", "http://help.example.com/a", True),
        ("http://*.example.com", "http://example.com/", False),
        ("http://*.example.com", "http://a.b.example.com/", True),
        ("http://?.example.com", "http://a.example.com/", True),
        ("http://?.example.com", "http://ab.example.com/", False),
        ("https://www.example.com:8443/", "https://www.example.com:8443/x", True),
        ("http://10.10.10.10", "http://10.10.10.10/x", True),
        ("*", "anything", True),
        ("HTTP://WWW.Example.COM", "http://www.eXample.com/", True),
        ("example.com", "http://www.example.com/", False),
        ("http://a.example/x[1].+$", "http://a.example/x[1].+$/", True),
        ("http://a.example/x[1]", "http://a.example/x1", False),
    ],
)
def test_patterns(shown, pattern, referer, fits):
    configure(shown, False, [pattern])
    assert get(shown, referer) == (200 if fits else LISTED_NOT)
    configure(shown, True, [], [pattern])
    assert get(shown, referer) == (BLACK if fits else 200)


def test_the_blacklist_comes_first(shown):
    configure(shown, False, ["http://*.example"], ["http://bad.example"])
    assert get(shown, "http://good.example/") == 200
    assert get(shown, "http://bad.example/") == BLACK
    assert get(shown, "http://other.net/") == LISTED_NOT
    assert get(shown, None) == EMPTY
    # Without a whitelist the empty one is not asked about, and the blacklist still counts.
    configure(shown, False, [], ["http://bad.example"])
    assert [get(shown, referer) for referer in (None, "http://x.example/", "http://bad.example/")] == [200, 200, BLACK]


def test_what_is_cut_off_before_it_is_compared(shown):
    # The default: queries do not count.
    configure(shown, False, ["*http://ok.example*"])
    assert get(shown, "http://evil.example/?from=http://ok.example") == LISTED_NOT
    configure(shown, False, ["*http://ok.example*"], AllowTruncateQueryString=False)
    assert get(shown, "http://evil.example/?from=http://ok.example") == 200
    configure(shown, False, ["http://ok.example/page"], TruncatePath=True)
    assert get(shown, "http://ok.example/page") == LISTED_NOT
    for pattern in ("http://ok.example", "http://ok.example/", "ok.example/"):
        configure(shown, False, [pattern], TruncatePath=True)
        assert get(shown, "http://ok.example/page?x#y") == 200, pattern
        assert get(shown, "http://ok.example") == 200, pattern
    configure(shown, False, ["http://ok.example:81/"], TruncatePath=True)
    assert get(shown, "http://ok.example:81/page") == 200
    assert get(shown, "http://ok.example/page") == LISTED_NOT


# CORS.


def headers_of(answer) -> "dict[str, str]":
    return {name.lower()[15:]: value for name, value in answer.headers.items() if name.lower().startswith("access-control-")}


@pytest.fixture(scope="module")
def crossed(server):
    bucket = server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    bucket.put_object("a", b"0123456789")
    rule = lambda origins, methods, **more: CorsRule(allowed_origins=origins, allowed_methods=methods, **more)  # noqa: E731
    bucket.put_bucket_cors(BucketCors([
        rule(["http://first.example"], ["GET"], allowed_headers=["x-oss-*"], expose_headers=["ETag", "x-oss-request-id"], max_age_seconds=60),
        rule(["http://first.example", "https://*.wild.example:8443"], ["GET", "PUT", "HEAD"], allowed_headers=["*"], max_age_seconds=0),
        rule(["www.bare.example"], ["GET"]),
        rule(["http://one.example"], ["POST"], allowed_headers=["Content-Type", "X-A*"]),
        rule(["*"], ["DELETE"]),
    ]))  # fmt: skip
    return bucket


def preflight(server, bucket, origin, method, headers=None, key="a"):
    asked = [("Origin", origin), ("Access-Control-Request-Method", method)]
    asked += [("Access-Control-Request-Headers", headers)] if headers is not None else []
    return Request("OPTIONS", bucket, key, headers=[(name, value) for name, value in asked if value is not None]).send(server)


NOT_ALLOWED = (
    "CORSResponse: This CORS request is not allowed. This is usually because the evalution of Origin, request method / "
    "Access-Control-Request-Method or Access-Control-Requet-Headers are not whitelisted by the resource's CORS spec."
)
NOT_ENABLED = "CORSResponse: CORS is not enabled for this bucket."


@pytest.mark.parametrize(
    "origin, method, headers, expected",
    [
        # The first rule that fits wins, and a preflight's headers have a say.
        ("http://first.example", "GET", None, {"allow-origin": "http://first.example", "allow-methods": "GET", "expose-headers": "ETag, x-oss-request-id", "max-age": "60"}),
        ("http://first.example", "GET", "", {"allow-origin": "http://first.example", "allow-methods": "GET", "expose-headers": "ETag, x-oss-request-id", "max-age": "60"}),
        ("http://first.example", "GET", "x-oss-a,X-OSS-B", {"allow-origin": "http://first.example", "allow-methods": "GET", "allow-headers": "x-oss-a,X-OSS-B", "expose-headers": "ETag, x-oss-request-id", "max-age": "60"}),
        ("http://first.example", "GET", "range", {"allow-origin": "http://first.example", "allow-methods": "GET, PUT, HEAD", "allow-headers": "range", "max-age": "0"}),
        ("http://first.example", "PUT", None, {"allow-origin": "http://first.example", "allow-methods": "GET, PUT, HEAD", "max-age": "0"}),
        ("HTTP://FIRST.example", "PUT", None, {"allow-origin": "HTTP://FIRST.example", "allow-methods": "GET, PUT, HEAD", "max-age": "0"}),
        ("https://a.b.wild.example:8443", "HEAD", "a , b", {"allow-origin": "https://a.b.wild.example:8443", "allow-methods": "GET, PUT, HEAD", "allow-headers": "a , b", "max-age": "0"}),
        ("https://a.wild.example", "HEAD", None, None),
        ("http://a.wild.example:8443", "HEAD", None, None),
        ("https://wild.example:8443", "HEAD", None, None),
        ("http://first.example:80", "GET", None, None),
        ("http://first.example", "POST", None, None),
        ("http://first.example", "get", None, None),
        ("http://www.bare.example", "GET", None, None),
        ("www.bare.example", "GET", None, {"allow-origin": "www.bare.example", "allow-methods": "GET"}),
        ("http://one.example", "POST", "content-type, x-abc", {"allow-origin": "http://one.example", "allow-methods": "POST", "allow-headers": "content-type, x-abc"}),
        ("http://one.example", "POST", "content-type, y", None),
        ("http://anybody.example", "DELETE", None, {"allow-origin": "*", "allow-methods": "DELETE"}),
        ("null", "DELETE", None, {"allow-origin": "*", "allow-methods": "DELETE"}),
        ("http://anybody.example", "DELETE", "x", None),
        ("null", "GET", None, None),
    ],
)  # fmt: skip
def test_preflights(server, crossed, origin, method, headers, expected):
    for key in ("a", "absent", ""):
        answer = preflight(server, crossed.bucket_name, origin, method, headers, key)
        assert answer.headers["Vary"] == "Origin" and "credentials" not in str(headers_of(answer))
        if expected is None:
            assert seen(answer, "OPTIONS")[:3] == (403, "AccessForbidden", NOT_ALLOWED)
            assert headers_of(answer) == {}
        else:
            assert (answer.status, answer.body, answer.headers["Content-Length"]) == (200, b"", "0")
            assert headers_of(answer) == expected


def test_preflights_that_lead_nowhere(server, crossed, bucket):
    name = crossed.bucket_name
    assert seen(preflight(server, name, None, "GET"), "OPTIONS")[:3] == (
        400, "BadRequest", "Insufficient information. Origin request header needed.",
    )  # fmt: skip
    assert seen(preflight(server, name, "http://first.example", None), "OPTIONS")[:3] == (
        400, "BadRequest", "Insufficient information. Request Access-Control-Request-Method header needed.",
    )  # fmt: skip
    missing = seen(preflight(server, "no-such-bucket-at-all", "http://first.example", "GET"), "OPTIONS")
    assert missing[:2] == (404, "NoSuchBucket")
    for place in (bucket.bucket_name, ""):
        found = seen(preflight(server, place, "http://first.example", "GET", key="" if not place else "a"), "OPTIONS")
        assert found[:3] == (403, "AccessForbidden", NOT_ENABLED)


def test_actual_requests_carry_the_headers_whatever_becomes_of_them(server, crossed):
    name = crossed.bucket_name
    first = ("Origin", "http://first.example")
    of_first = {"allow-origin": "http://first.example", "allow-methods": "GET", "expose-headers": "ETag, x-oss-request-id", "max-age": "60"}
    etag = crossed.head_object("a").headers["ETag"]
    for more, status in [
        ([], 200), ([("Range", "bytes=0-3")], 206), ([("If-None-Match", etag)], 304), ([("If-Match", '"x"')], 412),
        ([("Authorization", "nonsense")], 400), ([("Authorization", "OSS nobody:AAAA")], 403), ([("X-Oss-Range-Behavior", "standard"), ("Range", "bytes=99-")], 416),
    ]:  # fmt: skip
        answer = Request("GET", name, "a", headers=[first, *more]).send(server)
        assert (answer.status, headers_of(answer)) == (status, of_first), more
    assert headers_of(Request("GET", name, "absent", headers=[first]).send(server)) == of_first
    assert headers_of(Request("GET", name, "", headers=[first]).send(server)) == of_first
    # By the method of the request itself.
    put = v4_header(Request("PUT", name, "b", headers=[first], body=b"x")).send(server)
    assert (put.status, headers_of(put)["allow-methods"]) == (200, "GET, PUT, HEAD")
    removed = v1_url(Request("DELETE", name, "b", headers=[("Origin", "null")])).send(server)
    assert (removed.status, headers_of(removed)) == (204, {"allow-origin": "*", "allow-methods": "DELETE"})
    # Nothing fits: nothing is added, and nothing is refused.
    for headers in ([], [("Origin", "http://other.example")]):
        answer = Request("GET", name, "a", headers=headers).send(server)
        assert (answer.status, headers_of(answer), answer.headers["Vary"]) == (200, {}, "Origin")


def test_caches_are_told_when_they_ought_to_be(server):
    bucket = server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    bucket.put_object("a", b"a")
    body = (
        "<CORSConfiguration><CORSRule><AllowedOrigin>http://p.example</AllowedOrigin><AllowedMethod>GET</AllowedMethod></CORSRule>"
        "<ResponseVary>true</ResponseVary></CORSConfiguration>"
    )
    name = bucket.bucket_name
    assert v1_header(Request("PUT", name, "", [("cors", None)], body=body.encode())).send(server).status == 200
    for headers in ([], [("Origin", "http://p.example")], [("Origin", "http://other.example")]):
        for key in ("a", "absent", ""):
            assert Request("GET", name, key, headers=headers).send(server).headers["Vary"] == "Origin"
    assert preflight(server, name, "http://p.example", "GET").headers["Vary"] == "Origin"
    assert preflight(server, name, "http://other.example", "GET").headers["Vary"] == "Origin"
    assert v4_header(Request("GET", name, "", [("acl", None)]), ROOT).send(server).headers["Vary"] == "Origin"
