"""What browsers and caches may keep (D23): live playlists never without asking, segments for a year if everybody may read them,
what was signed no longer than its URL lives, refusals not at all. What is stored with an object wins."""

import re
import time

import oss2
import pytest
import requests
from oss2.models import BucketCors, BucketReferer, CorsRule

from millpond_test import media
from millpond_test.accounts import new_user, statement
from millpond_test.server import create_channel, wait_for
from millpond_test.signing import Request, v1_header, v1_url, v4_header, v4_url

YEAR_S = 31_536_000
FOREVER = f"public, max-age={YEAR_S}, immutable"
ASK, ASK_PRIVATELY = "no-cache", "private, no-cache"
PLAYLIST, VOD = "cam/playlist.m3u8", "cam/archive.m3u8"
RULE = CorsRule(allowed_origins=["http://page.example"], allowed_methods=["GET"], allowed_headers=["*"])


class Recorded:
    """A bucket with a channel that was pushed to, and what became of it."""

    def __init__(self, server, source, acl=oss2.BUCKET_ACL_PUBLIC_READ):
        self.server, self.bucket = server, server.new_bucket(acl)
        self.name = self.bucket.bucket_name
        create_channel(self.bucket, "cam")
        self.start = int(time.time())
        media.push_file(source.path, self.bucket.sign_rtmp_url("cam", "playlist.m3u8", 3600))
        wait_for(lambda: self.bucket.get_live_channel_stat("cam").status == "Idle", "the channel is idle")
        self.end = int(time.time()) + 1
        self.bucket.post_vod_playlist("cam", "archive.m3u8", self.start - 1, self.end)
        keys = [entry.key for entry in self.bucket.list_objects_v2(prefix="cam/").object_list]
        self.segment = next(key for key in keys if key.endswith(".ts"))

    def get(self, key, **headers) -> requests.Response:
        return self.server.get(f"{self.name}/{key}", headers={name.replace("_", "-"): value for name, value in headers.items()})

    def control(self, key, **headers) -> "tuple[int, str | None]":
        answer = self.get(key, **headers)
        return (answer.status_code, answer.headers.get("Cache-Control"))

    def signed(self, sign, key, expires, *query) -> "tuple[int, str | None]":
        answer = sign(Request("GET", self.name, key, query=list(query)), expires=expires).send(self.server)
        return (answer.status, answer.headers["Cache-Control"])


@pytest.fixture(scope="module")
def recorded(server, short_source):
    return Recorded(server, short_source)


@pytest.fixture
def own(server, short_source):
    """One that a test may change."""
    return Recorded(server, short_source)


@pytest.fixture(scope="module")
def private(server, short_source):
    return Recorded(server, short_source, oss2.BUCKET_ACL_PRIVATE)


def v1(request, expires):
    return v1_url(request, expires=int(time.time()) + expires)


def v4(request, expires):
    return v4_url(request, expires=expires)


def test_a_live_playlist_is_asked_for_each_time(recorded):
    first = recorded.get(PLAYLIST)
    assert (first.status_code, first.headers["Cache-Control"]) == (200, ASK)
    again = recorded.get(PLAYLIST, If_None_Match=first.headers["ETag"])
    assert (again.status_code, again.content) == (304, b"")
    # A 304 renews what is kept, so it says the same (RFC 9110 15.4.5).
    for name in ("ETag", "Last-Modified", "Cache-Control"):
        assert again.headers[name] == first.headers[name]
    by_date = recorded.get(PLAYLIST, If_Modified_Since=first.headers["Last-Modified"])
    assert (by_date.status_code, by_date.headers["Cache-Control"]) == (304, ASK)
    head = requests.head(recorded.server.url(f"{recorded.name}/{PLAYLIST}"), timeout=10)
    assert head.headers["Cache-Control"] == ASK


