"""After `kill -9` in the middle of a push nothing is lost but the last half second, and the channel goes on as if nothing happened."""

import time

import pytest

from millpond_test import media
from millpond_test.playback import fetch_playlist, fetch_segments, read_stream
from millpond_test.playlist import violations
from millpond_test.server import wait_for
from millpond_test.ts import check

# D8: a process crash may cost the last 500 ms that arrived; the push itself is paced to about one frame.
ALLOWED_LOSS_S = 0.5
PACING_SLACK_S = 0.25


def play_url(channel) -> str:
    return channel.server.url(f"{channel.bucket.bucket_name}/{channel.name}/playlist.m3u8")


def reopen(channel):
    """Starts the killed server again on the same data; its ports are new."""
    channel.server.start()
    channel.bucket = channel.server.bucket(channel.bucket.bucket_name)


@pytest.mark.parametrize("seconds", [0.9, 3.3, 5.6])
def test_the_torn_segment_is_closed_stored_and_listed(fresh_channel, source, seconds):
    channel = fresh_channel()
    with media.Push(source.path, channel.push_url) as push:
        wait_for(lambda: channel.status() == "Live", "live")
        live_since = time.monotonic()
        time.sleep(seconds)
        arrived_s = time.monotonic() - live_since
        channel.server.kill()
        push.wait(30)
    reopen(channel)
    playlist, report = read_stream(play_url(channel))
    recovered_s = sum(segment.duration_ms for segment in playlist.segments) / 1000
    assert recovered_s >= arrived_s - ALLOWED_LOSS_S - PACING_SLACK_S
    assert recovered_s == pytest.approx(report.video_frames / media.SOURCE_RATE, abs=0.05)
    found = media.decode_listed(play_url(channel))
    assert found.errors == ""
    # The cut may fall between a picture and the B-frames shown before it, so the last few may have gaps.
    assert found.video[:-3] == source.decoded.video[: len(found.video) - 3]
    assert set(found.video) <= set(source.decoded.video)
    assert found.audio == source.decoded.audio[: len(found.audio)]
    records = channel.bucket.get_live_channel_history(channel.name).records
    assert len(records) == 1
    assert records[0].end_time >= records[0].start_time
    assert channel.status() == "Idle"


def test_the_sequences_go_on_after_the_restart(fresh_channel, source):
    channel = fresh_channel()
    with media.Push(source.path, channel.push_url):
        wait_for(lambda: channel.status() == "Live", "live")
        time.sleep(4.5)
        channel.server.kill()
    reopen(channel)
    before = fetch_playlist(play_url(channel))
    assert violations(before) == []
    media.push_file(source.path, channel.push_url)
    wait_for(lambda: channel.status() == "Idle", "idle")
    after = fetch_playlist(play_url(channel))
    assert violations(after, before) == []
    assert after.next_sequence == before.next_sequence + 6
    first_new = after.at(before.next_sequence)
    assert first_new.discontinuity
    report = check(fetch_segments(play_url(channel), after), [segment.discontinuity for segment in after.segments])
    assert report.violations == []
    assert [record.remote_addr != "" for record in channel.bucket.get_live_channel_history(channel.name).records] == [True, True]


def test_the_store_is_clean_after_every_kill(fresh_channel, source):
    channel = fresh_channel(frag_count=3)
    for round_number in range(4):
        with media.Push(source.path, channel.push_url, paced=round_number % 2 == 0):
            time.sleep(0.4 + 0.7 * round_number)
            channel.server.kill()
        # Before the restart: the torn segment may be an orphan of the blob store, but no name leads nowhere.
        reopen(channel)
        wait_for(lambda: channel.server.admin("/readyz").status_code == 200, "ready")
        channel.server.stop()
        findings = channel.server.findings()
        assert findings.returncode == 0, findings.stdout + findings.stderr
        reopen(channel)
    media.push_file(source.path, channel.push_url)
    wait_for(lambda: channel.status() == "Idle", "idle")
    assert violations(fetch_playlist(play_url(channel))) == []


def test_a_graceful_stop_during_a_push_keeps_everything_that_arrived(fresh_channel, source):
    channel = fresh_channel()
    with media.Push(source.path, channel.push_url) as push:
        wait_for(lambda: channel.status() == "Live", "live")
        time.sleep(3.0)
        assert channel.server.stop() == 0
        push.wait(20)
    reopen(channel)
    playlist, _ = read_stream(play_url(channel))
    assert sum(segment.duration_ms for segment in playlist.segments) >= 2700
    assert channel.server.stop() == 0
    findings = channel.server.findings()
    assert findings.returncode == 0, findings.stdout + findings.stderr


def test_answered_writes_survive_a_kill(fresh_server):
    server = fresh_server()
    bucket = server.new_bucket()
    written = {f"key-{number}": b"%d" % number * 1000 for number in range(50)}
    for key, body in written.items():
        bucket.put_object(key, body)
    server.kill()
    server.start()
    bucket = server.bucket(bucket.bucket_name)
    for key, body in written.items():
        assert bucket.get_object(key).read() == body


def test_a_second_push_torn_in_its_first_segment_is_set_apart(fresh_channel, source):
    channel = fresh_channel()
    media.push_file(source.path, channel.push_url)
    wait_for(lambda: channel.status() == "Idle", "idle")
    before = fetch_playlist(play_url(channel))
    with media.Push(source.path, channel.push_url):
        wait_for(lambda: channel.status() == "Live", "live")
        time.sleep(1.2)
        channel.server.kill()
    reopen(channel)
    playlist, _ = read_stream(play_url(channel))
    assert violations(playlist, before) == []
    assert playlist.next_sequence == before.next_sequence + 1
    assert playlist.segments[-1].discontinuity
