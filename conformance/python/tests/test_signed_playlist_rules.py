"""`x-oss-process=hls/sign` over HTTP, row by row (OSS auth 9): what is refused, what each URI of a playlist becomes in either
version and addressing style, the answer around it, and the URLs that people build by hand."""

import hashlib
import time
from dataclasses import replace
from urllib.parse import unquote, urljoin

import oss2
import pytest
import requests

from millpond_test.accounts import new_user, statement
from millpond_test.raw import ask
from millpond_test.server import REGION
from millpond_test.signing import (
    ROOT, Request, encode, sha1, v1_header, v1_text, v1_url, v4_canonical, v4_header, v4_signature, v4_text, v4_url,
)  # fmt: skip

KEY = "live/ch1/playlist.m3u8"
SIGN = ("x-oss-process", "hls/sign")
URLS = {"v1": v1_url, "v4": v4_url}
PLAYLIST = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:5\n#EXTINF:5.000,\n1.ts\n"


@pytest.fixture(scope="module")
def stored(server):
    bucket = server.new_bucket()
    bucket.put_object(KEY, PLAYLIST)
    bucket.put_object("live/ch1/1.ts", b"segment")
    return bucket


def asked(bucket, key=KEY, method="GET", process=SIGN[1], host="127.0.0.1") -> Request:
    return Request(method, bucket.bucket_name, key, [(SIGN[0], process)], host=host)


def refused(server, request: Request) -> "tuple[int, str, str]":
    answer = request.send(server)
    return (*answer.seen, answer.headers.get("x-oss-ec", ""))


def signed_pairs(bucket, key: str, own: "list[tuple[str, str | None]]", parent: Request, process: "str | None") -> str:
    """What is appended to a URI for `key` with the parameters `own` (OSS auth 9.4), from the signed request for its playlist."""
    found = dict(parent.query)
    child = Request("GET", bucket.bucket_name, key, list(own))
    if "Signature" in found:
        token = [("security-token", found["security-token"])] if "security-token" in found else []
        begin = [(SIGN[0], process)] if process else []
        text = v1_text(replace(child, query=[*own, *begin, *token]), found["Expires"])
        secret = SECRETS[found["OSSAccessKeyId"]]
        added = [*begin, ("OSSAccessKeyId", found["OSSAccessKeyId"]), ("Expires", found["Expires"]), ("Signature", sha1(secret, text)), *token]
    else:
        names = ["x-oss-credential", "x-oss-date", "x-oss-expires", "x-oss-security-token", "x-oss-signature-version"]
        added = [(name, found[name]) for name in names if name in found] + ([(SIGN[0], process)] if process else [])
        added.sort()
        key_id, scope = found["x-oss-credential"].split("/", 1)
        text = v4_text(v4_canonical(replace(child, query=[*own, *added])), found["x-oss-date"], scope)
        added.append(("x-oss-signature", v4_signature(SECRETS[key_id], found["x-oss-date"][:8], REGION, text)))
    return "&".join(f"{name}={encode(value)}" for name, value in added)


SECRETS = {ROOT.id: ROOT.secret}


