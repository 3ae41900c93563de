"""Rows of the quirk list (docs/deviations.md) that need a real encoder or a whole connection; tests are named after the row."""

import pytest

from millpond_test import media
from millpond_test.playback import read_stream
from millpond_test.relay import Relay
from millpond_test.replay import capture, replay, whole
from millpond_test.server import wait_for


@pytest.mark.parametrize("is_signed", [True, False])
def test_q12_a_user_and_a_password_start_no_authentication_dance(channel, short_source, is_signed):
    """`authmod` is asked for by servers only. Here the signature decides, and the encoder connects once."""
    with Relay(channel.server.http_address) as relay:
        url = channel.push_url.replace(channel.server.http_address, f"user:password@{relay.address}")
        if is_signed:
            media.push_file(short_source.path, url)
            wait_for(lambda: channel.status() == "Idle", "idle")
            media.assert_same_frames(media.decode_listed(channel.play_url), short_source.decoded)
        else:
            printed = media.push_refused(short_source.path, url.split("?")[0])
            assert "AccessDenied" in printed, printed
            assert "authmod" not in printed, printed
        assert relay.accepted == 1


@pytest.mark.parametrize("name", ["obs-29.0", "ffmpeg-5.1"])
def test_q13_an_encoder_that_ignores_its_refusal_gets_the_reason_before_the_end(fresh_server, name):
    server = fresh_server()
    # The capture goes on with six seconds of media although there is no such bucket.
    answer = replay(server.http_address, whole(capture(name)))
    assert b"NetStream.Publish.BadName" in answer
    assert b"NoSuchBucket" in answer
    assert answer.count(b"onStatus") == 1
    assert b"_result" not in answer[answer.index(b"onStatus") :], "OBS takes a _result for success"


def test_q31_b_frames_without_composition_times_are_shown_in_their_order(channel, source):
    """Some phones and drones send each picture as if it were shown when it is decoded."""
    media.push_file(source.path, channel.push_url)
    wait_for(lambda: channel.status() == "Idle", "idle")
    expected = [unit.pts for unit in read_stream(channel.play_url)[1].video]

    wrong = channel.bucket.sign_rtmp_url(channel.name, "wrong.m3u8", 3600)
    media.push_file(source.path, wrong, options=["-bsf:v", "setts=pts=DTS"])
    wait_for(lambda: channel.status() == "Idle", "idle")
    _, report = read_stream(channel.play_url.replace("playlist.m3u8", "wrong.m3u8"))
    found = [unit.pts for unit in report.video]
    assert len(found) == len(expected)
    # Before the first B-frame nothing proves that the times are wrong, so the very first pictures keep theirs.
    shift = found[4] - expected[4]
    assert all(abs(one - other - shift) <= 2 * 90 for one, other in zip(found[4:], expected[4:]))
    assert sorted(set(found[4:])) == sorted(found[4:]), "no two pictures at one time"
    wait_for(lambda: "repaired_pts=" in channel.server.log(), "the session report names the repair")
