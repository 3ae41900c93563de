"""While a push runs, a player beside it never meets a missing, short or changed segment, nor a broken playlist."""

from millpond_test import media
from millpond_test.playback import Poller
from millpond_test.server import wait_for
from millpond_test.ts import check


def test_the_playlist_grows_while_the_push_runs(channel, source):
    with Poller(channel.play_url) as poller:
        push = media.Push(source.path, channel.push_url)
        with push:
            wait_for(lambda: len(poller.versions) >= 2, "a second version of the playlist while pushing", 10)
            assert push.running()
            assert channel.status() == "Live"
            assert push.wait() == 0, push.stderr
        wait_for(lambda: channel.status() == "Idle", "idle")
        wait_for(lambda: poller.last and len(poller.last.segments) == 6, "all six segments", 5)
    assert poller.faults == []
    # The end of a push adds the open segment, so each version adds exactly one.
    assert [len(seen.playlist.segments) for seen in poller.versions] == [1, 2, 3, 4, 5, 6]
    for before, after in zip(poller.versions[:-2], poller.versions[1:-1]):
        assert 1.0 < after.at - before.at < 3.0, "a paced push of 2 s groups publishes every 2 s"
    report = check([poller.segments[uri] for uri in poller.last.uris])
    assert report.violations == []
    poller.recheck()
    assert poller.faults == []


def test_a_sliding_window_keeps_its_numbers(fresh_channel, source):
    channel = fresh_channel(frag_count=3)
    with Poller(channel.play_url, every_s=0.02) as poller:
        media.push_file(source.path, channel.push_url)
        wait_for(lambda: poller.last and poller.last.next_sequence == 6, "the last segment", 10)
    assert poller.faults == []
    assert poller.last.media_sequence == 3
    assert len(poller.last.segments) == 3


def test_the_live_playlist_never_ends(channel, short_source):
    media.push_file(short_source.path, channel.push_url)
    wait_for(lambda: channel.status() == "Idle", "idle")
    assert "#EXT-X-ENDLIST" not in channel.server.get(f"{channel.bucket.bucket_name}/{channel.name}/playlist.m3u8").text


def test_the_target_duration_is_the_larger_of_fragment_and_group(fresh_channel, source):
    channel = fresh_channel(frag_duration=3)
    media.push_file(source.path, channel.push_url)
    with Poller(channel.play_url) as poller:
        wait_for(lambda: poller.last and poller.last.next_sequence == 3, "three segments of two groups each", 10)
    assert poller.faults == []
    assert [segment.duration_ms for segment in poller.last.segments] == [4000, 4000, 4000]
    assert poller.last.target_duration == 4
