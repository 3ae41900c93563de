"""OBS Studio, the real program, records sound and picture that decode cleanly, and returns by itself after a lost connection."""

import json

from millpond_test import media, obs
from millpond_test.playback import Poller, read_stream
from millpond_test.relay import Relay
from millpond_test.server import wait_for

# OBS loads its plug-ins, a software GL draws each picture, and the machine may be busy with other tests.
PATIENCE_S = 60


def server_and_key(push_url: str) -> "tuple[str, str]":
    """The two fields of OBS for a push URL (LiveChannel 3.8)."""
    head, key = push_url.split("/live/")
    return f"{head}/live", key


def reports(server) -> "list[dict]":
    """The session reports of the log, oldest first."""
    return [json.loads(line) for line in server.log().splitlines() if '"push ended"' in line]


def faults(poller: Poller) -> "list[str]":
    """All but a target that rises (D9): on a busy machine OBS leaves out pictures, and a group of 60 then lasts longer."""
    return [fault for fault in poller.faults if not fault.startswith("EXT-X-TARGETDURATION changed")]


def check_recording(channel):
    """Picture and sound are there, decode cleanly and last as long as the list says; returns the playlist."""
    playlist, report = read_stream(channel.play_url)
    assert all(report.key_frame_at_start)
    found = media.decode_listed(channel.play_url)
    assert found.errors == ""
    assert len(found.video) == report.video_frames
    assert len(found.audio) == report.audio_frames
    assert report.sample_rate == 44100
    # Black and silence decode cleanly too: a moving picture and a tone are many different frames.
    assert len(set(found.video)) > 2 * obs.RATE
    assert len(set(found.audio)) > 50
    listed_s = sum(segment.duration_ms for segment in playlist.segments) / 1000
    assert abs(report.audio_frames * 1024 / report.sample_rate - listed_s) < 0.5
    # OBS keeps its clock and leaves out pictures when the machine is too slow, so there may be fewer, never more.
    assert 0.5 * listed_s < report.video_frames / obs.RATE < listed_s + 0.1
    return playlist


def test_an_obs_push_records_picture_and_sound(fresh_channel, short_source, tmp_path):
    channel = fresh_channel()
    server, key = server_and_key(channel.push_url)
    with obs.Obs(tmp_path, server, key, short_source.path) as studio, Poller(channel.play_url) as poller:
        wait_for(lambda: poller.last and len(poller.last.segments) >= 4 or not studio.running(), "four segments", PATIENCE_S)
        assert studio.running(), studio.log()[-3000:]
        stat = channel.bucket.get_live_channel_stat(channel.name)
        assert (stat.video.width, stat.video.height, stat.video.frame_rate) == (obs.WIDTH, obs.HEIGHT, obs.RATE)
        assert (stat.audio.codec, stat.audio.sample_rate) == ("AAC", 44100)
        studio.quit()
        wait_for(lambda: channel.status() == "Idle", "idle")
    assert faults(poller) == []
    playlist = check_recording(channel)
    assert not any(segment.discontinuity for segment in playlist.segments)
    (report,) = reports(channel.server)
    assert "libobs" in report["encoder"], report
    assert len(channel.bucket.get_live_channel_history(channel.name).records) == 1


def test_q02_obs_returns_by_itself_and_continues_the_playlist(fresh_channel, short_source, tmp_path):
    """Quirk Q2 on the way: many people type the server with a slash at its end."""
    channel = fresh_channel()
    with Relay(channel.server.http_address) as relay:
        server, key = server_and_key(channel.push_url.replace(channel.server.http_address, relay.address))
        with obs.Obs(tmp_path, f"{server}/", key, short_source.path) as studio, Poller(channel.play_url) as poller:
            wait_for(lambda: poller.last and len(poller.last.segments) >= 2 or not studio.running(), "two segments", PATIENCE_S)
            assert studio.running(), studio.log()[-3000:]
            relay.cut()
            wait_for(lambda: relay.accepted >= 2, "OBS connects again", PATIENCE_S)
            before = poller.last.next_sequence
            wait_for(lambda: poller.last.next_sequence >= before + 2, "two segments more", PATIENCE_S)
            studio.quit()
            wait_for(lambda: channel.status() == "Idle", "idle")
    assert faults(poller) == []
    playlist = check_recording(channel)
    # D11: one list over both pushes, with one discontinuity between them.
    assert playlist.media_sequence == 0
    assert [segment.discontinuity for segment in playlist.segments].count(True) == 1
    assert len(channel.bucket.get_live_channel_history(channel.name).records) == 2
