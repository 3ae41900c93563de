"""Wrong signatures are counted by address; right ones are never held up."""

import time

import pytest
import requests

from millpond_test import media
from millpond_test.accounts import Key, manage, refusal
from millpond_test.server import create_channel


@pytest.fixture
def strict(fresh_server):
    return fresh_server(environment={"MILLPOND_AUTH_FAILURES_PER_MINUTE": "5"})


def test_the_budget_over_http(strict):
    bucket = strict.new_bucket()
    bucket.put_object("a", b"a")
    name = bucket.bucket_name
    wrong, unknown = strict.bucket(name, secret="wrong"), strict.bucket(name, key="nobody")
    expired = bucket.sign_url("GET", "a", -10)
    for _ in range(3):
        assert refusal(wrong.get_bucket_acl) == (403, "SignatureDoesNotMatch")
        assert requests.get(expired, timeout=10).status_code == 403
        assert requests.get(strict.url(f"{name}/a"), timeout=10).status_code == 403
    for _ in range(2):
        assert refusal(unknown.get_bucket_acl) == (403, "InvalidAccessKeyId")
    begun = time.monotonic()
    for client in (wrong, unknown):
        assert refusal(client.get_bucket_acl) == (503, "ServiceUnavailable")
    assert time.monotonic() - begun > 0.9
    for version in ("v1", "v4"):
        begun = time.monotonic()
        assert strict.bucket(name, version).get_object("a").read() == b"a"
        assert time.monotonic() - begun < 0.4
    response = requests.get(expired, timeout=10)
    assert (response.status_code, "Request has expired" in response.text) == (403, True)
    answer = requests.get(wrong.sign_url("GET", "a", 60), timeout=10)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "60")
    assert 'millpond_auth_failures_limited_total 3' in strict.admin("/metrics").text


def test_the_budget_over_rtmp(strict, short_source):
    bucket = strict.new_bucket()
    create_channel(bucket)
    wrong = strict.bucket(bucket.bucket_name, secret="wrong").sign_rtmp_url("test-channel", "playlist.m3u8", 600)
    for _ in range(5):
        assert "SignatureDoesNotMatch" in media.push_refused(short_source.path, wrong)
    assert "ServiceUnavailable" in media.push_refused(short_source.path, wrong)
    media.push_file(short_source.path, bucket.sign_rtmp_url("test-channel", "playlist.m3u8", 600))


def test_the_budget_of_the_management_api(strict):
    stranger = Key("nobody", "wrong").environment()
    for _ in range(5):
        assert "403 InvalidAccessKeyId" in manage(strict, "user", "list", environment=stranger, code=1)
    assert "503 ServiceUnavailable" in manage(strict, "user", "list", environment=stranger, code=1)
    assert manage(strict, "user", "list") == {"users": []}
