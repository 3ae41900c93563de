"""A player that reads everything as soon as it is listed, beside an encoder that dies and comes back, never stumbles."""

import time

from millpond_test import media
from millpond_test.playback import Poller
from millpond_test.playlist import violations
from millpond_test.server import wait_for
from millpond_test.ts import check


def test_a_poller_never_stumbles_while_the_encoder_dies_and_returns(fresh_channel, source):
    """Twenty seconds of real time with a sliding window, and `kill -9` of the encoder in the middle of a segment."""
    channel = fresh_channel(frag_count=4)
    with Poller(channel.play_url, every_s=0.02) as poller:
        with media.Push(source.path, channel.push_url) as push:
            wait_for(lambda: poller.last and poller.last.next_sequence >= 3, "three segments", 30)
            time.sleep(1.2)
            push.kill()
        wait_for(lambda: channel.status() == "Idle", "the killed push ended")
        with media.Push(source.path, channel.push_url) as push:
            assert push.wait(60) == 0, push.stderr
        wait_for(lambda: channel.status() == "Idle", "idle")
        last = wait_for(lambda: poller.last if len(poller.versions) >= 10 else None, "the last version", 5)
        polled = poller.requests
    # Not one 404 or short body after the first playlist, no rule broken from one version to the next.
    assert poller.faults == []
    assert polled > 100
    poller.recheck()
    assert poller.faults == []

    # The poller was quick enough to see every version there was, so these hold for all of them.
    versions = [seen.playlist for seen in poller.versions]
    assert [one.next_sequence for one in versions] == list(range(1, len(versions) + 1))
    for before, after in zip(versions, versions[1:]):
        assert violations(after, before) == []
        assert after.media_sequence >= before.media_sequence
    assert len(last.segments) == 4

    # Everything that was ever listed is one stream with one discontinuity, at the return (D11).
    listed = {segment.uri: segment for one in versions for segment in one.segments}
    uris = sorted(listed)
    assert uris == sorted(poller.segments)
    marks = [listed[uri].discontinuity for uri in uris]
    assert marks.count(True) == 1
    report = check([poller.segments[uri] for uri in uris], marks)
    assert report.violations == []
    assert all(report.key_frame_at_start)
    second = sum(1 for unit in report.video if unit.segment >= marks.index(True))
    assert second == len(source.decoded.video), "the second push is there whole"
    assert report.video_frames - second > 6 * media.SOURCE_RATE, "and what came of the first"
