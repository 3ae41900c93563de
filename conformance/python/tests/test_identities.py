"""Users with policies, keys that are disabled and rotated, temporary keys: access control 1 and 5, OSS auth 11."""

import datetime
import json
import time

import alibabacloud_oss_v2 as oss
import oss2
import pytest
import requests
from aliyunsdkcore.acs_exception.exceptions import ServerException
from aliyunsdkcore.client import AcsClient
from aliyunsdkcore.request import CommonRequest

from millpond_test import media
from millpond_test.accounts import Key, manage, new_user, refusal, statement
from millpond_test.server import ACCESS_KEY_ID, ACCESS_KEY_SECRET, REGION, create_channel, wait_for

DENIED = (403, "AccessDenied")
ACCOUNT = "1000000000000001"


@pytest.fixture(scope="module")
def store(server):
    """A private bucket with objects of two users."""
    bucket = server.new_bucket()
    for key in ("user1/a", "user1/b/c", "user2/a", "live/cam/1.ts"):
        bucket.put_object(key, key.encode())
    return bucket


def test_a_user_without_policies_may_only_what_everybody_may(server, store, public_bucket):
    key = new_user(server).key()
    own = key.bucket(server, store.bucket_name)
    assert refusal(own.get_object, "user1/a") == DENIED
    assert refusal(own.put_object, "new", b"") == DENIED
    assert refusal(own.list_objects) == DENIED
    assert refusal(list, oss2.BucketIterator(oss2.Service(key.auth(), server.endpoint))) == DENIED
    public_bucket.put_object("seen", b"by all")
    assert key.bucket(server, public_bucket.bucket_name).get_object("seen").read() == b"by all"
    assert refusal(key.bucket(server, public_bucket.bucket_name).list_objects) == DENIED


def test_read_only_on_a_prefix(server, store, version):
    user = new_user(server)
    name = store.bucket_name
    user.allow(
        "own-folder",
        statement("Allow", "oss:GetObject", [f"acs:oss:*:*:{name}/user1/*"]),
        statement("Allow", "oss:ListObjects", [f"acs:oss:*:*:{name}"], StringLike={"oss:Prefix": "user1/*"}),
    )
    own = user.key().bucket(server, name, version)
    assert own.get_object("user1/b/c").read() == b"user1/b/c"
    assert [entry.key for entry in own.list_objects(prefix="user1/").object_list] == ["user1/a", "user1/b/c"]
    assert [entry.key for entry in own.list_objects_v2(prefix="user1/").object_list] == ["user1/a", "user1/b/c"]
    assert refusal(own.list_objects) == DENIED
    assert refusal(own.list_objects, prefix="user2/") == DENIED
    assert refusal(own.get_object, "user2/a") == DENIED
    assert refusal(own.put_object, "user1/a", b"") == DENIED
    assert refusal(own.delete_object, "user1/a") == DENIED


def test_a_publisher_pushes_and_nothing_else(server, short_source, version):
    bucket = server.new_bucket()
    user = new_user(server)
    user.allow(
        "publisher",
        statement("Allow", ["oss:PutLiveChannel", "oss:PublishRtmpStream"], [f"acs:oss:*:*:{bucket.bucket_name}/*"]),
    )
    key = user.key()
    own = key.bucket(server, bucket.bucket_name, version)
    create_channel(own)
    assert refusal(own.get_live_channel, "test-channel") == DENIED
    media.push_file(short_source.path, key.bucket(server, bucket.bucket_name).sign_rtmp_url("test-channel", "playlist.m3u8", 600))
    wait_for(lambda: bucket.get_live_channel_stat("test-channel").status == "Idle", "idle")
    assert b".ts" in bucket.get_object("test-channel/playlist.m3u8").read()
    assert refusal(own.get_object, "test-channel/playlist.m3u8") == DENIED

    other = new_user(server).key().bucket(server, bucket.bucket_name)
    message = media.push_refused(short_source.path, other.sign_rtmp_url("test-channel", "playlist.m3u8", 600))
    assert "AccessDenied" in message


