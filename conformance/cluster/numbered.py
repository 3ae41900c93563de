"""Pushes whose pictures have numbers: each carries which connection sent it and which picture of that it is, in an SEI message that the
server keeps. So what is listed says exactly which pictures are there, in which order, and of whom."""

from __future__ import annotations

import itertools
import re
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List, Tuple

from millpond_test.pusher import Pusher, Tag, is_setup

#: What marks such a message: the 16 bytes that H.264 wants for user data (D.1.7), without two zeros in a row.
MARK = b"MILLPOND-NEMESIS"
NUMBERED = re.compile(re.escape(MARK) + rb"(\d{8})\.(\d{8});")
FRAME_RATE = 15
FRAME_MS = 1000 / FRAME_RATE
#: Which connection, and which of its pictures.
Number = Tuple[int, int]

_connections = itertools.count(1)


def make_source(path: Path, seconds: int = 6) -> Path:
    """Small pictures and little sound, with a key frame every two seconds: twenty of these cost little."""
    made = subprocess.run(
        ["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", f"testsrc2=size=160x90:rate={FRAME_RATE}:duration={seconds}",
         "-f", "lavfi", "-i", f"sine=frequency=440:sample_rate=22050:duration={seconds}", "-c:a", "aac", "-b:a", "32k", "-ac", "1",
         "-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-bf", "2", "-crf", "36", "-g", str(FRAME_RATE * 2),
         "-keyint_min", str(FRAME_RATE * 2), "-sc_threshold", "0", "-f", "flv", str(path)],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    return path


def is_picture(tag: Tag) -> bool:
    return tag.kind == 9 and not is_setup(tag) and len(tag.payload) > 5 and tag.payload[1] == 1


def with_number(payload: bytes, number: Number) -> bytes:
    """A video message of FLV with one more NAL unit, before its own."""
    text = MARK + b"%08d.%08d;" % number
    unit = bytes([6, 5, len(text)]) + text + b"\x80"
    return payload[:5] + len(unit).to_bytes(4, "big") + unit + payload[5:]


def numbers_in(segment: bytes) -> List[Number]:
    """The numbers of the pictures of a transport stream, in their order."""
    payloads: Dict[int, bytearray] = {}
    for at in range(0, len(segment) - 187, 188):
        packet = segment[at : at + 188]
        pid = (packet[1] & 0x1F) << 8 | packet[2]
        begin = 5 + packet[4] if packet[3] & 0x20 else 4
        if packet[3] & 0x10:
            payloads.setdefault(pid, bytearray()).extend(packet[begin:])
    found = [NUMBERED.findall(bytes(payload)) for payload in payloads.values()]
    return [(int(connection), int(number)) for connection, number in max(found, key=len, default=[])]


@dataclass
class Sent:
    """What one connection sent: the moment that the system took each picture, by its number."""

    channel: str
    asked: float
    began: float
    at: List[float] = field(default_factory=list)
    ended: float = 0.0
    #: When the encoder noticed that its connection before this one had ended; None for its first.
    returned: "float | None" = None
    #: When it noticed that this one had ended, once it came back.
    cut: "float | None" = None


class Numbered(Pusher):
    """A push with numbers, which comes back a second after it was cut."""

    pause_s = 1.0

    def __init__(self, tags: List[Tag], channel: str, url: str):
        super().__init__(tags, url, frame_ms=round(FRAME_MS))
        self.channel = channel
        #: By connection.
        self.sent_by: Dict[int, Sent] = {}
        self._current = 0

    def payload(self, tag: Tag) -> bytes:
        if not is_picture(tag):
            return tag.payload
        session = self.sessions[-1]
        known = self.sent_by.get(self._current)
        if known is None or known.began != session.began:
            self._current = next(_connections)
            before = [one.ended for one in self.sessions[:-1] if one.began is not None]
            if known is not None:
                known.cut = before[-1]
            known = Sent(self.channel, session.asked, session.began, returned=before[-1] if before else None)
            self.sent_by[self._current] = known
        return with_number(tag.payload, (self._current, len(known.at)))

    def sent(self, tag: Tag) -> None:
        if is_picture(tag):
            known = self.sent_by[self._current]
            known.at.append(time.monotonic())
            known.ended = known.at[-1]

    @property
    def is_on(self) -> bool:
        """Whether it is connected and the system takes what it sends."""
        known = self.sent_by.get(self._current)
        session = self.sessions[-1] if self.sessions else None
        return bool(known and session and session.began == known.began and session.ended is None and time.monotonic() - known.ended < 0.5)
