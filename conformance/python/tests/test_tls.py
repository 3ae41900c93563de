"""HTTPS and RTMPS on the ports of HTTP and RTMP (D5, D15), and certificates that are replaced while the server runs."""

import http.client
import shutil
import signal
import socket
import ssl
import time

import oss2
import pytest
import requests

from millpond_test import media
from millpond_test.server import ACCESS_KEY_ID, ACCESS_KEY_SECRET, REGION, SERVERS, create_channel, wait_for


def make_certificate(folder, name: str, *arguments: str):
    """A self-signed certificate for 127.0.0.1 and its key; `arguments` are further ones of openssl."""
    folder.mkdir(exist_ok=True)
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    made = media.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
            "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-keyout", str(key), "-out", str(certificate), *arguments,
        ]
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    return certificate, key


@pytest.fixture
def certificate(tmp_path):
    return make_certificate(tmp_path, "first")


@pytest.fixture
def secure(fresh_server, certificate):
    return fresh_server("--tls-cert", str(certificate[0]), "--tls-key", str(certificate[1]))


def client(server, certificate, name="secure", version="v1") -> oss2.Bucket:
    session = oss2.Session()
    session.session.trust_env = False  # A bundle named in the environment would win over the next line.
    session.session.verify = str(certificate[0])
    auth = oss2.AuthV4 if version == "v4" else oss2.Auth
    endpoint = server.endpoint.replace("http:", "https:")
    return oss2.Bucket(auth(ACCESS_KEY_ID, ACCESS_KEY_SECRET), endpoint, name, session=session, region=REGION)


def shown_certificate(server, port: int = 0) -> str:
    return ssl.get_server_certificate(("127.0.0.1", port or server.port))


def test_https_and_http_on_one_port(secure, certificate, version):
    bucket = client(secure, certificate, version=version)
    bucket.create_bucket()
    bucket.put_object("a", b"over TLS")
    assert secure.bucket("secure").get_object("a").read() == b"over TLS"
    url = bucket.sign_url("GET", "a", 60)
    assert url.startswith("https://")
    assert requests.get(url, verify=str(certificate[0]), timeout=10).content == b"over TLS"
    assert requests.get(url.replace("https:", "http:"), timeout=10).content == b"over TLS"


def test_http2_is_agreed_on(secure, certificate):
    context = ssl.create_default_context(cafile=str(certificate[0]))
    for offered, agreed in ((["h2", "http/1.1"], "h2"), (["http/1.1"], "http/1.1"), ([], None)):
        if offered:
            context.set_alpn_protocols(offered)
        with socket.create_connection(("127.0.0.1", secure.port), timeout=5) as plain:
            with context.wrap_socket(plain, server_hostname="127.0.0.1") as stream:
                assert stream.selected_alpn_protocol() == (agreed if offered else stream.selected_alpn_protocol())
    if shutil.which("curl"):
        url = f"https://127.0.0.1:{secure.port}/-/play"
        shown = media.run(["curl", "-s", "-o", "/dev/null", "-w", "%{http_version} %{http_code}", "--http2", "--cacert", str(certificate[0]), url])
        assert shown.stdout == "2 200", shown.stdout + shown.stderr


def test_q14_old_versions_of_tls_are_refused_and_named_in_the_log(secure):
    """And no host name is sent, as by old hardware: the certificate is there all the same."""
    for version, works in ((ssl.TLSVersion.TLSv1_3, True), (ssl.TLSVersion.TLSv1_2, True), (ssl.TLSVersion.TLSv1_1, False)):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = version
        with socket.create_connection(("127.0.0.1", secure.port), timeout=5) as plain:
            try:
                context.wrap_socket(plain).close()
                assert works, version
            except (ssl.SSLError, OSError):
                assert not works, version

    def told():
        refusals = [line for line in secure.log().splitlines() if "no TLS with this peer" in line]
        return any("incompatible" in line for line in refusals)

    # The peer knows before the log does.
    wait_for(told, "the version that failed is in the log")


