"""Every refusal of authentication (OSS auth 2 to 8, 11) over HTTP: status, code, text, further elements in their order, and the
number of the cause, in the document and in the header; for HEAD the same document in `x-oss-err`."""

import base64
import re
import time
from dataclasses import dataclass, replace
from email.utils import formatdate
from html import unescape
from typing import Callable, List, Optional, Tuple

import pytest

from millpond_test.accounts import Key, manage, new_user
from millpond_test.server import ACCESS_KEY_ID, Server
from millpond_test.signing import (
    ROOT, Request, Scope, basic_date, form, form_policy, iso_date, sha1, v1_form, v1_header, v1_text, v1_url, v4_canonical,
    v4_form, v4_header, v4_text, v4_url,
)  # fmt: skip

HEADERS = {"V1 header": v1_header, "V4 header": v4_header}
URLS = {"V1 URL": v1_url, "V4 URL": v4_url}
SCHEMES = {**HEADERS, **URLS}
FORMS = {"V1 form": v1_form, "V4 form": v4_form}

INCOMPLETE = "Query-string authentication requires the Signature, Expires and OSSAccessKeyId parameters"
INVALID = "Authorization header is invalid."
MISMATCH = "The request signature we calculated does not match the signature you provided. Check your key and signing method."
SKEWED = "The difference between the request time and the current time is too large."
UNKNOWN = "The OSS Access Key Id you provided does not exist in our records."
ILLEGAL = (
    "The OSS Access Key Id contains non-acceptable characters, which accepts only alphanumeric characters[0-9a-zA-Z] and several "
    "special characters[. _=]"
)
Elements = List[Tuple[str, str]]


@dataclass
class World:
    """A private bucket, and keys in every state. The server takes signatures for one region only."""

    server: Server
    bucket: str
    disabled: Key
    of_disabled_user: Key
    session: Key
    other_session: Key
    expired_session: Key

    def plain(self, method: str = "GET") -> Request:
        return Request(method, self.bucket, "a.ts")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    running = Server(tmp_path_factory.mktemp("refusals"), settings='accepted_regions = ["cn-hangzhou"]\n').start()
    bucket = running.new_bucket()
    bucket.put_object("a.ts", b"private")
    user, gone = new_user(running), new_user(running)
    for each in (user, gone):
        each.allow("AliyunOSSFullAccess")
    disabled, of_disabled_user = user.key(), gone.key()
    expired = user.session(duration_s=1)
    manage(running, "key", "disable", user.name, disabled.id)
    manage(running, "user", "disable", gone.name)
    made = World(running, bucket.bucket_name, disabled, of_disabled_user, user.session(), user.session(), expired)
    time.sleep(2.1)
    yield made
    assert running.stop() == 0
    assert "panicked" not in running.log()


def early_in_a_second() -> float:
    """A moment from which the server will still count the same second."""
    now = time.time()
    if now % 1 > 0.5:
        time.sleep(1.02 - now % 1)
    return float(int(time.time()))


@dataclass
class Row:
    section: str
    case: str
    make: Callable[[World, str, float], Request]
    status: int
    code: str
    message: str
    elements: Callable[[World, Request, float], Elements]
    ec: str = ""
    # A form can only be posted.
    methods: Tuple[str, ...] = ("GET", "HEAD")


ROWS: List[Row] = []


def row(section, case, make, status, code, message, elements: "Optional[Callable]" = None, ec="", methods=("GET", "HEAD")):
    ROWS.append(Row(section, case, make, status, code, message, elements or (lambda world, request, now: []), ec, methods))


def argument(name: str, value: "Optional[Callable[[Request], str]]" = None) -> Callable:
    """`ArgumentName`, and what was sent under it."""
    if value is None:
        return lambda world, request, now: [("ArgumentName", name)]
    return lambda world, request, now: [("ArgumentName", name), ("ArgumentValue", value(request))]


def of_header(name: str) -> Callable[[Request], str]:
    return lambda request: request.value(name.lower())


def of_query(name: str) -> Callable[[Request], str]:
    return lambda request: next(value for known, value in request.query if known == name)


def key_id(find: Callable[[World], str]) -> Callable:
    return lambda world, request, now: [("OSSAccessKeyId", find(world))]