def test_what_cannot_be_signed(server, stored, version):
    sign = URLS[version]
    name = stored.bucket_name
    many = "#EXTINF:1,\na.ts\n"
    for key, body in {
        "empty.m3u8": b"",
        "large.m3u8": b"a.ts\n" + b"#" * (1 << 20),
        "segments.m3u8": (many * 10_001).encode(),
        "playlists.m3u8": b"a.m3u8\n" * 101,
        "tags.m3u8": b'#EXTM3U\n\n#EXT-X-MAP:URI="a.mp4"\n',
        "mixed.m3u8": b"a.ts\nb.m3u8\n",
        "upper.M3U8": b"a.ts\n",
        "segment.ts": b"a.ts\n",
    }.items():
        stored.put_object(key, body)
    for key, ec in {
        "empty.m3u8": "0044-00000404",
        "large.m3u8": "0044-00000404",
        "segments.m3u8": "0044-00000406",
        "playlists.m3u8": "0044-00000407",
        "tags.m3u8": "0044-00000408",
        "mixed.m3u8": "0044-00000409",
        "upper.M3U8": "0044-00000403",
        "segment.ts": "0044-00000403",
        # Its name is looked at before whether it exists.
        "nothing.ts": "0044-00000403",
    }.items():
        for method in ("GET", "HEAD"):
            assert refused(server, sign(asked(stored, key, method))) == (400, "InvalidRequest", ec), (key, method)
    assert refused(server, sign(asked(stored, "nothing.m3u8"))) == (404, "NoSuchKey", "0026-00000001")
    header = v1_header if version == "v1" else v4_header
    for method in ("GET", "HEAD"):
        for not_by_url in (asked(stored, method=method), header(asked(stored, method=method))):
            answer = not_by_url.send(server)
            assert (*answer.seen, answer.headers["x-oss-ec"]) == (400, "InvalidRequest", "0044-00000410")
    public = server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    public.put_object(KEY, PLAYLIST)
    assert refused(server, asked(public)) == (400, "InvalidRequest", "0044-00000410")
    assert b"<Message>The request must be signed by URL.</Message>" in asked(public).send(server).body
    for token, expected in {
        "x" * 100: 200,
        "aA0_-.": 200,
        "x" * 101: "0044-00000401",
        "a b": "0044-00000402",
        "a/b": "0044-00000402",
        "é": "0044-00000402",
    }.items():
        answer = sign(asked(stored).with_headers(("x-oss-hls-sign-token", token))).send(server)
        assert answer.headers.get("x-oss-ec", answer.status) == expected, token
    # It is covered by the signature like any other header of this kind.
    late = sign(asked(stored)).with_headers(("x-oss-hls-sign-token", "x"))
    assert refused(server, late)[:2] == (403, "SignatureDoesNotMatch")
    assert refused(server, sign(asked(stored, process="hls/sign2")))[:2] == (400, "InvalidArgument")
    assert refused(server, sign(asked(stored, process="HLS/SIGN")))[:2] == (400, "InvalidArgument")
    for method in ("PUT", "POST", "DELETE"):
        seen = refused(server, sign(replace(asked(stored, method=method), body=b"x" if method != "DELETE" else b"")))
        assert seen[:2] == (400, "InvalidArgument"), method
    assert stored.get_object(KEY).read() == PLAYLIST.encode(), name


def test_a_token_in_a_header_only(server, stored, version):
    user = new_user(server)
    user.allow("AliyunOSSReadOnlyAccess")
    session = user.session()
    own = asked(stored).with_headers(("x-oss-security-token", session.token))
    answer = URLS[version](own, replace(session, token="")).send(server)
    assert answer.seen == (400, "InvalidRequest")
    assert b"<Message>Security-token must be provided by query string parameter.</Message>" in answer.body
    assert URLS[version](asked(stored), session).send(server).status == 200


