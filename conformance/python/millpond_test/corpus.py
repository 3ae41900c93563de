"""The odd streams of public reports: each as an encoder sends it, whole and with the server killed in the middle. `soak.py --kills N`
kills it at N points of each, and of each captured encoder."""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path
from typing import Iterator, List, Tuple

from . import media
from .playback import Poller, fetch_playlist, fetch_segments
from .playlist import violations
from .replay import CAPTURE_BUCKET, CAPTURE_CHANNEL, CAPTURE_NAMES, CAPTURES, capture
from .server import BINARY, Server, create_channel, wait_for
from .ts import check

# The streams, and how many pictures and sounds of each are to be stored.
INPUTS = ["0.2fps-b-frames", "gstreamer-live-b-frames", "intra-refresh", "open-gop", "sound-stamped-2s-early"]

#: Streams whose segments begin at key frames; the others begin with a picture that refers to one before the cut.
CLEAN = ["0.2fps-b-frames", "gstreamer-live-b-frames", "sound-stamped-2s-early"]


def path(name: str) -> Path:
    return CAPTURES / f"{name}.flv"


def publisher(name: str, url: str, *options: str) -> subprocess.Popen:
    """Sends the tags in the order of the file, with their own time stamps."""
    command = [str(BINARY), "publish", url, "--file", str(path(name)), *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


class Corpus:
    """A channel of a server to which the stream is pushed."""

    def __init__(self, server: Server, bucket: str = "", channel: str = "cam"):
        self.server, self.channel = server, channel
        self.bucket = server.new_bucket("public-read", **({"name": bucket} if bucket else {}))
        create_channel(self.bucket, channel, frag_duration=2, frag_count=100)

    @property
    def url(self) -> str:
        return self.server.url(f"{self.bucket.bucket_name}/{self.channel}/playlist.m3u8")

    def push_url(self) -> str:
        return self.bucket.sign_rtmp_url("cam", "playlist.m3u8", 600)

    def push(self, name: str):
        """The whole stream while a player watches."""
        with Poller(self.url) as poller:
            push = publisher(name, self.push_url(), "--fast")
            said = push.communicate(timeout=60)[0]
            wait_for(lambda: self.bucket.get_live_channel_stat("cam").status == "Idle", "the channel is idle")
        assert push.returncode == 0, said
        assert poller.faults == []
        return self.read(None)

    def kill_after(self, name: str, seconds: float, options=("--rounds", "0")) -> None:
        """Kills the server so long after a push began, and starts it again."""
        push = publisher(name, self.push_url(), *options)
        try:
            wait_for(lambda: self.bucket.get_live_channel_stat("cam").status == "Live", "the channel is live")
            time.sleep(seconds)
            self.server.kill()
        finally:
            push.kill()
            push.wait()
        self.restart()

    def restart(self) -> None:
        """Kills the server if it runs, looks for damage, and starts it again."""
        self.server.kill()
        findings = self.server.findings()
        assert findings.returncode == 0, findings.stdout + findings.stderr
        self.server.start()
        self.bucket = self.server.bucket(self.bucket.bucket_name)
        wait_for(lambda: self.server.admin("/readyz").status_code == 200, "ready")

    def read(self, previous):
        """The playlist, its segments checked against the rules of transport streams, and what ffmpeg decodes."""
        playlist = fetch_playlist(self.url)
        # A target rises with longer segments (docs/deviations.md): streams of the corpus have some of a minute.
        broken = [fault for fault in violations(playlist, previous) if not fault.startswith("EXT-X-TARGETDURATION changed")]
        assert broken == [], playlist.text
        report = check(fetch_segments(self.url, playlist), [segment.discontinuity for segment in playlist.segments])
        assert report.violations == []
        return playlist, report, media.decode_listed(self.url)

    def survives(self, name: str, seconds: float) -> None:
        """Kills the server so long after a push of the stream began; what is left is whole, and the next push goes on behind it."""
        self.kill_after(name, seconds)
        if self.server.get(f"{self.bucket.bucket_name}/cam/playlist.m3u8").status_code == 404:
            # A stream with a picture every 5 s may have had none that is whole, and any other within its first moments.
            assert name == "0.2fps-b-frames" or seconds < 0.5, f"nothing of {name} after {seconds} s"
            return
        previous, _, found = self.read(None)
        if name in CLEAN:
            assert found.errors == "", found.errors
        push = publisher(name, self.push_url(), "--fast")
        said = push.communicate(timeout=60)[0]
        assert push.returncode == 0, said
        wait_for(lambda: self.bucket.get_live_channel_stat("cam").status == "Idle", "the channel is idle")
        playlist, _, _ = self.read(previous)
        assert playlist.next_sequence > previous.next_sequence
        assert "panicked" not in self.server.log()

    def is_or_was_live(self) -> bool:
        is_live = self.bucket.get_live_channel_stat(self.channel).status == "Live"
        return is_live or bool(self.bucket.get_live_channel_history(self.channel).records)

    def survives_capture(self, name: str, share: float) -> None:
        """The same within the bytes of a captured encoder, at so much of them."""
        data = capture(name)
        host, port = self.server.rtmp_address.rsplit(":", 1)
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(data[: int(len(data) * share)])
            # A whole capture may have ended by the time that anybody looks.
            wait_for(self.is_or_was_live, "the channel is or was live")
            # What has arrived is written within half a second (D8).
            time.sleep(1)
            self.restart()
        _, report, found = self.read(None)
        assert found.errors == "" and len(found.video) == report.video_frames > 0, found.errors
        assert all(report.key_frame_at_start)


def points(count: int) -> "Iterator[Tuple[str, str, float]]":
    """Every stream and every capture with so many moments: seconds of the one, shares of the other."""
    for name in INPUTS:
        yield from (("stream", name, 0.2 + 4.8 * n / max(1, count - 1)) for n in range(count))
    for name in CAPTURE_NAMES:
        # Before that there is no picture in it.
        yield from (("capture", name, 0.15 + 0.85 * n / max(1, count - 1)) for n in range(count))


def sweep(folder: Path, count: int) -> int:
    """Kills the server at so many points of everything, a server for each; says what broke, and how many did."""
    broken: List[str] = []
    total = 0
    for kind, name, point in points(count):
        total += 1
        server = Server(folder / f"{total}").start()
        try:
            if kind == "stream":
                Corpus(server).survives(name, point)
            else:
                Corpus(server, bucket=CAPTURE_BUCKET, channel=CAPTURE_CHANNEL).survives_capture(name, point)
        except AssertionError as error:
            broken.append(f"{kind} {name} at {point:.2f}: {error}")
            print(broken[-1], flush=True)
        finally:
            server.kill()
    print(f"corpus: killed at {total} points, {len(broken)} broke")
    return 1 if broken else 0