def authorization(section, case, value, message, ec="", **more):
    """A header that cannot be read at all."""
    make = lambda world, method, now: world.plain(method).with_headers(  # noqa: E731
        ("Date", formatdate(now, usegmt=True)), ("x-oss-date", basic_date(now)), ("Authorization", value(now))
    )
    row(section, f"{case}: {value(0)}", make, 400, "InvalidArgument", message, argument("Authorization", of_header("Authorization")), ec)


def credential(now, key_id=ACCESS_KEY_ID, **parts) -> str:
    return f"{key_id}/{Scope(**parts).text(basic_date(now)[:8])}"


HEX = "0" * 64

# OSS auth 2, 8: which scheme it is.
authorization("8", "empty", lambda now: "", "Authorization header value is empty.")
for other in ("Basic YTpi", "Bearer x", "AWS4-HMAC-SHA256 a", "oss a:b", "Oss a:b", "OSS4-HMAC-SHA1 a=b", "OSSa:b", "OSS2 AccessKeyId:a,Signature:b"):
    authorization("2.4", "unknown scheme", lambda now, other=other: other, INVALID)
for bad in ("OSS abc", "OSS a:b:c", "OSS a b", "OSS  ::"):
    authorization(
        "8", "without exactly one colon", lambda now, bad=bad: bad,
        "Authorization header is invalid, bad num of Items in Authorization header.",
    )  # fmt: skip
MISSING = "AccessKeyId or Signature is missing in Authorization header value."
for bad in ("OSS :", "OSS :abc", "OSS abc:", "OSS abc: "):
    authorization("8", "empty id or signature", lambda now, bad=bad: bad, MISSING)

# OSS auth 5.5: malformed V4 headers.
authorization("5.5", "no Credential", lambda now: f"OSS4-HMAC-SHA256 Signature={HEX}", INVALID, "0002-00000213")
for count in (1, 2, 3, 4, 6):
    parts = lambda now, count=count: "/".join([*credential(now).split("/"), "more"][:count])  # noqa: E731
    authorization(
        "5.5", f"{count} parts", lambda now, parts=parts: f"OSS4-HMAC-SHA256 Credential={parts(now)}, Signature={HEX}", INVALID,
        "0002-00000213",
    )  # fmt: skip
for bad in ("a:b", "a b", "a@b", "é"):
    authorization(
        "5.5", "illegal characters in the id",
        lambda now, bad=bad: f"OSS4-HMAC-SHA256 Credential={credential(now, bad)}, Signature={HEX}", INVALID, "0002-00000206",
    )  # fmt: skip
authorization(
    "8", "V4 with an empty id", lambda now: f"OSS4-HMAC-SHA256 Credential={credential(now, '')}, Signature={HEX}", MISSING
)
for bad in ("2024010", "202401022", "20241302", "2024-1-2", "19990101"):
    authorization(
        "5.5", "date of the credential",
        lambda now, bad=bad: f"OSS4-HMAC-SHA256 Credential={credential(now, day=bad)}, Signature={HEX}",
        "Invalid signing date in Authorization header.", "0002-00000212",
    )  # fmt: skip
for bad in ("aws4_request", "aliyun_v4_requests", "ALIYUN_V4_REQUEST"):
    authorization(
        "5.5", "last part",
        lambda now, bad=bad: f"OSS4-HMAC-SHA256 Credential={credential(now, terminator=bad)}, Signature={HEX}", INVALID,
    )  # fmt: skip
authorization("5.5", "no Signature", lambda now: f"OSS4-HMAC-SHA256 Credential={credential(now)}", MISSING)
authorization("5.5", "empty Signature", lambda now: f"OSS4-HMAC-SHA256 Credential={credential(now)}, Signature=", MISSING)
authorization(
    "5", "unknown item", lambda now: f"OSS4-HMAC-SHA256 Credential={credential(now)}, Other=1, Signature={HEX}",
    "Unknown parameter in Authorization header.",
)  # fmt: skip

# OSS auth 2.3: signed twice.
for scheme, sign in HEADERS.items():
    for name in ("Signature", "x-oss-signature"):
        row(
            "2.3", f"{scheme} and {name}",
            lambda world, method, now, sign=sign, name=name: sign(world.plain(method)).with_query((name, "abc")),
            400, "InvalidArgument", "Invalid Argument.", argument("Authorization"),
        )  # fmt: skip