URIS = [
    # Relative (RFC 3986): signed below the directory of the playlist (D25).
    ("seg.ts", "live/ch1/seg.ts"),
    ("sub/seg.ts", "live/ch1/sub/seg.ts"),
    ("./seg.ts", "live/ch1/seg.ts"),
    ("../ch1/seg.ts", "live/ch1/seg.ts"),
    ("../x/seg.ts", None),
    ("../ch10/seg.ts", None),
    ("../../seg.ts", None),
    ("../../../seg.ts", None),
    ("../../../../etc/passwd", None),
    ("a/../seg.ts", "live/ch1/seg.ts"),
    ("%E8%A7%86%E9%A2%91.ts", "live/ch1/视频.ts"),
    ("视频 1.ts", "live/ch1/视频 1.ts"),
    ("%2e%2e/x/seg.ts", None),
    ("%2e%2e%2fx%2fseg.ts", None),
    ("a/%2E%2E/%2E%2E/x/seg.ts", None),
    ("..\\x\\seg.ts", None),
    ("..%5Cx%5Cseg.ts", None),
    ("a%2Fb.ts", "live/ch1/a/b.ts"),
    ("a+b.ts", "live/ch1/a+b.ts"),
    ("100%.ts", "live/ch1/100%.ts"),
    ("a//b.ts", "live/ch1/a//b.ts"),
    ("noextension", "live/ch1/noextension"),
    ("a.m4s", "live/ch1/a.m4s"),
    # Other places.
    ("data:text/plain,x", None),
    ("rtmp://elsewhere.example/x", None),
    ("http://elsewhere.example/x.ts", None),
    ("//elsewhere.example/x.ts", None),
    ("https://", None),
    # Queries that select something else than the object as it is.
    ("seg.ts?acl", None),
    ("seg.ts?a=1&%61cl&b", None),
    ("seg.ts?tagging", None),
    ("seg.ts?uploadId=1", None),
    ("seg.ts?live&comp=history", None),
    ("seg.ts?symlink", None),
    ("seg.ts?x-oss-process=video/snapshot,t_1", None),
    ("seg.ts?x-oss-process=hls/sign", None),
    ("seg.ts?versionId=1", None),
    # Queries and fragments.
    ("seg.ts?a=1", "live/ch1/seg.ts"),
    ("seg.ts?response-content-type=video%2Fmp2t&a", "live/ch1/seg.ts"),
    ("seg.ts?Expires=1&a=1&Signature=x&OSSAccessKeyId=y", "live/ch1/seg.ts"),
    ("seg.ts?x-oss-date=1&x-oss-expires=2&b&x-oss-credential=z&x-oss-signature=q&x-oss-security-token=t&security-token=t", "live/ch1/seg.ts"),
    ("seg.ts?x-oss-signature-version=a&x-oss-additional-headers=host&x-oss-access-key-id=k", "live/ch1/seg.ts"),
    ("seg.ts?", "live/ch1/seg.ts"),
    ("seg.ts#t=1", "live/ch1/seg.ts"),
    ("seg.ts?a=b#f?g", "live/ch1/seg.ts"),
]  # fmt: skip
DROPPED = {
    "OSSAccessKeyId", "Expires", "Signature", "security-token", "x-oss-signature-version", "x-oss-credential", "x-oss-date",
    "x-oss-expires", "x-oss-signature", "x-oss-additional-headers", "x-oss-security-token", "x-oss-access-key-id",
}  # fmt: skip


def rewritten(bucket, uri: str, key: "str | None", parent: Request, process: "str | None" = None) -> str:
    if key is None:
        return uri
    before, _, fragment = uri.partition("#")
    path, _, query = before.partition("?")
    kept = [piece for piece in query.split("&") if piece and piece.split("=")[0] not in DROPPED]
    own = [(unquote(p.split("=", 1)[0]), unquote(p.split("=", 1)[1]) if "=" in p else None) for p in kept]
    added = signed_pairs(bucket, key, own, parent, process)
    return f"{path}?{'&'.join([*kept, added])}" + (f"#{fragment}" if fragment else "")


@pytest.fixture(params=["path", "host"])
def host(request, stored):
    return {"path": "127.0.0.1", "host": f"{stored.bucket_name}.localhost"}[request.param]


def fetch(server, request: Request):
    """Through the host of the request: below `localhost` the bucket is in the host and not in the path."""
    if request.host == "127.0.0.1":
        return request.send(server)
    return ask(server, request.bytes().replace(f" /{request.bucket}/".encode(), b" /", 1), request.method)


