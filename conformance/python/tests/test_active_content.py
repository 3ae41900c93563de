"""What is stored is no page of the console's origin (D27): on hosts that have `/-/`, types that could run scripts are sent as
attachments in a sandbox and nothing is guessed at; on hosts that stand for one bucket everything is as it was stored."""

import oss2
import pytest
import requests

from millpond_test.raw import ask
from millpond_test.signing import Request, v1_header, v1_url, v4_url

URLS = {"v1": v1_url, "v4": v4_url}
ACTIVE = [
    "text/html", "text/html; charset=utf-8", "TEXT/HTML", "application/xhtml+xml", "image/svg+xml", "text/xml", "application/xml",
    "application/dash+xml", "application/atom+xml", "text/xsl", "text/javascript", "application/javascript", "application/wasm",
    "text/plain, text/html", "text/plain;a=b,text/html", "multipart/x-mixed-replace; boundary=a", "message/rfc822", "unknown/unknown",
    "no type",
]  # fmt: skip
INERT = [
    "video/mp2t", "video/MP2T", "application/vnd.apple.mpegurl", "application/x-mpegURL", "audio/mpegurl", "video/mp4", "audio/aac",
    "video/iso.segment", "text/vtt", "image/png", "image/jpeg", "text/plain", "text/css", "application/json", "application/pdf",
    "application/octet-stream", "application/zip", "font/woff2",
]  # fmt: skip
CONTAINED = {"Content-Security-Policy": "sandbox", "X-Content-Type-Options": "nosniff", "Content-Disposition": "attachment"}
READ = {**CONTAINED, "Content-Disposition": None}
SHOWN = {**CONTAINED, "Content-Security-Policy": None, "Content-Disposition": None}
AS_STORED = dict.fromkeys(CONTAINED)


def seen(answer) -> dict:
    return {name: answer.headers.get(name) for name in CONTAINED}


@pytest.fixture(scope="module")
def public(server):
    return server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ_WRITE)


def through_host(server, bucket, key, method="GET", headers=(), host=None):
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    head = f"{method} /{key} HTTP/1.1\r\nHost: {host or f'{bucket.bucket_name}.localhost'}\r\nConnection: close\r\n{lines}\r\n"
    return ask(server, head.encode(), method)


@pytest.mark.parametrize("content_type", ACTIVE + INERT)
def test_types_on_either_kind_of_host(server, public, content_type):
    put = Request("PUT", public.bucket_name, "object", body=b"<script>0</script>").with_headers(("Content-Type", content_type))
    assert put.send(server).status == 200
    expected = CONTAINED if content_type in ACTIVE else SHOWN
    path = f"{public.bucket_name}/object"
    for answer in (
        server.get(path),
        requests.head(server.url(path), timeout=10),
        server.get(path, headers={"Range": "bytes=1-3"}),
        requests.get(f"http://localhost:{server.port}/{path}", timeout=10),
        server.get(path, headers={"Host": "another-name:9000"}),
    ):
        assert answer.status_code in (200, 206)
        assert answer.headers["Content-Type"] == content_type
        assert seen(answer) == expected, answer.request.headers
    for method, more in (("GET", ()), ("HEAD", ()), ("GET", [("Range", "bytes=1-3")])):
        assert seen(through_host(server, public, "object", method, more)) == AS_STORED


def test_a_custom_domain_serves_what_is_stored(fresh_server):
    server = fresh_server(settings='[custom_domains]\n"media.example.com" = "site"\n')
    bucket = server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ, name="site")
    bucket.put_object("page.html", b"<p>", headers={"Content-Type": "text/html"})
    assert seen(through_host(server, bucket, "page.html", host="media.example.com")) == AS_STORED
    assert seen(server.get("site/page.html")) == CONTAINED
    # Nothing under `/-/` is the server's there, however odd the request.
    for target in ("-/console", "-/console?append", "-/play?restore", "-/console/app.js?delete&append", "-/" + "x" * 1100):
        answer = through_host(server, bucket, target, host="media.example.com")
        assert answer.status >= 400 and answer.headers.get("Content-Type") == "application/xml", target


