"""Rules of the LiveChannel operations that SDKs do not reach: names, list parameters, snapshots, quotas, the order of checks."""

import base64
import hashlib
import time
import uuid

import oss2
import pytest
import requests

from millpond_test import media
from millpond_test.server import create_channel, wait_for
from millpond_test.wire import check_common_headers, check_error, signed_request

TARGET = "<Target><Type>HLS</Type></Target>"


def configuration(inside: str = TARGET) -> bytes:
    return f"<LiveChannelConfiguration>{inside}</LiveChannelConfiguration>".encode()


def refused(response, status: int, code: str, ec: str = "") -> None:
    check_common_headers(response)
    assert (response.status_code, response.headers.get("x-oss-ec", "")) == (status, ec), response.text
    assert f"<Code>{code}</Code>" in response.text
    assert ("<EC>" in response.text) == bool(ec)


# The names of LiveChannel 0.4 as they stand in a path, and the EC of a wrong one.
WRONG_NAMES = {
    "empty": ("", "0017-00000257"),
    "64 bytes": ("x" * 64, "0017-00000258"),
    "22 ideographs": ("测" * 22, "0017-00000258"),
    "a control character": ("a\x01b", "0017-00000259"),
    "delete": ("a\x7f", "0017-00000259"),
    "a slash": ("a/b", "0017-00000260"),
}


@pytest.mark.parametrize("case", list(WRONG_NAMES))
def test_a_wrong_name_is_refused_by_every_operation(server, bucket, case):
    name, ec = WRONG_NAMES[case]
    operations = [("PUT", "live"), ("PUT", "live&status=enabled"), ("DELETE", "live"), ("GET", "live&comp=stat"), ("GET", "live&comp=history")]
    # Without a name and without `comp`, GET is ListLiveChannel.
    operations += [("GET", "live")] if name else []
    for method, query in operations:
        response = signed_request(server, method, bucket.bucket_name, name, query, configuration() if query == "live" else b"")
        refused(response, 400, "InvalidArgument", ec)
    if name:
        refused(signed_request(server, "GET", bucket.bucket_name, name, "vod&startTime=0&endTime=1"), 400, "InvalidArgument", "0044-00000302")


def test_names_are_bytes_and_case_counts(server, bucket):
    names = ["Camera", "camera", "camera ", "é", "e\u0301", "a.b-c_d"]
    for name in names:
        assert signed_request(server, "PUT", bucket.bucket_name, name, "live", configuration()).status_code == 200
    assert [entry.name for entry in bucket.list_live_channel().channels] == sorted(names, key=lambda name: name.encode())


@pytest.mark.parametrize(
    "query, ec",
    [
        ("max-keys=0", "0044-00000101"),
        ("max-keys=1001", "0044-00000101"),
        ("max-keys=-1", "0044-00000101"),
        ("max-keys=ten", "0044-00000101"),
        ("max-keys=1.0", "0044-00000101"),
        ("prefix=" + "x" * 1025, "0044-00000102"),
        ("prefix=%FF", "0044-00000102"),
        ("marker=" + "x" * 1025, "0044-00000103"),
        ("marker=%FF", "0044-00000103"),
        # Ascending EC when several are wrong (LiveChannel 1.1.1).
        ("marker=%FF&prefix=%FF", "0044-00000102"),
        ("marker=%FF&max-keys=0", "0044-00000101"),
    ],
)
def test_wrong_list_parameters_are_refused(server, bucket, query, ec):
    refused(signed_request(server, "GET", bucket.bucket_name, "", f"live&{query}"), 400, "InvalidArgument", ec)


@pytest.mark.parametrize("query", ["prefix=" + "x" * 1024, "marker=" + "x" * 1024, "marker=/", "max-keys=1000", "max-keys=&prefix=&marker="])
def test_list_parameters_at_their_bounds_are_fine(server, bucket, query):
    assert signed_request(server, "GET", bucket.bucket_name, "", f"live&{query}").status_code == 200


