"""Where the server is asked to write in somebody's name, that one must be allowed to write there: access logs, snapshots."""

import json

import oss2
import pytest
from oss2.models import BucketLogging

from millpond_test.accounts import new_user, refusal, statement
from millpond_test.signing import Request, v1_header
from millpond_test.server import wait_for

DENIED = (403, "AccessDenied")


@pytest.fixture
def user(server):
    return new_user(server)


def test_a_log_needs_the_right_to_write_its_objects(server, user):
    source, target = server.new_bucket().bucket_name, server.new_bucket()
    may_configure = statement("Allow", "oss:PutBucketLogging", f"acs:oss:*:*:{source}")
    user.allow("logging", may_configure)
    bucket = user.key().bucket(server, source)
    logging = BucketLogging(target.bucket_name, "logs/")
    assert refusal(bucket.put_bucket_logging, logging) == DENIED
    assert server.bucket(source).get_bucket_logging().target_bucket == ""
    # To write anywhere else in it is not enough.
    elsewhere = statement("Allow", "oss:PutObject", f"acs:oss:*:*:{target.bucket_name}/other/*")
    user.allow("logging", may_configure, elsewhere)
    assert refusal(bucket.put_bucket_logging, logging) == DENIED
    there = statement("Allow", "oss:PutObject", f"acs:oss:*:*:{target.bucket_name}/logs/{source}*")
    user.allow("logging", may_configure, there)
    bucket.put_bucket_logging(logging)
    assert server.bucket(source).get_bucket_logging().target_bucket == target.bucket_name
    # Switching it off writes nowhere.
    user.allow("logging", may_configure)
    bucket.put_bucket_logging(BucketLogging("", ""))
    assert server.bucket(source).get_bucket_logging().target_bucket == ""


def test_a_policy_of_the_target_has_its_say(server, user):
    source, target = server.new_bucket().bucket_name, server.new_bucket()
    user.allow("AliyunOSSFullAccess")
    bucket = user.key().bucket(server, source)
    document = {
        "Version": "1",
        "Statement": [
            {**statement("Deny", ["oss:PutObject"], [f"acs:oss:*:*:{target.bucket_name}/*"]), "Principal": [user.uid]},
        ],
    }
    target.put_bucket_policy(json.dumps(document))
    assert refusal(bucket.put_bucket_logging, BucketLogging(target.bucket_name, "logs/")) == DENIED
    target.delete_bucket_policy()
    bucket.put_bucket_logging(BucketLogging(target.bucket_name, "logs/"))


def test_the_log_is_still_delivered(fresh_server):
    server = fresh_server(settings="[storage]\naccess_log_interval_s = 1\n")
    source, target = server.new_bucket(), server.new_bucket()
    user = new_user(server)
    name = source.bucket_name
    user.allow(
        "logging",
        statement("Allow", "oss:PutBucketLogging", f"acs:oss:*:*:{name}"),
        statement("Allow", "oss:PutObject", f"acs:oss:*:*:{target.bucket_name}/{name}*"),
    )
    user.key().bucket(server, name).put_bucket_logging(BucketLogging(target.bucket_name, ""))
    source.put_object("a", b"x")
    wait_for(lambda: target.list_objects_v2().object_list, "a log object")


SNAPSHOT = (
    "<LiveChannelConfiguration><Description/><Status>enabled</Status><Target><Type>HLS</Type></Target><Snapshot>"
    "<RoleName>r</RoleName><DestBucket>{}</DestBucket><NotifyTopic>t</NotifyTopic><Interval>5</Interval></Snapshot>"
    "</LiveChannelConfiguration>"
)


def test_a_snapshot_needs_the_right_to_write_its_pictures(server, user):
    source, target = server.new_bucket().bucket_name, server.new_bucket().bucket_name
    may_configure = statement("Allow", "oss:PutLiveChannel", f"acs:oss:*:*:{source}/*")
    user.allow("channels", may_configure)
    key = user.key()
    body = SNAPSHOT.format(target).encode()
    ask = lambda: v1_header(Request("PUT", source, "cam", query=[("live", None)], body=body), key).send(server).seen  # noqa: E731
    # `live` is signed without a value.
    assert ask() == DENIED
    with pytest.raises(oss2.exceptions.NoSuchLiveChannel):
        server.bucket(source).get_live_channel("cam")
    user.allow("channels", may_configure, statement("Allow", "oss:PutObject", f"acs:oss:*:*:{target}/cam/*"))
    assert ask() == (200, "")
