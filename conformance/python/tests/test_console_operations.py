"""What the console asks beside the OSS API: what is on air, rights, the server, trying a request, what lifecycle rules would do.

Each is asked by the account, by users with few rights, by temporary keys and by strangers."""

from __future__ import annotations

import datetime
import json
import time
import uuid

import oss2
import oss2.models as m
import pytest
import requests

from millpond_test import media
from millpond_test.accounts import Key, new_user, statement
from millpond_test.server import ACCESS_KEY_ID, ACCESS_KEY_SECRET, REGION, create_channel, wait_for
from test_tls import make_certificate

ROOT = Key(ACCESS_KEY_ID, ACCESS_KEY_SECRET)


def call(server, path: str, key: "Key | None" = ROOT, method: str = "GET", body=None, query=None, at: str = ""):
    """The answer to a signed call of the management API, below `/-` or at another address."""
    data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"x-oss-admin": "v1", "x-oss-admin-nonce": uuid.uuid4().hex}
    base = at or f"{server.endpoint}/-"
    if data:
        headers["Content-MD5"] = oss2.utils.content_md5(data)
    request = oss2.http.Request(method, f"{base}/api/v1/{path}", data=data, params=query or {}, headers=headers, region=REGION, product="oss")
    if key:
        key.auth("v1")._sign_request(request, "api", f"v1/{path}")
    return requests.request(method, request.url, params=request.params, data=data, headers=dict(request.headers), timeout=20)


def good(answer):
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return answer.json()


def refused(answer) -> "tuple[int, str]":
    assert {"code", "message", "request_id"} == set(answer.json()), answer.text
    return answer.status_code, answer.json()["code"]


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    """A server of its own, so that what is on air is known."""
    from millpond_test.server import Server

    running = Server(tmp_path_factory.mktemp("studio")).start()
    yield running
    assert running.stop() == 0
    assert "panicked" not in running.log()


def push(server, bucket, channel, source):
    create_channel(bucket, channel, frag_duration=2)
    url = server.on_rtmp_port(bucket.sign_rtmp_url(channel, "playlist.m3u8", 3600))
    return media.Push(source, url, loop=True)


def shown(server, key=ROOT, **query):
    return good(call(server, "on-air", key, query=query))


def test_on_air_shows_all_channels_that_a_key_may_look_at(studio, short_source):
    first, second = studio.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ, name="onair-one"), studio.new_bucket(name="onair-two")
    create_channel(second, "idle", description="the other")
    create_channel(second, "off", status="disabled")
    with push(studio, first, "live", short_source.path):
        url = studio.url("onair-one/live/playlist.m3u8")
        wait_for(lambda: requests.get(url, timeout=5).status_code == 200, "a playlist")
        for player in ("one", "one", "two"):
            requests.get(url, headers={"user-agent": player}, timeout=5)
        requests.head(url, headers={"user-agent": "head"}, timeout=5)
        found = wait_for(lambda: (lambda all: all if all["channels"] and all["channels"][0]["video"] else None)(shown(studio)), "the codecs")
        by_name = {f"{one['bucket']}/{one['name']}": one for one in found["channels"]}
        live = by_name["onair-one/live"]
        assert found["channels"][0] == live and found["total"] == 3 and found["truncated"] is False
        assert live["status"] == "Live" and live["since"] and live["remote"].startswith("127.0.0.1:")
        assert (live["video"]["codec"], live["video"]["width"], live["video"]["height"]) == ("H264", 320, 180)
        assert live["audio"]["codec"] == "AAC" and live["audio"]["sample_rate"] == 44100
        assert live["key_frame_age_ms"] >= 0 and live["warnings"] == []
        # `one`, `two`, and the requests without a name of their own.
        assert live["viewers"] == 3
        idle = by_name["onair-two/idle"]
        assert (idle["status"], idle["since"], idle["video"], idle["viewers"], idle["description"]) == ("Idle", None, None, 0, "the other")
        assert by_name["onair-two/off"]["status"] == "Disabled"

        assert [one["name"] for one in shown(studio, state="live")["channels"]] == ["live"]
        assert [one["name"] for one in shown(studio, bucket="onair-two")["channels"]] == ["idle", "off"]
        few = shown(studio, limit=1)
        assert ([one["name"] for one in few["channels"]], few["total"], few["truncated"]) == (["live"], 3, True)

        user = new_user(studio)
        assert shown(studio, user.key())["channels"] == []
        user.allow("look", statement("Allow", "oss:GetLiveChannelStat", "acs:oss:*:*:onair-two/i*"))
        assert [one["name"] for one in shown(studio, user.key())["channels"]] == ["idle"]
        # Temporary keys look, too, within what they may.
        assert [one["name"] for one in shown(studio, user.session())["channels"]] == ["idle"]
        narrow = {"Version": "1", "Statement": [statement("Allow", "oss:GetObject", "acs:oss:*:*:*")]}
        assert shown(studio, user.session(policy=narrow))["channels"] == []
    wait_for(lambda: shown(studio, state="live")["channels"] == [], "the end of the push")