# OSS auth 2.5: versions in a URL.
for version in ("OSS2", "OSS4-HMAC-SHA1", "oss4-hmac-sha256", ""):
    row(
        "2.5", f"version {version}",
        lambda world, method, now, version=version: v4_url(world.plain(method)).changed("x-oss-signature-version", version),
        400, "InvalidArgument", INVALID, argument("x-oss-signature-version", of_query("x-oss-signature-version")),
    )  # fmt: skip

# OSS auth 3.5, 5.3: dates of headers.
NO_DATE = "OSS authentication requires a valid Date."
for scheme, sign in HEADERS.items():
    for case, change in {
        "no date": lambda request: request.without_header("date").without_header("x-oss-date"),
        "no date but garbage": lambda request: request.without_header("x-oss-date").without_header("date").with_headers(("Date", "now")),
        "garbage in x-oss-date": lambda request: request.without_header("x-oss-date").with_headers(("x-oss-date", "20240230T000000Z")),
        "empty x-oss-date": lambda request: request.without_header("x-oss-date").with_headers(("x-oss-date", "")),
    }.items():
        row(
            "3.5, 5.3", f"{scheme}: {case}",
            lambda world, method, now, sign=sign, change=change: change(sign(world.plain(method))),
            403, "AccessDenied", NO_DATE, ec="0002-00000503",
        )  # fmt: skip
    for off in (901, -901, 86400 * 3, -86400 * 3):
        row(
            "3.5, 5.3", f"{scheme}: {off} s off",
            lambda world, method, now, sign=sign, off=off: sign(world.plain(method), now=now + off),
            403, "RequestTimeTooSkewed", SKEWED,
            lambda world, request, now, off=off: [
                ("MaxAllowedSkewMilliseconds", "900000"), ("RequestTime", iso_date(now + off)), ("ServerTime", iso_date(now)),
            ],
            "0002-00000504",
        )  # fmt: skip

# OSS auth 4: V1 URLs.
for name, ec in {"Expires": "0002-00000067", "OSSAccessKeyId": "", "Signature": ""}.items():
    row(
        "4", f"without {name}", lambda world, method, now, name=name: v1_url(world.plain(method)).without_query(name),
        403, "AccessDenied", INCOMPLETE, ec=ec,
    )  # fmt: skip
row(
    "4", "only OSSAccessKeyId", lambda world, method, now: world.plain(method).with_query(("OSSAccessKeyId", ACCESS_KEY_ID)),
    403, "AccessDenied", INCOMPLETE, ec="0002-00000067",
)  # fmt: skip
row(
    "4", "only Signature", lambda world, method, now: world.plain(method).with_query(("Signature", "abc")),
    403, "AccessDenied", INCOMPLETE, ec="0002-00000067",
)  # fmt: skip
for case, empty in {"empty": "", "bare": None}.items():
    row(
        "4", f"{case} Expires",
        lambda world, method, now, empty=empty: v1_url(world.plain(method)).changed("Expires", empty),
        403, "AccessDenied", INCOMPLETE, ec="0002-00000068",
    )  # fmt: skip
for bad in ("abc", "-1", "1.5", "+1704171845", "1704171845 ", "0x10", "１７"):
    row(
        "4", f"Expires {bad}", lambda world, method, now, bad=bad: v1_url(world.plain(method), expires=bad),
        403, "AccessDenied", "Invalid date (should be seconds since epoch).", ec="0002-00000070",
    )  # fmt: skip
for ago in (1, 86400):
    row(
        "4", f"expired by {ago} s", lambda world, method, now, ago=ago: v1_url(world.plain(method), expires=int(now) - ago),
        403, "AccessDenied", "Request has expired.",
        lambda world, request, now, ago=ago: [("Expires", iso_date(now - ago)), ("ServerTime", iso_date(now))], "0002-00000069",
    )  # fmt: skip

# OSS auth 6: V4 URLs.
for case, request in {
    "missing": lambda request: request.without_query("x-oss-expires"),
    "empty": lambda request: request.changed("x-oss-expires", ""),
    **{text: lambda request, text=text: request.changed("x-oss-expires", text) for text in ("abc", "1.5", "60s", " 60")},
}.items():
    row(
        "6", f"x-oss-expires {case}", lambda world, method, now, request=request: request(v4_url(world.plain(method))),
        400, "InvalidArgument", "Invalid x-oss-expires.",
        argument("x-oss-expires", None if case == "missing" else of_query("x-oss-expires")), "0002-00000215",
    )  # fmt: skip
