"""What operators choose about access: reverse proxies that are believed, whole hosts in hotlink patterns, `Vary` for shared
caches; and tags that a request sets, wherever it says so."""

import base64
import hashlib
import hmac
import json

import oss2
import pytest
import requests

from millpond_test.accounts import new_user, refusal, statement

DENIED = (403, "AccessDenied")


def deny(bucket, **condition) -> None:
    name = bucket.bucket_name
    resource = [f"acs:oss:*:*:{name}", f"acs:oss:*:*:{name}/*"]
    document = {"Effect": "Deny", "Action": "oss:GetObject", "Principal": "*", "Resource": resource, "Condition": condition}
    bucket.put_bucket_policy(json.dumps({"Version": "1", "Statement": [document]}))


def get(server, bucket, **headers) -> int:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return requests.get(bucket.sign_url("GET", "a", 60), headers=named, timeout=10).status_code


@pytest.fixture
def proxied(fresh_server):
    def start(settings: str, **environment):
        server = fresh_server(settings=settings, environment=environment)
        bucket = server.new_bucket()
        bucket.put_object("a", b"a")
        return server, bucket

    return start


def test_the_word_of_a_trusted_proxy_decides_about_the_address(proxied):
    server, bucket = proxied('trusted_proxies = ["127.0.0.0/8", "10.0.0.0/8"]\n')
    deny(bucket, IpAddress={"acs:SourceIp": ["192.0.2.0/24"]})
    assert get(server, bucket) == 200
    assert get(server, bucket, X_Forwarded_For="192.0.2.7") == 403
    assert get(server, bucket, X_Forwarded_For="192.0.2.7, 10.1.2.3") == 403
    assert get(server, bucket, X_Forwarded_For="192.0.2.7, 198.51.100.1") == 200
    assert get(server, bucket, Forwarded="for=192.0.2.7") == 200


def test_the_standard_header_when_it_is_chosen(proxied):
    server, bucket = proxied('trusted_proxies = ["127.0.0.1"]\nforwarded_header = "forwarded"\n')
    deny(bucket, IpAddress={"acs:SourceIp": ["192.0.2.0/24"]})
    assert get(server, bucket, Forwarded='for="192.0.2.7:1234";proto=http') == 403
    assert get(server, bucket, X_Forwarded_For="192.0.2.7") == 200


def test_nobody_else_is_believed(proxied):
    server, bucket = proxied('trusted_proxies = ["198.51.100.1"]\n')
    deny(bucket, NotIpAddress={"acs:SourceIp": ["192.0.2.0/24"]})
    assert get(server, bucket, X_Forwarded_For="192.0.2.7", Forwarded="for=192.0.2.7") == 403
    deny(bucket, Bool={"acs:SecureTransport": "false"})
    assert get(server, bucket, X_Forwarded_Proto="https") == 403


def test_whether_the_client_spoke_tls_is_the_proxys_word(proxied):
    server, bucket = proxied('trusted_proxies = ["127.0.0.1"]\n')
    deny(bucket, Bool={"acs:SecureTransport": "false"})
    assert get(server, bucket, X_Forwarded_For="192.0.2.7", X_Forwarded_Proto="https") == 200
    assert get(server, bucket, X_Forwarded_For="192.0.2.7", X_Forwarded_Proto="http") == 403
    assert get(server, bucket, X_Forwarded_For="192.0.2.7") == 403


def test_guesses_count_for_the_client_behind_the_proxy(proxied):
    server, bucket = proxied('trusted_proxies = ["127.0.0.1"]\n', MILLPOND_AUTH_FAILURES_PER_MINUTE="2")
    wrong = server.bucket(bucket.bucket_name, secret="wrong").sign_url("GET", "a", 60)
    ask = lambda client: requests.get(wrong, headers={"X-Forwarded-For": client}, timeout=10).status_code  # noqa: E731
    assert [ask("192.0.2.7") for _ in range(3)] == [403, 403, 503]
    assert ask("192.0.2.8") == 403
    assert "192.0.2.7" in server.log()


def test_a_proxy_that_is_no_network_is_told_at_the_start(fresh_server):
    with pytest.raises(AssertionError, match="trusted_proxies"):
        fresh_server(settings='trusted_proxies = ["proxy.example"]\n')


def protect(bucket) -> None:
    bucket.put_object("a", b"a")
    bucket.put_bucket_referer(oss2.models.BucketReferer(False, ["http://ok.example"]))


def test_whole_hosts_in_hotlink_patterns(server, fresh_server):
    strict = fresh_server(settings="[referer]\nstrict_host = true\n")
    cases = {
        "http://ok.example/page": (200, 200),
        "http://ok.example:8080/": (200, 200),
        "http://ok.example.evil.net/": (200, 403),
        "http://evil.net/": (403, 403),
    }
    for number, running in enumerate((server, strict)):
        bucket = running.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
        protect(bucket)
        for referer, expected in cases.items():
            answer = running.get(f"{bucket.bucket_name}/a", headers={"Referer": referer})
            assert answer.status_code == expected[number], (number, referer)
            assert answer.status_code == 200 or answer.headers["x-oss-ec"] == "0003-00000503"


