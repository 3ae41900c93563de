"""The LiveChannel operations through oss2, asserting what that SDK's own suite asserts (LiveChannel 8.3, 8.11), under V1 and V4."""

import time

import oss2
import pytest

from millpond_test import media
from millpond_test.playlist import Playlist
from millpond_test.server import create_channel, wait_for


@pytest.fixture
def bucket(server, version):
    return server.new_bucket(version=version)


def refused(call, status: int, code: str, ec: str = None):
    with pytest.raises(oss2.exceptions.ServerError) as caught:
        call()
    assert (caught.value.status, caught.value.code) == (status, code), caught.value
    assert len(caught.value.request_id) == 24
    if ec is not None:
        assert caught.value.details.get("EC") == ec
    return caught.value


def target_of(info):
    """The SDK leaves the numbers as the text they came in."""
    target = info.target
    return target.type, int(target.frag_duration), int(target.frag_count), target.playlist_name


def test_create_returns_one_url_each_in_the_style_of_the_request(server, bucket):
    result = create_channel(bucket, "chan", playlist_name="test.m3u8")
    assert result.resp.status == 200
    host = server.http_address
    assert result.publish_url == f"rtmp://{host}/{bucket.bucket_name}/live/chan"
    assert result.play_url == f"http://{host}/{bucket.bucket_name}/chan/test.m3u8"


def test_get_returns_what_was_put(bucket):
    create_channel(bucket, "chan", frag_duration=7, frag_count=9, playlist_name="p.m3u8", description="a <b> & 'c' \"d\" 测试")
    info = bucket.get_live_channel("chan")
    assert (info.status, info.description) == ("enabled", "a <b> & 'c' \"d\" 测试")
    assert target_of(info) == ("HLS", 7, 9, "p.m3u8")


def test_defaults(bucket):
    bucket.create_live_channel("chan", oss2.models.LiveChannelInfo(target=oss2.models.LiveChannelInfoTarget()))
    assert target_of(bucket.get_live_channel("chan")) == ("HLS", 5, 3, "playlist.m3u8")


def test_a_missing_channel_is_not_found(bucket):
    for call in (
        lambda: bucket.get_live_channel("nothing"),
        lambda: bucket.get_live_channel_stat("nothing"),
        lambda: bucket.get_live_channel_history("nothing"),
        lambda: bucket.put_live_channel_status("nothing", "disabled"),
    ):
        error = refused(call, 404, "NoSuchLiveChannel", "0026-00000021")
        assert isinstance(error, oss2.exceptions.NoSuchLiveChannel)
        assert error.message == "The specified live channel does not exist."


def test_delete_then_everything_is_gone(bucket):
    create_channel(bucket, "chan")
    assert bucket.delete_live_channel("chan").status == 204
    refused(lambda: bucket.get_live_channel("chan"), 404, "NoSuchLiveChannel")
    refused(lambda: bucket.get_live_channel_stat("chan"), 404, "NoSuchLiveChannel")
    assert bucket.delete_live_channel("chan").status == 204


def test_put_again_replaces_everything(bucket):
    create_channel(bucket, "chan", frag_duration=7, frag_count=9, playlist_name="one.m3u8", description="first", status="disabled")
    create_channel(bucket, "chan", frag_duration=3, frag_count=4, playlist_name="two.m3u8")
    info = bucket.get_live_channel("chan")
    assert (info.status, info.description) == ("enabled", "")
    assert target_of(info) == ("HLS", 3, 4, "two.m3u8")


def test_status_changes_are_idempotent_and_visible(bucket):
    create_channel(bucket, "chan")
    for status, stat in (("disabled", "Disabled"), ("disabled", "Disabled"), ("enabled", "Idle"), ("enabled", "Idle")):
        assert bucket.put_live_channel_status("chan", status).status == 200
        assert bucket.get_live_channel("chan").status == status
        assert bucket.get_live_channel_stat("chan").status == stat


@pytest.mark.parametrize("status", ["idle", "Live", "Enabled", "xyz"])
def test_other_statuses_are_refused(bucket, status):
    create_channel(bucket, "chan")
    refused(lambda: bucket.put_live_channel_status("chan", status), 400, "InvalidArgument", "0017-00000255")


@pytest.mark.parametrize("name", ["live channel 2", "测试通过", "a_b-c.d", "1", "x" * 63])
def test_names_that_are_fine(bucket, name):
    create_channel(bucket, name)
    assert bucket.get_live_channel(name).status == "enabled"
    assert [entry.name for entry in bucket.list_live_channel().channels] == [name]
    bucket.delete_live_channel(name)


@pytest.mark.parametrize("name, ec", [("x" * 64, "0017-00000258"), ("x" * 65, "0017-00000258"), ("a/b", "0017-00000260")])
def test_names_that_are_not(bucket, name, ec):
    refused(lambda: create_channel(bucket, name), 400, "InvalidArgument", ec)
    refused(lambda: bucket.delete_live_channel(name), 400, "InvalidArgument", ec)


def test_a_fresh_bucket_lists_nothing(bucket):
    listed = bucket.list_live_channel()
    assert (listed.prefix, listed.marker, listed.max_keys) == ("", "", 100)
    assert (listed.is_truncated, listed.next_marker, listed.channels) == (False, "", [])