def test_a_playlist_that_grows_is_never_kept(server, source):
    bucket = server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    create_channel(bucket, "cam", frag_count=3)
    url = server.url(f"{bucket.bucket_name}/{PLAYLIST}")
    seen = {}
    with media.Push(source.path, bucket.sign_rtmp_url("cam", "playlist.m3u8", 3600)) as push:
        wait_for(lambda: requests.get(url, timeout=10).status_code == 200, "a playlist")
        while push.running() and len(seen) < 3:
            answer = requests.get(url, timeout=10)
            assert answer.headers["Cache-Control"] == ASK
            seen[answer.headers["ETag"]] = answer.content
            time.sleep(0.2)
    # Another text, another tag: whoever asks with the last one gets the new list.
    assert len(seen) == 3 and len(set(seen.values())) == 3


def test_segments_that_everybody_may_read_are_kept(recorded):
    assert recorded.control(recorded.segment) == (200, FOREVER)
    assert recorded.control(recorded.segment, Range="bytes=0-187") == (206, FOREVER)
    etag = recorded.get(recorded.segment).headers["ETag"]
    assert recorded.control(recorded.segment, If_None_Match=etag) == (304, FOREVER)
    head = requests.head(recorded.server.url(f"{recorded.name}/{recorded.segment}"), timeout=10)
    assert head.headers["Cache-Control"] == FOREVER


def test_the_playlist_of_a_recording_is_kept_a_while(recorded):
    assert recorded.control(VOD) == (200, "public, max-age=60")
    # One that is made for its reader is the reader's, and grows while its span is not over.
    get = lambda end: v1_url(  # noqa: E731
        Request("GET", recorded.name, "cam", query=[("vod", None), ("startTime", str(recorded.start - 1)), ("endTime", str(end))])
    ).send(recorded.server)
    wait_for(lambda: time.time() > recorded.end + 1, "the span is over")
    over, open_end = get(recorded.end), get(recorded.end + 600)
    assert (over.status, over.headers["Cache-Control"]) == (200, "private, max-age=60")
    assert (open_end.status, open_end.headers["Cache-Control"]) == (200, ASK_PRIVATELY)


@pytest.mark.parametrize("sign", [v1, v4])
@pytest.mark.parametrize("where", ["recorded", "private"])
def test_what_is_signed_is_kept_no_longer_than_its_url_lives(request, sign, where):
    of = request.getfixturevalue(where)
    for expires in (30, 5000):
        status, control = of.signed(sign, of.segment, expires)
        age = re.fullmatch(r"private, max-age=(\d+)", control)
        assert status == 200 and age and expires - 20 <= int(age.group(1)) <= expires, control
    assert of.signed(sign, PLAYLIST, 600) == (200, ASK_PRIVATELY)
    assert of.signed(sign, VOD, 5000) == (200, "private, max-age=60")
    status, control = of.signed(sign, VOD, 30)
    assert status == 200 and int(control.rsplit("=", 1)[1]) <= 30
    # Signed for the player: its text has the signatures of one reader.
    answer = sign(Request("GET", of.name, PLAYLIST, query=[("x-oss-process", "hls/sign")]), expires=600).send(of.server)
    assert (answer.status, answer.headers["Cache-Control"]) == (200, ASK_PRIVATELY)
    conditional = sign(Request("GET", of.name, PLAYLIST, query=[("x-oss-process", "hls/sign")]), expires=600)
    conditional = conditional.with_headers(("If-None-Match", answer.headers["ETag"]))
    first = conditional.send(of.server)
    assert first.headers["Cache-Control"] == ASK_PRIVATELY
    assert conditional.with_headers().send(of.server).status in (200, 304)


def test_nor_longer_than_a_temporary_key_lives(server, private):
    user = new_user(server)
    user.allow("reader", statement("Allow", "oss:GetObject", f"acs:oss:*:*:{private.name}/*"))
    key = user.session(duration_s=900)
    answer = v1_url(Request("GET", private.name, private.segment), key, expires=int(time.time()) + 7200).send(server)
    age = int(re.fullmatch(r"private, max-age=(\d+)", answer.headers["Cache-Control"]).group(1))
    assert 800 <= age <= 900


