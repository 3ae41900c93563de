"""Everything a server keeps that its API shows, as one value to compare; and requests over one connection that is kept."""

from __future__ import annotations

import http.client
import re
from typing import Dict, Iterable, List, Tuple

from .raw import Answer
from .server import Server
from .signing import Request, v4_header

SETTINGS = [
    "bucketInfo", "acl", "cors", "referer", "lifecycle", "policy", "logging", "website", "tagging", "versioning", "versions",
    "uploads", "live",
]  # fmt: skip
KEPT = re.compile(r"etag|last-modified|content-.*|x-oss-(meta-.*|object-type|storage-class|tagging-count|hash-crc64ecma)")


class Client:
    """Sends requests signed with V4, which covers every query name, over one connection for as long as it lives."""

    def __init__(self, server: Server, sign=v4_header):
        self.sign = sign
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)

    def send(self, request: Request) -> Answer:
        signed = self.sign(request)
        headers = {"Host": signed.host, **dict(signed.headers)}
        if signed.method in ("PUT", "POST"):
            headers["Content-Length"] = str(len(signed.body))
        try:
            self.connection.request(signed.method, signed.target(), signed.body or None, headers)
            answer = self.connection.getresponse()
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            # The server closes after an answer that left a body unread.
            self.connection.close()
            self.connection.request(signed.method, signed.target(), signed.body or None, headers)
            answer = self.connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read())

    def ask(self, method: str, bucket: str = "", key: str = "", query: Iterable[str] = (), headers=(), body: bytes = b"") -> Answer:
        """`query` are `name` or `name=value`."""
        pairs = [(name, value if found else None) for name, found, value in (text.partition("=") for text in query)]
        return self.send(Request(method, bucket, key, pairs, list(headers), body))


def state_of(client: Client, buckets: List[str], keys: Dict[str, List[str]], uploads: List[Tuple[str, str, str]] = ()) -> dict:
    """The buckets with their settings, the objects with content, headers, ACL and tags, the uploads and the channels."""
    seen = {}

    def look(bucket: str = "", key: str = "", *query: str) -> None:
        answer = client.ask("GET", bucket, key, query)
        body = re.sub(rb"<(RequestId|HostId)>[^<]*</", b"", answer.body)
        kept = {name.lower(): value for name, value in answer.headers.items() if KEPT.fullmatch(name.lower())}
        seen[f"{bucket}/{key}?{'&'.join(query)}"] = (answer.status, kept, body)

    look()
    for bucket in buckets:
        for setting in SETTINGS:
            look(bucket, "", setting)
        for key in keys.get(bucket, []):
            look(bucket, key)
            look(bucket, key, "acl")
            look(bucket, key, "tagging")
            look(bucket, key, "live")
    for bucket, key, upload in uploads:
        look(bucket, key, f"uploadId={upload}")
    return seen


def changes(before: dict, after: dict) -> "dict[str, tuple]":
    """What differs, by the request that shows it."""
    return {name: (before.get(name), after.get(name)) for name in {*before, *after} if before.get(name) != after.get(name)}