for expires in ("0", "-1", "604801", "99999999999999999999999"):
    row(
        "6", f"x-oss-expires {expires}", lambda world, method, now, expires=expires: v4_url(world.plain(method), expires=expires),
        400, "InvalidArgument", "x-oss-expires must be between 1 and 604800 seconds.",
        argument("x-oss-expires", of_query("x-oss-expires")), "0002-00000232",
    )  # fmt: skip
row(
    "6", "without x-oss-signature", lambda world, method, now: v4_url(world.plain(method)).without_query("x-oss-signature"),
    400, "InvalidArgument", "Missing x-oss-signature.", argument("x-oss-signature"), "0002-00000219",
)  # fmt: skip
row(
    "6", "without x-oss-credential", lambda world, method, now: v4_url(world.plain(method)).without_query("x-oss-credential"),
    400, "InvalidArgument", "Missing credential.", argument("x-oss-credential"), "0002-00000213",
)  # fmt: skip
row(
    "6", "without x-oss-date", lambda world, method, now: v4_url(world.plain(method)).without_query("x-oss-date"),
    400, "InvalidArgument", "Invalid x-oss-date.", argument("x-oss-date"),
)  # fmt: skip
for bad in ("", "now", "1704164645", "Tue, 02 Jan 2024 03:04:05 GMT", "20240102T030405"):
    row(
        "6", f"x-oss-date {bad}", lambda world, method, now, bad=bad: v4_url(world.plain(method)).changed("x-oss-date", bad),
        400, "InvalidArgument", "Invalid x-oss-date.", argument("x-oss-date", of_query("x-oss-date")),
    )  # fmt: skip
for bad, message, ec in [
    ("AK/20240102/cn-hangzhou/oss", "Invalid credential.", "0002-00000213"),
    ("", "Invalid credential.", "0002-00000213"),
    ("A K/20240102/cn-hangzhou/oss/aliyun_v4_request", "Invalid credential.", "0002-00000206"),
    ("AK/2024/cn-hangzhou/oss/aliyun_v4_request", "Invalid signing date in credential.", "0002-00000212"),
    ("AK/20240102/cn-hangzhou/oss/aliyun_v4_request", "Invalid signing date in credential.", "0002-00000212"),
    ("AK/20240102/cn-hangzhou/oss/aws4_request", "Invalid credential.", ""),
]:
    row(
        "6", f"credential {bad}",
        lambda world, method, now, bad=bad: v4_url(world.plain(method)).changed("x-oss-credential", bad),
        400, "InvalidArgument", message, argument("x-oss-credential", of_query("x-oss-credential")), ec,
    )  # fmt: skip
row(
    "6", "expired by 1 s", lambda world, method, now: v4_url(world.plain(method), now=now - 61, expires=60),
    403, "AccessDenied", "Request has expired.",
    lambda world, request, now: [("Expires", iso_date(now - 1)), ("ServerTime", iso_date(now))],
)  # fmt: skip
row(
    "6", "not yet valid by 901 s", lambda world, method, now: v4_url(world.plain(method), now=now + 901),
    403, "RequestTimeTooSkewed", SKEWED,
    lambda world, request, now: [
        ("MaxAllowedSkewMilliseconds", "900000"), ("RequestTime", iso_date(now + 901)), ("ServerTime", iso_date(now)),
    ],
    "0002-00000504",
)  # fmt: skip

# OSS auth 5.4, 6: region and product, which are looked at after the key.
for part, ec, named in (("region", "0002-00000226", "region"), ("product", "0002-00000227", "product")):
    scope = Scope(**{part: "cn-elsewhere"})
    row(
        "5.4", f"V4 header: {part}", lambda world, method, now, scope=scope: v4_header(world.plain(method), scope=scope),
        400, "InvalidArgument", f"Invalid signing {named} in Authorization header.",
        argument("Authorization", of_header("Authorization")), ec,
    )  # fmt: skip
    row(
        "6", f"V4 URL: {part}", lambda world, method, now, scope=scope: v4_url(world.plain(method), scope=scope),
        400, "InvalidArgument", f"Invalid signing {named} in credential.", argument("x-oss-credential", of_query("x-oss-credential")), ec,
    )  # fmt: skip