def test_names_of_files_stay_and_inline_does_not(server, public):
    for stored, expected in (
        ("inline", "attachment"),
        ('inline; filename="a b.html"', 'attachment; filename="a b.html"'),
        ('attachment; filename="a.html"', 'attachment; filename="a.html"'),
        ("form-data; name=a", "attachment"),
    ):
        public.put_object("named.html", b"<p>", headers={"Content-Type": "text/html", "Content-Disposition": stored})
        assert server.get(f"{public.bucket_name}/named.html").headers["Content-Disposition"] == expected
        assert through_host(server, public, "named.html").headers["Content-Disposition"] == stored
    public.put_object("film.mp4", b"x", headers={"Content-Type": "video/mp4", "Content-Disposition": "inline; filename=a.mp4"})
    assert server.get(f"{public.bucket_name}/film.mp4").headers["Content-Disposition"] == "inline; filename=a.mp4"


def test_signed_addresses_choose_no_other_way(server, public, version):
    public.put_object("text", b"<script>0</script>", headers={"Content-Type": "text/plain"})
    request = Request("GET", public.bucket_name, "text", [("response-content-type", "text/html"), ("response-content-disposition", "inline; filename=a")])
    answer = URLS[version](request).send(server)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html")
    assert seen(answer) == {**CONTAINED, "Content-Disposition": "attachment; filename=a"}
    # A type that harms nobody may be asked for.
    public.put_object("page", b"<script>0</script>", headers={"Content-Type": "text/html"})
    assert seen(URLS[version](Request("GET", public.bucket_name, "page", [("response-content-type", "text/plain")])).send(server)) == SHOWN
    assert seen(URLS[version](Request("GET", public.bucket_name, "page")).send(server)) == CONTAINED
    assert seen(v1_header(Request("GET", public.bucket_name, "page")).send(server)) == CONTAINED


def test_signed_playlists_are_playlists(server, public, version):
    for stored, expected in (("text/html", CONTAINED), ("application/octet-stream", SHOWN), ("application/vnd.apple.mpegurl", SHOWN)):
        public.put_object("a/p.m3u8", b"<script>0</script>\n#EXTINF:1,\na.ts\n", headers={"Content-Type": stored})
        for method in ("GET", "HEAD"):
            answer = URLS[version](Request(method, public.bucket_name, "a/p.m3u8", [("x-oss-process", "hls/sign")])).send(server)
            assert (answer.status, seen(answer)) == (200, expected), (stored, method)


def test_web_sites_are_for_hosts_of_their_own(server):
    bucket = server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    for key in ("index.html", "error.html"):
        bucket.put_object(key, b"<p>", headers={"Content-Type": "text/html"})
    bucket.put_bucket_website(oss2.models.BucketWebsite("index.html", "error.html"))
    for path, status in (("", 200), ("nothing", 404)):
        answer = server.get(f"{bucket.bucket_name}/{path}")
        assert (answer.status_code, answer.content, seen(answer)) == (status, b"<p>", CONTAINED)
        visited = through_host(server, bucket, path)
        assert (visited.status, visited.body, seen(visited)) == (status, b"<p>", AS_STORED)


def test_documents_of_the_server_run_nothing(server, public):
    # They repeat what somebody sent, escaped; they are read in the browser all the same.
    for path in ("<script>", f"{public.bucket_name}/<svg%20onload=x>?acl", "none-such/a", f"{public.bucket_name}/?uploads=%3Cscript%3E"):
        answer = server.get(path)
        assert answer.headers["Content-Type"] == "application/xml" and "<script" not in answer.text and "<svg" not in answer.text
        assert seen(answer) == READ, path
    assert seen(v1_header(Request("GET")).send(server)) == READ
    refused = requests.head(server.url("none-such/a"), timeout=10)
    assert (refused.status_code, refused.headers["X-Content-Type-Options"]) == (404, "nosniff")


def test_an_upload_is_answered_as_before(server, public):
    answer = Request("PUT", public.bucket_name, "plain", body=b"x").send(server)
    assert (answer.status, seen(answer)) == (200, AS_STORED)
    answer = Request("DELETE", public.bucket_name, "plain").send(server)
    assert (answer.status, seen(answer)) == (204, AS_STORED)


def test_scripts_of_buckets_are_no_service_workers(server, public):
    public.put_object("worker.js", b"0", headers={"Content-Type": "text/javascript"})
    asked = [("Service-Worker", "script")]
    refused = server.get(f"{public.bucket_name}/worker.js", headers=dict(asked))
    assert refused.status_code == 403 and "<Code>AccessDenied</Code>" in refused.text
    # A page of the bucket's own host may have one: its origin has nothing else.
    assert through_host(server, public, "worker.js", headers=asked).status == 200