def test_a_listed_channel_carries_all_facts(server, bucket):
    began = int(time.time())
    create_channel(bucket, "chan", description="words", status="disabled")
    (entry,) = bucket.list_live_channel().channels
    assert (entry.name, entry.description, entry.status) == ("chan", "words", "disabled")
    assert began <= entry.last_modified <= began + 5
    assert entry.publish_url == f"rtmp://{server.http_address}/{bucket.bucket_name}/live/chan"
    assert entry.play_url == f"http://{server.http_address}/{bucket.bucket_name}/chan/playlist.m3u8"


def test_two_hundred_channels_page_as_the_sdk_suite_expects(bucket):
    names = [f"lc-{number:03}" for number in range(200)]
    for name in reversed(names):
        create_channel(bucket, name)
    page = bucket.list_live_channel()
    assert ([entry.name for entry in page.channels], page.is_truncated, page.next_marker) == (names[:100], True, "lc-099")
    page = bucket.list_live_channel(prefix="lc-", marker="lc-100")
    assert ([entry.name for entry in page.channels], page.is_truncated) == (names[101:], False)
    page = bucket.list_live_channel(max_keys=1000)
    assert (len(page.channels), page.max_keys, page.is_truncated) == (200, 1000, False)
    page = bucket.list_live_channel(marker="lc-189", max_keys=10)
    assert (len(page.channels), page.is_truncated, page.next_marker) == (10, False, "")
    assert [entry.name for entry in oss2.LiveChannelIterator(bucket, max_keys=4)] == names
    assert bucket.list_live_channel(prefix="none").channels == []


@pytest.mark.parametrize("max_keys", [0, -1, 1001, "abc"])
def test_page_sizes_out_of_range_are_refused(bucket, max_keys):
    refused(lambda: bucket.list_live_channel(max_keys=max_keys), 400, "InvalidArgument", "0044-00000101")


def test_anonymous_callers_are_denied_before_anything_is_looked_up(server, bucket):
    bucket.put_bucket_acl("public-read-write")
    stranger = server.anonymous(bucket.bucket_name)
    for call in (
        lambda: stranger.delete_live_channel("nothing"),
        lambda: stranger.get_live_channel("nothing"),
        lambda: stranger.list_live_channel(),
        lambda: create_channel(stranger),
        lambda: stranger.get_vod_playlist("nothing", 0, 1),
    ):
        refused(call, 403, "AccessDenied")


def test_a_missing_bucket_is_not_found(server, version):
    nowhere = server.bucket("test-no-such-bucket", version)
    for call in (
        lambda: create_channel(nowhere),
        lambda: nowhere.get_live_channel("chan"),
        lambda: nowhere.list_live_channel(),
        lambda: nowhere.get_live_channel_history("chan"),
    ):
        refused(call, 404, "NoSuchBucket")


def test_a_bucket_with_a_channel_cannot_be_deleted(bucket):
    create_channel(bucket)
    refused(bucket.delete_bucket, 409, "BucketNotEmpty")
    bucket.delete_live_channel("test-channel")
    assert bucket.delete_bucket().status == 204


def test_a_signed_push_url_has_the_shape_of_the_sdk(server, bucket):
    url = bucket.sign_rtmp_url("chan", "test.m3u8", 3600)
    assert url.startswith(f"rtmp://{server.http_address}/{bucket.bucket_name}/live/chan?")
    assert "playlistName=test.m3u8" in url


def test_history_of_a_channel_without_pushes_is_empty(bucket):
    create_channel(bucket)
    assert bucket.get_live_channel_history("test-channel").records == []


def test_every_operation_of_the_sdk_around_a_push(bucket, short_source):
    """All of LiveChannel 8.1 on one channel, with the push URL that the SDK signs, under both versions."""
    began = int(time.time())
    assert create_channel(bucket, "camera").resp.status == 200
    assert bucket.put_live_channel_status("camera", "disabled").status == 200
    assert bucket.put_live_channel_status("camera", "enabled").status == 200
    assert bucket.get_live_channel("camera").status == "enabled"
    assert [entry.name for entry in oss2.LiveChannelIterator(bucket)] == ["camera"]
    with media.Push(short_source.path, bucket.sign_rtmp_url("camera", "playlist.m3u8", 600)) as push:
        wait_for(lambda: bucket.get_live_channel_stat("camera").status == "Live", "live")
        assert bucket.list_live_channel().channels[0].status == "enabled", "the list shows what is configured"
        with pytest.raises(oss2.exceptions.ChannelStillLive):
            bucket.delete_live_channel("camera")
        assert push.wait() == 0, push.stderr
    wait_for(lambda: bucket.get_live_channel_stat("camera").status == "Idle", "idle")
    (record,) = bucket.get_live_channel_history("camera").records
    assert began - 1 <= record.start_time <= record.end_time <= time.time() + 1
    span = (began, int(time.time()))
    assert bucket.post_vod_playlist("camera", "vod.m3u8", *span).status == 200
    posted = bucket.get_object("camera/vod.m3u8").read().decode()
    assert bucket.get_vod_playlist("camera", *span).playlist == posted
    assert len(Playlist.parse(posted).segments) == 2
    assert bucket.delete_live_channel("camera").status == 204
    refused(lambda: bucket.get_live_channel_history("camera"), 404, "NoSuchLiveChannel")
