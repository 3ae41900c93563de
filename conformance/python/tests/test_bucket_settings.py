"""The configurations of a bucket through oss2: put, got, deleted, refused, and in force."""

import oss2
import pytest
import requests
from oss2.models import (
    BucketCors, BucketLogging, BucketReferer, BucketWebsite, CorsRule, Tagging, TaggingRule,
)  # fmt: skip

from millpond_test.wire import signed_request
from test_multipart import refused


@pytest.fixture
def bucket(server, version):
    return server.new_bucket(version=version)


def test_cors_is_kept_and_answers_browsers(bucket, server):
    refused(bucket.get_bucket_cors, 404, "NoSuchCORSConfiguration")
    rule = CorsRule(
        allowed_origins=["https://a.example", "https://*.b.example"], allowed_methods=["GET", "PUT"],
        allowed_headers=["*"], expose_headers=["ETag"], max_age_seconds=600,
    )  # fmt: skip
    bucket.put_bucket_cors(BucketCors([rule]))
    kept = bucket.get_bucket_cors().rules
    assert [(r.allowed_origins, r.allowed_methods, r.expose_headers, r.max_age_seconds) for r in kept] == [
        (rule.allowed_origins, ["GET", "PUT"], ["ETag"], 600)
    ]
    url = server.url(f"{bucket.bucket_name}/key")
    asked = {"Origin": "https://x.b.example", "Access-Control-Request-Method": "PUT"}
    answer = requests.options(url, headers=asked, timeout=10)
    assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (200, "https://x.b.example")
    assert requests.options(url, headers={**asked, "Origin": "https://c.example"}, timeout=10).status_code == 403
    # Refusals carry the headers too, or a browser would hide them.
    denied = requests.get(url, headers={"Origin": "https://a.example"}, timeout=10)
    assert (denied.status_code, denied.headers["Access-Control-Allow-Origin"]) == (403, "https://a.example")
    bucket.delete_bucket_cors()
    refused(bucket.get_bucket_cors, 404, "NoSuchCORSConfiguration")
    refused(lambda: bucket.put_bucket_cors(BucketCors([rule] * 11)), 400, "CORSRuleBeyondLimit")


def test_hotlinks_are_refused(server):
    bucket = server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    fresh = bucket.get_bucket_referer()
    assert (fresh.allow_empty_referer, fresh.referers) == (True, [])
    bucket.put_object("key", b"x")
    bucket.put_bucket_referer(BucketReferer(False, ["https://*.example.com"]))
    kept = bucket.get_bucket_referer()
    assert (kept.allow_empty_referer, kept.referers) == (False, ["https://*.example.com"])
    get = lambda **headers: server.get(f"{bucket.bucket_name}/key", headers=headers).status_code  # noqa: E731
    assert get() == 403
    assert get(Referer="https://www.example.com/page") == 200
    assert get(Referer="https://bad.example.net/") == 403
    assert bucket.get_object("key").read() == b"x"
    assert signed_request(server, "DELETE", bucket.bucket_name, query="referer").status_code in (204, 403)
    bucket.put_bucket_referer(BucketReferer(True, []))
    assert get() == 200


def test_logging_is_kept(bucket, server):
    assert bucket.get_bucket_logging().target_bucket == ""
    target = server.new_bucket()
    bucket.put_bucket_logging(BucketLogging(target.bucket_name, "access-"))
    kept = bucket.get_bucket_logging()
    assert (kept.target_bucket, kept.target_prefix) == (target.bucket_name, "access-")
    refused(lambda: bucket.put_bucket_logging(BucketLogging("no-such-bucket-at-all", "")), 400, "InvalidTargetBucketForLogging")
    bucket.delete_bucket_logging()
    assert bucket.get_bucket_logging().target_bucket == ""


def test_tags_of_buckets(bucket, server):
    rule = TaggingRule()
    rule.add("team", "video")
    rule.add("empty", "")
    bucket.put_bucket_tagging(Tagging(rule))
    assert bucket.get_bucket_tagging().tag_set.tagging_rule == {"team": "video", "empty": ""}
    tagged = server.service().list_buckets(params={"tag-key": "team", "tag-value": "video"})
    assert bucket.bucket_name in [entry.name for entry in tagged.buckets]
    bucket.delete_bucket_tagging(params={"tagging": "team"})
    assert bucket.get_bucket_tagging().tag_set.tagging_rule == {"empty": ""}
    bucket.delete_bucket_tagging()
    assert bucket.get_bucket_tagging().tag_set.tagging_rule == {}
    many = TaggingRule()
    for number in range(21):
        many.add(f"k{number}", "v")
    refused(lambda: bucket.put_bucket_tagging(Tagging(many)), 400, "TooManyTags")


def test_versioning_can_only_stay_off(bucket):
    assert bucket.get_bucket_versioning().status in (None, "")
    config = oss2.models.BucketVersioningConfig()
    config.status = oss2.BUCKET_VERSIONING_SUSPEND
    bucket.put_bucket_versioning(config)
    config.status = oss2.BUCKET_VERSIONING_ENABLE
    refused(lambda: bucket.put_bucket_versioning(config), 501, "NotImplemented")


