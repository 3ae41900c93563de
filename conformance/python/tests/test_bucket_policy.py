"""Bucket policies: stored as sent, checked when they are put, effective at once (access control 4, HTTP API 8.14)."""

import json

import alibabacloud_oss_v2 as oss
import oss2
import pytest

from millpond_test.accounts import new_user, refusal
from millpond_test.server import ACCESS_KEY_ID, ACCESS_KEY_SECRET, REGION

DENIED = (403, "AccessDenied")
ACCOUNT = "1000000000000001"


def document(bucket, *statements) -> str:
    """With a spelling that no writer of JSON would make again."""
    name = bucket.bucket_name
    defaults = {"Effect": "Allow", "Principal": ["*"], "Resource": [f"acs:oss:*:{ACCOUNT}:{name}", f"acs:oss:*:{ACCOUNT}:{name}/*"]}
    return json.dumps({"Version": "1", "Statement": [{**defaults, **statement} for statement in statements]}, indent=3) + "\n "


def test_sdk_quirk_29_the_document_comes_back_byte_for_byte(server, bucket, version):
    own = server.bucket(bucket.bucket_name, version)
    assert refusal(own.get_bucket_policy) == (404, "NoSuchBucketPolicy")
    text = document(bucket, {"Action": "oss:GetObject"})
    assert own.put_bucket_policy(text).status == 200
    got = own.get_bucket_policy()
    assert got.policy == text
    assert got.resp.headers["Content-Type"] == "application/json"
    assert own.delete_bucket_policy().status == 204
    assert own.delete_bucket_policy().status == 204
    assert refusal(own.get_bucket_policy) == (404, "NoSuchBucketPolicy")


def test_the_newer_sdk(server, bucket):
    config = oss.config.load_default()
    config.credentials_provider = oss.credentials.StaticCredentialsProvider(ACCESS_KEY_ID, ACCESS_KEY_SECRET)
    config.region = REGION
    config.endpoint = server.endpoint
    client = oss.Client(config)
    name, text = bucket.bucket_name, document(bucket, {"Action": "oss:GetObject"})
    assert client.put_bucket_policy(oss.PutBucketPolicyRequest(bucket=name, body=text)).status_code == 200
    assert client.get_bucket_policy(oss.GetBucketPolicyRequest(bucket=name)).body == text
    assert client.delete_bucket_policy(oss.DeleteBucketPolicyRequest(bucket=name)).status_code == 204


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not json",
        '{"Version":"2","Statement":[]}',
        '{"Version":"1","Statement":[{"Effect":"Allow","Action":"oss:GetObject","Principal":"*","Resource":"acs:oss:*:*:other/*"}]}',
        '{"Version":"1","Version":"1","Statement":[]}',
        "{" + " " * 17_000 + "}",
    ],
)
def test_what_breaks_the_grammar_is_refused(bucket, text):
    assert refusal(bucket.put_bucket_policy, text) == (400, "InvalidPolicyDocument")
    assert refusal(bucket.get_bucket_policy) == (404, "NoSuchBucketPolicy")


def test_everybody_may_list_and_read(server, bucket):
    bucket.put_object("a", b"a")
    stranger = server.anonymous(bucket.bucket_name)
    assert refusal(stranger.list_objects) == DENIED
    bucket.put_bucket_policy(document(bucket, {"Action": ["oss:ListObjects", "oss:GetObject"]}))
    assert [entry.key for entry in stranger.list_objects().object_list] == ["a"]
    assert stranger.get_object("a").read() == b"a"
    assert refusal(stranger.put_object, "b", b"") == DENIED
    assert refusal(stranger.get_bucket_acl) == DENIED
    bucket.delete_bucket_policy()
    assert refusal(stranger.list_objects) == DENIED
    assert refusal(stranger.get_object, "a") == DENIED


