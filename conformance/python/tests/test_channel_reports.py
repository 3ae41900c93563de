"""Reports of a channel's pushes on the main port: who may read them is who may read its history (D7, D21)."""

from __future__ import annotations

import json
import re

import oss2
import requests

from millpond_test import media
from millpond_test.accounts import Key, new_user, statement
from millpond_test.server import ACCESS_KEY_ID, ACCESS_KEY_SECRET, REGION, SERVERS, create_channel, until_heard, wait_for

ROOT = Key(ACCESS_KEY_ID, ACCESS_KEY_SECRET)


def ask(server, bucket: str, channel: str, key: "Key | None", version: str = "v4", purpose: bool = True, method: str = "GET"):
    """The answer to a call signed as the console signs it: as an object of a bucket `api`."""
    path = f"/api/v1/channels/{bucket}/{channel}/sessions"
    request = oss2.http.Request(method, f"{server.endpoint}/-{path}", headers={"x-oss-admin": "v1"} if purpose else {}, region=REGION, product="oss")
    if key:
        key.auth(version)._sign_request(request, "api", path[len("/api/") :])
    return requests.request(method, request.url, headers=dict(request.headers), timeout=10)


def refused(answer) -> "tuple[int, str]":
    return (answer.status_code, re.search(rb"<Code>(\w+)</Code>", answer.content).group(1).decode())


def test_the_owner_sees_reports_and_refusals(channel, short_source, version):
    media.push_file(short_source.path, channel.push_url)
    wait_for(lambda: channel.status() == "Idle", "idle")
    wrong = channel.push_url.replace("Signature=", "Signature=A")
    for _ in range(2):
        assert "SignatureDoesNotMatch" in media.push_refused(short_source.path, wrong)
    channel.bucket.put_live_channel_status(channel.name, "disabled")
    assert "LiveChannelDisabled" in media.push_refused(short_source.path, channel.push_url)

    until_heard()
    answer = ask(channel.server, channel.bucket.bucket_name, channel.name, ROOT, version)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.headers["cache-control"] == "no-store"
    told = json.loads(answer.content)
    (session,) = told["sessions"]
    assert session["report"]["encoder"].startswith("Lavf")
    assert (session["report"]["video_codec"], session["report"]["audio_codec"]) == ("H264", "AAC")
    assert session["report"]["pictures"] == len(short_source.decoded.video)
    *guesses, disabled = told["refusals"]
    # Each server counts its own.
    assert {one["code"] for one in guesses} == {"SignatureDoesNotMatch"} and sum(one["count"] for one in guesses) == 2
    assert len(guesses) <= SERVERS
    assert (disabled["code"], disabled["count"]) == ("LiveChannelDisabled", 1)
    assert disabled["remote_addr"].startswith("127.0.0.1:") and len(disabled["request_id"]) == 24
    assert disabled["request_id"] in channel.server.log()


def test_a_channel_that_is_made_again_begins_afresh(channel, short_source, version):
    media.push_file(short_source.path, channel.push_url)
    wait_for(lambda: channel.status() == "Idle", "idle")
    for _ in range(3):
        assert "SignatureDoesNotMatch" in media.push_refused(short_source.path, channel.push_url.replace("Signature=", "Signature=A"))
    told = lambda: json.loads(ask(channel.server, channel.bucket.bucket_name, channel.name, ROOT, version).content)  # noqa: E731
    until_heard()
    assert len(told()["sessions"]) == 1 and told()["refusals"]
    channel.bucket.delete_live_channel(channel.name)
    create_channel(channel.bucket, channel.name)
    until_heard()
    assert told() == {"sessions": [], "refusals": []}


def test_kinds_that_are_left_out_are_named(channel, short_source):
    media.push_file(short_source.path, channel.push_url, options=["-c:a", "libmp3lame"])
    wait_for(lambda: channel.status() == "Idle", "idle")
    (session,) = json.loads(ask(channel.server, channel.bucket.bucket_name, channel.name, ROOT).content)["sessions"]
    assert session["report"]["audio_codec"] == "MP3"
    assert session["report"]["quirks"]["foreign_audio"] > 10
    assert session["report"]["audio_frames"] == 0


def test_nobody_else_sees_them(server, channel, version):
    bucket = channel.bucket.bucket_name
    denied = (403, "AccessDenied")
    # The bucket is public-read: its recordings are everybody's, the reports of its pushes are not.
    assert refused(ask(server, bucket, channel.name, None)) == denied
    stranger = new_user(server).key()
    assert refused(ask(server, bucket, channel.name, stranger, version)) == denied
    assert refused(ask(server, bucket, channel.name, Key(ACCESS_KEY_ID, "WrongSecret"), version)) == (403, "SignatureDoesNotMatch")
    assert refused(ask(server, bucket, channel.name, ROOT, version, purpose=False)) == denied
    assert refused(ask(server, bucket, "nothing", stranger, version)) == denied
    assert refused(ask(server, bucket, "nothing", ROOT, version)) == (404, "NoSuchLiveChannel")
    assert refused(ask(server, "no-such-bucket-0", "nothing", ROOT, version)) == (404, "NoSuchBucket")
    assert refused(ask(server, bucket, channel.name, ROOT, version, method="POST"))[0] == 405
    # Signed in the URL it would be an address that can be passed on.
    path = f"/api/v1/channels/{bucket}/{channel.name}/sessions"
    request = oss2.http.Request("GET", f"{server.endpoint}/-{path}", params={}, headers={"x-oss-admin": "v1"}, region=REGION, product="oss")
    url = ROOT.auth(version)._sign_url(request, "api", path[len("/api/") :], 600)
    assert refused(requests.get(url, headers={"x-oss-admin": "v1"}, timeout=10)) == denied


def test_a_policy_on_the_history_lets_a_user_see_them(server, version):
    bucket = server.new_bucket()
    for name in ("seen", "hidden"):
        create_channel(bucket, name)
    user = new_user(server)
    user.allow("reports", statement("Allow", "oss:GetLiveChannelHistory", [f"acs:oss:*:*:{bucket.bucket_name}/seen"]))
    key = user.key()
    answer = ask(server, bucket.bucket_name, "seen", key, version)
    assert (answer.status_code, json.loads(answer.content)) == (200, {"sessions": [], "refusals": []})
    assert refused(ask(server, bucket.bucket_name, "hidden", key, version)) == (403, "AccessDenied")
    # And a temporary key may no more than its user.
    temporary = user.session()
    assert ask(server, bucket.bucket_name, "seen", temporary, version).status_code == 200
    assert refused(ask(server, bucket.bucket_name, "hidden", temporary, version)) == (403, "AccessDenied")
