"""`segmenting = "strict"` and `end_list_after_s`, with an encoder whose groups are far longer than FragDuration."""

import time

import pytest

from millpond_test import media
from millpond_test.playback import Poller, fetch_playlist, fetch_segments, read_stream
from millpond_test.playlist import violations
from millpond_test.server import create_channel, wait_for
from millpond_test.ts import check

GROUP_S = 10
SECONDS = 22


@pytest.fixture(scope="module")
def long_groups(tmp_path_factory):
    """Twenty-two seconds with a key frame every ten."""
    path = tmp_path_factory.mktemp("media") / "long.flv"
    made = media.run(
        [
            "ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", f"testsrc2=size=160x90:rate=25:duration={SECONDS}",
            "-f", "lavfi", "-i", f"sine=frequency=440:sample_rate=44100:duration={SECONDS}", "-c:a", "aac", "-b:a", "64k",
            "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-bf", "2",
            "-g", str(25 * GROUP_S), "-keyint_min", str(25 * GROUP_S), "-sc_threshold", "0", "-f", "flv", str(path),
        ]
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    return path


def push(channel, path) -> Poller:
    """Pushes eight times faster than real time, polling on the way."""
    with Poller(channel.play_url, every_s=0.01) as poller:
        with media.Push(path, channel.push_url, paced=8) as encoder:
            assert encoder.wait() == 0, encoder.stderr
        wait_for(lambda: channel.status() == "Idle", "idle")
        final = fetch_playlist(channel.play_url)
        wait_for(lambda: poller.last and poller.last.next_sequence == final.next_sequence, "the last version", 5)
    return poller


def test_strict_cuts_within_a_long_group_and_never_changes_the_target(fresh_channel, long_groups):
    channel = fresh_channel("--segmenting", "strict", frag_duration=2)
    poller = push(channel, long_groups)
    assert poller.faults == []
    # D9: the first segment rounded up. The cut comes as late as it may, so that a key frame gets its chance.
    assert {seen.playlist.target_duration for seen in poller.versions} == {3}
    assert len(poller.versions) > 3
    playlist = fetch_playlist(channel.play_url)
    assert all(segment.duration_ms <= 2499 for segment in playlist.segments)
    assert sum(segment.duration_ms for segment in playlist.segments) == pytest.approx(SECONDS * 1000, abs=100)
    report = check(fetch_segments(channel.play_url, playlist))
    assert report.violations == []
    # A key frame that comes soon after a cut stays where it is, so few segments begin with one.
    assert report.key_frame_at_start[0] and not all(report.key_frame_at_start)
    expected = media.decode(str(long_groups))
    media.assert_same_frames(media.decode_listed(channel.play_url), expected)


def test_oss_waits_for_the_key_frame_and_takes_the_first_segment_for_the_target(fresh_channel, long_groups):
    channel = fresh_channel(frag_duration=2)
    poller = push(channel, long_groups)
    assert poller.faults == []
    assert {seen.playlist.target_duration for seen in poller.versions} == {GROUP_S}
    playlist = fetch_playlist(channel.play_url)
    assert [segment.duration_ms for segment in playlist.segments] == [10_000, 10_000, pytest.approx(2_000, abs=60)]


def test_a_list_ends_after_the_set_time_and_a_return_begins_another(fresh_server, source):
    server = fresh_server(settings="[live]\nend_list_after_s = 2\n")
    bucket = server.new_bucket("public-read")
    create_channel(bucket)
    url = server.url(f"{bucket.bucket_name}/test-channel/playlist.m3u8")
    with Poller(url, every_s=0.02) as poller:
        media.push_file(source.path, bucket.sign_rtmp_url("test-channel", "playlist.m3u8", 3600))
        wait_for(lambda: poller.last and poller.last.next_sequence == 6, "the whole push", 10)
        ended = wait_for(lambda: poller.last if poller.last.end_list else None, "the end of the list", 20)
    assert poller.faults == []
    assert [seen.playlist.end_list for seen in poller.versions].count(True) == 1
    assert len(ended.segments) == 6
    # A player needs no patience any more: it plays to the end and stops by itself.
    media.assert_same_frames(media.decode(url), source.decoded)

    media.push_file(source.path, bucket.sign_rtmp_url("test-channel", "playlist.m3u8", 3600))
    wait_for(lambda: bucket.get_live_channel_stat("test-channel").status == "Idle", "idle")
    fresh, _ = read_stream(url)
    # It ended although the push returned within the reconnect window, so nothing may follow behind it (RFC 8216 4.3.3.4).
    assert fresh.media_sequence == ended.next_sequence
    assert fresh.segments[0].discontinuity
    assert set(fresh.uris).isdisjoint(ended.uris)
    media.assert_same_frames(media.decode_live(url), source.decoded)


@pytest.mark.parametrize("is_killed", [False, True])
def test_a_list_ends_although_the_server_was_restarted_in_between(fresh_server, source, is_killed):
    """D12: what is left to wait is waited after the restart; a killed server closes the torn segment first (D8)."""
    server = fresh_server(settings="[live]\nend_list_after_s = 6\n")
    bucket = server.new_bucket("public-read")
    create_channel(bucket)
    create_channel(bucket, "silent")
    with media.Push(source.path, bucket.sign_rtmp_url("test-channel", "playlist.m3u8", 3600)) as push:
        path = f"{bucket.bucket_name}/test-channel/playlist.m3u8"
        wait_for(lambda: server.get(path).text.count("#EXTINF") >= 1, "a segment")
        server.kill() if is_killed else server.stop()
        stopped = time.monotonic()
        push.wait(20)
    server.start()
    url = server.url(path)
    before = fetch_playlist(url)
    assert not before.end_list
    ended = wait_for(lambda: fetch_playlist(url) if fetch_playlist(url).end_list else None, "the end of the list", 15)
    waited_s = time.monotonic() - stopped
    assert 4.5 < waited_s < 9, waited_s
    assert (ended.uris, ended.media_sequence) == (before.uris, before.media_sequence)

    # Another time nobody is there when it would be due: it is made up for at the start.
    bucket = server.bucket(bucket.bucket_name)
    media.push_file(source.path, bucket.sign_rtmp_url("test-channel", "playlist.m3u8", 3600))
    wait_for(lambda: bucket.get_live_channel_stat("test-channel").status == "Idle", "idle")
    assert not fetch_playlist(url).end_list
    server.kill() if is_killed else server.stop()
    time.sleep(6.5)
    server.start()
    wait_for(lambda: fetch_playlist(server.url(path)).end_list, "the end of the list", 2)
    assert server.stop() == 0
    findings = server.findings()
    assert findings.returncode == 0, findings.stdout + findings.stderr
