"""The odd streams of public reports: each as an encoder sends it, whole and with the server killed in the middle."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from . import media
from .playback import Poller, fetch_playlist, fetch_segments
from .playlist import violations
from .replay import CAPTURES
from .server import BINARY, Server, create_channel, wait_for
from .ts import check

# The streams, and how many pictures and sounds of each are to be stored.
INPUTS = ["0.2fps-b-frames", "gstreamer-live-b-frames", "intra-refresh", "open-gop", "sound-stamped-2s-early"]


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