def test_a_viewers_url_has_the_viewers_rights(server, short_source, version):
    bucket = server.new_bucket()
    create_channel(bucket)
    media.push_file(short_source.path, bucket.sign_rtmp_url("test-channel", "playlist.m3u8", 600))
    wait_for(lambda: bucket.get_live_channel_stat("test-channel").status == "Idle", "idle")
    viewer = new_user(server)
    viewer.allow("viewer", statement("Allow", "oss:GetObject", [f"acs:oss:*:*:{bucket.bucket_name}/test-channel/*"]))
    own = viewer.key().bucket(server, bucket.bucket_name, version)
    url = own.sign_url("GET", "test-channel/playlist.m3u8", 600, params={"x-oss-process": "hls/sign"}, slash_safe=True)
    media.assert_same_frames(media.decode_live(url), short_source.decoded)
    bucket.put_object("secret.m3u8", b"#EXTM3U\n#EXTINF:1,\na.ts\n")
    url = own.sign_url("GET", "secret.m3u8", 600, params={"x-oss-process": "hls/sign"}, slash_safe=True)
    assert requests.get(url, timeout=10).status_code == 403


def test_deny_wins_and_policies_add_up(server, store):
    user = new_user(server)
    own = user.key().bucket(server, store.bucket_name)
    user.allow("AliyunOSSReadOnlyAccess")
    assert own.get_object("user2/a").read() == b"user2/a"
    assert refusal(own.put_object, "user1/x", b"") == DENIED
    user.allow("AliyunOSSFullAccess")
    assert own.put_object("user1/x", b"").status == 200
    user.allow("not-two", statement("Deny", "oss:*", [f"acs:oss:*:*:{store.bucket_name}/user2/*"]))
    assert refusal(own.get_object, "user2/a") == DENIED
    assert own.get_object("user1/a").read() == b"user1/a"
    manage(server, "policy", "delete", user.name, "not-two")
    assert own.get_object("user2/a").read() == b"user2/a"
    names = [policy["name"] for policy in manage(server, "policy", "list", user.name)["policies"]]
    assert names == ["AliyunOSSReadOnlyAccess", "AliyunOSSFullAccess"]


def test_conditions(server, store):
    everything = ["acs:oss:*:*:*"]
    own = {}
    for name, condition in {
        "here": {"IpAddress": {"acs:SourceIp": "127.0.0.0/8"}},
        "elsewhere": {"IpAddress": {"acs:SourceIp": "192.0.2.0/24"}},
        "later": {"DateGreaterThan": {"acs:CurrentTime": "2099-01-01T00:00:00Z"}},
        "secure": {"Bool": {"acs:SecureTransport": "true"}},
        "agent": {"StringLike": {"acs:UserAgent": "aliyun-sdk-python*"}},
    }.items():
        user = new_user(server)
        user.allow("conditional", statement("Allow", "oss:GetObject", everything, **condition))
        own[name] = user.key().bucket(server, store.bucket_name)
    allowed = [name for name, bucket in own.items() if not _is_denied(bucket.get_object, "user1/a")]
    assert allowed == ["here", "agent"]


def _is_denied(call, *arguments) -> bool:
    try:
        call(*arguments)
    except oss2.exceptions.AccessDenied:
        return True
    return False


def test_tags_of_objects_are_conditions(server, store):
    user = new_user(server)
    objects = [f"acs:oss:*:*:{store.bucket_name}/*"]
    user.allow(
        "by-tag",
        statement("Allow", "oss:GetObject", objects, StringEquals={"oss:ExistingObjectTag/team": "blue"}),
        statement("Allow", ["oss:PutObject", "oss:PutObjectTagging"], objects, StringEquals={"oss:RequestObjectTag/team": "blue"}),
    )
    own = user.key().bucket(server, store.bucket_name)
    store.put_object("tagged/blue", b"blue", headers={"x-oss-tagging": "team=blue"})
    store.put_object("tagged/red", b"red", headers={"x-oss-tagging": "team=red"})
    assert own.get_object("tagged/blue").read() == b"blue"
    assert refusal(own.get_object, "tagged/red") == DENIED
    assert own.put_object("tagged/new", b"", headers={"x-oss-tagging": "team=blue"}).status == 200
    assert refusal(own.put_object, "tagged/new", b"", headers={"x-oss-tagging": "team=red"}) == DENIED
    assert refusal(own.put_object, "tagged/new", b"") == DENIED


