"""A publisher that knows what it sent: it pushes a file in a loop at its pace, and says up to which millisecond of media the system
took its bytes. An encoder such as ffmpeg keeps that to itself, and eight of them would take the machine."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import List, Optional
from urllib.parse import urlsplit

CHUNK = 1 << 20


@dataclass(frozen=True)
class Tag:
    kind: int
    at_ms: int
    payload: bytes


def flv_tags(path: Path) -> List[Tag]:
    data = path.read_bytes()
    assert data[:3] == b"FLV"
    position, tags = 13, []
    while position + 11 <= len(data):
        kind, size = data[position], int.from_bytes(data[position + 1 : position + 4], "big")
        at_ms = int.from_bytes(data[position + 4 : position + 7], "big") | data[position + 7] << 24
        tags.append(Tag(kind, at_ms, data[position + 11 : position + 11 + size]))
        position += 11 + size + 4
    return tags


def is_setup(tag: Tag) -> bool:
    """Codec configuration and metadata: no media."""
    return tag.kind == 18 or (tag.kind in (8, 9) and len(tag.payload) > 1 and tag.payload[1] == 0 and (tag.kind == 9 or tag.payload[0] >> 4 == 10))


def amf(value) -> bytes:
    if value is None:
        return b"\x05"
    if isinstance(value, bool):
        return b"\x01" + bytes([value])
    if isinstance(value, (int, float)):
        return b"\x00" + struct.pack(">d", value)
    if isinstance(value, str):
        return b"\x02" + struct.pack(">H", len(value)) + value.encode()
    body = b"".join(struct.pack(">H", len(name)) + name.encode() + amf(item) for name, item in value.items())
    return b"\x03" + body + b"\x00\x00\x09"


def message(stream: int, kind: int, at_ms: int, payload: bytes) -> bytes:
    """One message in one chunk, which may be so large."""
    stamp = min(at_ms, 0xFFFFFF)
    extended = struct.pack(">I", at_ms) if stamp == 0xFFFFFF else b""
    chunk_stream = {8: 4, 9: 6}.get(kind, 3)
    head = bytes([chunk_stream]) + stamp.to_bytes(3, "big") + len(payload).to_bytes(3, "big") + bytes([kind]) + struct.pack("<I", stream)
    return head + extended + payload


def command(*values, stream: int = 0) -> bytes:
    return message(stream, 20, 0, b"".join(map(amf, values)))


@dataclass
class Session:
    """One connection: from when to when the system took media."""

    first_ms: Optional[int] = None
    last_ms: Optional[int] = None
    #: When it was asked for, when the server took it and when it ended, monotonic seconds.
    asked: float = 0.0
    began: Optional[float] = None
    ended: Optional[float] = None

    @property
    def sent_ms(self) -> int:
        return 0 if self.first_ms is None else self.last_ms - self.first_ms


class Pusher:
    """Pushes until it is told to stop; begins anew when its connection breaks, as encoders do."""

    #: How long an encoder waits before it tries again.
    pause_s = 0.2

    def __init__(self, tags: List[Tag], url: str, frame_ms: int = 33):
        self.setup = [tag for tag in tags if is_setup(tag)]
        self.media = [tag for tag in tags if not is_setup(tag)]
        self.length_ms = max(tag.at_ms for tag in self.media) + frame_ms
        self.url, self.frame_ms = url, frame_ms
        self.sessions: List[Session] = []
        self.errors: List[str] = []
        self._stop, self._freeze = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> "Pusher":
        self._thread.start()
        return self

    def stop(self, timeout_s: float = 30) -> None:
        """Says goodbye, and waits until the server has said so too."""
        self._stop.set()
        self._thread.join(timeout_s)

    @property
    def is_stopping(self) -> bool:
        return self._stop.is_set()

    @property
    def is_running(self) -> bool:
        """Whether its thread has not ended."""
        return self._thread.is_alive()

    @property
    def sent_ms(self) -> int:
        return sum(session.sent_ms + self.frame_ms for session in self.sessions if session.first_ms is not None)

    def payload(self, tag: Tag) -> bytes:
        """What is sent of a message."""
        return tag.payload

    def sent(self, tag: Tag) -> None:
        """Is called when the system has taken all of a message."""

    def _run(self) -> None:
        while not self._stop.is_set():
            session = Session(asked=time.monotonic())
            self.sessions.append(session)
            try:
                self._push(session)
            except OSError as error:
                self.errors.append(str(error))
                session.ended = time.monotonic()
                self._stop.wait(self.pause_s)
            session.ended = session.ended or time.monotonic()

    def _push(self, session: Session) -> None:
        # A server that was killed has another port: whoever knows is asked each time.
        parts = urlsplit(self.url.now() if hasattr(self.url, "now") else self.url)
        with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._begin(connection, parts)
            session.began = time.monotonic()
            for tag in self.setup:
                connection.sendall(message(1, tag.kind, 0, tag.payload))
            begun, turn = time.monotonic(), 0
            while True:
                for tag in self.media:
                    at_ms = tag.at_ms + turn * self.length_ms
                    wait_s = begun + at_ms / 1000 - time.monotonic()
                    if wait_s > 0:
                        time.sleep(wait_s)
                    if self._stop.is_set():
                        return self._end(connection)
                    connection.sendall(message(1, tag.kind, at_ms, self.payload(tag)))
                    self.sent(tag)
                    if tag.kind == 9:
                        session.first_ms = at_ms if session.first_ms is None else session.first_ms
                        session.last_ms = max(session.last_ms or 0, at_ms)
                turn += 1

    def _begin(self, connection: socket.socket, parts) -> None:
        app, channel = parts.path.strip("/").rsplit("/", 1)
        name = f"{channel}?{parts.query}" if parts.query else channel
        connection.sendall(b"\x03" + bytes(8) + os.urandom(1528))
        answer = b""
        while len(answer) < 3073:
            more = connection.recv(65536)
            if not more:
                raise ConnectionError("closed in the handshake")
            answer += more
        connection.sendall(answer[1:1537])
        connection.sendall(message(0, 1, 0, struct.pack(">I", CHUNK)))
        url = f"rtmp://{parts.netloc}/{app}"
        connection.sendall(command("connect", 1, {"app": app, "type": "nonprivate", "flashVer": "soak", "tcUrl": url}))
        connection.sendall(command("createStream", 2, None))
        connection.sendall(command("publish", 3, None, name, "live", stream=1))
        text = answer[3073:]
        while b"NetStream.Publish.Start" not in text:
            more = connection.recv(65536)
            if not more or b"NetStream.Publish.BadName" in text or b"NetConnection.Connect.Rejected" in text:
                raise ConnectionError(f"refused: {text[-200:]!r}")
            text += more

    def _end(self, connection: socket.socket) -> None:
        connection.sendall(command("FCUnpublish", 4, None, "x") + command("deleteStream", 5, None, 1))
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(20)
        while connection.recv(65536):
            pass