# OSS auth 8, 11: keys and tokens, in every scheme.
DENIALS = [
    ("id unknown", lambda world: replace(ROOT, id="LTAI5tNobody"), "InvalidAccessKeyId", UNKNOWN, True, "0002-00000902"),
    ("a key of 128 characters", lambda world: replace(ROOT, id="a" * 128), "InvalidAccessKeyId", UNKNOWN, True, "0002-00000902"),
    ("key disabled", lambda world: world.disabled, "InvalidAccessKeyId", "The OSS Access Key Id you provided is disabled.", True, ""),
    ("user disabled", lambda world: world.of_disabled_user, "UserDisable", "UserDisable", False, "0003-00000801"),
    ("temporary key without token", lambda world: replace(world.session, token=""), "InvalidAccessKeyId", UNKNOWN, True, "0002-00000902"),
    ("token garbage", lambda world: replace(world.session, token="garbage"), "InvalidSecurityToken", "The security token you provided is invalid.", False, ""),
    (
        "token with a permanent key", lambda world: replace(ROOT, token=world.session.token), "AccessKeyIdAndSecurityTokenNotMatch",
        "The OSS access key id and security token you provided does not match.", False, "",
    ),
    ("token expired", lambda world: world.expired_session, "SecurityTokenExpired", "The security token you provided has expired.", False, ""),
]  # fmt: skip
for case, find, code, message, names_key, ec in DENIALS:
    elements = (lambda world, request, now, find=find: [("OSSAccessKeyId", find(world).id)]) if names_key else None
    for scheme, sign in SCHEMES.items():
        row(
            "8, 11", f"{scheme}: {case}", lambda world, method, now, sign=sign, find=find: sign(world.plain(method), find(world)),
            403, code, message, elements, ec,
        )  # fmt: skip
    for scheme, sign in FORMS.items():
        row(
            "8, 11", f"{scheme}: {case}",
            lambda world, method, now, sign=sign, find=find: form(world.bucket, sign(form_policy(world.bucket, now + 60), find(world))),
            403, code, message, elements, ec, ("POST",),
        )  # fmt: skip
for bad in ("a b", "a/b", "a@b", "ä", "x" * 129):
    for scheme, sign in {"V1 header": v1_header, "V1 URL": v1_url}.items():
        row(
            "8", f"{scheme}: illegal id {bad}",
            lambda world, method, now, sign=sign, bad=bad: sign(world.plain(method), replace(ROOT, id=bad)),
            403, "InvalidAccessKeyId", ILLEGAL, lambda world, request, now, bad=bad: [("OSSAccessKeyId", bad[:128])],
        )  # fmt: skip
    row(
        "8", f"V1 form: illegal id {bad}",
        lambda world, method, now, bad=bad: form(world.bucket, v1_form(form_policy(world.bucket, now + 60), replace(ROOT, id=bad))),
        403, "InvalidAccessKeyId", ILLEGAL, lambda world, request, now, bad=bad: [("OSSAccessKeyId", bad[:128])], methods=("POST",),
    )  # fmt: skip

# OSS auth 4, 8: the token in header and query.
for scheme, sign in SCHEMES.items():
    name = "x-oss-security-token" if scheme.startswith("V4") else "security-token"
    row(
        "4, 8", f"{scheme}: token twice",
        lambda world, method, now, sign=sign, name=name: sign(
            world.plain(method).with_headers(("x-oss-security-token", world.session.token)).with_query((name, world.session.token)),
            replace(world.session, token=""),
        ),
        400, "InvalidArgument", "Invalid Argument.", argument("security-token"),
    )  # fmt: skip


# OSS auth 8: signatures that differ.
def mismatch(find: Callable[[Request], "tuple[str, str, Optional[str]]"]) -> Callable:
    def elements(world, request, now):
        provided, text, canonical = find(request)
        pairs = [
            ("OSSAccessKeyId", ACCESS_KEY_ID), ("SignatureProvided", provided), ("StringToSign", text),
            ("StringToSignBytes", " ".join(f"{byte:02X}" for byte in text.encode())),
        ]  # fmt: skip
        return pairs + ([("CanonicalRequest", canonical)] if canonical is not None else [])

    return elements


