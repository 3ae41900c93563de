"""An HTTP/2 connection whose windows the test opens and shuts, over TCP with prior knowledge or within TLS."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from typing import Dict, Optional

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings


@dataclass
class Stream:
    """What has come on one stream."""

    status: int = 0
    body: bytearray = field(default_factory=bytearray)
    ended: bool = False
    reset: Optional[int] = None
    headers: Dict[str, str] = field(default_factory=dict)


class Http2:
    """One connection. Windows are opened only by `open` unless `opens` is set."""

    def __init__(self, address: str, window: Optional[int] = None, opens: bool = False, context=None, timeout_s: float = 20):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout_s)
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_hostname=host)
        self.address, self.scheme = address, "http" if context is None else "https"
        self.opens, self.ended, self.is_told_to_go, self.sent = opens, False, False, 0
        self.streams: Dict[int, Stream] = {}
        self.connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        if window is not None:
            # A value that is set later would be announced later.
            wanted = {h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window}
            self.connection.local_settings = h2.settings.Settings(client=True, initial_values=wanted)
        self.connection.initiate_connection()
        self.flush()
        self.is_agreed = False
        while window is not None and not self.is_agreed and self.receive():
            pass

    def __enter__(self) -> "Http2":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def flush(self) -> None:
        data = self.connection.data_to_send()
        self.sent += len(data)
        self.socket.sendall(data)

    def ask(self, method: str, path: str, headers: Optional[Dict[str, str]] = None, ends: bool = True) -> int:
        """Begins a request and returns its stream."""
        number = self.connection.get_next_available_stream_id()
        pseudo = [(":method", method), (":path", path), (":scheme", self.scheme), (":authority", self.address)]
        self.connection.send_headers(number, pseudo + list((headers or {}).items()), end_stream=ends)
        self.streams[number] = Stream()
        self.flush()
        return number

    def send(self, number: int, data: bytes, ends: bool = True) -> None:
        """Sends a body as fast as the peer's windows open."""
        view = memoryview(data)
        while view:
            room = min(self.connection.local_flow_control_window(number), self.connection.max_outbound_frame_size)
            if room == 0:
                self.receive()
                continue
            self.connection.send_data(number, bytes(view[:room]))
            self.flush()
            view = view[room:]
        if ends:
            self.connection.end_stream(number)
            self.flush()

    def receive(self, timeout_s: float = 20) -> bool:
        """Takes in what has come; false when the peer has closed or nothing came in time."""
        self.socket.settimeout(timeout_s)
        try:
            data = self.socket.recv(65536)
        except TimeoutError:
            return False
        except ConnectionResetError:
            data = b""
        if not data:
            self.ended = True
            return False
        if not self.is_told_to_go:
            try:
                events = self.connection.receive_data(data)
            except h2.exceptions.ProtocolError as error:
                # After the word to go the library takes nothing in, not even a ping.
                if "RECV_PING" not in str(error):
                    raise
                events, self.is_told_to_go = [], True
            for event in events:
                self.take(event)
            self.flush()
        return True

    def take(self, event) -> None:
        stream = self.streams.get(getattr(event, "stream_id", 0) or 0, Stream())
        if isinstance(event, h2.events.ResponseReceived):
            stream.headers = dict(event.headers)
            stream.status = int(stream.headers[":status"])
        elif isinstance(event, h2.events.DataReceived):
            stream.body += event.data
            if self.opens and event.flow_controlled_length:
                self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            stream.ended = True
        elif isinstance(event, h2.events.StreamReset):
            stream.reset = event.error_code
        elif isinstance(event, h2.events.SettingsAcknowledged):
            self.is_agreed = True
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.is_told_to_go = True

    def open(self, number: int, size: int) -> None:
        """Opens the windows of the connection and of a stream."""
        self.connection.increment_flow_control_window(size)
        self.connection.increment_flow_control_window(size, number)
        self.flush()

    def finish(self, number: int, timeout_s: float = 20) -> Stream:
        """Reads until a stream has ended, or the connection has."""
        stream = self.streams[number]
        while not stream.ended and stream.reset is None and self.receive(timeout_s):
            pass
        return stream

    def is_closed(self, timeout_s: float) -> bool:
        """Waits for the end of the connection; what comes before it is taken in."""
        while self.receive(timeout_s):
            pass
        return self.ended