@pytest.mark.parametrize("query", [{"limit": "0"}, {"limit": "5001"}, {"limit": "x"}, {"state": "dead"}])
def test_on_air_refuses_other_parameters(server, query):
    assert call(server, "on-air", query=query).status_code == 400


def test_viewers_are_forgotten_after_three_target_durations(studio, short_source):
    bucket = studio.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ, name="onair-viewers")
    with push(studio, bucket, "watched", short_source.path):
        url = studio.url("onair-viewers/watched/playlist.m3u8")
        wait_for(lambda: requests.get(url, timeout=5).status_code == 200, "a playlist")
        viewers = lambda: next(one for one in shown(studio)["channels"] if one["name"] == "watched")["viewers"]  # noqa: E731
        for number in range(40):
            requests.get(url, headers={"user-agent": f"player {number}"}, timeout=5)
        # Segments and other playlists are no sign of anybody watching this one.
        requests.get(studio.url("onair-viewers/watched/other.m3u8"), headers={"user-agent": "elsewhere"}, timeout=5)
        assert 40 <= viewers() <= 41
        wait_for(lambda: viewers() == 0, "nobody watching", timeout_s=60)


def test_rights_are_those_of_the_decisions(server):
    bucket = server.new_bucket()
    name = bucket.bucket_name
    bucket.put_object("docs/a.txt", b"a")
    rights = lambda who=ROOT, **query: good(call(server, "rights", who, query=query))  # noqa: E731
    root = rights()
    assert (root["caller"]["kind"], root["caller"]["name"], root["caller"]["expires"]) == ("root", "root", None)
    assert {"oss:ListBuckets", "oss:PutBucket", "millpond:ManageUsers"} <= set(root["actions"])
    assert {"oss:PutBucketCors", "oss:GetObject", "oss:PutLiveChannel", "oss:PostVodPlaylist"} <= set(rights(bucket=name)["actions"])

    user = new_user(server)
    key = user.key()
    nobody = rights(key)
    assert (nobody["caller"]["kind"], nobody["caller"]["name"], nobody["actions"]) == ("user", user.name, [])
    assert rights(key, bucket=name)["actions"] == []
    user.allow("docs", statement("Allow", ["oss:GetObject", "oss:PutObject"], f"acs:oss:*:*:{name}/docs/*"), statement("Allow", "oss:GetBucketCors", f"acs:oss:*:*:{name}"))
    assert rights(key, bucket=name, key="docs/a.txt")["actions"] == ["oss:GetBucketCors", "oss:GetObject", "oss:PutObject"]
    assert rights(key, bucket=name, key="other.txt")["actions"] == ["oss:GetBucketCors"]
    # Which key, is not said: whoever may do it to some key may try.
    assert rights(key, bucket=name)["actions"] == ["oss:GetBucketCors", "oss:GetObject", "oss:PutObject"]
    # The ACL of an object opens it as it opens it to requests.
    bucket.put_object_acl("docs/a.txt", oss2.OBJECT_ACL_PUBLIC_READ)
    assert "oss:GetObject" in rights(new_user(server).key(), bucket=name, key="docs/a.txt")["actions"]

    session = user.session()
    found = rights(session, bucket=name, key="docs/a.txt")
    assert (found["caller"]["kind"], found["caller"]["name"]) == ("session", user.name) and found["caller"]["expires"]
    assert found["actions"] == ["oss:GetBucketCors", "oss:GetObject", "oss:PutObject"]
    user.allow("never", statement("Deny", "oss:PutObject", f"acs:oss:*:*:{name}/*"))
    assert "oss:PutObject" not in rights(key, bucket=name, key="docs/a.txt")["actions"]

    assert refused(call(server, "rights", query={"bucket": "there-is-none-" + uuid.uuid4().hex[:8]})) == (404, "NoSuchBucket")
    assert call(server, "rights", query={"key": "a"}).status_code == 400