def snapshot(**changes: str) -> str:
    parts = {"RoleName": "role", "DestBucket": "", "NotifyTopic": "topic", "Interval": "1", **changes}
    return "<Snapshot>" + "".join(f"<{name}>{value}</{name}>" for name, value in parts.items()) + "</Snapshot>"


def test_wrong_snapshots_are_refused_with_their_code(server, bucket):
    dest = server.new_bucket().bucket_name
    good = snapshot(DestBucket=dest)
    for inside, ec in (
        (good + good, "0044-00000003"),
        (snapshot(DestBucket=dest, Interval="0"), "0044-00000005"),
        (snapshot(DestBucket=dest, Interval="101"), "0044-00000005"),
        (snapshot(DestBucket=dest, Interval=""), "0044-00000005"),
        (snapshot(DestBucket=dest, NotifyTopic=""), "0044-00000006"),
        (snapshot(DestBucket=dest, RoleName=""), "0044-00000007"),
        (snapshot(DestBucket="No_Bucket"), "0044-00000008"),
        (snapshot(DestBucket=""), "0044-00000008"),
        (snapshot(DestBucket=f"test-{uuid.uuid4().hex}"), "0044-00000009"),
        # Ascending EC when several are wrong.
        (snapshot(DestBucket="No_Bucket", RoleName="", Interval="0"), "0044-00000005"),
    ):
        response = signed_request(server, "PUT", bucket.bucket_name, "chan", "live", configuration(TARGET + inside))
        refused(response, 400, "InvalidArgument", ec)
    refused(signed_request(server, "GET", bucket.bucket_name, "chan", "live"), 404, "NoSuchLiveChannel", "0026-00000021")


def test_a_snapshot_is_kept_and_shown_and_its_old_child_ignored(server, bucket):
    dest = server.new_bucket().bucket_name
    body = configuration(TARGET + snapshot(DestBucket=dest, Interval="100", PornRec="<Interval>3</Interval>"))
    assert signed_request(server, "PUT", bucket.bucket_name, "chan", "live", body).status_code == 200
    shown = signed_request(server, "GET", bucket.bucket_name, "chan", "live").text
    assert shown.endswith(
        f"  <Snapshot>\n    <RoleName>role</RoleName>\n    <DestBucket>{dest}</DestBucket>\n"
        "    <NotifyTopic>topic</NotifyTopic>\n    <Interval>100</Interval>\n  </Snapshot>\n</LiveChannelConfiguration>\n"
    )
    # Put again without it, nothing of it is left.
    assert signed_request(server, "PUT", bucket.bucket_name, "chan", "live", configuration()).status_code == 200
    assert "Snapshot" not in signed_request(server, "GET", bucket.bucket_name, "chan", "live").text


def test_several_wrong_fields_are_reported_by_their_lowest_code(server, bucket):
    wrong = "<Target><Type>RTMP</Type><FragDuration>0</FragDuration><FragCount>0</FragCount><PlaylistName>a/b</PlaylistName></Target>"
    for inside, ec in (
        (f"<Description>{'x' * 129}</Description><Status>on</Status>{wrong}", "0044-00000001"),
        (f"{wrong}<Status>on</Status>", "0044-00000002"),
        (f"{TARGET}{TARGET}", "0044-00000012"),
        (wrong, "0044-00000013"),
        (wrong.replace("RTMP", "HLS"), "0044-00000014"),
        (wrong + snapshot(DestBucket=f"test-{uuid.uuid4().hex}"), "0044-00000009"),
        (snapshot(DestBucket=bucket.bucket_name) + wrong, "0044-00000013"),
        (snapshot(DestBucket="No_Bucket"), "0044-00000008"),
    ):
        refused(signed_request(server, "PUT", bucket.bucket_name, "chan", "live", configuration(inside)), 400, "InvalidArgument", ec)


