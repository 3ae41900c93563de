"""An encoder that sends faster than it is read is gone while its media is still under way: in the buffers of its own
system, which forgets them if the server says anything to the closed connection. Nothing may be lost."""

import oss2
import pytest

from millpond_test import media
from millpond_test.playback import read_stream
from millpond_test.server import create_channel, wait_for


@pytest.fixture(scope="module")
def heavy_source(tmp_path_factory):
    """Eight seconds of noise, 12 MB: five times what is acknowledged at once."""
    path = tmp_path_factory.mktemp("heavy") / "noise.flv"
    made = media.run(
        [
            "ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", "nullsrc=size=640x360:rate=30:duration=8,geq=random(1)*255:128:128",
            "-c:v", "libx264", "-preset", "ultrafast", "-b:v", "12M", "-minrate", "12M", "-maxrate", "12M", "-bufsize", "2M", "-g", "60",
            "-sc_threshold", "0", "-pix_fmt", "yuv420p", "-f", "flv", str(path),
        ]
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    assert path.stat().st_size > 10_000_000
    return path


def test_media_under_way_outlives_its_encoder(fresh_server, heavy_source):
    # 16 Mbit/s: what takes the encoder a moment is read for six seconds.
    server = fresh_server(settings="[live]\nmax_ingest_mbit_s = 16\n")
    bucket = server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    create_channel(bucket, frag_count=20)
    push = media.push_file(heavy_source, bucket.sign_rtmp_url("test-channel", "playlist.m3u8", 3600))
    assert push.ended_after_s < 5, "the encoder had to wait, so it was not ahead"
    wait_for(lambda: bucket.get_live_channel_stat("test-channel").status == "Idle", "the channel is idle", 30)
    _, report = read_stream(server.url(f"{bucket.bucket_name}/test-channel/playlist.m3u8"))
    assert report.video_frames == 240
