"""Requests byte by byte over a socket: what no HTTP library would send, signed by hand (OSS auth 3, 5)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import re
import socket
import time
from dataclasses import dataclass
from email.utils import formatdate, parsedate
from typing import Dict, Optional
from urllib.parse import quote_from_bytes

from .server import ACCESS_KEY_ID, ACCESS_KEY_SECRET, REGION, Server


def authorization(method: str, resource: bytes, headers: Dict[str, str]) -> str:
    """The V1 header for `resource`, which is the decoded path with the signed parameters; `headers` must have a Date."""
    lower = {name.lower(): value for name, value in headers.items()}
    own = "".join(f"{name}:{value}\n" for name, value in sorted(lower.items()) if name.startswith("x-oss-"))
    text = "\n".join([method, lower.get("content-md5", ""), lower.get("content-type", ""), lower["date"], own])
    digest = hmac.new(ACCESS_KEY_SECRET.encode(), text.encode() + resource, hashlib.sha1).digest()
    return f"OSS {ACCESS_KEY_ID}:{base64.b64encode(digest).decode()}"


def head(
    method: str, target: bytes, resource: Optional[bytes] = None, headers: Optional[Dict[str, str]] = None, host: str = "127.0.0.1"
) -> bytes:
    """The head of a request with `target` exactly as given; signed when there is a `resource`."""
    headers = {"Host": host, "Date": formatdate(usegmt=True), **(headers or {})}
    if resource is not None:
        headers["Authorization"] = authorization(method, resource, headers)
    lines = b"".join(f"{name}: {value}\r\n".encode() for name, value in headers.items())
    return method.encode() + b" " + target + b" HTTP/1.1\r\n" + lines + b"\r\n"


@dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def code(self) -> str:
        """The code of an error document, also of one in a header."""
        text = self.body or base64.b64decode(self.headers.get("x-oss-err", ""))
        found = re.search(rb"<Code>(\w+)</Code>", text)
        return found.group(1).decode() if found else ""

    @property
    def seen(self) -> "tuple[int, str]":
        return (self.status, self.code)


class _Shared:
    """A socket's reader that answers share: one answer must not take the bytes of the next with it."""

    def __init__(self, reader):
        self.reader = reader

    def makefile(self, *_):
        return self

    def close(self):
        pass

    def __getattr__(self, name):
        return getattr(self.reader, name)


class Connection:
    """One TCP connection; a context manager that closes it."""

    def __init__(self, server: Server, timeout_s: float = 20):
        host, port = server.http_address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout_s)
        self._shared = _Shared(self.socket.makefile("rb"))

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        # The socket lives as long as its reader.
        self._shared.reader.close()
        self.socket.close()

    def send(self, data: bytes) -> "Connection":
        self.socket.sendall(data)
        return self

    def send_until_refused(self, pieces) -> "Connection":
        """Sends as much as the peer takes: one that has answered and closed resets what comes after."""
        try:
            for piece in pieces:
                self.socket.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass
        return self

    def answer(self, method: str = "GET") -> Answer:
        response = http.client.HTTPResponse(self._shared, method=method)
        response.begin()
        return Answer(response.status, response.msg, response.read())

    def rest(self) -> bytes:
        """Everything until the peer closes."""
        try:
            return self._shared.read()
        except ConnectionResetError:
            return b""

    def is_closed(self) -> bool:
        """Waits for the end of the connection; false when the peer says something instead, or nothing in time."""
        try:
            return self._shared.read(1) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False


def ask(server: Server, request: bytes, method: str = "GET") -> Answer:
    """One request on a connection of its own."""
    with Connection(server) as connection:
        return connection.send(request).answer(method)


def v4_authorization(method: str, path: bytes, query: str, headers: Dict[str, str], keeps_equals: bool = False) -> str:
    """The V4 header (OSS auth 5) for a decoded `path` that begins with the bucket. `query` is signed as it is written, parameter
    by parameter; one with an empty value is signed bare, unless its sign of equality is to be kept, as ali-oss does."""
    lower = {name.lower(): value.strip() for name, value in headers.items()}
    timestamp = lower.get("x-oss-date") or lower["date"]
    day = lower["x-oss-date"][:8] if "x-oss-date" in lower else time.strftime("%Y%m%d", parsedate(lower["date"]))
    scope = f"{day}/{REGION}/oss/aliyun_v4_request"
    parameters = sorted(p if keeps_equals or not p.endswith("=") else p[:-1] for p in query.split("&") if p)
    own = {n: v for n, v in lower.items() if n.startswith("x-oss-") or n in ("content-type", "content-md5")}
    canonical = "\n".join(
        [
            method, quote_from_bytes(path, safe="/-_.~"), "&".join(parameters),
            *(f"{name}:{value}" for name, value in sorted(own.items())), "", "", "UNSIGNED-PAYLOAD",
        ]
    )  # fmt: skip
    text = "\n".join(["OSS4-HMAC-SHA256", timestamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = b"aliyun_v4" + ACCESS_KEY_SECRET.encode()
    for part in (day, REGION, "oss", "aliyun_v4_request", text):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return f"OSS4-HMAC-SHA256 Credential={ACCESS_KEY_ID}/{scope}, Signature={key.hex()}"
