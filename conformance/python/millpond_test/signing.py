"""Signatures made by hand in every scheme of OSS auth, each from the text of its section and from nothing that the server or an
SDK has: requests and forms that are wrong in one chosen way."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from typing import List, Optional, Tuple
from urllib.parse import quote

from .accounts import Key
from .raw import Answer, ask
from .server import ACCESS_KEY_ID, ACCESS_KEY_SECRET, REGION, Server

ROOT = Key(ACCESS_KEY_ID, ACCESS_KEY_SECRET)
Pairs = List[Tuple[str, Optional[str]]]

# Parameters of V1 that these tests use (OSS auth 3.3).
SIGNED = {
    "acl", "append", "comp", "cors", "delete", "lifecycle", "live", "location", "logging", "objectMeta", "partNumber", "policy",
    "position", "referer", "response-cache-control", "response-content-disposition", "response-content-type", "security-token", "stat", "status", "symlink",
    "endTime", "startTime", "tagging", "uploadId", "uploads", "versionId", "versioning", "versions", "vod", "website", "bucketInfo",
}  # fmt: skip


def encode(text: str, safe: str = "") -> str:
    return quote(text, safe=safe + "-_.~")


def basic_date(moment: float) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(moment))


def iso_date(moment: float) -> str:
    """As error documents write moments."""
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(moment))


def sha1(secret: str, text: str) -> str:
    return base64.b64encode(hmac.new(secret.encode(), text.encode(), hashlib.sha1).digest()).decode()


def v4_signature(secret: str, day: str, region: str, text: str, product: str = "oss") -> str:
    key = b"aliyun_v4" + secret.encode()
    for part in (day, region, product, "aliyun_v4_request", text):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key.hex()


@dataclass
class Request:
    """A request, not encoded; `None` is the value of a bare parameter."""

    method: str = "GET"
    bucket: str = ""
    key: str = ""
    query: Pairs = field(default_factory=list)
    headers: List[Tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    host: str = "127.0.0.1"

    @property
    def resource(self) -> str:
        return f"/{self.bucket}/{self.key}" if self.bucket else "/"

    def value(self, name: str) -> str:
        return next((value.strip() for known, value in self.headers if known.lower() == name), "")

    def with_headers(self, *added: "tuple[str, str]") -> "Request":
        return replace(self, headers=[*self.headers, *added])

    def without_header(self, name: str) -> "Request":
        return replace(self, headers=[pair for pair in self.headers if pair[0].lower() != name])

    def with_query(self, *added) -> "Request":
        return replace(self, query=[*self.query, *added])

    def without_query(self, name: str) -> "Request":
        return replace(self, query=[pair for pair in self.query if pair[0] != name])

    def changed(self, name: str, value: str) -> "Request":
        """With another value of a parameter, or else of a header."""
        change = lambda pairs: [(known, value if known.lower() == name.lower() else old) for known, old in pairs]  # noqa: E731
        return replace(self, query=change(self.query), headers=change(self.headers))

    def target(self) -> str:
        pairs = (encode(name) + ("" if value is None else "=" + encode(value)) for name, value in self.query)
        query = "&".join(pairs)
        return encode(self.resource, "/") + (f"?{query}" if query else "")

    def bytes(self) -> bytes:
        lines = [f"{self.method} {self.target()} HTTP/1.1", f"Host: {self.host}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        if self.body or self.method in ("PUT", "POST"):
            lines.append(f"Content-Length: {len(self.body)}")
        return "\r\n".join([*lines, "", ""]).encode() + self.body

    def send(self, server: Server) -> Answer:
        return ask(server, self.bytes(), self.method)


def v1_text(request: Request, date: str) -> str:
    own = {}
    for name, value in request.headers:
        if name.lower().startswith("x-oss-"):
            own.setdefault(name.lower(), []).append(value.strip())
    headers = "".join(f"{name}:{','.join(values)}\n" for name, values in sorted(own.items()))
    signed = {}
    for name, value in request.query:
        if name in SIGNED or name.startswith("x-oss-"):
            signed.setdefault(name, value)
    parameters = "&".join(f"{name}={value}" if value else name for name, value in sorted(signed.items()))
    lines = [request.method, request.value("content-md5"), request.value("content-type"), date, headers]
    return "\n".join(lines) + request.resource + (f"?{parameters}" if parameters else "")


def v1_header(request: Request, key: Key = ROOT, date: Optional[str] = None, now: Optional[float] = None) -> Request:
    date = date if date is not None else formatdate(time.time() if now is None else now, usegmt=True)
    request = request.with_headers(("Date", date))
    if key.token:
        request = request.with_headers(("x-oss-security-token", key.token))
    line = request.value("x-oss-date") or date
    return request.with_headers(("Authorization", f"OSS {key.id}:{sha1(key.secret, v1_text(request, line))}"))


def v1_url(request: Request, key: Key = ROOT, expires: "int | str | None" = None) -> Request:
    expires = str(int(time.time()) + 600 if expires is None else expires)
    if key.token:
        request = request.with_query(("security-token", key.token))
    signature = sha1(key.secret, v1_text(request, expires))
    return request.with_query(("OSSAccessKeyId", key.id), ("Expires", expires), ("Signature", signature))


def v4_canonical(request: Request, additional: "tuple[str, ...]" = (), payload: str = "UNSIGNED-PAYLOAD") -> str:
    encoded = sorted((encode(name), encode(value or "")) for name, value in request.query if name != "x-oss-signature")
    query = "&".join(f"{name}={value}" if value else name for name, value in encoded)
    own = {}
    for name, value in [*request.headers, ("host", request.host)]:
        name = name.lower()
        if name in ("content-type", "content-md5", *additional) or name.startswith("x-oss-"):
            own.setdefault(name, []).append(value.strip())
    headers = "".join(f"{name}:{','.join(values)}\n" for name, values in sorted(own.items()))
    return "\n".join([request.method, encode(request.resource, "/"), query, headers, ";".join(sorted(additional)), payload])


def v4_text(canonical: str, timestamp: str, scope: str) -> str:
    return "\n".join(["OSS4-HMAC-SHA256", timestamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])


@dataclass
class Scope:
    """What a V4 credential names behind the key; tests bend one of these."""

    day: str = ""
    region: str = REGION
    product: str = "oss"
    terminator: str = "aliyun_v4_request"

    def text(self, day: str) -> str:
        return f"{self.day or day}/{self.region}/{self.product}/{self.terminator}"


def v4_header(
    request: Request, key: Key = ROOT, now: Optional[float] = None, scope: Scope = Scope(), additional: "tuple[str, ...]" = ()
) -> Request:
    timestamp = basic_date(time.time() if now is None else now)
    request = request.with_headers(("x-oss-date", timestamp), ("x-oss-content-sha256", "UNSIGNED-PAYLOAD"))
    if key.token:
        request = request.with_headers(("x-oss-security-token", key.token))
    day, names = timestamp[:8], tuple(name.lower() for name in additional)
    text = v4_text(v4_canonical(request, names), timestamp, scope.text(day))
    signature = v4_signature(key.secret, scope.day or day, scope.region, text, scope.product)
    listed = f"AdditionalHeaders={';'.join(additional)}, " if additional else ""
    value = f"OSS4-HMAC-SHA256 Credential={key.id}/{scope.text(day)}, {listed}Signature={signature}"
    return request.with_headers(("Authorization", value))


def v4_url(
    request: Request,
    key: Key = ROOT,
    now: Optional[float] = None,
    expires: "int | str" = 600,
    scope: Scope = Scope(),
    additional: "tuple[str, ...]" = (),
) -> Request:
    timestamp = basic_date(time.time() if now is None else now)
    day = timestamp[:8]
    request = request.with_query(
        ("x-oss-signature-version", "OSS4-HMAC-SHA256"),
        ("x-oss-credential", f"{key.id}/{scope.text(day)}"),
        ("x-oss-date", timestamp),
        ("x-oss-expires", str(expires)),
    )
    if additional:
        request = request.with_query(("x-oss-additional-headers", ";".join(additional)))
    if key.token:
        request = request.with_query(("x-oss-security-token", key.token))
    names = tuple(name.lower() for name in additional)
    text = v4_text(v4_canonical(request, names), timestamp, scope.text(day))
    return request.with_query(("x-oss-signature", v4_signature(key.secret, scope.day or day, scope.region, text, scope.product)))


def form_policy(bucket: str, end: float) -> str:
    text = '{"expiration":"%s","conditions":[{"bucket":"%s"}]}' % (iso_date(end), bucket)
    return base64.b64encode(text.encode()).decode()


def v1_form(policy: str, key: Key = ROOT) -> "dict[str, str]":
    fields = {"OSSAccessKeyId": key.id, "policy": policy, "Signature": sha1(key.secret, policy)}
    return {**fields, "x-oss-security-token": key.token} if key.token else fields


def v4_form(policy: str, key: Key = ROOT, now: Optional[float] = None, scope: Scope = Scope()) -> "dict[str, str]":
    date = basic_date(time.time() if now is None else now)
    day = date[:8]
    fields = {
        "x-oss-signature-version": "OSS4-HMAC-SHA256",
        "x-oss-credential": f"{key.id}/{scope.text(day)}",
        "x-oss-date": date,
        "policy": policy,
        "x-oss-signature": v4_signature(key.secret, scope.day or day, scope.region, policy, scope.product),
    }
    return {**fields, "x-oss-security-token": key.token} if key.token else fields


def form(bucket: str, fields: "dict[str, str]", file: bytes = b"x") -> Request:
    """A form that stores `file` under the key `form`."""
    parts = [("key", "form"), *fields.items()]
    text = "".join(f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in parts)
    body = text.encode() + b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\n' + file + b"\r\n--b--\r\n"
    return Request("POST", bucket, headers=[("Content-Type", "multipart/form-data; boundary=b")], body=body)