@pytest.mark.parametrize("sign", [v1_header, v4_header])
def test_what_is_signed_in_a_header_is_nobody_elses(recorded, sign):
    for key in (recorded.segment, PLAYLIST, VOD):
        answer = sign(Request("GET", recorded.name, key)).send(recorded.server)
        assert (answer.status, answer.headers["Cache-Control"]) == (200, ASK_PRIVATELY), key


def everybody(effect: str, name: str, **condition) -> str:
    import json

    one = {**statement(effect, ["oss:GetObject"], [f"acs:oss:*:*:{name}/*"], **condition), "Principal": ["*"]}
    return json.dumps({"Version": "1", "Statement": [one]})


def test_what_depends_on_who_asks_is_asked_for_again(own):
    assert own.control(own.segment) == (200, FOREVER)
    # Hotlink protection looks at the page.
    own.bucket.put_bucket_referer(BucketReferer(True, ["http://page.example"]))
    assert own.control(own.segment) == (200, ASK_PRIVATELY)
    assert own.control(own.segment, Referer="http://page.example/x") == (200, ASK_PRIVATELY)
    assert own.control(own.segment, Referer="http://other.example/x") == (403, "no-store")
    assert own.control(PLAYLIST) == (200, ASK_PRIVATELY)
    # Rules that restrict nothing are none.
    own.bucket.put_bucket_referer(BucketReferer(True, []))
    assert own.control(own.segment) == (200, FOREVER)
    # A policy may look at addresses and times.
    own.bucket.put_bucket_policy(everybody("Deny", own.name, IpAddress={"acs:SourceIp": ["192.0.2.0/24"]}))
    assert own.control(own.segment) == (200, ASK_PRIVATELY)
    own.bucket.delete_bucket_policy()
    # An object that is private is not everybody's, and one that is public in a private bucket is no public bucket's.
    own.bucket.put_object_acl(own.segment, "private")
    assert own.control(own.segment) == (403, "no-store")
    own.bucket.put_object_acl(own.segment, "public-read")
    own.bucket.put_bucket_acl(oss2.BUCKET_ACL_PRIVATE)
    assert own.control(own.segment) == (200, ASK_PRIVATELY)
    own.bucket.put_bucket_policy(everybody("Allow", own.name))
    own.bucket.put_object_acl(own.segment, "default")
    assert own.control(own.segment) == (200, ASK_PRIVATELY)


def test_what_a_page_cannot_read_is_not_kept_for_it(own):
    """The rules may be put right in a minute; what the browser kept would be without their headers for a year."""
    page, other = "http://page.example", "http://other.example"
    assert own.control(own.segment, Origin=page) == (200, ASK_PRIVATELY)
    own.bucket.put_bucket_cors(BucketCors([RULE]))
    assert own.control(own.segment, Origin=page) == (200, FOREVER)
    assert own.control(own.segment, Origin=other) == (200, ASK_PRIVATELY)
    assert own.control(own.segment) == (200, FOREVER)
    signed = v1(Request("GET", own.name, own.segment, headers=[("Origin", other)]), 600).send(own.server)
    assert (signed.status, signed.headers["Cache-Control"]) == (200, ASK_PRIVATELY)