def test_the_server_says_more_about_itself_to_the_account(server):
    about = good(call(server, "about"))
    assert about["version"] and about["region"] == REGION and about["started"].endswith("Z")
    assert {one["purpose"] for one in about["listeners"]} == {"http", "rtmp", "admin"}
    assert f"127.0.0.1:{server.port}" in [one["address"] for one in about["listeners"]]
    assert about["certificate"] is None and about["disk"]["total_bytes"] >= about["disk"]["free_bytes"] > 0
    assert about["limits"]["buckets"] == 10000 and about["load"]["connections"] >= 1
    assert [(one["name"], one["state"]) for one in about["health"]][0] == ("metadata", "ok")
    few = good(call(server, "about", new_user(server).key()))
    assert not {"listeners", "certificate", "disk", "limits"} & set(few) and few["version"] == about["version"]


def test_the_certificate_in_use_is_told(fresh_server, tmp_path):
    certificate, key = make_certificate(tmp_path, "told")
    server = fresh_server("--tls-cert", str(certificate), "--tls-key", str(key))
    told = good(call(server, "about"))["certificate"]
    assert told["names"] == ["127.0.0.1", "localhost"]
    left_s = time.mktime(time.strptime(told["not_after"][:19], "%Y-%m-%dT%H:%M:%S")) - time.mktime(time.gmtime())
    assert 86_400 < left_s < 3 * 86_400
    assert all(one["tls"] for one in good(call(server, "about"))["listeners"])


def test_a_request_is_tried_by_the_real_decision_and_nothing_is_done(server):
    bucket = server.new_bucket()
    bucket.put_object("a.txt", b"text", headers={"Content-Type": "text/plain"})
    tried = lambda **wanted: good(call(server, f"buckets/{bucket.bucket_name}/try", ROOT, "POST", wanted))  # noqa: E731
    anonymous = tried(key="a.txt")
    real = requests.get(server.url(f"{bucket.bucket_name}/a.txt"), timeout=5)
    assert (anonymous["status"], anonymous["code"], anonymous["ec"]) == (real.status_code, "AccessDenied", real.headers["x-oss-ec"])
    assert "<Message>" + anonymous["message"] in real.text
    assert [tried(key="a.txt", caller=caller)["status"] for caller in ("anonymous", "signed_url", "self")] == [403, 200, 200]
    assert (lambda found: (found["status"], found["code"]))(tried(key="none", caller="self")) == (404, "NoSuchKey")

    # Hotlink protection, as for real requests: for strangers and signed addresses, not for signed headers.
    bucket.put_bucket_acl(oss2.BUCKET_ACL_PUBLIC_READ)
    bucket.put_bucket_referer(m.BucketReferer(False, ["http://ok.example/"]))
    rows = [("anonymous", "", "0003-00000501"), ("anonymous", "http://evil.example/", "0003-00000503"), ("anonymous", "http://ok.example/x", None),
            ("signed_url", "http://evil.example/", "0003-00000503"), ("self", "http://evil.example/", None)]  # fmt: skip
    for caller, referer, ec in rows:
        found = tried(key="a.txt", caller=caller, referer=referer)
        assert (found["status"], found["ec"]) == ((403, ec) if ec else (200, None)), (caller, referer, found)

    # CORS: the headers of the answer, of refusals too, and a preflight.
    bucket.put_bucket_cors(m.BucketCors([m.CorsRule(allowed_origins=["http://page.example"], allowed_methods=["GET"], allowed_headers=["range"])]))
    headers = lambda found: {name: value for name, value in found["headers"]}  # noqa: E731
    assert headers(tried(key="a.txt", origin="http://page.example", referer="http://ok.example/"))["access-control-allow-origin"] == "http://page.example"
    denied = tried(key="a.txt", origin="http://page.example")
    assert denied["status"] == 403 and headers(denied)["access-control-allow-origin"] == "http://page.example"
    assert "access-control-allow-origin" not in headers(tried(key="a.txt", origin="http://other.example", referer="http://ok.example/"))
    allowed = tried(key="a.txt", origin="http://page.example", preflight=True, request_method="GET", request_headers="range")
    assert allowed["status"] == 200 and headers(allowed)["access-control-allow-headers"] == "range"
    for wanted in ({"request_method": "PUT"}, {"request_method": "GET", "request_headers": "x-trace"}):
        assert tried(key="a.txt", origin="http://page.example", preflight=True, **wanted)["code"] == "AccessForbidden"

    # Nothing is written or deleted.
    assert tried(method="DELETE", key="a.txt", caller="self")["status"] == 204
    assert tried(method="PUT", key="b.txt", caller="self")["status"] == 200
    assert tried(method="PUT", key="b.txt")["status"] == 403
    assert [one.key for one in oss2.ObjectIterator(bucket)] == ["a.txt"] and bucket.get_object("a.txt").read() == b"text"