def test_the_order_of_checks(server, bucket):
    """LiveChannel 0.5: method, signature, bucket, permission, name, parameters and body, channel."""
    name = bucket.bucket_name
    nowhere = f"test-{uuid.uuid4().hex[:12]}"
    long = "x" * 64
    # No operation before a wrong signature, and that before a missing bucket.
    refused(signed_request(server, "POST", name, "chan", "live", secret="wrong"), 405, "MethodNotAllowed", "0003-00000016")
    response = signed_request(server, "GET", nowhere, long, "live", secret="wrong")
    assert (response.status_code, "<Code>SignatureDoesNotMatch</Code>" in response.text) == (403, True), response.text
    # A missing bucket before a wrong name, a wrong body, and for strangers before permission.
    for key, query, body in ((long, "live", b"no xml"), ("chan", "live&status=on", b"")):
        response = signed_request(server, "PUT", nowhere, key, query, body)
        assert (response.status_code, "<Code>NoSuchBucket</Code>" in response.text) == (404, True), response.text
    # Permission before a wrong name and a missing channel.
    for path in (f"{name}/{long}?live", f"{name}/nothing?live", f"{name}/nothing?live&comp=stat", f"{name}/?live&max-keys=0"):
        response = server.get(path)
        assert (response.status_code, "<Code>AccessDenied</Code>" in response.text) == (403, True), response.text
    # The name before the body; parameters before the channel.
    refused(signed_request(server, "PUT", name, long, "live", b"no xml"), 400, "InvalidArgument", "0017-00000258")
    refused(signed_request(server, "PUT", name, "nothing", "live&status=on"), 400, "InvalidArgument", "0017-00000255")
    assert signed_request(server, "GET", name, "nothing", "live&comp=other").status_code == 400
    # VOD checks in the order of LiveChannel 5.1.
    for key, query, status, code, ec in (
        ("a/b/vod.txt", "vod", 400, "InvalidArgument", "0017-00000260"),
        ("nothing/vod.txt", "vod", 400, "InvalidRequest", "0044-00000403"),
        ("nothing/vod.m3u8", "vod&endTime=x", 400, "InvalidArgument", "0044-00000304"),
        ("nothing/vod.m3u8", "vod&startTime=5&endTime=x", 400, "InvalidArgument", "0044-00000305"),
        ("nothing/vod.m3u8", "vod&startTime=200000&endTime=1", 400, "InvalidArgument", "0044-00000306"),
        ("nothing/vod.m3u8", "vod&startTime=1&endTime=200000", 400, "InvalidArgument", "0044-00000307"),
        ("nothing/vod.m3u8", "vod&startTime=1&endTime=1", 400, "InvalidArgument", "0044-00000308"),
    ):
        refused(signed_request(server, "POST", name, key, query), status, code, ec)


def test_the_body_of_a_status_change_and_of_a_vod_request_is_ignored(server, bucket):
    create_channel(bucket, "chan")
    body = b"<anything"
    digest = base64.b64encode(hashlib.md5(body).digest()).decode()
    response = signed_request(server, "PUT", bucket.bucket_name, "chan", "live&status=disabled", body, {"Content-MD5": digest})
    assert (response.status_code, response.content) == (200, b"")
    refused(
        signed_request(server, "POST", bucket.bucket_name, "chan/v.m3u8", "vod&startTime=1&endTime=1", body),
        400, "InvalidArgument", "0044-00000308",
    )  # fmt: skip


def test_last_modified_moves_with_the_configuration_only(server, bucket):
    create_channel(bucket, "chan")

    def modified() -> int:
        return bucket.list_live_channel().channels[0].last_modified

    first = modified()
    time.sleep(1.1)
    bucket.put_live_channel_status("chan", "enabled")
    bucket.get_live_channel_stat("chan")
    assert modified() == first, "nothing changed"
    bucket.put_live_channel_status("chan", "disabled")
    changed = modified()
    assert changed > first
    time.sleep(1.1)
    create_channel(bucket, "chan")
    assert modified() > changed


