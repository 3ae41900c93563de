"""What goes wrong in a soak, one kind after the other. Each does its harm, undoes it, and returns when the server can be well again."""

from __future__ import annotations

import errno
import os
import random
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Callable, Dict, List

from .faults import Faults
from .server import Server, wait_for


class SoakServer(Server):
    """A server whose standard error is a pipe, which can be broken."""

    def __init__(self, folder: Path, settings: str = ""):
        self.faults = Faults(folder)
        super().__init__(folder, environment=self.faults.environment, settings=settings, open_files="1024:1024")
        self._pipe = -1

    def stderr(self):
        reads, writes = os.pipe()
        self._pipe = reads
        threading.Thread(target=self._pump, args=(reads,), daemon=True).start()
        return os.fdopen(writes, "wb")

    def _pump(self, reads: int) -> None:
        with self.log_path.open("ab") as log:
            while True:
                try:
                    data = os.read(reads, 65536)
                except OSError:
                    return
                if not data:
                    return
                log.write(data)
                log.flush()

    def break_stderr(self) -> None:
        """Nobody reads it any more: whoever writes gets EPIPE."""
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, self._pipe)
        os.close(null)

    def restart(self) -> None:
        self.start()
        wait_for(lambda: self.admin("/readyz").status_code == 200, "ready", 30)


def kill(server: SoakServer, source: random.Random) -> None:
    server.kill()
    server.restart()


def double_kill(server: SoakServer, source: random.Random) -> None:
    """The second one while it repairs what the first left."""
    server.kill()
    server.start()
    time.sleep(source.uniform(0, 0.3))
    server.kill()
    server.restart()


def pause(server: SoakServer, source: random.Random) -> None:
    server.process.send_signal(signal.SIGSTOP)
    time.sleep(source.uniform(1, 5))
    server.process.send_signal(signal.SIGCONT)


def full_disk(server: SoakServer, source: random.Random) -> None:
    for pattern in (Faults.BLOBS, "*/meta.sqlite*"):
        server.faults.add("write", pattern, errno.ENOSPC)
    server.faults.add("open", Faults.OPEN_SEGMENTS, errno.ENOSPC)
    time.sleep(source.uniform(2, 4))
    server.faults.clear()


def slow_sync(server: SoakServer, source: random.Random) -> None:
    server.faults.add("sync", "*", 0, delay_s=source.uniform(0.2, 0.6))
    time.sleep(3)
    server.faults.clear()


def broken_stderr(server: SoakServer, source: random.Random) -> None:
    server.break_stderr()
    time.sleep(2)


def idle_flood(server: SoakServer, source: random.Random) -> None:
    """More strangers than there are descriptors, who say nothing or half a word."""
    strangers: List[socket.socket] = []
    addresses = [server.http_address, server.rtmp_address]
    for n in range(1000):
        host, port = source.choice(addresses).rsplit(":", 1)
        stranger = socket.socket()
        stranger.settimeout(0.2)
        try:
            stranger.connect((host, int(port)))
            stranger.send(source.choice([b"", b"GET / HT", b"\x03\0\0"]))
        except OSError:
            pass
        strangers.append(stranger)
    time.sleep(2)
    for stranger in strangers:
        stranger.close()


def clock_jump(server: SoakServer, source: random.Random) -> None:
    server.faults.set_clock(source.choice([-3600, -60, 60, 3600]))
    time.sleep(3)
    server.faults.set_clock(0)


def nothing(server: SoakServer, source: random.Random) -> None:
    time.sleep(2)


KINDS: Dict[str, Callable[[SoakServer, random.Random], None]] = {
    "kill -9": kill,
    "double kill": double_kill,
    "SIGSTOP": pause,
    "full disk": full_disk,
    "slow sync": slow_sync,
    "broken stderr": broken_stderr,
    "idle flood": idle_flood,
    "clock jump": clock_jump,
    # How exact the counting is.
    "nothing": nothing,
}