@pytest.mark.parametrize("on_rtmp_port", [False, True])
def test_rtmps_push_and_https_playback(secure, certificate, short_source, on_rtmp_port):
    bucket = client(secure, certificate)
    bucket.create_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    create_channel(bucket)
    url = secure.bucket("secure").sign_rtmp_url("test-channel", "playlist.m3u8", 600)
    url = secure.on_rtmp_port(url) if on_rtmp_port else url
    media.push_file(short_source.path, url.replace("rtmp://", "rtmps://"))
    wait_for(lambda: bucket.get_live_channel_stat("test-channel").status == "Idle", "idle")
    play = f"https://127.0.0.1:{secure.port}/secure/test-channel/playlist.m3u8"
    assert requests.get(play, verify=str(certificate[0]), timeout=10).status_code == 200
    media.assert_same_frames(media.decode_live(play), short_source.decoded)


def test_a_new_certificate_without_a_restart(secure, certificate, tmp_path, short_source):
    bucket = client(secure, certificate)
    bucket.create_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    create_channel(bucket)
    before = shown_certificate(secure)
    connection = http.client.HTTPSConnection(
        "127.0.0.1", secure.port, context=ssl.create_default_context(cafile=str(certificate[0])), timeout=10
    )
    connection.request("GET", "/-/play")
    assert connection.getresponse().read()
    url = secure.bucket("secure").sign_rtmp_url("test-channel", "playlist.m3u8", 600).replace("rtmp://", "rtmps://")
    with media.Push(short_source.path, url, loop=True) as push:
        wait_for(lambda: bucket.get_live_channel_stat("test-channel").status == "Live", "live")
        second = make_certificate(tmp_path, "second")
        # For a while the two files do not fit; the old pair stays in use.
        shutil.copy(second[0], certificate[0])
        time.sleep(3)
        assert shown_certificate(secure) == before
        shutil.copy(second[1], certificate[1])
        # Each of several servers looks for itself.
        wait_for(lambda: {shown_certificate(secure) for _ in range(2 * SERVERS - 1)} == {second[0].read_text()}, "the new certificate")
        assert shown_certificate(secure, int(secure.rtmp_address.rsplit(":", 1)[1])) == second[0].read_text()
        assert push.running()
        assert client(secure, second).get_live_channel_stat("test-channel").status == "Live"
    # A connection from before goes on.
    connection.request("GET", "/-/play")
    assert connection.getresponse().read()


def test_policies_see_whether_a_request_was_encrypted(secure, certificate):
    bucket = client(secure, certificate)
    bucket.create_bucket()
    bucket.put_object("a", b"a")
    bucket.put_bucket_policy(
        '{"Version":"1","Statement":[{"Effect":"Deny","Action":"oss:*","Principal":"*",'
        '"Resource":["acs:oss:*:*:secure","acs:oss:*:*:secure/*"],"Condition":{"Bool":{"acs:SecureTransport":"false"}}}]}'
    )
    assert bucket.get_object("a").read() == b"a"
    with pytest.raises(oss2.exceptions.AccessDenied):
        secure.bucket("secure").get_object("a")


def test_the_operators_port_speaks_tls_too(secure, certificate):
    url = f"https://{secure.admin_address}/healthz"
    assert requests.get(url, verify=str(certificate[0]), timeout=10).text == "ok\n"
    assert secure.admin("/healthz").text == "ok\n"


def test_without_a_certificate_tls_is_closed(server):
    with pytest.raises((ssl.SSLError, OSError)):
        shown_certificate(server)
    assert "no certificate is configured" in server.log()


def test_a_hang_up_ends_nothing(fresh_server, secure, certificate, tmp_path):
    # Without a certificate there is nothing to read again.
    plain = fresh_server(name="plain")
    plain.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "SIGHUP" in plain.log(), "a word about the signal")
    assert plain.admin("/healthz").text == "ok\n"
    # With one it is read at once, changed or not.
    secure.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "the certificate was read again" in secure.log(), "the certificate is read")
    assert requests.get(f"https://{secure.admin_address}/healthz", verify=str(certificate[0]), timeout=10).text == "ok\n"


def test_a_wrong_certificate_is_told_at_the_start(tmp_path, certificate):
    other = make_certificate(tmp_path, "other")
    from millpond_test.server import BINARY

    for arguments, message in (
        (["--tls-cert", str(certificate[0]), "--tls-key", str(other[1])], "do not fit"),
        (["--tls-cert", str(tmp_path / "none"), "--tls-key", str(other[1])], "cannot read"),
        (["--tls-cert", str(certificate[0])], "--tls-key"),
    ):
        started = media.run([str(BINARY), "serve", "--data-dir", str(tmp_path / "data"), "--listen", "127.0.0.1:0", *arguments], 10)
        assert started.returncode != 0
        assert message in started.stderr, started.stderr
