"""Requests that no SDK would send, signed by hand with V1 (OSS auth 3), and the document layout of LiveChannel 0.6."""

from __future__ import annotations

import base64
import hashlib
import hmac
from email.utils import formatdate
from typing import Dict, Optional
from urllib.parse import quote

import requests

from .server import ACCESS_KEY_ID, ACCESS_KEY_SECRET, Server

SIGNED_QUERY = ["acl", "bucketInfo", "comp", "endTime", "live", "location", "startTime", "stat", "status", "vod", "x-oss-process"]


def signed_request(
    server: Server,
    method: str,
    bucket: str = "",
    key: str = "",
    query: str = "",
    body: bytes = b"",
    headers: Optional[Dict[str, str]] = None,
    secret: str = ACCESS_KEY_SECRET,
    date: Optional[str] = None,
) -> requests.Response:
    """Sends `query` exactly as written; its values must need no percent-encoding where they are signed."""
    headers = {**(headers or {}), "Date": date or formatdate(usegmt=True)}
    if body or method == "PUT":
        headers.setdefault("Content-Type", "application/xml")
    parts = sorted(part for part in query.split("&") if part.split("=")[0] in SIGNED_QUERY)
    resource = f"/{bucket}/{key}" if bucket else "/"
    if parts:
        resource += "?" + "&".join(part[:-1] if part.endswith("=") else part for part in parts)
    own = "".join(f"{name.lower()}:{value}\n" for name, value in sorted(headers.items()) if name.lower().startswith("x-oss-"))
    text = "\n".join([method, headers.get("Content-MD5", ""), headers.get("Content-Type", ""), headers["Date"], own + resource])
    digest = hmac.new(secret.encode(), text.encode(), hashlib.sha1).digest()
    headers["Authorization"] = f"OSS {ACCESS_KEY_ID}:{base64.b64encode(digest).decode()}"
    path = "/" + (f"{bucket}/{quote(key)}" if bucket else "")
    url = f"{server.endpoint}{path}" + (f"?{query}" if query else "")
    return requests.request(method, url, data=body, headers=headers, timeout=10)


def check_common_headers(response: requests.Response) -> None:
    """LiveChannel 0.6: on every response, success or error."""
    headers = response.headers
    assert headers["Server"] == "AliyunOSS"
    assert headers["Date"].endswith(" GMT")
    request_id = headers["x-oss-request-id"]
    assert len(request_id) == 24 and set(request_id) <= set("0123456789ABCDEF"), request_id
    assert headers["x-oss-server-time"].isdigit()
    if response.status_code not in (204, 304):
        assert "Content-Length" in headers


def check_document(response: requests.Response, status: int, text: str) -> None:
    """The body, byte for byte."""
    check_common_headers(response)
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/xml"
    assert response.content == text.encode()


def check_error(response: requests.Response, status: int, code: str, message: str, ec: str = "", extra: str = "") -> None:
    """An error document in the layout of LiveChannel 0.7; `extra` are the lines between HostId and EC."""
    request_id = response.headers.get("x-oss-request-id", "")
    tail = f"  <EC>{ec}</EC>\n  <RecommendDoc>https://api.aliyun.com/troubleshoot?q={ec}</RecommendDoc>\n" if ec else ""
    check_document(
        response,
        status,
        '<?xml version="1.0" encoding="UTF-8"?>\n<Error>\n'
        f"  <Code>{code}</Code>\n  <Message>{message}</Message>\n  <RequestId>{request_id}</RequestId>\n"
        f"  <HostId>127.0.0.1</HostId>\n{extra}{tail}</Error>\n",
    )
    assert response.headers.get("x-oss-ec", "") == ec
