"""What the server says to requests that are signed wrongly, late, or by a stranger."""

from email.utils import formatdate
import time

import oss2
import pytest
import requests

from millpond_test.server import ACCESS_KEY_ID
from millpond_test.wire import check_common_headers, signed_request


def test_a_wrong_secret_does_not_match(server, bucket, version):
    stranger = server.bucket(bucket.bucket_name, version, secret="not-the-secret")
    with pytest.raises(oss2.exceptions.SignatureDoesNotMatch) as caught:
        stranger.get_object("key")
    assert caught.value.status == 403
    assert caught.value.details["OSSAccessKeyId"] == ACCESS_KEY_ID
    assert caught.value.details["StringToSign"].startswith("GET\n" if version == "v1" else "OSS4-HMAC-SHA256\n")


def test_an_unknown_key_is_named(server, bucket, version):
    with pytest.raises(oss2.exceptions.ServerError) as caught:
        server.bucket(bucket.bucket_name, version, key="LTAI5tUnknownKey0000001").get_object("key")
    assert (caught.value.status, caught.value.code) == (403, "InvalidAccessKeyId")
    assert caught.value.details["EC"] == "0002-00000902"


@pytest.mark.parametrize("offset_s, expected", [(-16 * 60, 403), (16 * 60, 403), (-14 * 60, 404), (14 * 60, 404)])
def test_clocks_may_differ_by_fifteen_minutes(server, bucket, offset_s, expected):
    response = signed_request(server, "GET", bucket.bucket_name, "nothing", date=formatdate(time.time() + offset_s, usegmt=True))
    check_common_headers(response)
    assert response.status_code == expected, response.text
    assert ("<Code>RequestTimeTooSkewed</Code>" in response.text) == (expected == 403)


def test_an_expired_url(server, bucket, version):
    bucket = server.bucket(bucket.bucket_name, version)
    url = bucket.sign_url("GET", "nothing", 1)
    assert requests.get(url, timeout=10).status_code == 404
    time.sleep(2.2)
    response = requests.get(url, timeout=10)
    assert response.status_code == 403
    assert "<Code>AccessDenied</Code>" in response.text
    assert "<Message>Request has expired.</Message>" in response.text


@pytest.mark.parametrize(
    "header, status, code",
    [
        ("", 400, "InvalidArgument"),
        ("Basic abc", 400, "InvalidArgument"),
        ("OSS abc", 400, "InvalidArgument"),
        ("OSS :", 400, "InvalidArgument"),
    ],
)
def test_an_authorization_that_is_none(server, bucket, header, status, code):
    response = requests.get(
        server.url(f"{bucket.bucket_name}/key"), headers={"Authorization": header, "Date": formatdate(usegmt=True)}, timeout=10
    )
    assert (response.status_code, f"<Code>{code}</Code>" in response.text) == (status, True), response.text


def test_no_secret_is_ever_logged(server):
    assert "FakeSecretForSpecOnly" not in server.log()
