"""One signature, however the request for it is written (OSS auth 3 to 6, HTTP API 1): hosts, request targets, headers, queries,
and versions of HTTP."""

import subprocess
import time
from dataclasses import replace
from email.utils import formatdate

import pytest

from millpond_test.raw import ask
from millpond_test.server import Server
from millpond_test.signing import ROOT, Request, form, form_policy, v1_form, v1_header, v1_url, v4_header, v4_url
from test_refusals_of_authentication import SCHEMES
from test_tls import make_certificate

SERVED = (200, b"private")
WRONG = replace(ROOT, secret="wrong")


@pytest.fixture(scope="module")
def stored(server):
    bucket = server.new_bucket()
    for key in ("a.ts", "dir/a b+c"):
        bucket.put_object(key, b"private")
    return bucket.bucket_name


@pytest.fixture(params=SCHEMES)
def sign(request):
    return SCHEMES[request.param]


def found(server, request: bytes) -> "tuple[int, bytes]":
    answer = ask(server, request)
    return answer.status, answer.body


def test_hosts_and_targets(server, stored, sign):
    """A signature covers bucket and key, never how they were addressed."""
    path_style = sign(Request("GET", stored, "a.ts")).bytes()
    host = b"Host: 127.0.0.1\r\n"
    for other in ("127.0.0.1:1", "[::1]:9000", "localhost", "LOCALHOST:80", "oss-server:9000", "oss-cn-beijing.aliyuncs.com", "oss.aliyuncs.com."):
        assert found(server, path_style.replace(host, f"Host: {other}\r\n".encode())) == SERVED, other
    for target in ("http://127.0.0.1", "https://127.0.0.1", "HTTP://127.0.0.1"):
        assert found(server, path_style.replace(b"GET /", f"GET {target}/".encode(), 1)) == SERVED, target
    in_host = sign(Request("GET", stored, "a.ts")).bytes().replace(f"/{stored}/".encode(), b"/", 1)
    for domain in ("localhost", "LOCALHOST", "localhost.", "localhost:9000", "oss-cn-beijing.aliyuncs.com", "oss-cn-x-internal.aliyuncs.com"):
        for name in (stored, stored.upper()):
            assert found(server, in_host.replace(host, f"Host: {name}.{domain}\r\n".encode())) == SERVED, (name, domain)
    # Another bucket in the host is another resource.
    assert found(server, in_host.replace(host, b"Host: another-bucket.localhost\r\n"))[0] == 403


def test_escapes_of_the_path(server, stored, sign):
    plain = sign(Request("GET", stored, "dir/a b+c")).bytes()
    for spelled in (b"dir/a%20b+c", b"dir%2fa%20b%2bc", b"d%69r/%61%20b%2Bc", b"dir%2Fa%20b+c"):
        assert found(server, plain.replace(b"dir/a%20b%2Bc", spelled, 1)) == SERVED, spelled
    # A plus sign is no space, and nothing is resolved or collapsed.
    for spelled in (b"dir/a+b+c", b"dir/./a%20b+c", b"x/../dir/a%20b+c", b"dir//a%20b+c", b"dir/a%20b+c/"):
        assert found(server, plain.replace(b"dir/a%20b%2Bc", spelled, 1))[0] in (403, 404), spelled
        assert b"private" not in found(server, plain.replace(b"dir/a%20b%2Bc", spelled, 1))[1]


def test_spellings_of_headers(server, stored, sign):
    own = [("X-OSS-Meta-B", "  2 \t"), ("x-oss-meta-a", "视频 é"), ("X-Oss-Meta-C", ""), ("x-oss-meta-d", "a \t b"), ("x-oss-meta-b", "1")]
    request = sign(Request("GET", stored, "a.ts", headers=[*own, ("Content-Type", " text/x "), ("Content-MD5", "bWQ1")]))
    assert found(server, request.bytes()) == SERVED
    shouted = replace(request, headers=[(name.upper(), f"  {value}  ") for name, value in request.headers])
    assert found(server, shouted.bytes()) == SERVED
    # The order of different headers means nothing, that of equal ones does.
    assert found(server, replace(request, headers=sorted(request.headers, key=lambda pair: pair[0].lower())).bytes()) == SERVED
    assert found(server, replace(request, headers=request.headers[::-1]).bytes())[0] == 403
    assert found(server, request.with_headers(("x-oss-meta-e", "")).bytes())[0] == 403
    # What is not signed may be anything.
    assert found(server, request.with_headers(("Cache-Control", "x"), ("x-other", "y")).bytes()) == SERVED


def test_spellings_of_the_query(server, stored, sign):
    odd = [("x-oss-a", ""), ("x-oss-b", None), ("foo", "a+b c/d&e=%"), ("Foo", "é"), ("~x", "*'()!"), ("x-oss-c", "1"), ("x-oss-c", "2")]
    request = sign(Request("GET", stored, "a.ts", odd))
    plain = request.bytes()
    assert found(server, plain) == SERVED
    assert found(server, plain.replace(b"x-oss-b&", b"&&x-oss-b&&", 1)) == SERVED
    assert found(server, plain.replace(b"x-oss-b&", b"x-oss-b=&", 1)) == SERVED
    assert found(server, plain.replace(b"x-oss-a=&", b"x-oss-a&", 1)) == SERVED
    assert found(server, plain.replace(b"x-oss-a", b"%78-oss-%61", 1)) == SERVED
    assert found(server, plain.replace(b"x-oss-c=1", b"x-oss-c=3", 1))[0] == 403
    assert found(server, plain.replace(b"%C3%A9", b"%c3%a9", 1)) == SERVED