def test_two_keys_are_valid_while_one_is_rotated(server, store, version):
    user = new_user(server)
    user.allow("AliyunOSSReadOnlyAccess")
    old, new = user.key(), user.key()
    reads = [key.bucket(server, store.bucket_name, version) for key in (old, new)]
    for bucket in reads:
        assert bucket.get_object("user1/a").read() == b"user1/a"
    url = reads[0].sign_url("GET", "user1/a", 600, slash_safe=True)
    assert requests.get(url, timeout=10).status_code == 200
    manage(server, "key", "disable", user.name, old.id)
    with pytest.raises(oss2.exceptions.ServerError) as refused:
        reads[0].get_object("user1/a")
    assert (refused.value.status, refused.value.code) == (403, "InvalidAccessKeyId")
    assert refused.value.message == "The OSS Access Key Id you provided is disabled."
    assert requests.get(url, timeout=10).status_code == 403
    assert reads[1].get_object("user1/a").read() == b"user1/a"
    manage(server, "key", "enable", user.name, old.id)
    assert requests.get(url, timeout=10).status_code == 200
    manage(server, "key", "delete", user.name, old.id)
    assert refusal(reads[0].get_object, "user1/a") == (403, "InvalidAccessKeyId")
    assert [key["access_key_id"] for key in manage(server, "key", "list", user.name)["keys"]] == [new.id]


def test_a_disabled_user_and_a_deleted_one(server, store, short_source):
    bucket = server.new_bucket()
    create_channel(bucket)
    user = new_user(server)
    user.allow("AliyunOSSFullAccess")
    key, session = user.key(), user.session()
    manage(server, "user", "disable", user.name)
    for used in (key, session):
        assert refusal(used.bucket(server, store.bucket_name).get_object, "user1/a") == (403, "UserDisable")
    push_url = key.bucket(server, bucket.bucket_name).sign_rtmp_url("test-channel", "playlist.m3u8", 600)
    assert "UserDisable" in media.push_refused(short_source.path, push_url)
    manage(server, "user", "enable", user.name)
    assert key.bucket(server, store.bucket_name).get_object("user1/a").read() == b"user1/a"
    manage(server, "user", "delete", user.name)
    for used in (key, session):
        assert refusal(used.bucket(server, store.bucket_name).get_object, "user1/a") == (403, "InvalidAccessKeyId")
    assert user.name not in [known["name"] for known in manage(server, "user", "list")["users"]]


def test_a_second_key_of_the_account(server, store, version):
    made = manage(server, "key", "create", "root", "--description", "for a backup")
    key = Key(made["access_key_id"], made["access_key_secret"])
    assert key.bucket(server, store.bucket_name, version).get_bucket_acl().acl == "private"
    assert "for a backup" in [known["description"] for known in manage(server, "key", "list", "root")["keys"]]
    assert "access_key_secret" not in json.dumps(manage(server, "key", "list", "root"))
    manage(server, "key", "delete", "root", key.id)
    assert refusal(key.bucket(server, store.bucket_name, version).get_bucket_acl) == (403, "InvalidAccessKeyId")


def test_temporary_keys_in_headers_and_urls(server, store, version):
    user = new_user(server)
    user.allow("AliyunOSSFullAccess")
    session = user.session()
    assert session.id.startswith("STS.")
    own = session.bucket(server, store.bucket_name, version)
    assert own.put_object("sts/a", b"sts").status == 200
    assert own.get_object("sts/a").read() == b"sts"
    url = own.sign_url("GET", "sts/a", 600, slash_safe=True)
    assert "security-token=" in url
    assert requests.get(url, timeout=10).content == b"sts"
    bare = Key(session.id, session.secret).bucket(server, store.bucket_name, version)
    assert refusal(bare.get_object, "sts/a") == (403, "InvalidAccessKeyId")
    wrong = Key(session.id, session.secret, session.token + "x").bucket(server, store.bucket_name, version)
    assert refusal(wrong.get_object, "sts/a") == (403, "InvalidSecurityToken")
    permanent = user.key()
    permanent.token = session.token
    mixed = permanent.bucket(server, store.bucket_name, version)
    assert refusal(mixed.get_object, "sts/a") == (403, "AccessKeyIdAndSecurityTokenNotMatch")