def test_the_number_of_channels_is_a_quota_for_new_names_only(fresh_server):
    server = fresh_server(settings="[live]\nmax_channels_per_bucket = 2\n")
    bucket, other = server.new_bucket(), server.new_bucket()
    create_channel(bucket, "one")
    create_channel(bucket, "two")
    response = signed_request(server, "PUT", bucket.bucket_name, "three", "live", configuration())
    check_error(response, 400, "InvalidArgument", "The number of live channels in the bucket exceeds the limit.", extra=between(response))
    create_channel(bucket, "two", frag_duration=9)
    create_channel(other, "three")
    bucket.delete_live_channel("one")
    create_channel(bucket, "three")
    assert [entry.name for entry in bucket.list_live_channel().channels] == ["three", "two"]


def between(response) -> str:
    """ArgumentName and ArgumentValue, if the error has them (LiveChannel 0.7)."""
    lines = response.text.splitlines(keepends=True)
    return "".join(line for line in lines if line.startswith("  <Argument"))


def test_the_bound_of_channel_names_is_a_setting(fresh_server, short_source):
    """LiveChannel 0.4 rule 2: HTTP, RTMP and VOD keep to it, up to the longest name that leaves room for a playlist's."""
    server = fresh_server(settings="[live]\nchannel_name_max_bytes = 894\n")
    bucket = server.new_bucket("public-read")
    longest, too_long = "x" * 894, "x" * 895
    create_channel(bucket, longest, playlist_name="p" * 123 + ".m3u8")
    # ffmpeg keeps 1,023 bytes of what follows the host, and what is escaped in a signature may make it longer.
    urls = (bucket.sign_rtmp_url(longest, "", seconds) for seconds in range(60, 120))
    media.push_file(short_source.path, next(url for url in urls if len(url.split("/", 3)[3]) < 1023))
    wait_for(lambda: bucket.get_live_channel_stat(longest).status == "Idle", "idle")
    assert len(bucket.get_vod_playlist(longest, int(time.time()) - 60, int(time.time())).playlist.splitlines()) > 5
    assert server.get(f"{bucket.bucket_name}/{longest}/{'p' * 123}.m3u8").status_code == 200
    for method, query in (("PUT", "live"), ("DELETE", "live"), ("GET", "live")):
        response = signed_request(server, method, bucket.bucket_name, too_long, query, configuration())
        refused(response, 400, "InvalidArgument", "0017-00000258")
        assert "The length of the live channel name must be less than 895." in response.text
    server.stop()

    server.settings = "[live]\nchannel_name_max_bytes = 4\n"
    server.start()
    bucket = server.bucket(bucket.bucket_name)
    create_channel(bucket, "four")
    for name in ("fifth", longest):
        for method, query in (("PUT", "live"), ("PUT", "live&status=disabled"), ("DELETE", "live"), ("GET", "live"), ("GET", "live&comp=stat")):
            refused(signed_request(server, method, bucket.bucket_name, name, query, configuration()), 400, "InvalidArgument", "0017-00000258")
        refused(signed_request(server, "GET", bucket.bucket_name, name, "vod&startTime=1&endTime=1"), 400, "InvalidArgument", "0044-00000302")
        refused(signed_request(server, "POST", bucket.bucket_name, f"{name}/p.m3u8", "vod&startTime=1&endTime=1"), 400, "InvalidArgument", "0017-00000258")
        printed = media.push_refused(short_source.path, bucket.sign_rtmp_url(name, "", 60))
        assert "EC=0017-00000258" in printed and "must be less than 5." in printed, printed


def test_list_calls_are_a_quota_per_bucket_and_second(fresh_server):
    server = fresh_server(settings="[live]\nmax_list_calls_per_s = 5\n")
    bucket, other = server.new_bucket(), server.new_bucket()
    answers = [signed_request(server, "GET", bucket.bucket_name, "", "live") for _ in range(30)]
    over = [response for response in answers if response.status_code != 200]
    assert over and len(over) < 30
    for response in over:
        check_error(response, 503, "MetaOperationQpsLimitExceeded", "Qps limit for the meta operation is exceeded.")
    # Another bucket has a quota of its own, and a second later this one has again.
    assert signed_request(server, "GET", other.bucket_name, "", "live").status_code == 200
    wait_for(lambda: signed_request(server, "GET", bucket.bucket_name, "", "live").status_code == 200, "the next second", 5, 0.5)