def test_one_user_and_not_another(server, bucket):
    bucket.put_object("a", b"a")
    anna, ben = new_user(server), new_user(server)
    bucket.put_bucket_policy(document(bucket, {"Action": "oss:Get*", "Principal": [anna.uid]}))
    assert anna.key().bucket(server, bucket.bucket_name).get_object("a").read() == b"a"
    assert refusal(ben.key().bucket(server, bucket.bucket_name).get_object, "a") == DENIED


def test_a_deny_with_a_condition_stops_the_account_too_but_locks_nobody_out(server, bucket):
    bucket.put_object("a", b"a")
    here = {"Effect": "Deny", "Action": "oss:*", "Condition": {"IpAddress": {"acs:SourceIp": ["127.0.0.1"]}}}
    bucket.put_bucket_policy(document(bucket, here))
    with pytest.raises(oss2.exceptions.AccessDenied) as refused:
        bucket.get_object("a")
    assert refused.value.message == "Access denied by bucket policy."
    assert refused.value.details["EC"] == "0003-00000201"
    assert refusal(bucket.list_objects) == DENIED
    bucket.put_bucket_policy(document(bucket, {"Effect": "Deny", "Action": "oss:*"}))
    assert bucket.get_object("a").read() == b"a"
    assert refusal(server.anonymous(bucket.bucket_name).get_object, "a") == DENIED
    bucket.delete_bucket_policy()


def test_the_account_is_stopped_by_tags_as_well(server, bucket):
    bucket.put_object("red", b"", headers={"x-oss-tagging": "team=red"})
    bucket.put_object("blue", b"", headers={"x-oss-tagging": "team=blue"})
    condition = {"StringEquals": {"oss:ExistingObjectTag/team": "red"}}
    bucket.put_bucket_policy(document(bucket, {"Effect": "Deny", "Action": "oss:GetObject", "Condition": condition}))
    assert refusal(bucket.get_object, "red") == DENIED
    assert bucket.get_object("blue").status == 200


def test_a_user_cannot_set_policies_without_the_right(server, bucket):
    user = new_user(server)
    own = user.key().bucket(server, bucket.bucket_name)
    assert refusal(own.put_bucket_policy, document(bucket, {"Action": "oss:*"})) == DENIED
    assert refusal(own.get_bucket_policy) == DENIED


def test_addresses_count_behind_a_socket_of_both_families(fresh_server):
    # On [::] an IPv4 peer arrives as ::ffff:127.0.0.1.
    server = fresh_server("--listen", "[::]:0")
    port = server.http_address.rsplit(":", 1)[1]
    if server.http_address.startswith("["):
        server.http_address = f"127.0.0.1:{port}"
    bucket = server.new_bucket()
    bucket.put_object("a", b"a")
    assert bucket.get_object("a").read() == b"a"
    here = {"Effect": "Deny", "Action": "oss:GetObject", "Condition": {"IpAddress": {"acs:SourceIp": ["127.0.0.0/8"]}}}
    bucket.put_bucket_policy(document(bucket, here))
    assert refusal(bucket.get_object, "a") == DENIED


def test_whether_a_policy_lets_everybody_in(server, bucket):
    config = oss.config.load_default()
    config.credentials_provider = oss.credentials.StaticCredentialsProvider(ACCESS_KEY_ID, ACCESS_KEY_SECRET)
    config.region, config.endpoint = REGION, server.endpoint
    client = oss.Client(config)
    request = oss.GetBucketPolicyStatusRequest(bucket=bucket.bucket_name)
    is_public = lambda: client.get_bucket_policy_status(request).policy_status.is_public  # noqa: E731
    assert is_public() is False
    for statement, expected in [
        ({"Action": "oss:GetObject"}, True),
        ({"Action": "oss:GetObject", "Principal": ["200000000000000001"]}, False),
        ({"Action": "oss:GetObject", "Effect": "Deny"}, False),
        ({"Action": "oss:GetObject", "Condition": {"IpAddress": {"acs:SourceIp": ["192.0.2.0/24"]}}}, False),
    ]:
        bucket.put_bucket_policy(document(bucket, statement))
        assert is_public() is expected, statement
    bucket.delete_bucket_policy()
    assert is_public() is False