def test_temporary_keys_in_the_newer_sdk(server, store):
    user = new_user(server)
    user.allow("AliyunOSSReadOnlyAccess")
    session = user.session()
    config = oss.config.load_default()
    config.credentials_provider = oss.credentials.StaticCredentialsProvider(session.id, session.secret, session.token)
    config.region = REGION
    config.endpoint = server.endpoint
    client = oss.Client(config)
    got = client.get_object(oss.GetObjectRequest(bucket=store.bucket_name, key="user1/a"))
    assert got.body.read() == b"user1/a"
    signed = client.presign(oss.GetObjectRequest(bucket=store.bucket_name, key="user1/a"))
    assert requests.get(signed.url, headers=signed.signed_headers, timeout=10).content == b"user1/a"


def test_a_session_policy_narrows_and_never_widens(server, store):
    user = new_user(server)
    name = store.bucket_name
    user.allow("own", statement("Allow", "oss:*", [f"acs:oss:*:*:{name}/user1/*"]))
    narrow = user.session(policy={"Version": "1", "Statement": [statement("Allow", "oss:GetObject", ["acs:oss:*:*:*"])]})
    own = narrow.bucket(server, name)
    assert own.get_object("user1/a").read() == b"user1/a"
    assert refusal(own.put_object, "user1/a", b"") == DENIED
    assert refusal(own.get_object, "user2/a") == DENIED


def test_a_session_ends(server, store):
    user = new_user(server)
    user.allow("AliyunOSSFullAccess")
    session = user.session(duration_s=1)
    own = session.bucket(server, store.bucket_name)
    url = own.sign_url("GET", "user1/a", 600, slash_safe=True)
    assert requests.get(url, timeout=10).status_code == 200
    time.sleep(2.1)
    assert refusal(own.get_object, "user1/a") == (403, "SecurityTokenExpired")
    assert "<Code>SecurityTokenExpired</Code>" in requests.get(url, timeout=10).text


def test_a_temporary_key_plays_a_signed_playlist_and_pushes(server, short_source, version):
    bucket = server.new_bucket()
    create_channel(bucket)
    user = new_user(server)
    user.allow("AliyunOSSFullAccess")
    session = user.session()
    push = session.bucket(server, bucket.bucket_name).sign_rtmp_url("test-channel", "playlist.m3u8", 600)
    assert "security-token=" in push
    media.push_file(short_source.path, push)
    wait_for(lambda: bucket.get_live_channel_stat("test-channel").status == "Idle", "idle")
    own = session.bucket(server, bucket.bucket_name, version)
    url = own.sign_url("GET", "test-channel/playlist.m3u8", 600, params={"x-oss-process": "hls/sign"}, slash_safe=True)
    media.assert_same_frames(media.decode_live(url), short_source.decoded)
    assert "InvalidSecurityToken" in media.push_refused(short_source.path, push.replace("CAIS", "CAIX"))


def test_a_push_url_without_a_bucket_finds_it_by_a_users_signature(server, short_source):
    bucket = server.new_bucket()
    create_channel(bucket, "only-here")
    user = new_user(server)
    user.allow("AliyunOSSFullAccess")
    url = user.key().bucket(server, bucket.bucket_name).sign_rtmp_url("only-here", "playlist.m3u8", 600)
    media.push_file(short_source.path, url.replace(f"/{bucket.bucket_name}/", "/"))
    wait_for(lambda: bucket.get_live_channel_stat("only-here").status == "Idle", "idle")
    assert b".ts" in bucket.get_object("only-here/playlist.m3u8").read()