def test_what_was_uploaded_has_only_its_own_headers(own):
    """Whatever its name ends in: it may be written again at any time."""
    for key in ("cam/1700000000000.ts", "cam/other.m3u8", "a.ts"):
        for content_type in ("video/MP2T", "application/x-mpegURL", None):
            own.bucket.put_object(key, b"x", headers={"Content-Type": content_type} if content_type else {})
            assert own.control(key) == (200, None), key
            assert own.signed(v1, key, 600) == (200, None), key
    # Also under the name of a segment, and as the copy of one; a link may lead elsewhere tomorrow.
    own.bucket.copy_object(own.name, own.segment, "copy.ts")
    own.bucket.copy_object(own.name, PLAYLIST, "copy.m3u8")
    assert own.control("copy.ts") == own.control("copy.m3u8") == (200, None)
    own.bucket.put_symlink(own.segment, "link.ts")
    assert own.control("link.ts") == (200, ASK)
    own.bucket.put_object(own.segment, b"x", headers={"Content-Type": "video/MP2T"})
    assert own.control(own.segment) == (200, None)


def test_a_segment_whose_metadata_changes_is_still_one(own):
    own.bucket.put_object_tagging(own.segment, oss2.models.Tagging(oss2.models.TaggingRule()))
    assert own.control(own.segment) == (200, FOREVER)
    own.bucket.update_object_meta(own.segment, {"x-oss-meta-a": "1", "Content-Type": "video/MP2T"})
    assert own.control(own.segment) == (200, FOREVER)


def test_a_header_that_was_stored_or_asked_for_wins(own):
    own.bucket.update_object_meta(own.segment, {"Cache-Control": "max-age=7"})
    assert own.control(own.segment) == (200, "max-age=7")
    assert own.signed(v1, own.segment, 600) == (200, "max-age=7")
    etag = own.get(own.segment).headers["ETag"]
    assert own.control(own.segment, If_None_Match=etag) == (304, "max-age=7")
    own.bucket.update_object_meta(own.segment, {"Expires": "Thu, 01 Jan 2032 00:00:00 GMT"})
    answer = own.get(own.segment)
    assert (answer.headers["Expires"], "Cache-Control" in answer.headers) == ("Thu, 01 Jan 2032 00:00:00 GMT", False)
    own.bucket.update_object_meta(own.segment, {})
    assert own.signed(v1, own.segment, 600, ("response-cache-control", "max-age=9")) == (200, "max-age=9")
    assert own.signed(v4, PLAYLIST, 600, ("response-cache-control", "max-age=9")) == (200, "max-age=9")


def test_refusals_are_not_kept(recorded, private, server):
    name = recorded.name
    answers = [
        server.get(f"{name}/absent"),
        server.get(f"{private.name}/{private.segment}"),
        server.get("no-such-bucket-here/a"),
        server.get(f"{name}/{recorded.segment}", headers={"If-Match": '"0"'}),
        server.get(f"{name}/{recorded.segment}", headers={"Range": "bytes=99999999-", "x-oss-range-behavior": "standard"}),
        server.get(f"{name}/{recorded.segment}?acl&Expires=1&OSSAccessKeyId=x&Signature=y"),
        server.get("NO_BUCKET/a"),
        requests.head(server.url(f"{name}/absent"), timeout=10),
        requests.request("PATCH", server.url(f"{name}/a"), timeout=10),
        requests.options(server.url(f"{name}/a"), timeout=10),
        requests.options(server.url(f"{name}/a"), headers={"Origin": "http://x", "Access-Control-Request-Method": "GET"}, timeout=10),
        requests.put(server.url(f"{name}/a"), data=b"x", timeout=10),
        server.get("-/nothing"),
        requests.post(server.url("-/play"), timeout=10),
        server.get("-/api/v1/channels/x/y/sessions"),
        server.admin("/api/v1/users"),
        server.admin("/nothing"),
        requests.post(f"http://{server.admin_address}/healthz", timeout=10),
        requests.get(f"http://{server.admin_address}/?Action=Nothing", timeout=10),
    ]
    for answer in answers:
        assert answer.status_code >= 400, answer.url
        assert answer.headers.get("Cache-Control") == "no-store", f"{answer.request.method} {answer.url}"
    for path in ("/healthz", "/readyz", "/metrics"):
        assert server.admin(path).headers["Cache-Control"] == "no-store"