def test_vary_when_an_origin_is_repeated(fresh_server):
    plain = fresh_server(name="plain", settings="[cache]\nvary_origin = false\n")
    careful = fresh_server(name="careful", settings="[cache]\nvary_origin = false\n[cors]\nvary_on_echo = true\n")
    for running, vary in ((plain, None), (careful, "Origin")):
        bucket = running.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
        bucket.put_object("a", b"a")
        rules = [
            oss2.models.CorsRule(allowed_origins=["http://page.example"], allowed_methods=["GET"], allowed_headers=["*"]),
            oss2.models.CorsRule(allowed_origins=["*"], allowed_methods=["GET"]),
        ]
        bucket.put_bucket_cors(oss2.models.BucketCors(rules))
        url = running.url(f"{bucket.bucket_name}/a")
        page, other = {"Origin": "http://page.example"}, {"Origin": "http://other.example"}
        answer = requests.get(url, headers=page, timeout=10)
        assert answer.headers["Access-Control-Allow-Origin"] == "http://page.example"
        assert answer.headers.get("Vary") == vary
        assert requests.get(url + "x", headers=page, timeout=10).headers.get("Vary") == vary
        preflight = requests.options(url, headers={**page, "Access-Control-Request-Method": "GET"}, timeout=10)
        assert (preflight.status_code, preflight.headers.get("Vary")) == (200, vary)
        # A star is the same for every origin, and without an origin nothing is repeated.
        assert requests.get(url, headers=other, timeout=10).headers["Access-Control-Allow-Origin"] == "*"
        for headers in (other, {}):
            assert "Vary" not in requests.get(url, headers=headers, timeout=10).headers


def tagging(*pairs: "tuple[str, str]"):
    rules = oss2.models.TaggingRule()
    for name, value in pairs:
        rules.add(name, value)
    return oss2.models.Tagging(rules)


def test_tags_in_a_body_are_conditions(server, bucket):
    bucket.put_object("a", b"")
    user = new_user(server)
    objects = [f"acs:oss:*:*:{bucket.bucket_name}/*"]
    blue = {"StringEquals": {"oss:RequestObjectTag/team": "blue"}}
    user.allow("by-tag", statement("Allow", "oss:PutObjectTagging", objects, **blue))
    own = user.key().bucket(server, bucket.bucket_name)
    assert own.put_object_tagging("a", tagging(("team", "blue"))).status == 200
    assert refusal(own.put_object_tagging, "a", tagging(("team", "red"))) == DENIED
    assert refusal(own.put_object_tagging, "a", tagging(("other", "blue"))) == DENIED
    assert bucket.get_object_tagging("a").tag_set.tagging_rule == {"team": "blue"}
    # A prohibition cannot be walked around by saying it in the body.
    user.allow("any", statement("Allow", "oss:PutObjectTagging", objects))
    user.allow("not-secret", statement("Deny", "oss:*", objects, StringLike={"oss:RequestObjectTag/level": "secret*"}))
    assert own.put_object_tagging("a", tagging(("team", "red"))).status == 200
    assert refusal(own.put_object_tagging, "a", tagging(("level", "secret-1"))) == DENIED
    assert bucket.get_object_tagging("a").tag_set.tagging_rule == {"team": "red"}


def post(server, bucket, key, tags: str) -> int:
    policy = base64.b64encode(b'{"expiration":"2099-01-01T00:00:00.000Z","conditions":[["content-length-range",0,100]]}').decode()
    signature = base64.b64encode(hmac.new(key.secret.encode(), policy.encode(), hashlib.sha1).digest()).decode()
    fields = {"key": "formed", "OSSAccessKeyId": key.id, "policy": policy, "Signature": signature, "x-oss-tagging": tags}
    return requests.post(server.url(f"{bucket.bucket_name}/"), data=fields, files={"file": b"x"}, timeout=10).status_code


def test_tags_in_a_form_are_conditions(server, bucket):
    user = new_user(server)
    objects = [f"acs:oss:*:*:{bucket.bucket_name}/*"]
    actions = ["oss:PutObject", "oss:PutObjectTagging"]
    user.allow("by-tag", statement("Allow", actions, objects, StringEquals={"oss:RequestObjectTag/team": "blue"}))
    key = user.key()
    red, blue = post(server, bucket, key, "team=red"), post(server, bucket, key, "team=blue")
    assert (red, blue) == (403, 204)
    assert bucket.get_object_tagging("formed").tag_set.tagging_rule == {"team": "blue"}
