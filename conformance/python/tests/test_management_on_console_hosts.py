"""The management API under `/-/api/v1/` of hosts that serve the console: the same signature, replay guard and rights."""

from __future__ import annotations

import oss2
import requests

from millpond_test.accounts import Key, new_user
from millpond_test.server import ACCESS_KEY_ID, ACCESS_KEY_SECRET, REGION

ROOT = Key(ACCESS_KEY_ID, ACCESS_KEY_SECRET)


def signed(server, path: str, key: "Key | None" = ROOT, purpose: bool = True, method: str = "GET"):
    """A call signed as the object `v1/...` of a bucket `api`, sent below `/-`: its URL and headers."""
    headers = {"x-oss-admin": "v1"} if purpose else {}
    request = oss2.http.Request(method, f"{server.endpoint}/-/api/{path}", headers=headers, region=REGION, product="oss")
    if key:
        key.auth("v4")._sign_request(request, "api", path)
    return method, request.url, dict(request.headers)


def send(call):
    method, url, headers = call
    return requests.request(method, url, headers=headers, timeout=10)


def test_the_account_manages_and_nobody_else(server):
    answer = send(signed(server, "v1/users"))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.headers["cache-control"] == "no-store" and isinstance(answer.json()["users"], list)
    for call in (signed(server, "v1/users", key=None), signed(server, "v1/users", purpose=False), signed(server, "v1/users", key=new_user(server).key())):
        refused = send(call)
        assert (refused.status_code, refused.json()["code"]) == (403, "AccessDenied"), refused.text
    assert send(signed(server, "v1/nothing")).status_code == 404


def test_a_call_that_changes_something_works_once(server):
    call = signed(server, "v1/users/root/keys", method="POST")
    made = send(call)
    assert made.status_code == 201, made.text
    assert send(call).json()["code"] == "AccessDenied"
    ids = [key["access_key_id"] for key in send(signed(server, "v1/users/root/keys")).json()["keys"]]
    assert made.json()["access_key_id"] in ids
    assert send(signed(server, f"v1/users/root/keys/{made.json()['access_key_id']}", method="DELETE")).status_code == 204
