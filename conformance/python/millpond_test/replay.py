"""Sending recorded bytes of an encoder, whole or in pieces, and a raw RTMP publisher for what no encoder would send."""

from __future__ import annotations

import random
import socket
import time
from pathlib import Path
from typing import Iterator, Tuple

from .server import ROOT

CAPTURES = ROOT / "crates" / "media" / "testdata"
CAPTURE_NAMES = ["ffmpeg-5.1", "obs-29.0", "gstreamer-1.22-rtmp2sink", "librtmp-2.4-rtmpsink"]
CAPTURE_BUCKET, CAPTURE_CHANNEL = "examplebucket", "test-channel"


def capture(name: str) -> bytes:
    return (CAPTURES / f"{name}.c2s").read_bytes()


def whole(data: bytes) -> Iterator[bytes]:
    yield data


def pieces(data: bytes, seed: int) -> Iterator[bytes]:
    """Random cuts: single bytes at first, where the handshake is, then anything up to three packets' worth."""
    source = random.Random(seed)
    position = 0
    while position < len(data):
        size = source.randint(1, 7) if position < 64 else source.choice([1, 2, 11, 12, 128, 129, 1460, 4096, 4380])
        yield data[position : position + size]
        position += size


def replay(address: str, parts: Iterator[bytes], linger_s: float = 5.0) -> bytes:
    """Sends the parts, ends the sending side, reads the server's answer to its end."""
    host, port = address.rsplit(":", 1)
    answer = bytearray()
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setblocking(False)
        for part in parts:
            view = memoryview(part)
            while view:
                answer += _read_available(connection)
                try:
                    view = view[connection.send(view) :]
                except BlockingIOError:
                    time.sleep(0.001)
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(linger_s)
        while True:
            try:
                more = connection.recv(65536)
            except (socket.timeout, ConnectionResetError):
                break
            if not more:
                break
            answer += more
    return bytes(answer)


def _read_available(connection: socket.socket) -> bytes:
    try:
        return connection.recv(65536)
    except BlockingIOError:
        return b""


def exchange(address: str, data: bytes, timeout_s: float = 5.0) -> Tuple[bytes, bool]:
    """Sends `data` on a fresh connection, then reads until the peer closes; says whether it closed within `timeout_s`."""
    host, port = address.rsplit(":", 1)
    answer = bytearray()
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            return bytes(answer), True
        connection.settimeout(timeout_s)
        while True:
            try:
                more = connection.recv(65536)
            except socket.timeout:
                return bytes(answer), False
            except ConnectionResetError:
                return bytes(answer), True
            if not more:
                return bytes(answer), True
            answer += more