def test_regions(server):
    regions = server.service().describe_regions().regions
    assert [(region.region, bool(region.internet_endpoint)) for region in regions] == [("oss-cn-hangzhou", True)]
    refused(lambda: server.service().describe_regions("oss-nowhere"), 404, "NoSuchRegion")


def asked(bucket, method, sub_resource):
    """The status and the body of a request that the SDK has no method for."""
    try:
        answer = bucket._Bucket__do_bucket(method, params={sub_resource: ""})
        return answer.status, answer.read().decode()
    except oss2.exceptions.OssError as error:
        return error.status, error.code


@pytest.mark.parametrize(
    "sub_resource, status, text",
    [
        ("encryption", 404, "NoSuchServerSideEncryptionRule"),
        ("requestPayment", 200, "<Payer>BucketOwner</Payer>"),
        ("publicAccessBlock", 200, "<BlockPublicAccess>false</BlockPublicAccess>"),
        ("transferAcceleration", 404, "NoSuchTransferAccelerationConfiguration"),
        ("worm", 404, "NoSuchWORMConfiguration"),
        ("inventory", 404, "NoSuchInventory"),
        ("replication", 404, "NoSuchReplicationConfiguration"),
        ("style", 501, "NotImplemented"),
    ],
)
def test_what_is_not_built_says_so(server, sub_resource, status, text):
    bucket = server.new_bucket(version="v4")
    ask = lambda method: asked(bucket, method, sub_resource)  # noqa: E731
    got = ask("GET")
    assert (got[0], text in got[1]) == (status, True), got
    assert ask("PUT")[0] == 501
    assert ask("DELETE")[0] == 204


def site(server, **options):
    bucket = server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    bucket.put_object("index.html", b"home", headers={"Content-Type": "text/html"})
    bucket.put_object("error.html", b"sorry", headers={"Content-Type": "text/html"})
    bucket.put_object("dir/index.html", b"dir home")
    index = {"support": "false", "type": "0", **options}
    text = (
        "<WebsiteConfiguration><IndexDocument><Suffix>index.html</Suffix>"
        f"<SupportSubDir>{index['support']}</SupportSubDir><Type>{index['type']}</Type></IndexDocument>"
        "<ErrorDocument><Key>error.html</Key></ErrorDocument></WebsiteConfiguration>"
    )
    bucket.put_bucket_website(text)
    return bucket


def test_a_web_site_has_an_index_and_an_error_page(server):
    bucket = site(server)
    visit = lambda path: server.get(f"{bucket.bucket_name}/{path}", allow_redirects=False)  # noqa: E731
    assert (visit("").text, visit("").headers["Content-Type"]) == ("home", "text/html")
    assert visit("dir/").text == "home"
    missing = visit("missing")
    assert (missing.status_code, missing.text, missing.headers["Content-Type"]) == (404, "sorry", "text/html")
    assert (visit("dir").status_code, visit("dir").text) == (404, "sorry")
    # Signed requests are those of programs.
    assert {entry.key for entry in bucket.list_objects().object_list} == {"index.html", "error.html", "dir/index.html"}
    refused(lambda: bucket.get_object("missing"), 404, "NoSuchKey")
    assert bucket.get_bucket_website().index_file == "index.html"
    bucket.delete_bucket_website()
    assert visit("").status_code == 403
    assert visit("missing").text.startswith("<?xml")
    refused(bucket.get_bucket_website, 404, "NoSuchWebsiteConfiguration")


def test_directories_of_a_web_site(server):
    bucket = site(server, support="true")
    visit = lambda path: server.get(f"{bucket.bucket_name}/{path}", allow_redirects=False)  # noqa: E731
    assert visit("dir/").text == "dir home"
    moved = visit("dir")
    assert (moved.status_code, moved.headers["Location"]) == (302, server.url(f"{bucket.bucket_name}/dir/"))
    assert visit("no/").text == "sorry"
    assert server.get(f"{site(server, support='true', type='2').bucket_name}/dir").text == "dir home"
    assert server.get(f"{site(server, support='true', type='1').bucket_name}/dir").text == "sorry"


def test_the_pages_of_a_private_site_stay_private(server):
    bucket = site(server)
    bucket.put_bucket_acl(oss2.BUCKET_ACL_PRIVATE)
    for path in ("", "index.html", "missing"):
        answer = server.get(f"{bucket.bucket_name}/{path}")
        assert (answer.status_code, "AccessDenied" in answer.text) == (403, True)
    bucket.put_bucket_acl(oss2.BUCKET_ACL_PUBLIC_READ)
    bucket.put_object_acl("error.html", "private")
    assert "NoSuchKey" in server.get(f"{bucket.bucket_name}/missing").text


def test_rules_of_a_web_site_that_are_not_built(bucket):
    text = "<WebsiteConfiguration><RoutingRules><RoutingRule></RoutingRule></RoutingRules></WebsiteConfiguration>"
    refused(lambda: bucket.put_bucket_website(text), 501, "NotImplemented")
    bucket.put_bucket_website(BucketWebsite("i.html", "e.html"))
    assert bucket.get_bucket_website().error_file == "e.html"