def unsigned(request: Request, *names: str) -> Request:
    return replace(request, query=[pair for pair in request.query if pair[0] not in names])


def of_v1_header(request):
    return request.value("authorization").split(":")[1], v1_text(request, request.value("x-oss-date") or request.value("date")), None


def of_v1_url(request):
    found = dict(request.query)
    return found["Signature"], v1_text(request, found["Expires"]), None


def of_v4_header(request):
    scope = re.search("Credential=[^/]*/([^,]*)", request.value("authorization")).group(1)
    canonical = v4_canonical(request)
    return request.value("authorization").split("Signature=")[1], v4_text(canonical, request.value("x-oss-date"), scope), canonical


def of_v4_url(request):
    found = dict(request.query)
    canonical = v4_canonical(request)
    scope = found["x-oss-credential"].split("/", 1)[1]
    return found["x-oss-signature"], v4_text(canonical, found["x-oss-date"], scope), canonical


EXPLAIN = {"V1 header": of_v1_header, "V1 URL": of_v1_url, "V4 header": of_v4_header, "V4 URL": of_v4_url}
WRONG = replace(ROOT, secret="wrong")
for scheme, sign in SCHEMES.items():
    for case, bend in {
        "": lambda request: request,
        "with what XML escapes": lambda request: replace(request, key="<&>\"' 视频/+~*.ts"),
        "with headers and parameters": lambda request: request.with_headers(
            ("x-oss-meta-b", "  2 "), ("X-Oss-Meta-A", "<1>"), ("Content-Type", "text/x"), ("Content-MD5", "bWQ1")
        ).with_query(("objectMeta", None), ("prefix", "x"), ("x-oss-empty", ""), ("response-content-type", "video/mp2t")),
        "of the bucket": lambda request: replace(request, key=""),
        "of the service": lambda request: replace(request, key="", bucket=""),
    }.items():
        if case == "of the service" and "URL" in scheme:
            continue
        row(
            "8", f"{scheme}: another secret {case}",
            lambda world, method, now, sign=sign, bend=bend: sign(bend(world.plain(method)), WRONG),
            403, "SignatureDoesNotMatch", MISMATCH, mismatch(EXPLAIN[scheme]), "0002-00000040",
            # Nobody asks the service with HEAD.
            methods=("GET",) if case == "of the service" else ("GET", "HEAD"),
        )  # fmt: skip
for case, provided in {"no base64": "not base64!", "empty": "", "of another length": "AAAA"}.items():
    row(
        "4", f"V1 URL: {case} Signature",
        lambda world, method, now, provided=provided: v1_url(world.plain(method)).changed("Signature", provided),
        403, "SignatureDoesNotMatch", MISMATCH,
        # A space was a plus sign before somebody unescaped it.
        mismatch(lambda request: (of_v1_url(request)[0].replace(" ", "+"), *of_v1_url(request)[1:])), "0002-00000040",
    )  # fmt: skip

# OSS auth 7: forms.
for scheme, sign in FORMS.items():
    row(
        "7", f"{scheme}: another secret",
        lambda world, method, now, sign=sign: form(world.bucket, sign(form_policy(world.bucket, now + 60), WRONG)),
        403, "SignatureDoesNotMatch", MISMATCH,
        mismatch(lambda request: (
            re.search(b'(?i)name="(?:x-oss-)?signature"\r\n\r\n(.*)\r\n', request.body).group(1).decode(),
            re.search(b'name="policy"\r\n\r\n(.*)\r\n', request.body).group(1).decode(), None,
        )),
        "0002-00000040", ("POST",),
    )  # fmt: skip
row(
    "7", "V4 form: region",
    lambda world, method, now: form(world.bucket, v4_form(form_policy(world.bucket, now + 60), scope=Scope(region="cn-elsewhere"))),
    400, "InvalidArgument", "The signing region in credential is invalid.",
    lambda world, request, now: [
        ("ArgumentName", "x-oss-credential"),
        ("ArgumentValue", f"{ACCESS_KEY_ID}/{basic_date(now)[:8]}/cn-elsewhere/oss/aliyun_v4_request"),
    ],
    "0002-00000715", ("POST",),
)  # fmt: skip


