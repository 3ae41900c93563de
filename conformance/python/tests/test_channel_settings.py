"""Settings of a channel beside its configuration: `millpond channel set`, and the call of the management API behind it, for everybody
who has the right on the channel (docs/management.md)."""

from __future__ import annotations

import json
import uuid

import oss2
import pytest
import requests

from millpond_test.accounts import Key, manage, new_user, statement
from millpond_test.server import ACCESS_KEY_ID, ACCESS_KEY_SECRET, REGION, create_channel

ROOT = Key(ACCESS_KEY_ID, ACCESS_KEY_SECRET)
UNSET = {"recovery_points_start_segments": None, "refuse_unrecordable_after_s": None}
WHERE = ["admin", "beside the console"]


def call(server, key: Key, bucket: str, channel: str, change: "dict | None" = None, version: str = "v4", where: str = "admin"):
    """GET without a change, PATCH with one; signed as an object of a bucket `api`."""
    path = f"/api/v1/channels/{bucket}/{channel}/settings"
    base = f"http://{server.admin_address}" if where == "admin" else f"{server.endpoint}/-"
    method, body = ("GET", b"") if change is None else ("PATCH", json.dumps(change).encode())
    # A call that changes something works once.
    headers = {"x-oss-admin": "v1", "x-oss-admin-nonce": uuid.uuid4().hex}
    if body:
        headers["Content-MD5"] = oss2.utils.content_md5(body)
    request = oss2.http.Request(method, base + path, headers=headers, data=body, region=REGION, product="oss")
    key.auth(version)._sign_request(request, "api", path[len("/api/") :])
    return requests.request(method, request.url, headers=dict(request.headers), data=body, timeout=10)


def code(answer) -> "tuple[int, str]":
    return answer.status_code, answer.json()["code"]


@pytest.mark.parametrize("where", WHERE)
def test_they_are_set_shown_and_given_back(server, version, where):
    bucket = server.new_bucket()
    name = bucket.bucket_name
    create_channel(bucket, "cam")
    assert call(server, ROOT, name, "cam", version=version, where=where).json() == UNSET
    changed = call(server, ROOT, name, "cam", {"refuse_unrecordable_after_s": 5}, version, where)
    assert (changed.status_code, changed.json()) == (200, {**UNSET, "refuse_unrecordable_after_s": 5})
    # What is not said stays, and so does everything when the channel is configured again.
    changed = call(server, ROOT, name, "cam", {"recovery_points_start_segments": True}, version, where)
    assert changed.json() == {"recovery_points_start_segments": True, "refuse_unrecordable_after_s": 5}
    create_channel(bucket, "cam", frag_duration=7)
    assert call(server, ROOT, name, "cam", version=version, where=where).json() == changed.json()
    # They are of this channel alone, and end with it.
    create_channel(bucket, "other")
    assert call(server, ROOT, name, "other", version=version, where=where).json() == UNSET
    back = call(server, ROOT, name, "cam", {"refuse_unrecordable_after_s": None}, version, where)
    assert back.json() == {"recovery_points_start_segments": True, "refuse_unrecordable_after_s": None}
    bucket.delete_live_channel("cam")
    create_channel(bucket, "cam")
    assert call(server, ROOT, name, "cam", version=version, where=where).json() == UNSET


def test_they_are_no_elements_of_the_configuration(server):
    bucket = server.new_bucket()
    create_channel(bucket, "cam")
    before = bucket._do("GET", bucket.bucket_name, "cam", params={"live": ""}).read()
    assert call(server, ROOT, bucket.bucket_name, "cam", {"refuse_unrecordable_after_s": 5}).status_code == 200
    assert bucket._do("GET", bucket.bucket_name, "cam", params={"live": ""}).read() == before


@pytest.mark.parametrize("change", [{"frag_count": 3}, {"refuse_unrecordable_after_s": -1}, {"refuse_unrecordable_after_s": "5"},
                                    {"recovery_points_start_segments": 1}, []])  # fmt: skip
def test_what_is_no_setting_is_refused_and_changes_nothing(server, change):
    bucket = server.new_bucket()
    create_channel(bucket, "cam")
    assert call(server, ROOT, bucket.bucket_name, "cam", change).status_code == 400
    assert call(server, ROOT, bucket.bucket_name, "cam").json() == UNSET


