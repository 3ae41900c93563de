"""Behind reverse proxies, as docs/fronts.md configures them: signatures, reasons of refused uploads, caches that keep what is
private from strangers, addresses, ranges in slices."""

import json
import re

import oss2
import pytest
import requests
from requests.adapters import HTTPAdapter

from millpond_test import fronts, media
from millpond_test.accounts import statement
from millpond_test.server import ACCESS_KEY_ID, ACCESS_KEY_SECRET, create_channel, wait_for

HTTP_FRONTS = ["nginx", "haproxy", "varnish", "caddy", "apache"]
CLIENT = "127.0.0.9"
ROW = "a/b c+d%2F~é.bin"


def start(name, fresh_server, settings="", table=""):
    if fronts.program(name) is None:
        pytest.skip(f"{fronts.PROGRAMS[name]} is not installed")
    server = fresh_server(settings=f'trusted_proxies = ["127.0.0.1"]\n{settings}\n{table}')
    return server, fronts.running(name, server)


def of(front, bucket, secret=ACCESS_KEY_SECRET) -> oss2.Bucket:
    """The same bucket through the front."""
    return oss2.Bucket(oss2.AuthV4(ACCESS_KEY_ID, secret), f"http://{front.http}", bucket.bucket_name, region="cn-hangzhou")


def test_every_configuration_of_the_page_is_run():
    assert set(fronts.blocks()) == {*HTTP_FRONTS, "nginx-slices"}


@pytest.mark.parametrize("name", HTTP_FRONTS)
def test_behind(name, fresh_server):
    server, running = start(name, fresh_server)
    private, public = server.new_bucket(), server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    with running as front:
        through = of(front, private)
        # Paths, queries and bodies arrive as they were signed.
        data = bytes(range(256)) * 12_000
        for key in (ROW, "x//y", "k" * 900):
            through.put_object(key, data)
            assert through.get_object(key).read() == data, key
            assert through.head_object(key).content_length == len(data)
        assert {entry.key for entry in oss2.ObjectIterator(through)} == {ROW, "x//y", "k" * 900}
        assert requests.get(through.sign_url("GET", ROW, 60), timeout=10).content == data

        # A refused upload keeps its reason.
        wrong = of(front, private, "wrong")
        for _ in range(6):
            with pytest.raises(oss2.exceptions.ServerError) as refused:
                wrong.put_object("refused", b"x" * 50_000_000)
            assert (refused.value.status, refused.value.code) == (403, "SignatureDoesNotMatch"), refused.value

        # What was signed for somebody is given to nobody else.
        for bucket in (private, public):
            bucket.put_object("kept", b"kept")
        plain = f"http://{front.http}/{private.bucket_name}/kept"
        assert through.get_object("kept").read() == b"kept"
        assert requests.get(plain, timeout=10).status_code == 403
        assert requests.get(f"http://{front.http}/{public.bucket_name}/kept", timeout=10).content == b"kept"
        assert requests.get(plain, timeout=10).status_code == 403

        # The client's address is the one that counts.
        allowed = statement("Allow", ["oss:GetObject"], [f"acs:oss:*:*:{private.bucket_name}/*"])
        allowed |= {"Principal": ["*"], "Condition": {"IpAddress": {"acs:SourceIp": [f"{CLIENT}/32"]}}}
        private.put_bucket_policy(json.dumps({"Version": "1", "Statement": [allowed]}))
        session = requests.Session()
        session.mount("http://", Bound())
        assert session.get(plain, timeout=10).status_code == 200
        assert requests.get(plain, timeout=10).status_code == 403


class Bound(HTTPAdapter):
    def init_poolmanager(self, *arguments, **options):
        super().init_poolmanager(*arguments, source_address=(CLIENT, 0), **options)


@pytest.mark.parametrize("behaviour", ["oss", "standard"])
def test_slices(behaviour, fresh_server):
    server, running = start("nginx-slices", fresh_server, table=f'[http]\nrange_behavior = "{behaviour}"\n')
    bucket = server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    data = bytes(range(256)) * 10_000
    bucket.put_object("large", data)
    with running as front:
        for _ in range(2):
            try:
                got = requests.get(f"http://{front.http}/{bucket.bucket_name}/large", timeout=20).content
            except requests.RequestException:
                got = None
            # Why the page asks for the setting.
            assert (got == data) == (behaviour == "standard")


def test_ranges_beyond_the_end(fresh_server):
    server = fresh_server(settings='[http]\nrange_behavior = "standard"\n')
    bucket = server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    bucket.put_object("a", b"0123456789")
    for wanted, asked, status, content in [
        ("bytes=5-20", None, 206, b"56789"), ("bytes=-20", None, 206, b"0123456789"), ("bytes=10-", None, 416, None),
        ("bytes=5-20", "oss", 200, b"0123456789"), ("bytes=5-20", "standard", 206, b"56789"),
    ]:  # fmt: skip
        headers = {"Range": wanted, **({"x-oss-range-behavior": asked} if asked else {})}
        answer = requests.get(f"{server.endpoint}/{bucket.bucket_name}/a", headers=headers, timeout=10)
        assert (answer.status_code, answer.content if content else None) == (status, content), (wanted, asked)


def test_encoders_behind_a_tcp_front(fresh_server, short_source):
    server, running = start("haproxy", fresh_server)
    bucket = server.new_bucket()
    create_channel(bucket, "cam")
    with running as front:
        url = re.sub(r"//[^/]+/", f"//{front.rtmp}/", bucket.sign_rtmp_url("cam", "playlist.m3u8", 600))
        push = media.push_file(short_source.path, url)
        wait_for(lambda: bucket.get_live_channel_stat("cam").status == "Idle", "the channel is idle")
        assert push is not None
    history = bucket.get_live_channel_history("cam").records
    # HAProxy wrote its client's address, which has another port than its own.
    assert [record.remote_addr.rsplit(":", 1)[0] for record in history] == ["127.0.0.1"]


def test_signed_reads_of_private_objects_are_private(server):
    private, public = server.new_bucket(), server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    for bucket, expected in [(private, "private"), (public, None)]:
        bucket.put_object("a", b"a")
        assert bucket.get_object("a").headers.get("Cache-Control") == expected
        assert bucket.head_object("a").headers.get("Cache-Control") == expected
        assert requests.get(bucket.sign_url("GET", "a", 60), timeout=10).headers.get("Cache-Control") == expected
        assert bucket.list_objects().headers["Cache-Control"] == "private"
        bucket.put_object("b", b"b", headers={"Cache-Control": "max-age=60"})
        assert bucket.get_object("b").headers["Cache-Control"] == "max-age=60"
    public.put_object_acl("a", oss2.OBJECT_ACL_PRIVATE)
    assert public.get_object("a").headers["Cache-Control"] == "private"
    assert requests.get(f"{server.endpoint}/{public.bucket_name}/b", timeout=10).headers["Cache-Control"] == "max-age=60"