def test_only_the_account_manages(server):
    user = new_user(server)
    user.allow("AliyunOSSFullAccess")
    key, session = user.key(), user.session()
    assert "403 AccessDenied" in manage(server, "user", "list", environment=key.environment(), code=1)
    assert "403 AccessDenied" in manage(server, "key", "create", "root", environment=key.environment(), code=1)
    assert "403 InvalidAccessKeyId" in manage(server, "user", "list", environment=session.environment(), code=1)
    own = manage(server, "sts", "assume", user.name, environment=key.environment())
    assert own["access_key_id"].startswith("STS.")
    assert "403 AccessDenied" in manage(server, "sts", "assume", "root", environment=key.environment(), code=1)
    stranger = {"OSS_ACCESS_KEY_ID": ACCESS_KEY_ID, "OSS_ACCESS_KEY_SECRET": "wrong"}
    assert "403 SignatureDoesNotMatch" in manage(server, "user", "list", environment=stranger, code=1)
    assert requests.get(f"http://{server.admin_address}/api/v1/users", timeout=10).status_code == 403
    assert "404 NotFound" in manage(server, "key", "create", "nobody", code=1)
    assert "409 AlreadyExists" in manage(server, "user", "create", user.name, code=1)
    assert "400 InvalidPolicyDocument" in manage(server, "policy", "put", user.name, "p", "--document", "-", text="{}", code=1)


def test_secrets_are_not_logged(server):
    user = new_user(server)
    key, session = user.key(), user.session()
    log = server.log()
    assert key.id in log
    for secret in (key.secret, session.secret, session.token, ACCESS_KEY_SECRET):
        assert secret not in log


def assume_role(server, key_id, secret, **parameters):
    client = AcsClient(key_id, secret, REGION, max_retry_time=1)
    request = CommonRequest(domain=server.admin_address, version="2015-04-01", action_name="AssumeRole")
    request.set_protocol_type("http")
    request.set_method("POST")
    request.set_accept_format("json")
    for name, value in parameters.items():
        request.add_query_param(name, value)
    return json.loads(client.do_action_with_exception(request))


def test_the_official_sdk_assumes_a_role(server, store):
    user = new_user(server)
    user.allow("AliyunOSSReadOnlyAccess")
    arn = f"acs:ram::{ACCOUNT}:role/{user.name}"
    answer = assume_role(server, ACCESS_KEY_ID, ACCESS_KEY_SECRET, RoleArn=arn, RoleSessionName="player", DurationSeconds=900)
    assert answer["AssumedRoleUser"]["Arn"] == f"{arn}/player"
    made = answer["Credentials"]
    left = datetime.datetime.strptime(made["Expiration"], "%Y-%m-%dT%H:%M:%SZ") - datetime.datetime.utcnow()
    assert 880 < left.total_seconds() <= 900
    session = Key(made["AccessKeyId"], made["AccessKeySecret"], made["SecurityToken"])
    own = session.bucket(server, store.bucket_name)
    assert own.get_object("user1/a").read() == b"user1/a"
    assert refusal(own.put_object, "user1/a", b"") == DENIED
    store.put_bucket_policy(
        json.dumps(
            {
                "Version": "1",
                "Statement": [
                    {
                        "Effect": "Deny",
                        "Action": ["oss:GetObject"],
                        "Principal": [f"arn:sts::{ACCOUNT}:assumed-role/{user.name}/*"],
                        "Resource": [f"acs:oss:*:{ACCOUNT}:{store.bucket_name}/user1/*"],
                    }
                ],
            }
        )
    )
    assert refusal(own.get_object, "user1/a") == DENIED
    store.delete_bucket_policy()
    for key_id, secret, arguments, code in (
        (ACCESS_KEY_ID, "wrong", {}, "SignatureDoesNotMatch"),
        ("nobody", "wrong", {}, "InvalidAccessKeyId"),
        (ACCESS_KEY_ID, ACCESS_KEY_SECRET, {"DurationSeconds": 899}, "InvalidArgument"),
        (ACCESS_KEY_ID, ACCESS_KEY_SECRET, {"RoleArn": f"acs:ram::{ACCOUNT}:role/nobody"}, "NotFound"),
    ):
        with pytest.raises(ServerException) as refused:
            assume_role(server, key_id, secret, **{"RoleArn": arn, "RoleSessionName": "player", **arguments})
        assert refused.value.get_error_code() == code