@pytest.mark.parametrize("where", WHERE)
def test_whoever_may_configure_the_channel_may_set_them(server, version, where):
    bucket = server.new_bucket()
    name = bucket.bucket_name
    for channel in ("own", "foreign"):
        create_channel(bucket, channel)
    user = new_user(server)
    key, change = user.key(), {"refuse_unrecordable_after_s": 5}
    for settings in (None, change):
        assert code(call(server, key, name, "own", settings, version, where)) == (403, "AccessDenied")
    user.allow("look", statement("Allow", "oss:GetLiveChannel", [f"acs:oss:*:*:{name}/own"]))
    assert call(server, key, name, "own", version=version, where=where).json() == UNSET
    assert code(call(server, key, name, "own", change, version, where)) == (403, "AccessDenied")
    user.allow("set", statement("Allow", "oss:PutLiveChannel", [f"acs:oss:*:*:{name}/own"]))
    assert call(server, key, name, "own", change, version, where).json() == {**UNSET, **change}
    # Not another channel, and it is not told whether there is one.
    for channel in ("foreign", "nothing"):
        for settings in (None, change):
            assert code(call(server, key, name, channel, settings, version, where)) == (403, "AccessDenied")
    assert call(server, ROOT, name, "foreign", version=version, where=where).json() == UNSET
    # A temporary key may what its user may, and less where it is narrowed.
    session = user.session()
    assert call(server, session, name, "own", {"refuse_unrecordable_after_s": 6}, version, where).status_code == 200
    looking = {"Version": "1", "Statement": [statement("Allow", "oss:GetLiveChannel", ["acs:oss:*:*:*"])]}
    narrow = user.session(policy=looking)
    assert call(server, narrow, name, "own", version=version, where=where).status_code == 200
    assert code(call(server, narrow, name, "own", change, version, where)) == (403, "AccessDenied")
    # A deny of the bucket counts here as everywhere.
    denied = statement("Deny", ["oss:PutLiveChannel"], [f"acs:oss:*:*:{name}/own"])
    bucket.put_bucket_policy(json.dumps({"Version": "1", "Statement": [{**denied, "Principal": ["*"]}]}))
    assert code(call(server, key, name, "own", change, version, where)) == (403, "AccessDenied")
    assert call(server, ROOT, name, "own", version=version, where=where).json()["refuse_unrecordable_after_s"] == 6


def test_what_is_not_there(server, version):
    bucket = server.new_bucket()
    assert code(call(server, ROOT, bucket.bucket_name, "nothing", version=version)) == (404, "NoSuchLiveChannel")
    assert code(call(server, ROOT, bucket.bucket_name, "nothing", {}, version)) == (404, "NoSuchLiveChannel")
    assert code(call(server, ROOT, "no-such-bucket-0", "cam", version=version)) == (404, "NoSuchBucket")
    wrong = Key(ACCESS_KEY_ID, "WrongSecret")
    assert code(call(server, wrong, bucket.bucket_name, "nothing", {}, version)) == (403, "SignatureDoesNotMatch")


def test_the_command_works_with_the_key_of_a_user(server):
    bucket = server.new_bucket()
    name = "双 cam"
    create_channel(bucket, name)
    where = f"{bucket.bucket_name}/{name}"
    user = new_user(server)
    key = user.key().environment()
    assert "AccessDenied" in manage(server, "channel", "set", where, "refuse_unrecordable_after_s=3", environment=key, code=1)
    user.allow("own", statement("Allow", ["oss:PutLiveChannel", "oss:GetLiveChannel", "oss:GetLiveChannelHistory"],
                                [f"acs:oss:*:*:{bucket.bucket_name}/*"]))  # fmt: skip
    pairs = ["refuse_unrecordable_after_s=3", "recovery_points_start_segments=true"]
    expected = {"recovery_points_start_segments": True, "refuse_unrecordable_after_s": 3}
    assert manage(server, "channel", "set", where, *pairs, environment=key) == expected
    assert manage(server, "channel", "set", where, environment=key) == expected
    back = manage(server, "channel", "set", where, "refuse_unrecordable_after_s=", environment=key)
    assert back == {**expected, "refuse_unrecordable_after_s": None}
    # The reports of the channel likewise.
    assert "sessions" in manage(server, "channel", "sessions", where, environment=key)
    for wrong, words in [("frag_count=3", "frag_count"), ("refuse_unrecordable_after_s=soon", "neither a number"),
                         ("refuse_unrecordable_after_s", "write KEY=VALUE")]:  # fmt: skip
        assert words in manage(server, "channel", "set", where, wrong, environment=key, code=1)