def seen(answer, method: str) -> "tuple[int, str, str, Elements, str]":
    if method == "HEAD":
        assert answer.body == b"" and answer.headers["Content-Length"] == "0"
        text = base64.b64decode(answer.headers["x-oss-err"], validate=True).decode()
    else:
        assert answer.headers["x-oss-err"] is None
        text = answer.body.decode()
    assert answer.headers["Content-Type"] == "application/xml"
    lines = re.findall("  <(\\w+)>(.*?)</\\1>\n", text, re.DOTALL)
    assert text == (
        '<?xml version="1.0" encoding="UTF-8"?>\n<Error>\n' + "".join(f"  <{n}>{v}</{n}>\n" for n, v in lines) + "</Error>\n"
    )
    pairs = [(name, unescape(value)) for name, value in lines]
    assert [name for name, _ in pairs[:4]] == ["Code", "Message", "RequestId", "HostId"]
    found = dict(pairs)
    assert (found["RequestId"], found["HostId"]) == (answer.headers["x-oss-request-id"], "127.0.0.1")
    ec = answer.headers.get("x-oss-ec", "")
    tail = [("EC", ec), ("RecommendDoc", f"https://api.aliyun.com/troubleshoot?q={ec}")] if ec else []
    assert pairs[len(pairs) - len(tail) :] == tail
    return answer.status, found["Code"], found["Message"], pairs[4 : len(pairs) - len(tail)], ec


@pytest.mark.parametrize("row", ROWS, ids=[f"{row.section} {row.case}" for row in ROWS])
def test_a_refusal(world, row):
    for method in row.methods:
        now = early_in_a_second()
        request = row.make(world, method, now)
        answer = request.send(world.server)
        expected = (row.status, row.code, row.message, row.elements(world, request, now), row.ec)
        assert seen(answer, method) == expected, request.bytes()


def answered(world, request: Request) -> "tuple[int, bytes]":
    answer = request.send(world.server)
    return answer.status, answer.body


SERVED = (200, b"private")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_same_requests_without_a_fault_are_served(world, scheme):
    sign = SCHEMES[scheme]
    for key in (ROOT, world.session):
        assert answered(world, sign(world.plain(), key)) == SERVED
        assert answered(world, sign(world.plain("HEAD"), key)) == (200, b"")
    # An empty token is none, in a header as in a query (OSS auth 11).
    assert answered(world, sign(world.plain().with_headers(("x-oss-security-token", "")))) == SERVED
    name = "x-oss-security-token" if scheme.startswith("V4") else "security-token"
    assert answered(world, sign(world.plain().with_query((name, "")))) == SERVED
    # The token of a signed URL may be in a header alone (OSS auth 4).
    own = world.plain().with_headers(("x-oss-security-token", world.session.token))
    assert answered(world, sign(own, replace(world.session, token=""))) == SERVED
    assert answered(world, sign(own, replace(world.other_session, token="")))[0] == 403


@pytest.mark.parametrize("scheme", FORMS)
def test_the_same_forms_without_a_fault_are_stored(world, scheme):
    sign = FORMS[scheme]
    for key in (ROOT, world.session):
        posted = form(world.bucket, sign(form_policy(world.bucket, time.time() + 60), key))
        assert posted.send(world.server).status == 204
        # Headers and parameters are no business of a form (OSS auth 2.2).
        odd = posted.with_headers(("Authorization", "nonsense")).with_query(("Signature", "x"), ("x-oss-signature-version", "y"))
        assert odd.send(world.server).status == 204


def test_the_newer_sdk_sends_the_token_of_v1_in_a_header_that_is_not_signed(world):
    signed = v1_header(world.plain(), replace(world.session, token=""))
    assert answered(world, signed.with_headers(("security-token", world.session.token))) == SERVED
    assert answered(world, signed.with_headers(("security-token", "other")))[0] == 403
    assert answered(world, signed)[0] == 403


