"""GStreamer's two RTMP clients, rtmp2sink and rtmpsink over librtmp, push real media that decodes cleanly."""

import pytest

from millpond_test import media
from millpond_test.playback import read_stream
from millpond_test.server import wait_for

FRAMES = 150  # Five seconds at 30 fps.


@pytest.mark.parametrize("port", ["http", "rtmp"])
@pytest.mark.parametrize("sink", ["rtmp2sink", "rtmpsink"])
def test_a_gstreamer_push_records_every_picture(channel, sink, port):
    url = channel.push_url if port == "http" else channel.server.on_rtmp_port(channel.push_url)
    location = url if sink == "rtmp2sink" else f"{url} live=1"
    pushed = media.run(
        [
            "gst-launch-1.0", "-q", "-e",
            "videotestsrc", f"num-buffers={FRAMES}", "pattern=ball", "!", "video/x-raw,width=320,height=180,framerate=30/1", "!",
            "x264enc", "key-int-max=60", "bframes=0", "speed-preset=veryfast", "tune=zerolatency", "!", "h264parse", "!", "queue", "!", "mux.",
            "audiotestsrc", "num-buffers=215", "samplesperbuffer=1024", "!", "audio/x-raw,rate=44100,channels=2", "!",
            "avenc_aac", "!", "aacparse", "!", "queue", "!", "mux.",
            "flvmux", "name=mux", "streamable=true", "!", sink, f"location={location}",
        ],
        60,
    )  # fmt: skip
    assert pushed.returncode == 0, pushed.stderr
    wait_for(lambda: channel.status() == "Idle", "idle")
    _, report = read_stream(channel.play_url)
    assert report.video_frames == FRAMES
    assert report.audio_frames > 200
    found = media.decode_listed(channel.play_url)
    assert found.errors == ""
    assert len(found.video) == FRAMES