@pytest.mark.parametrize("who", ["account", "session"])
def test_what_each_uri_becomes(server, stored, version, host, who):
    key = ROOT
    if who == "session":
        key = new_user(server)
        key.allow("AliyunOSSReadOnlyAccess")
        key = key.session()
        SECRETS[key.id] = key.secret
    name = stored.bucket_name
    by_path = host == "127.0.0.1"
    uris = [
        *URIS,
        ("/live/ch1/seg.ts", None if by_path else "live/ch1/seg.ts"),
        ("/x/seg.ts", None),
        (f"/{name}/live/ch1/seg.ts", "live/ch1/seg.ts" if by_path else None),
        (f"/{name}/x/seg.ts", None),
        (f"/{name}x/live/ch1/seg.ts", None),
        (f"/{name}/../{name}/live/ch1/a.ts", "live/ch1/a.ts" if by_path else None),
        (f"http://{host}/{name}/live/ch1/1.ts", "live/ch1/1.ts" if by_path else None),
        (f"https://{name}.localhost:9000/live/ch1/x/1.ts", "live/ch1/x/1.ts"),
        (f"https://{name}.localhost:9000/x/1.ts", None),
        (f"//{name}.localhost/live/ch1/1.ts", "live/ch1/1.ts"),
        (f"http://localhost/{name}/live/ch1/1.ts", "live/ch1/1.ts"),
        (f"http://localhost/{name}/live/ch2/1.ts", None),
        ("http://localhost/other/live/ch1/1.ts", None),
        ("http://other.localhost/x/1.ts", None),
        (f"http://{name}.localhost@elsewhere.example/x/1.ts", None),
        (f"http://elsewhere.example/{name}/x/1.ts", None),
    ]
    for kind in ("\n", "\r\n"):
        text = kind.join(["\ufeff#EXTM3U", *(uri for uri, _ in uris), "# a comment", '#EXT-X-KEY:METHOD=AES-128,URI="k/1.key",IV=0x1', ""])
        stored.put_object("live/ch1/uris.m3u8", text)
        request = URLS[version](asked(stored, "live/ch1/uris.m3u8", host=host), key)
        answer = fetch(server, request)
        assert answer.status == 200, answer.body
        lines = answer.body.decode().split(kind)
        for (uri, leads_to), line in zip(uris, lines[1:]):
            assert line == rewritten(stored, uri, leads_to, request), uri
        signed_key = rewritten(stored, "k/1.key", "live/ch1/k/1.key", request)
        assert lines[len(uris) + 1 :] == ["# a comment", f'#EXT-X-KEY:METHOD=AES-128,URI="{signed_key}",IV=0x1', ""]
        assert lines[0] == "\ufeff#EXTM3U"


@pytest.mark.parametrize("process", ["hls/sign", "hls/sign,live_1", "hls/sign,foo_2,bar"])
def test_playlists_in_a_playlist_pass_it_on(server, stored, version, process):
    uris = [("720p.m3u8", "live/ch1/720p.m3u8"), ("x/A.M3U8?b=1&x-oss-process=old#f", "live/ch1/x/A.M3U8")]
    text = "#EXTM3U\n" + "".join(f"#EXT-X-STREAM-INF:BANDWIDTH=1\n{uri}\n" for uri, _ in uris)
    text += '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="n",URI="a.m3u8"\n'
    stored.put_object("live/ch1/master.m3u8", text)
    stored.put_object("live/ch1/720p.m3u8", PLAYLIST)
    request = URLS[version](asked(stored, "live/ch1/master.m3u8", process=process))
    lines = request.send(server).body.decode().splitlines()
    assert lines[2] == rewritten(stored, "720p.m3u8", "live/ch1/720p.m3u8", request, process)
    # What the URI said of processes is replaced.
    assert lines[4] == rewritten(stored, "x/A.M3U8?b=1#f", "live/ch1/x/A.M3U8", request, process)
    assert lines[5].endswith('URI="%s"' % rewritten(stored, "a.m3u8", "live/ch1/a.m3u8", request, process))
    child = server.get(f"{stored.bucket_name}/live/ch1/{lines[2]}")
    segment = server.get(f"{stored.bucket_name}/live/ch1/{child.text.splitlines()[-1]}")
    assert (child.status_code, segment.content) == (200, b"segment")


def test_tags_can_be_left_alone(fresh_server, version):
    server = fresh_server(settings="[hls_sign]\ntags = false\n")
    bucket = server.new_bucket()
    tag = '#EXT-X-MAP:URI="init.mp4"'
    bucket.put_object(KEY, f"#EXTM3U\n{tag}\n#EXTINF:1,\na.m4s\n")
    lines = URLS[version](asked(bucket)).send(server).body.decode().splitlines()
    assert lines[1] == tag and "ignature=" in lines[3]


