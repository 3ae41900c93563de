"""Playlists signed by the SDKs in every spelling that their users meet (OSS auth 9.7): each line of the answer opens its
segment, and a changed URL opens nothing."""

import datetime
from urllib.parse import unquote, urljoin

import alibabacloud_oss_v2 as oss
import pytest
import requests

from millpond_test.accounts import new_user
from millpond_test.server import ACCESS_KEY_ID, ACCESS_KEY_SECRET, REGION

KEY = "live/ch1/playlist.m3u8"
PROCESS = "x-oss-process=hls/sign"
PLAYLIST = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:5\n#EXTINF:5.000,\n1.ts\n#EXTINF:5.000,\n2.ts\n"


@pytest.fixture(scope="module")
def stored(server):
    bucket = server.new_bucket()
    bucket.put_object(KEY, PLAYLIST)
    for number in (1, 2):
        bucket.put_object(f"live/ch1/{number}.ts", f"segment {number}".encode())
    return bucket


def plays(url: str) -> None:
    """Every line of the playlist behind the URL is signed and opens."""
    answer = requests.get(url, timeout=10)
    assert answer.status_code == 200, answer.text
    uris = [line for line in answer.text.splitlines() if line and not line.startswith("#")]
    # Relative to the playlist as players see it: an escaped slash is no slash to them.
    base = unquote(url.split("?")[0]).split("?")[0]
    found = [requests.get(urljoin(base, uri), timeout=10) for uri in uris]
    assert [segment.text for segment in found] == ["segment 1", "segment 2"]
    assert all("ignature=" in uri for uri in uris)


def refused(url: str, code: str, status: int = 403) -> None:
    answer = requests.get(url, timeout=10)
    assert (answer.status_code, f"<Code>{code}</Code>" in answer.text) == (status, True), answer.text


def test_oss2_with_parameters(server, stored, version):
    url = server.bucket(stored.bucket_name, version).sign_url("GET", KEY, 600, params={"x-oss-process": "hls/sign"}, slash_safe=True)
    plays(url)
    plays(url.replace("hls%2Fsign", "hls/sign"))
    plays(url.replace("/live/ch1/", "/live%2Fch1%2F"))
    # Encoded twice, it asks for another process than was signed.
    refused(url.replace("hls%2Fsign", "hls%252Fsign"), "SignatureDoesNotMatch")
    refused(url.replace("playlist.m3u8", "playlist.m3u"), "SignatureDoesNotMatch")


def test_the_sample_code_of_the_requirement(server, stored, version):
    """`sign_url` with the process in the object name, as printed and as its users are told to repair it."""
    bucket = server.bucket(stored.bucket_name, version)
    raw = bucket.sign_url("GET", f"{KEY}?{PROCESS}", 600)
    assert "%2F" in raw and "%3F" in raw
    plays(raw)
    path, query = raw.split("?", 1)
    repaired = f"{unquote(path)}&{query}"
    if version == "v1":
        plays(repaired)
    else:
        # V4 signs the whole query, so the repair breaks it, as at the official service (form F).
        refused(repaired, "SignatureDoesNotMatch")
    plays(bucket.sign_url("GET", f"{KEY}?{PROCESS}", 600, slash_safe=True))


def test_unknown_processes_are_no_playlists(server, stored, version):
    bucket = server.bucket(stored.bucket_name, version)
    url = bucket.sign_url("GET", KEY, 600, params={"x-oss-process": "hls%2Fsign"}, slash_safe=True)
    refused(url, "InvalidArgument", 400)


@pytest.mark.parametrize("signature", ["v1", "v4"])
def test_the_newer_sdk(server, stored, signature):
    user = new_user(server)
    user.allow("AliyunOSSReadOnlyAccess")
    session = user.session()
    for key in ((ACCESS_KEY_ID, ACCESS_KEY_SECRET), (session.id, session.secret, session.token)):
        config = oss.config.load_default()
        config.credentials_provider = oss.credentials.StaticCredentialsProvider(*key)
        config.region, config.endpoint, config.signature_version = REGION, server.endpoint, signature
        client = oss.Client(config)
        request = oss.GetObjectRequest(bucket=stored.bucket_name, key=KEY, process="hls/sign")
        signed = client.presign(request, expires=datetime.timedelta(minutes=10))
        assert not signed.signed_headers, signed.signed_headers
        assert ("x-oss-signature-version" in signed.url) == (signature == "v4")
        if signature == "v4":
            plays(signed.url)
        else:
            # This SDK leaves x-oss-process out of its V1 signatures (OSS auth 3.3 wants it in), so nobody accepts them.
            refused(signed.url, "SignatureDoesNotMatch")
        got = client.get_object(oss.GetObjectRequest(bucket=stored.bucket_name, key="live/ch1/1.ts"))
        assert got.body.read() == b"segment 1"