def test_ingest_is_slowed_down_and_not_ended(fresh_server, source):
    """The quota of LiveChannel 7.4 is kept by reading slower: whatever the machine does, never more than that comes in."""
    server = fresh_server(settings="[live]\nmax_ingest_mbit_s = 1\n")
    bucket = server.new_bucket("public-read")
    create_channel(bucket)
    url = bucket.sign_rtmp_url("test-channel", "playlist.m3u8", 3600)
    media.push_file(source.path, url)
    wait_for(lambda: bucket.get_live_channel_stat("test-channel").status == "Idle", "idle", 60)
    # Over 4 s at that rate, less what the average over a second and the whole seconds of the history leave open. Without
    # the quota it is a fraction of a second; a busy machine can only take longer.
    (record,) = bucket.get_live_channel_history("test-channel").records
    assert source.path.stat().st_size > 4 * 125_000
    assert record.end_time - record.start_time >= 2
    media.assert_same_frames(media.decode_listed(server.url(f"{bucket.bucket_name}/test-channel/playlist.m3u8")), source.decoded)


def test_switches_of_put_live_channel(fresh_server):
    """409 for an existing name (LiveChannel 11.1), one default without the other (LiveChannel 11.24), no snapshots (LiveChannel 6.2)."""
    server = fresh_server(settings="[live]\nreject_existing_channel = true\nfill_in_fragments = true\naccept_snapshots = false\n")
    bucket = server.new_bucket()
    half = configuration("<Target><Type>HLS</Type><FragCount>7</FragCount></Target>")
    assert signed_request(server, "PUT", bucket.bucket_name, "chan", "live", half).status_code == 200
    target = bucket.get_live_channel("chan").target
    assert (int(target.frag_duration), int(target.frag_count)) == (5, 7)
    refused(signed_request(server, "PUT", bucket.bucket_name, "chan", "live", configuration()), 409, "LiveChannelAlreadyExists")
    body = configuration(TARGET + snapshot(DestBucket=bucket.bucket_name))
    refused(signed_request(server, "PUT", bucket.bucket_name, "other", "live", body), 400, "InvalidArgument", "0044-00000004")


def test_a_replaced_channel_loses_its_history_and_keeps_its_numbers(channel, short_source):
    """LiveChannel 1.1.6 and 11.2: playlists never run backwards, and VOD still finds what was recorded before."""
    began = int(time.time())
    media.push_file(short_source.path, channel.push_url)
    wait_for(lambda: channel.status() == "Idle", "idle")
    assert len(channel.bucket.get_live_channel_history(channel.name).records) == 1
    before = requests.get(channel.play_url, timeout=10).text

    channel.bucket.delete_live_channel(channel.name)
    create_channel(channel.bucket)
    assert channel.bucket.get_live_channel_history(channel.name).records == []
    assert requests.get(channel.play_url, timeout=10).text == before, "objects stay"
    create_channel(channel.bucket, frag_count=50)
    media.push_file(short_source.path, channel.push_url)
    wait_for(lambda: channel.status() == "Idle", "idle")
    vod = channel.bucket.get_vod_playlist(channel.name, began, int(time.time())).playlist
    assert vod.count("#EXTINF") == 4 and vod.count("#EXT-X-DISCONTINUITY\n") == 1


@pytest.mark.parametrize("error", [oss2.exceptions.NoSuchBucket, oss2.exceptions.AccessDenied])
def test_oss2_knows_the_errors_by_class(server, bucket, error):
    asked = server.anonymous(bucket.bucket_name) if error is oss2.exceptions.AccessDenied else server.bucket("test-no-such-bucket")
    with pytest.raises(error):
        asked.get_live_channel("chan")


def test_live_channels_are_counted_in_the_bucket_statistics(bucket):
    assert bucket.get_bucket_stat().live_channel_count == 0
    create_channel(bucket, "one")
    create_channel(bucket, "two")
    assert bucket.get_bucket_stat().live_channel_count == 2
    bucket.delete_live_channel("one")
    assert bucket.get_bucket_stat().live_channel_count == 1