def test_the_answer_around_it(server, version):
    bucket = server.new_bucket()
    bucket.put_bucket_cors(oss2.models.BucketCors([oss2.models.CorsRule(allowed_origins=["http://p.example"], allowed_methods=["GET"])]))
    sign = URLS[version]
    for stored_type, expected in ((None, "application/x-mpegURL"), ("application/octet-stream", "application/x-mpegURL"), ("audio/mpegurl", "audio/mpegurl")):
        headers = {"Content-Type": stored_type} if stored_type else {"Content-Type": "application/octet-stream"}
        bucket.put_object(KEY, PLAYLIST, headers=headers)
        assert sign(asked(bucket)).send(server).headers["Content-Type"] == expected
    bucket.put_object(KEY, PLAYLIST, headers={"Content-Type": "application/x-mpegURL", "x-oss-meta-a": "1"})
    request = sign(asked(bucket))
    answer = request.send(server)
    headers, body = answer.headers, answer.body
    assert headers["ETag"] == '"%s"' % hashlib.md5(body).hexdigest().upper()
    assert headers["Content-Length"] == str(len(body))
    assert headers["Last-Modified"] == bucket.head_object(KEY).headers["Last-Modified"]
    assert (headers["x-oss-object-type"], headers["Cache-Control"]) == ("Normal", "private, no-cache")
    for absent in ("Content-MD5", "x-oss-hash-crc64ecma", "Content-Range"):
        assert headers[absent] is None, absent
    # The same URL, the same answer.
    assert request.send(server).headers["ETag"] == headers["ETag"]
    with_range = request.with_headers(("Range", "bytes=0-3")).send(server)
    assert (with_range.status, with_range.body) == (200, body)
    origin = request.with_headers(("Origin", "http://p.example")).send(server)
    assert origin.headers["Access-Control-Allow-Origin"] == "http://p.example"
    head = sign(asked(bucket, method="HEAD"))
    of_head = head.send(server)
    assert of_head.status == 200 and of_head.body == b""
    for name in ("Content-Type", "Last-Modified", "x-oss-object-type", "Cache-Control"):
        assert of_head.headers[name] == headers[name]
    assert int(of_head.headers["Content-Length"]) > 0 and len(of_head.headers["ETag"]) == 34
    etag, modified = headers["ETag"], headers["Last-Modified"]
    for name, value, status in [
        ("If-None-Match", etag, 304),
        ("If-None-Match", etag.strip('"'), 304),
        ("If-None-Match", bucket.head_object(KEY).headers["ETag"], 200),
        ("If-Match", etag, 200),
        ("If-Match", bucket.head_object(KEY).headers["ETag"], 412),
        ("If-Modified-Since", modified, 304),
        ("If-Unmodified-Since", modified, 200),
        ("If-Unmodified-Since", "Tue, 02 Jan 2024 03:04:05 GMT", 412),
        ("If-Modified-Since", "Tue, 02 Jan 2024 03:04:05 GMT", 200),
    ]:
        conditional = request.with_headers((name, value)).send(server)
        assert conditional.status == status, (name, value)
        if status == 304:
            assert (conditional.headers["ETag"], conditional.headers["Last-Modified"], conditional.body) == (etag, modified, b"")
    overridden = sign(asked(bucket).with_query(("response-content-type", "text/x"), ("response-cache-control", "max-age=1"))).send(server)
    assert (overridden.headers["Content-Type"], overridden.headers["Cache-Control"]) == ("text/x", "max-age=1")
    bucket.put_object(KEY, PLAYLIST, headers={"Cache-Control": "max-age=7"})
    assert request.send(server).headers["Cache-Control"] == "max-age=7"


def test_the_rights_are_those_of_reading_the_playlist(server, stored, version):
    sign = URLS[version]
    user = new_user(server)
    key = user.key()
    assert refused(server, sign(asked(stored), key))[:2] == (403, "AccessDenied")
    user.allow("reader", statement("Allow", "oss:GetObject", [f"acs:oss:*:*:{stored.bucket_name}/{KEY}"]))
    answer = sign(asked(stored), key).send(server)
    assert answer.status == 200
    # Each segment is asked about when it is fetched.
    segment = server.get(f"{stored.bucket_name}/live/ch1/{answer.body.decode().splitlines()[-1]}")
    assert segment.status_code == 403 and "<Code>AccessDenied</Code>" in segment.text
    stored.put_bucket_referer(oss2.models.BucketReferer(False, ["http://ok.example/"]))
    try:
        assert refused(server, sign(asked(stored))) == (403, "AccessDenied", "0003-00000501")
        assert sign(asked(stored)).with_headers(("Referer", "http://ok.example/page")).send(server).status == 200
    finally:
        stored.put_bucket_referer(oss2.models.BucketReferer(True, []))


