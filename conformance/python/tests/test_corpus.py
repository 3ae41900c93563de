"""The odd streams of public reports (docs/deviations.md names them): recorded whole, decodable, with playlists that keep the rules,
also when the server is killed in the middle. `make soak` kills more often."""

import socket
import subprocess
import time

import pytest

from millpond_test import media
from millpond_test.corpus import INPUTS, Corpus, path, publisher
from millpond_test.replay import CAPTURE_BUCKET, CAPTURE_CHANNEL, CAPTURE_NAMES, capture
from millpond_test.server import BINARY, wait_for

# Streams whose segments begin at key frames; the others begin with a picture that refers to one before the cut.
CLEAN = ["0.2fps-b-frames", "gstreamer-live-b-frames", "sound-stamped-2s-early"]


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
    corpus = Corpus(fresh_server())
    corpus.kill_after(name, seconds)
    if corpus.server.get(f"{corpus.bucket.bucket_name}/cam/playlist.m3u8").status_code == 404:
        # A stream with a picture every 5 s may have had none that is whole.
        assert name == "0.2fps-b-frames"
        return
    previous, _, found = corpus.read(None)
    if name in CLEAN:
        assert found.errors == ""
    # It goes on behind what was there.
    push = publisher(name, corpus.push_url(), "--fast")
    push.communicate(timeout=60)
    wait_for(lambda: corpus.bucket.get_live_channel_stat("cam").status == "Idle", "the channel is idle")
    playlist, _, _ = corpus.read(previous)
    assert playlist.next_sequence > previous.next_sequence
    assert "panicked" not in corpus.server.log()


@pytest.mark.parametrize("share", [0.4, 0.9])
@pytest.mark.parametrize("name", CAPTURE_NAMES)
def test_killed_in_the_middle_of_a_capture(fresh_server, name, share):
    server = fresh_server()
    corpus = Corpus(server, bucket=CAPTURE_BUCKET, channel=CAPTURE_CHANNEL)
    data = capture(name)
    host, port = server.rtmp_address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(data[: int(len(data) * share)])
        wait_for(lambda: corpus.bucket.get_live_channel_stat(CAPTURE_CHANNEL).status == "Live", "the channel is live")
        # What has arrived is written within half a second (D8).
        time.sleep(1)
        corpus.restart()
    playlist, report, found = corpus.read(None)
    assert found.errors == "" and len(found.video) == report.video_frames > 20
    assert all(report.key_frame_at_start)


def test_what_cannot_be_recorded_is_said_once(fresh_server):
    corpus = Corpus(fresh_server())
    push = publisher("enhanced-hevc", corpus.push_url())
    wait_for(lambda: "is not recorded" in corpus.server.log(), "a warning")
    assert push.wait(60) == 0
    assert corpus.server.log().count("what this encoder sends is not recorded") == 1
    sessions = subprocess.run(
        [str(BINARY), "channel", "sessions", f"{corpus.bucket.bucket_name}/cam", "--admin",
         f"http://{corpus.server.admin_address}", "--json"], capture_output=True, text=True, timeout=20, env=corpus.server.keys(),
    )  # fmt: skip
    assert "H.264" in sessions.stdout, sessions


@pytest.mark.parametrize("where", ["server", "channel"])
def test_what_cannot_be_recorded_is_refused_where_that_is_wanted(fresh_server, where):
    settings = "[live]\nrefuse_unrecordable_after_s = 2\n" if where == "server" else ""
    corpus = Corpus(fresh_server(settings=settings))

    def set_(*pairs):
        command = [str(BINARY), "channel", "set", f"{corpus.bucket.bucket_name}/cam", *pairs]
        command += ["--admin", f"http://{corpus.server.admin_address}"]
        return subprocess.run(command, capture_output=True, text=True, timeout=20, env=corpus.server.keys())

    if where == "channel":
        done = set_("refuse_unrecordable_after_s=2", "recovery_points_start_segments=true")
        assert done.returncode == 0, done
        assert "refuse_unrecordable_after_s=2" in done.stdout and "recovery_points_start_segments=true" in done.stdout
        assert set_("frag_count=3").returncode != 0
        assert set_("refuse_unrecordable_after_s=soon").returncode != 0
    push = publisher("enhanced-hevc", corpus.push_url(), "--rounds", "0")
    said = push.communicate(timeout=60)[0].decode()
    assert push.returncode != 0 and "Nothing of this push can be recorded" in said and "H.264" in said, said
    refusals = corpus.server.log()
    assert "publish refused: Nothing of this push can be recorded" in refusals
    # What can be recorded is not concerned.
    corpus.push("sound-stamped-2s-early")
    if where == "channel":
        # PutLiveChannel leaves the settings, and they can be given back to the server.
        from millpond_test.server import create_channel

        create_channel(corpus.bucket, "cam")
        assert "refuse_unrecordable_after_s=2" in set_().stdout
        assert "refuse_unrecordable_after_s=(as the server)" in set_("refuse_unrecordable_after_s=").stdout


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
