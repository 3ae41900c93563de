"""The rows of docs/playing.md that are no pages. Each player plays a live list, goes on where a push returns, does at a restart of the
server and at the end of its URL what its row says, and plays a recording to its end. All run side by side against one push."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import oss2
import pytest

from millpond_test import media
from millpond_test.fronts import free_port
from millpond_test.server import ROOT, create_channel, wait_for

#: What each is started with; {} is the address.
PLAYERS = {
    "ffmpeg": ["ffmpeg", "-hide_banner", "-nostats", "-progress", "pipe:1", "-i", "{}", "-f", "null", "-"],
    "mpv": ["mpv", "--no-config", "--vo=null", "--ao=null", "--msg-level=all=status", "--term-status-msg=${=time-pos}", "{}"],
    "GStreamer": ["gst-launch-1.0", "-v", "playbin", "uri={}", "video-sink=fakesink silent=false sync=true", "audio-sink=fakesink sync=true"],
    "streamlink": ["streamlink", "--stdout", "--loglevel", "warning", "hls://{}", "best"],
    "yt-dlp": ["yt-dlp", "--quiet", "--no-cache-dir", "--downloader", "ffmpeg", "--hls-use-mpegts", "--output", "-", "{}"],
}
#: Columns of the table.
LIVE, BACK, RESTART, EXPIRY, RECORDING = range(5)
PLAYS, GOES_ON, ASKS, ENDS = "plays", "goes on", "asks again", "ends, status {}"
#: For so long nothing more is there to be had, seconds.
AWAY_S = 4
#: A player whose progress is the same so often in a row, a tenth of a second apart, has shown all that it had in hand.
STILL = 15
#: How long an address is good, seconds: some begin late on a busy machine.
GOOD_S = 16


def rows() -> "dict[str, list[str]]":
    """The cells of the table by player."""
    page = (ROOT / "docs" / "playing.md").read_text()
    table = page.split("## Players", 1)[1].split("\n## ", 1)[0]
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines() if line.startswith("| ")]
    return {name: cells for name, *cells in lines[1:]}


def pages() -> "set[str]":
    """The players of conformance/node, whose rows are run there."""
    text = (ROOT / "conformance" / "node" / "support" / "players.js").read_text()
    return set(re.findall(r'^  "([^"/]+)": ', text.split("export const PLAYERS", 1)[1].split("\n};", 1)[0], re.M))


@dataclass
class Running:
    """A player that plays, and what it says to two files."""

    player: str
    process: subprocess.Popen
    out: Path
    err: Path

    def progress(self) -> int:
        """A number that rises while it plays."""
        if self.player == "ffmpeg":
            frames = re.findall(rb"^frame=(\d+)", self.out.read_bytes(), re.M)
            return int(frames[-1]) if frames else 0
        return (self.err if self.player == "mpv" else self.out).stat().st_size

    def show_all(self) -> int:
        """Waits until it has shown what it has in hand, which is more the later it began. Returns its progress."""
        marks = []

        def is_still():
            marks.append(self.progress())
            return self.process.poll() is not None or marks[-STILL:] == marks[-1:] * STILL

        wait_for(is_still, self.told, 30, every_s=0.1)
        return self.progress()

    def told(self) -> str:
        return f"{self.player} {self.process.poll()}: {self.out.read_bytes()[-500:]!r} {self.err.read_bytes()[-1500:]!r}"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class Room:
    """All players that are installed, side by side."""

    def __init__(self, folder: Path):
        self.folder, self.all = folder, []

    def play(self, url: str, at_once: bool = False) -> "dict[str, Running]":
        started = {}
        for player, words in PLAYERS.items():
            if shutil.which(words[0]) is None:
                continue
            command = [word.replace("{}", url) for word in words]
            if at_once:
                # As fast as it can.
                command = [word.replace("sync=true", "sync=false") for word in command]
            out, err = (self.folder / f"{player}-{len(self.all)}.{kind}" for kind in ("out", "err"))
            with out.open("wb") as to_out, err.open("wb") as to_err:
                process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=to_out, stderr=to_err)
            started[player] = Running(player, process, out, err)
            self.all.append(started[player])
        return started


@pytest.fixture
def room(tmp_path):
    made = Room(tmp_path)
    yield made
    for running in made.all:
        running.kill()


def test_every_row_is_played():
    assert set(rows()) == {*PLAYERS, *pages()}
    for player, cells in rows().items():
        assert (cells[LIVE], cells[BACK], cells[RECORDING]) == (PLAYS, GOES_ON, PLAYS), player


def outcome(running: Running, mark: int, seconds: float = 30) -> str:
    """What a player does from a mark on: it ends or goes on."""
    told = wait_for(
        lambda: ENDS.format(running.process.poll()) if running.process.poll() is not None else running.progress() > mark and GOES_ON,
        lambda: running.told(), seconds,
    )  # fmt: skip
    return told


def test_each_does_what_its_row_says(fresh_server, source, room):
    # An address that a restart does not change.
    fixed = f"127.0.0.1:{free_port()}"
    server = fresh_server("--listen", fixed)
    name = server.new_bucket().bucket_name
    bucket = lambda: server.bucket(name)
    create_channel(bucket(), "cam", frag_duration=1, frag_count=6)
    begun = int(time.time()) - 1

    def signed(key: str, seconds: int) -> str:
        return bucket().sign_url("GET", key, seconds, params={"x-oss-process": "hls/sign"}).replace(server.http_address, fixed)

    def push():
        return media.Push(source.path, bucket().sign_rtmp_url("cam", "playlist.m3u8", 600), loop=True)

    table = rows()
    with push():
        wait_for(lambda: bucket().object_exists("cam/playlist.m3u8"), "a list")
        playing, expiring = room.play(signed("cam/playlist.m3u8", 3600)), room.play(signed("cam/playlist.m3u8", GOOD_S))
        for running in playing.values():
            wait_for(lambda: running.progress() > 1000 or running.player == "ffmpeg" and running.progress() > 30, running.told, 30)

    # The push comes back into the same list when nobody has anything left to show.
    time.sleep(AWAY_S)
    marks = {player: running.show_all() for player, running in playing.items()}
    returned = int(time.time())
    with push():
        for player, running in playing.items():
            assert outcome(running, marks[player]) == GOES_ON, running.told()
        for player, running in expiring.items():
            assert running.progress() > 0, running.told()
            if table[player][EXPIRY] == ASKS:
                wait_for(lambda: b"403" in running.err.read_bytes(), running.told, 30)
                assert running.process.poll() is None
            else:
                wait_for(lambda: running.process.poll() is not None, running.told, 30)
                assert ENDS.format(running.process.returncode) == table[player][EXPIRY], running.told()
            running.kill()
        server.kill()
        # Away for this long and no longer: some give up after three or four failed reads of a list, a second apart.
        time.sleep(AWAY_S)
        server.start()
    marks = {player: running.show_all() for player, running in playing.items()}
    with push():
        for player, running in playing.items():
            assert outcome(running, marks[player]) == table[player][RESTART], running.told()
            running.kill()

    wait_for(lambda: bucket().get_live_channel_stat("cam").status == "Idle", "the channel is idle")
    # With the moment in it at which the push was away.
    bucket().post_vod_playlist("cam", "archive.m3u8", begun, returned + 3)
    for player, running in room.play(signed("cam/archive.m3u8", 3600), at_once=True).items():
        wait_for(lambda: running.process.poll() is not None, running.told, 60)
        assert running.process.returncode == 0, running.told()
        assert b"rror" not in running.err.read_bytes() or player in ("streamlink", "yt-dlp", "ffmpeg"), running.told()
        assert running.progress() > (200 if player == "ffmpeg" else 3000), running.told()


@pytest.mark.parametrize("player", PLAYERS)
def test_is_installed(player):
    """A run without one of them says so."""
    if shutil.which(PLAYERS[player][0]) is None:
        pytest.skip(f"{player} is not installed")
