"""The odd streams of public reports (docs/deviations.md names them): recorded whole, decodable, with playlists that keep the rules,
also when the server is killed in the middle. `make soak` kills more often."""

import subprocess

import pytest

from millpond_test import media
from millpond_test.corpus import CLEAN, INPUTS, Corpus, path
from millpond_test.replay import CAPTURE_BUCKET, CAPTURE_CHANNEL, CAPTURE_NAMES
from millpond_test.server import BINARY

@pytest.mark.parametrize("name", INPUTS)
def test_nothing_is_lost(server, name):
    corpus = Corpus(server)
    playlist, report, found = corpus.push(name)
    source = media.decode(str(path(name)))
    assert (len(found.video), len(found.audio)) == (len(source.video), len(source.audio))
    assert found.video == source.video
    if name in CLEAN:
        assert found.errors == ""
    assert sum(segment.duration_ms for segment in playlist.segments) > 1000
    assert all(unit.pts is None or 0 <= unit.pts < 1 << 32 for unit in report.audio)


@pytest.mark.parametrize("seconds", [0.7, 3.1])
@pytest.mark.parametrize("name", INPUTS)
def test_killed_in_the_middle(fresh_server, name, seconds):
    Corpus(fresh_server()).survives(name, seconds)


@pytest.mark.parametrize("share", [0.4, 0.9])
@pytest.mark.parametrize("name", CAPTURE_NAMES)
def test_killed_in_the_middle_of_a_capture(fresh_server, name, share):
    Corpus(fresh_server(), bucket=CAPTURE_BUCKET, channel=CAPTURE_CHANNEL).survives_capture(name, share)


def test_recovery_points_start_segments_where_a_channel_wants_it(server):
    corpus = Corpus(server)
    whole, _, _ = corpus.push("open-gop")
    other = Corpus(server)
    command = [str(BINARY), "channel", "set", f"{other.bucket.bucket_name}/cam", "recovery_points_start_segments=true"]
    done = subprocess.run(
        [*command, "--admin", f"http://{server.admin_address}"], capture_output=True, text=True, timeout=20, env=server.keys()
    )
    assert done.returncode == 0, done
    cut, _, _ = other.push("open-gop")
    assert len(cut.segments) > len(whole.segments)
    assert whole.independent and not cut.independent