def test_the_newer_signature_covers_every_parameter_and_the_older_the_first_of_its_list(server, stored):
    for sign in (v4_header, v4_url):
        plain = sign(Request("GET", stored, "a.ts", [("foo", "1")]))
        for changed in (plain.with_query(("foo", "1")), plain.with_query(("bar", None)), plain.changed("foo", "2"), plain.without_query("foo")):
            assert changed.send(server).code == "SignatureDoesNotMatch"
    for sign in (v1_header, v1_url):
        plain = sign(Request("GET", stored, "a.ts", [("foo", "1"), ("x-oss-process-x", "1")]))
        assert plain.with_query(("bar", None)).changed("foo", "2").send(server).status == 200
        # A second one means nothing, also to what is done.
        again = plain.with_query(("x-oss-process-x", "2")).send(server)
        assert again.status == 200
        for changed in (plain.with_query(("x-oss-y", None)), plain.with_query(("response-content-type", "x")), plain.changed("x-oss-process-x", "2")):
            assert changed.send(server).code == "SignatureDoesNotMatch"


def test_long_heads_are_refused_or_read(server, stored, sign):
    for length, expected in ((5_000, (403, 400)), (60_000, (403, 400)), (300_000, (431,))):
        request = Request("GET", stored, "a.ts", headers=[("Date", formatdate(usegmt=True)), ("Authorization", "OSS " + "a" * length + ":b")])
        assert request.send(server).status in expected
    long = sign(Request("GET", stored, "a.ts", [("x-oss-long", "y" * 6000)]))
    assert found(server, long.bytes()) == SERVED
    head = sign(Request("HEAD", stored, "a.ts", [("x-oss-long", "y" * 6000)]), WRONG).send(server)
    assert head.seen == (403, "SignatureDoesNotMatch")


def test_a_form_is_a_form_in_any_spelling(server, stored):
    posted = form(stored, v1_form(form_policy(stored, time.time() + 60)))
    for kind in ("Multipart/Form-Data; boundary=b", 'multipart/form-data; charset=utf-8; boundary="b"', "MULTIPART/FORM-DATA;boundary=b"):
        assert replace(posted, headers=[("Content-Type", kind)]).send(server).status == 204, kind
    # With ?delete it is a batch, and who asks is in the header (OSS auth 2.2).
    assert posted.with_query(("delete", None)).with_headers(("Authorization", "nonsense")).send(server).seen == (400, "InvalidArgument")


@pytest.fixture(scope="module")
def secure(tmp_path_factory):
    folder = tmp_path_factory.mktemp("versions")
    certificate, key = make_certificate(folder, "versions")
    running = Server(folder / "server", ["--tls-cert", str(certificate), "--tls-key", str(key)]).start()
    bucket = running.new_bucket()
    bucket.put_object("a b.ts", b"private")
    yield running, bucket.bucket_name, certificate
    assert running.stop() == 0
    assert "panicked" not in running.log()


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("version", ["--http1.1", "--http2-prior-knowledge"])
def test_versions_of_http(secure, scheme, version, sign):
    """HTTP/2 has no Host header; its value is signed all the same when a client names it."""
    server, name, certificate = secure
    host = f"127.0.0.1:{server.port}"
    plain = Request("GET", name, "a b.ts", headers=[("x-oss-meta-x", "视频"), ("Range", "bytes=0-3")], host=host)
    signed = [sign(plain)]
    if sign in (v4_header, v4_url):
        signed += [sign(plain, additional=("host", "range")), sign(plain, additional=("Range", "Host"))]
    for request in signed:
        arguments = [word for name_of, value in request.headers for word in ("-H", f"{name_of}: {value}")]
        command = ["curl", "-s", "--cacert", str(certificate), version, "-w", " %{http_code} %{http_version}", *arguments]
        done = subprocess.run([*command, f"{scheme}://{host}{request.target()}"], capture_output=True, timeout=20)
        assert done.stdout.decode() == f"priv 206 {version[6:9] if '1.1' in version else '2'}", done
        if request is not signed[0]:
            changed = [word.replace("bytes=0-3", "bytes=0-4") for word in command]
            refused = subprocess.run([*changed, f"{scheme}://{host}{request.target()}"], capture_output=True, timeout=20)
            assert b"SignatureDoesNotMatch" in refused.stdout


def test_hosts_that_an_operator_does_not_want(fresh_server):
    server = fresh_server(settings='host_fallback = "reject"\nforce_virtual_hosted = true\ndomains = ["oss.example.test"]\n')
    name = server.new_bucket().bucket_name
    server.bucket(name).put_object("a.ts", b"private")
    for host, path, expected in [
        ("127.0.0.1", f"/{name}/a.ts", (200, "")),
        (f"{name}.oss.example.test", "/a.ts", (200, "")),
        (f"{name}.localhost:9000", "/a.ts", (200, "")),
        ("oss.example.test", f"/{name}/a.ts", (403, "SecondLevelDomainForbidden")),
        ("localhost", f"/{name}/a.ts", (403, "SecondLevelDomainForbidden")),
        ("oss-cn-hangzhou.aliyuncs.com", f"/{name}/a.ts", (403, "SecondLevelDomainForbidden")),
        ("oss-server", f"/{name}/a.ts", (403, "NonStandardHostForbidden")),
        ("example.com", "/", (403, "NonStandardHostForbidden")),
    ]:
        request = v1_header(Request("GET", name, "a.ts")).bytes()
        request = request.replace(f" /{name}/a.ts ".encode(), f" {path} ".encode(), 1).replace(b"Host: 127.0.0.1", f"Host: {host}".encode(), 1)
        assert ask(server, request).seen == expected, host
    # The service itself is no bucket in a path.
    assert v1_header(Request(host="localhost")).send(server).status == 200