def test_dates_at_the_very_edge(world):
    """900 s either way for headers; for V4 URLs from 900 s before their date to their last second, for V1 URLs to `Expires`."""
    for off in (900, -900):
        for sign in HEADERS.values():
            assert answered(world, sign(world.plain(), now=early_in_a_second() + off)) == SERVED
    assert answered(world, v1_url(world.plain(), expires=int(early_in_a_second()))) == SERVED
    assert answered(world, v1_url(world.plain(), expires=10**15)) == SERVED
    assert answered(world, v4_url(world.plain(), now=early_in_a_second() + 900, expires=1)) == SERVED
    assert answered(world, v4_url(world.plain(), now=early_in_a_second() - 60, expires=60)) == SERVED
    assert answered(world, v4_url(world.plain(), now=time.time() - 604_700, expires=604_800)) == SERVED


@pytest.mark.parametrize(
    "date",
    [
        lambda now: formatdate(now, usegmt=True),
        lambda now: time.strftime("%A, %d-%b-%y %H:%M:%S GMT", time.gmtime(now)),
        lambda now: time.strftime("%a %b %e %H:%M:%S %Y", time.gmtime(now)),
    ],
    ids=["RFC 1123", "RFC 850", "asctime"],
)
def test_spellings_of_a_date(world, date):
    text = date(time.time())
    assert answered(world, v1_header(world.plain(), date=text)) == SERVED
    # With x-oss-date as well, either of the two may be in the date line (OSS auth 3.1).
    for oss_date in (text, basic_date(time.time())):
        both = world.plain().with_headers(("x-oss-date", oss_date))
        assert answered(world, v1_header(both, date=text)) == SERVED
        as_date = v1_header(both, date=text).without_header("authorization")
        signature = sha1(ROOT.secret, v1_text(as_date, text))
        assert answered(world, as_date.with_headers(("Authorization", f"OSS {ROOT.id}:{signature}"))) == SERVED


def test_nothing_of_the_kind_is_anonymous(world):
    expected = (403, "AccessDenied", "You have no right to access this object because of bucket acl.")
    for request in (world.plain(), world.plain().with_query(("Expires", "0")), world.plain().with_headers(("Date", "x"))):
        assert seen(request.send(world.server), "GET")[:3] == expected
    # A preflight is nobody's (OSS auth 2.1).
    asked = replace(world.plain("OPTIONS"), headers=[("Authorization", "nonsense")]).with_query(("Signature", "x"))
    assert (400, "BadRequest") == asked.send(world.server).seen


def test_faults_are_told_in_their_order(world):
    """Syntax, required parts, date, key, token, region, signature (OSS auth 8)."""
    late, wrong = time.time() - 3600, replace(ROOT, id="LTAI5tNobody", secret="wrong", token="garbage")
    elsewhere = Scope(region="cn-elsewhere")
    code = lambda request: request.send(world.server).code  # noqa: E731
    assert code(v4_header(world.plain(), wrong, now=late, scope=elsewhere)) == "RequestTimeTooSkewed"
    assert code(v4_url(world.plain(), wrong, now=late, expires=1, scope=elsewhere)) == "AccessDenied"
    assert code(v1_header(world.plain(), wrong, now=late)) == "RequestTimeTooSkewed"
    assert code(v1_url(world.plain(), wrong, expires=int(late))) == "AccessDenied"
    for sign in (v4_header, v4_url):
        assert code(sign(world.plain(), wrong, scope=elsewhere)) == "InvalidAccessKeyId"
        assert code(sign(world.plain(), replace(world.session, secret="wrong", token="x"), scope=elsewhere)) == "InvalidSecurityToken"
        assert code(sign(world.plain(), WRONG, scope=elsewhere)) == "InvalidArgument"
        assert code(sign(world.plain(), WRONG)) == "SignatureDoesNotMatch"
    for sign in (v1_header, v1_url):
        assert code(sign(world.plain(), wrong)) == "InvalidAccessKeyId"
        assert code(sign(world.plain(), replace(world.session, secret="wrong", token="x"))) == "InvalidSecurityToken"
        assert code(sign(world.plain(), WRONG)) == "SignatureDoesNotMatch"
    # Who calls is asked before whether there is a bucket (HTTP API 6.3).
    nowhere = Request("GET", "no-such-bucket-here", "a.ts")
    for sign in SCHEMES.values():
        assert code(sign(nowhere, WRONG)) == "SignatureDoesNotMatch"
        assert code(sign(nowhere)) == "NoSuchBucket"
    assert code(nowhere) == "NoSuchBucket"
