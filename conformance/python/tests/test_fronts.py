"""Behind reverse proxies, as docs/fronts.md configures them: signatures, reasons of refused uploads, caches that keep what is
private from strangers, addresses, ranges in slices."""

import json
import re
import socket

import oss2
import pytest
import requests
from requests.adapters import HTTPAdapter

from millpond_test import fronts, media
from millpond_test.accounts import statement
from millpond_test.replay import CAPTURE_BUCKET, CAPTURE_CHANNEL, CAPTURE_NAMES, capture
from millpond_test.server import ACCESS_KEY_ID, ACCESS_KEY_SECRET, create_channel, wait_for

HTTP_FRONTS = ["nginx", "nginx-tls", "nginx-stream", "haproxy", "varnish", "caddy", "apache"]
CLIENT = "127.0.0.9"
ROW = "a/b c+d%2F~é.bin"


def start(name, fresh_server, settings="", table=""):
    if fronts.program(name) is None:
        pytest.skip(f"{fronts.PROGRAMS[name]} is not installed")
    server = fresh_server(settings=f'trusted_proxies = ["127.0.0.1"]\n{settings}\n{table}')
    return server, fronts.running(name, server)


def of(front, bucket, secret=ACCESS_KEY_SECRET) -> oss2.Bucket:
    """The same bucket through the front."""
    session = oss2.Session()
    session.session.verify = front.authority or True
    session.session.trust_env = False
    return oss2.Bucket(oss2.AuthV4(ACCESS_KEY_ID, secret), front.endpoint, bucket.bucket_name, region="cn-hangzhou", session=session)


def get(front, path: str, session=requests, **options) -> requests.Response:
    """A read through the front; `path` may be a whole URL."""
    url = path if path.startswith(front.endpoint) else f"{front.endpoint}/{path}"
    return session.get(url, timeout=10, verify=front.authority or True, **options)


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
        assert get(front, through.sign_url("GET", ROW, 60)).content == data

        # A refused upload keeps its reason.
        wrong = of(front, private, "wrong")
        for _ in range(6):
            with pytest.raises(oss2.exceptions.ServerError) as refused:
                wrong.put_object("refused", b"x" * 50_000_000)
            assert (refused.value.status, refused.value.code) == (403, "SignatureDoesNotMatch"), refused.value

        # What was signed for somebody is given to nobody else.
        for bucket in (private, public):
            bucket.put_object("kept", b"kept")
        plain = f"{private.bucket_name}/kept"
        assert through.get_object("kept").read() == b"kept"
        assert get(front, plain).status_code == 403
        assert get(front, f"{public.bucket_name}/kept").content == b"kept"
        assert get(front, plain).status_code == 403

        # The client's address is the one that counts.
        allowed = statement("Allow", ["oss:GetObject"], [f"acs:oss:*:*:{private.bucket_name}/*"])
        allowed |= {"Principal": ["*"], "Condition": {"IpAddress": {"acs:SourceIp": [f"{CLIENT}/32"]}}}
        private.put_bucket_policy(json.dumps({"Version": "1", "Statement": [allowed]}))
        session = requests.Session()
        session.mount(front.endpoint.split("/")[0] + "//", Bound())
        assert get(front, plain, session).status_code == 200
        assert get(front, plain).status_code == 403

        # And so does whether it used TLS.
        allowed["Condition"] = {"Bool": {"acs:SecureTransport": ["true"]}}
        private.put_bucket_policy(json.dumps({"Version": "1", "Statement": [allowed]}))
        assert get(front, plain).status_code == (200 if front.authority else 403)
        assert requests.get(f"{server.endpoint}/{plain}", timeout=10).status_code == 403


class Bound(HTTPAdapter):
    def init_poolmanager(self, *arguments, **options):
        super().init_poolmanager(*arguments, source_address=(CLIENT, 0), **options)


def test_http2_behind_nginx(fresh_server, tmp_path):
    server, running = start("nginx-tls", fresh_server)
    bucket = server.new_bucket()
    large, got = tmp_path / "large", tmp_path / "got"
    large.write_bytes(bytes(range(256)) * 100_000)
    with running as front:

        def curl(url, *options):
            done = media.run(["curl", "-sS", "--http2", "--cacert", front.authority, "-o", str(got), "-w", "%{http_version} %{http_code}", *options, url])
            assert done.returncode == 0, done
            return done.stdout

        through, wrong = of(front, bucket), of(front, bucket, "wrong")
        assert curl(through.sign_url("PUT", ROW, 60), "-T", str(large), "-H", "Content-Type:") == "2 200"
        assert curl(through.sign_url("GET", ROW, 60)) == "2 200" and got.read_bytes() == large.read_bytes()
        assert curl(through.sign_url("GET", ROW, 60), "-r", "5-9") == "2 206" and got.read_bytes() == large.read_bytes()[5:10]
        for _ in range(3):
            assert curl(wrong.sign_url("PUT", "refused", 60), "-T", str(large), "-H", "Content-Type:") == "2 403"
            assert b"SignatureDoesNotMatch" in got.read_bytes()


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


@pytest.mark.parametrize("name", ["haproxy", "nginx-stream"])
def test_encoders_behind_a_tcp_front(name, fresh_server, short_source):
    server, running = start(name, fresh_server)
    bucket = server.new_bucket()
    create_channel(bucket, "cam")
    with running as front:
        url = re.sub(r"//[^/]+/", f"//{front.rtmp}/", bucket.sign_rtmp_url("cam", "playlist.m3u8", 600))
        push = media.push_file(short_source.path, url)
        wait_for(lambda: bucket.get_live_channel_stat("cam").status == "Idle", "the channel is idle")
        assert push is not None
    history = bucket.get_live_channel_history("cam").records
    assert [record.remote_addr.rsplit(":", 1)[0] for record in history] == ["127.0.0.1"]


@pytest.mark.parametrize("name", ["haproxy", "nginx-stream"])
def test_an_encoder_s_own_address_counts_behind_a_tcp_front(name, fresh_server):
    server, running = start(name, fresh_server)
    bucket = server.new_bucket(name=CAPTURE_BUCKET)
    create_channel(bucket, CAPTURE_CHANNEL)
    with running as front:
        host, port = front.rtmp.rsplit(":", 1)
        # Nobody else has that address: what a captured encoder said comes from it.
        with socket.create_connection((host, int(port)), timeout=10, source_address=(CLIENT, 0)) as connection:
            connection.sendall(capture(CAPTURE_NAMES[0]))
            mine = connection.getsockname()[1]
        wait_for(lambda: bucket.get_live_channel_history(CAPTURE_CHANNEL).records, "the push is over")
    (record,) = bucket.get_live_channel_history(CAPTURE_CHANNEL).records
    assert record.remote_addr == f"{CLIENT}:{mine}"


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
