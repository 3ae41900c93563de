"""Real encoders and players: ffmpeg makes a source, pushes it, and decodes what the server wrote."""

from __future__ import annotations

import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import List, Optional
from urllib.parse import urljoin

import requests

SOURCE_SECONDS = 12
SOURCE_RATE = 30
GOP_SECONDS = 2


def run(command: List[str], timeout_s: float = 120) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, stdin=subprocess.DEVNULL)


def make_source(
    path: Path, seconds: int = SOURCE_SECONDS, size: str = "320x180", audio_rate: int = 44100, audio: bool = True, noise: int = 0
) -> Path:
    """H.264 with B-frames at 30 fps and a closed GOP of two seconds, with AAC.

    FLV, because it keeps every AAC frame visible to a decoder: MP4 hides the priming frame behind an edit list. Noise makes it
    heavy: 30 some 8 Mbit/s at 640x360.
    """
    command = ["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", f"testsrc2=size={size}:rate={SOURCE_RATE}:duration={seconds}"]
    if audio:
        command += ["-f", "lavfi", "-i", f"sine=frequency=440:sample_rate={audio_rate}:duration={seconds}", "-c:a", "aac", "-b:a", "96k"]
    if noise:
        command += ["-vf", f"noise=alls={noise}:allf=t"]
    command += [
        "-c:v", "libx264", "-preset", "veryfast", "-profile:v", "high", "-pix_fmt", "yuv420p", "-bf", "2",
        "-g", str(SOURCE_RATE * GOP_SECONDS), "-keyint_min", str(SOURCE_RATE * GOP_SECONDS), "-sc_threshold", "0",
        "-f", "flv", str(path),
    ]  # fmt: skip
    made = run(command)
    assert made.returncode == 0, made.stderr
    return path


@dataclass
class Decoded:
    """Hashes of the decoded frames in order, and what ffmpeg complained about."""

    video: List[str]
    audio: List[str]
    errors: str


def decode(url: str, *input_options: str, timeout_s: float = 120) -> Decoded:
    """Decodes a file or URL whole. The hashes are of pictures and samples: time stamps do not matter, order and content do."""
    hashes = run(
        [
            "ffmpeg", "-v", "error", *input_options, "-i", url, "-map", "0:v?", "-map", "0:a?", "-fps_mode", "passthrough",
            "-f", "framehash", "-hash", "md5", "-",
        ],
        timeout_s,
    )  # fmt: skip
    video: List[str] = []
    audio: List[str] = []
    kinds = {}
    for line in hashes.stdout.splitlines():
        if line.startswith("#media_type"):
            index, kind = line.split(":", 1)
            kinds[index.split()[1]] = kind.strip()
        elif line and not line.startswith("#"):
            fields = [part.strip() for part in line.split(",")]
            (video if kinds[fields[0]] == "video" else audio).append(fields[-1])
    if hashes.returncode != 0 and not hashes.stderr:
        hashes.stderr = f"ffmpeg ended with {hashes.returncode}"
    return Decoded(video, audio, hashes.stderr.strip())


def decode_live(url: str) -> Decoded:
    """Decodes a live playlist as a player meets it, from its first segment; it has no end, so ffmpeg's patience is bounded."""
    return decode(url, "-live_start_index", "0", "-m3u8_hold_counters", "2", "-max_reload", "2")


def decode_listed(url: str) -> Decoded:
    """Decodes what a live playlist lists now: ffmpeg reads the server's segments through a copy of the list that has an end."""
    response = requests.get(url, timeout=10)
    assert response.status_code == 200, f"{response.status_code} {response.text}"
    lines = [line if line.startswith("#") else urljoin(url, line) for line in response.text.splitlines()]
    with tempfile.NamedTemporaryFile("w", suffix=".m3u8") as copy:
        copy.write("\n".join([*lines, "#EXT-X-ENDLIST", ""]))
        copy.flush()
        return decode(copy.name, "-protocol_whitelist", "file,http,tcp")


def assert_same_frames(found: Decoded, source: Decoded) -> None:
    """Every picture and every audio frame of the source, in order, and nothing else; the message names the first difference."""
    assert found.errors == "", found.errors
    for kind, ours, theirs in (("video", found.video, source.video), ("audio", found.audio, source.audio)):
        assert theirs, f"the source has no {kind}"
        for index, (one, other) in enumerate(zip(ours, theirs)):
            assert one == other, f"{kind} frame {index} differs"
        assert len(ours) == len(theirs), f"{len(ours)} {kind} frames, the source has {len(theirs)}"


class Push:
    """A running ffmpeg that pushes `source`; `stderr` collects what a user would see on the terminal.

    `paced` is how many times faster than real time it pushes; False is as fast as it goes.
    """

    def __init__(self, source: Path, url: str, paced: float = True, loop: bool = False, options: Optional[List[str]] = None):
        command = ["ffmpeg", "-hide_banner", "-nostats", "-v", "info"]
        command += ["-stream_loop", "-1"] if loop else []
        command += ["-readrate", str(float(paced))] if paced else []
        command += ["-i", str(source), "-c", "copy", *(options or []), "-f", "flv", url]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        self.lines: List[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.started = time.monotonic()

    def _read(self) -> None:
        for line in self.process.stderr:
            self.lines.append(line)

    @property
    def stderr(self) -> str:
        return "".join(self.lines)

    def running(self) -> bool:
        return self.process.poll() is None

    def wait(self, timeout_s: float = 60) -> int:
        try:
            status = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"ffmpeg did not end within {timeout_s} s:\n{self.stderr[-2000:]}") from None
        self.ended_after_s = time.monotonic() - self.started
        self._reader.join(5)
        return status

    def interrupt(self) -> int:
        """As a user presses `q`: ffmpeg says deleteStream and closes."""
        self.process.terminate()
        return self.wait(20)

    def kill(self) -> None:
        """As a power cut of the encoder: no goodbye in RTMP."""
        self.process.kill()
        self.process.wait()
        self._reader.join(5)

    def __enter__(self) -> "Push":
        return self

    def __exit__(self, *_) -> None:
        if self.running():
            self.kill()


def push_file(source: Path, url: str, **options) -> Push:
    """Pushes the whole file as fast as it goes and expects success."""
    push = Push(source, url, paced=False, **options)
    status = push.wait()
    assert status == 0, f"ffmpeg ended with {status}:\n{push.stderr[-3000:]}"
    return push


def push_refused(source: Path, url: str, timeout_s: float = 20) -> str:
    """Pushes and expects to be refused; returns what ffmpeg printed."""
    push = Push(source, url, paced=True)
    status = push.wait(timeout_s)
    assert status != 0, f"the push was accepted:\n{push.stderr[-2000:]}"
    return push.stderr