def test_the_page_of_a_web_site_for_what_is_missing_is_not_kept(server):
    bucket = server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    bucket.put_object("index.html", b"home")
    bucket.put_object("error.html", b"missing")
    bucket.put_bucket_website(oss2.models.BucketWebsite("index.html", "error.html"))
    answer = server.get(f"{bucket.bucket_name}/absent")
    assert (answer.status_code, answer.content, answer.headers["Cache-Control"]) == (404, b"missing", "no-store")
    assert "Cache-Control" not in server.get(f"{bucket.bucket_name}/").headers


def test_buckets_with_rules_tell_origins_apart(own):
    bucket = own.bucket
    bucket.put_object("a", b"a")
    vary = lambda key, **headers: own.get(key, **headers).headers.get("Vary")  # noqa: E731
    for headers in ({}, {"Origin": "http://page.example"}):
        assert vary("a", **headers) is None
        assert vary(PLAYLIST, **headers) is None
    # What is kept for a year may see the rules come.
    assert vary(own.segment) == "Origin"
    for rule in (RULE, CorsRule(allowed_origins=["*"], allowed_methods=["GET"])):
        bucket.put_bucket_cors(BucketCors([rule]))
        for headers in ({}, {"Origin": "http://page.example"}, {"Origin": "http://other.example"}):
            for key in ("a", "absent", PLAYLIST, own.segment, ""):
                assert vary(key, **headers) == "Origin", (key, headers)
        etag = own.get("a").headers["ETag"]
        assert vary("a", If_None_Match=etag) == "Origin"
        preflight = requests.options(
            own.server.url(f"{own.name}/a"),
            headers={"Origin": "http://page.example", "Access-Control-Request-Method": "GET"},
            timeout=10,
        )
        assert (preflight.status_code, preflight.headers["Vary"]) == (200, "Origin")


def test_the_pages_of_the_server_are_asked_for_and_not_loaded_again(server):
    for path in ("-/play", "-/console", "-/hls.light.min.js", "-/play.css"):
        first = server.get(path)
        assert (first.status_code, first.headers["Cache-Control"]) == (200, "no-cache"), path
        for tag in (first.headers["ETag"], f'W/{first.headers["ETag"]}', f'"x", {first.headers["ETag"]}', "*"):
            again = server.get(path, headers={"If-None-Match": tag})
            assert (again.status_code, again.content) == (304, b""), (path, tag)
            for name in ("ETag", "Cache-Control", "Content-Security-Policy"):
                assert again.headers[name] == first.headers[name]
        assert server.get(path, headers={"If-None-Match": '"x"'}).content == first.content


def test_operators_choose(fresh_server, short_source):
    silent = Recorded(fresh_server(name="silent", settings="[cache]\nheaders = false\n"), short_source)
    for key in (PLAYLIST, VOD, silent.segment):
        assert silent.control(key) == (200, None)
        assert silent.signed(v1, key, 600) == (200, None)
    assert silent.control("absent") == (404, None)
    assert "Vary" not in silent.get(silent.segment).headers
    numbers = "[cache]\nsegment_max_age_s = 100\nlive_playlist_max_age_s = 2\nvod_playlist_max_age_s = 0\nvary_origin = false\n"
    chosen = Recorded(fresh_server(name="chosen", settings=numbers), short_source)
    assert chosen.control(chosen.segment) == (200, "public, max-age=100, immutable")
    assert chosen.control(PLAYLIST) == (200, "public, max-age=2")
    assert chosen.control(VOD) == (200, ASK)
    assert chosen.signed(v1, chosen.segment, 600) == (200, "private, max-age=100")
    assert chosen.signed(v1, PLAYLIST, 600) == (200, "private, max-age=2")
    chosen.bucket.put_bucket_cors(BucketCors([RULE]))
    for key in (PLAYLIST, chosen.segment):
        for headers in ({}, {"Origin": "http://page.example"}):
            assert "Vary" not in chosen.get(key, **headers).headers