def test_urls_that_people_build_by_hand(server, stored):
    """The forms A to G of OSS auth 9.7, in both versions."""
    name, resource = stored.bucket_name, f"/{stored.bucket_name}/"

    def plays(request: Request, path: str = "", query: str = "") -> bytes:
        whole = request.target()
        target = (path or whole.split("?")[0]) + "?" + (query or whole.split("?", 1)[1])
        answer = ask(server, f"{request.method} {target} HTTP/1.1\r\nHost: {request.host}\r\nConnection: close\r\n\r\n".encode(), request.method)
        if answer.status != 200:
            return answer.code.encode()
        line = answer.body.decode().splitlines()[-1]
        assert "ignature=" in line
        # Where the player finds it depends on the slashes that it sees.
        assert requests.get(urljoin(f"{server.endpoint}{target}", line), timeout=10).content == b"segment"
        return b"plays"

    literal = f"{KEY}?x-oss-process=hls/sign"
    escaped = encode(literal)
    for version, sign in URLS.items():
        proper = sign(asked(stored))
        query = proper.target().split("?", 1)[1]
        assert plays(proper) == b"plays"  # A
        assert plays(proper, query=query.replace("hls%2Fsign", "hls/sign")) == b"plays"  # B
        assert plays(proper, f"{resource}{encode(KEY)}", query.replace("hls%2Fsign", "hls/sign")) == b"plays"  # C
        # The order of parameters never matters.
        assert plays(proper, query="&".join(reversed(query.split("&")))) == b"plays"
        raw = sign(Request("GET", name, literal))
        raw_query = raw.target().split("?", 1)[1]
        assert plays(raw, resource + escaped, raw_query) == b"plays", version  # D, E
        assert plays(raw, f"{resource}{KEY}%3Fx-oss-process=hls/sign", raw_query) == b"plays", version
        # F: repaired by hand, which V4 does not forgive.
        repaired = plays(raw, resource + KEY, f"x-oss-process=hls/sign&{raw_query}")
        assert repaired == (b"plays" if version == "v1" else b"SignatureDoesNotMatch")
        twice = sign(asked(stored, process="hls%2Fsign"))
        assert plays(twice) == b"InvalidArgument"  # G
        # HEAD may be built that way too.
        head = sign(Request("HEAD", name, literal)).send(server)
        assert (head.status, head.headers["Cache-Control"]) == (200, "private, no-cache"), version
        # Several parameters in the key; a signed query that says the same wins nothing and breaks nothing.
        more = sign(Request("GET", name, f"{literal}&response-content-type=text/x")).send(server)
        assert (more.status, more.headers["Content-Type"]) == (200, "text/x"), version
        # With a wrong signature nothing is split.
        assert plays(raw, resource + escaped, raw_query.replace("ignature=", "ignature=x", 1)) in (b"SignatureDoesNotMatch", b"InvalidArgument")
    # Only a signed URL is read that way; and an object that has the name is what is meant.
    assert Request("GET", name, literal).send(server).code == "AccessDenied"
    assert v1_header(Request("GET", name, literal)).send(server).code == "NoSuchKey"
    stored.put_object(literal, b"an odd name")
    for sign in URLS.values():
        assert sign(Request("GET", name, literal)).send(server).body == b"an odd name"
    stored.delete_object(literal)


def test_it_ends_with_the_url(server, stored):
    # To the very second, for the playlist as for its segments.
    now = int(time.time())
    playlist = v1_url(asked(stored), expires=now + 1).send(server)
    line = playlist.body.decode().splitlines()[-1]
    assert f"Expires={now + 1}&" in line
    time.sleep(2.1)
    for late in (v1_url(asked(stored), expires=now + 1).send(server), ask(server, Request("GET").bytes().replace(b" / ", f" /{stored.bucket_name}/live/ch1/{line} ".encode()))):
        assert (late.seen, b"<Message>Request has expired.</Message>" in late.body) == ((403, "AccessDenied"), True)


