"""The rows of docs/playing.md that are no pages: each player plays a live list, goes on where a push returns, and plays a recording."""

import re
import shutil
import subprocess
import time

import oss2
import pytest

from millpond_test import media
from millpond_test.server import ROOT, create_channel, wait_for

# What each is started with, and how it shows that it played; {} is the address.
PLAYERS = {
    "ffmpeg": ["ffmpeg", "-hide_banner", "-nostats", "-t", "6", "-i", "{}", "-f", "null", "-"],
    "mpv": ["mpv", "--no-config", "--no-terminal", "--vo=null", "--ao=null", "--length=6", "{}"],
    "GStreamer": ["gst-launch-1.0", "-v", "playbin", "uri={}", "video-sink=fakesink silent=false sync=true", "audio-sink=fakesink sync=true"],
    "streamlink": ["streamlink", "--stdout", "--loglevel", "error", "--hls-duration", "6", "hls://{}", "best"],
    "yt-dlp": ["yt-dlp", "--quiet", "--no-cache-dir", "--hls-use-mpegts", "--output", "-", "{}"],
}


STREAMS = ("streamlink", "yt-dlp")


def rows() -> "set[str]":
    """The players of the table."""
    page = (ROOT / "docs" / "playing.md").read_text()
    table = page.split("## Players", 1)[1].split("\n## ", 1)[0]
    return set(re.findall(r"^\| ([^|]+?) \|", table, re.M)) - {"Player", "---"}


def start(player: str, url: str, recording: bool = False) -> subprocess.Popen:
    command = [word.replace("{}", url) for word in PLAYERS[player]]
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    if recording:
        # As fast as it can.
        command = [word.replace("sync=true", "sync=false") for word in command]
    # Some write the stream there, and what they think of it beside it.
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL if player in STREAMS else subprocess.STDOUT)


def ended(player: str, running: subprocess.Popen, recording: bool) -> bytes:
    """Waits for the end, or ends what would play for ever; what it wrote."""
    try:
        said = running.communicate(timeout=25)[0]
        assert running.returncode == 0, said[-2000:]
    except subprocess.TimeoutExpired:
        running.kill()
        said = running.communicate()[0]
        # A player that knows no --length stops with us; one that reads a recording stops by itself.
        assert player in ("GStreamer", "yt-dlp") and not recording, said[-2000:]
    return said


def test_every_row_is_played():
    pages = {"hls.js", "video.js", "shaka", "Chromium's own"}
    assert rows() == {*PLAYERS, *pages}


@pytest.mark.parametrize("player", PLAYERS)
def test_plays(fresh_server, source, player):
    server = fresh_server()
    bucket = server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    create_channel(bucket, "cam", frag_duration=1, frag_count=6)
    url = server.url(f"{bucket.bucket_name}/cam/playlist.m3u8")
    begun = int(time.time()) - 1
    push_url = bucket.sign_rtmp_url("cam", "playlist.m3u8", 600)
    with media.Push(source.path, push_url, loop=True):
        wait_for(lambda: server.get(f"{bucket.bucket_name}/cam/playlist.m3u8").text.count(".ts") >= 3, "three segments")
        running = start(player, url)
        time.sleep(2)
    # The push is away for a moment, and comes back into the same list.
    time.sleep(1)
    with media.Push(source.path, push_url, loop=True):
        said = ended(player, running, recording=False)
    shows(player, said)
    wait_for(lambda: bucket.get_live_channel_stat("cam").status == "Idle", "the channel is idle")
    bucket.post_vod_playlist("cam", "archive.m3u8", begun, int(time.time()) + 1)
    shows(player, ended(player, start(player, server.url(f"{bucket.bucket_name}/cam/archive.m3u8"), recording=True), recording=True))


def shows(player: str, said: bytes) -> None:
    if player in STREAMS:
        assert len(said) > 100_000 and said[:1] == b"\x47", said[:300]
    elif player == "ffmpeg":
        frames = re.findall(rb"frame= *(\d+)", said)
        assert frames and int(frames[-1]) > 100, said[-2000:]
    elif player == "GStreamer":
        assert said.count(b"chain") > 60 and b"ERROR" not in said, said[-2000:]
    else:
        assert b"rror" not in said, said[-2000:]