def test_trying_needs_the_right_to_look_at_the_bucket(server):
    bucket, other = server.new_bucket(), server.new_bucket()
    user = new_user(server)
    user.allow("info", statement("Allow", "oss:GetBucketInfo", f"acs:oss:*:*:{bucket.bucket_name}"))
    path = lambda one: f"buckets/{one.bucket_name}/try"  # noqa: E731
    key = user.key()
    # The caller is who is signed in: what they may not do is refused here, too.
    assert good(call(server, path(bucket), key, "POST", {"key": "a", "caller": "self"}))["status"] == 403
    assert good(call(server, path(bucket), user.session(), "POST", {"key": "a", "caller": "self"}))["status"] == 403
    assert refused(call(server, path(other), key, "POST", {"key": "a"})) == (403, "AccessDenied")
    assert refused(call(server, path(bucket), None, "POST", {"key": "a"})) == (403, "AccessDenied")
    assert refused(call(server, f"buckets/none-{uuid.uuid4().hex[:8]}/try", ROOT, "POST", {})) == (404, "NoSuchBucket")
    for body in ({"method": "BREW"}, {"unknown": 1}, {"referer": "a\r\nb: c"}, {"origin": "x" * 3000}, {"caller": "root"}, b"no json"):
        assert call(server, path(bucket), ROOT, "POST", body).status_code == 400, body
    assert refused(call(server, path(bucket))) == (405, "MethodNotAllowed")


def test_a_bucket_policy_decides_about_tried_requests(server):
    bucket = server.new_bucket()
    bucket.put_object("a", b"a")
    policy = {"Version": "1", "Statement": [{"Effect": "Allow", "Action": ["oss:GetObject"], "Principal": ["*"], "Resource": [f"acs:oss:*:*:{bucket.bucket_name}/a"]}]}
    bucket.put_bucket_policy(json.dumps(policy))
    path = f"buckets/{bucket.bucket_name}/try"
    assert good(call(server, path, ROOT, "POST", {"key": "a"}))["status"] == 200
    policy["Statement"][0]["Effect"] = "Deny"
    bucket.put_bucket_policy(json.dumps(policy))
    found = good(call(server, path, ROOT, "POST", {"key": "a"}))
    assert (found["status"], found["ec"]) == (403, "0003-00000201")


def test_what_lifecycle_rules_would_do_is_counted(server):
    bucket = server.new_bucket()
    for name, size in (("logs/a", 10), ("logs/b", 20), ("keep", 5)):
        bucket.put_object(name, b"x" * size)
    bucket.init_multipart_upload("logs/unfinished")
    gone = m.LifecycleRule("gone", "logs/", status="Enabled", expiration=m.LifecycleExpiration(created_before_date=datetime.date(2100, 1, 1)))
    later = m.LifecycleRule("later", "keep", status="Enabled", expiration=m.LifecycleExpiration(days=1000))
    off = m.LifecycleRule("off", "k", status="Disabled", expiration=m.LifecycleExpiration(days=1))
    bucket.put_bucket_lifecycle(m.BucketLifecycle([gone, later, off]))
    path = f"buckets/{bucket.bucket_name}/lifecycle/due"
    found = good(call(server, path))
    assert found == {"truncated": False, "rules": [
        {"id": "gone", "objects": 2, "bytes": 30, "relabelled": 0, "uploads": 0, "examples": ["logs/a", "logs/b"]},
        {"id": "later", "objects": 0, "bytes": 0, "relabelled": 0, "uploads": 0, "examples": []},
    ]}  # fmt: skip
    assert len(list(oss2.ObjectIterator(bucket))) == 3, "nothing was done"
    user = new_user(server)
    assert refused(call(server, path, user.key())) == (403, "AccessDenied")
    user.allow("look", statement("Allow", "oss:GetBucketLifecycle", f"acs:oss:*:*:{bucket.bucket_name}"))
    assert good(call(server, path, user.session()))["rules"][0]["objects"] == 2
    bucket.delete_bucket_lifecycle()
    assert good(call(server, path))["rules"] == []


@pytest.mark.parametrize("path", ["on-air", "rights", "about", "buckets/b-b/lifecycle/due"])
def test_strangers_learn_nothing(server, path):
    for key in (None, Key(ACCESS_KEY_ID, "wrong"), Key("MPNDunknown", "x")):
        assert call(server, path, key).status_code == 403
    for method in ("PUT", "DELETE"):
        assert refused(call(server, path, ROOT, method)) == (405, "MethodNotAllowed")


def test_the_operators_listener_answers_too(server):
    assert good(call(server, "on-air", at=f"http://{server.admin_address}"))["truncated"] in (True, False)
    bucket = server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    tried = call(server, f"buckets/{bucket.bucket_name}/try", ROOT, "POST", {"key": "none"}, at=f"http://{server.admin_address}")
    assert good(tried)["code"] == "NoSuchKey"
