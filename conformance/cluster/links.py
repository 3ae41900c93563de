"""TCP links between servers and their engines that a test can disturb: what a network does to connections, without root and in one
process of its own, so that the tests' own work does not slow them.

A link passes everything on; is `held` (nothing arrives any more, in either direction, and nobody is told: a partition, or a switch that
is off); or is `refused` (what is open is cut, what is new is closed at once: a machine that is up without its program).
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Dict, List

PASSES, HELD, REFUSED = "passes", "held", "refused"


class Link:
    """One listener and its target, within the process of the links."""

    def __init__(self, target: str):
        self.host, port = target.rsplit(":", 1)
        self.port = int(port)
        self.passes = asyncio.Event()
        self.passes.set()
        self.state = PASSES
        self.writers: List[asyncio.StreamWriter] = []

    async def listen(self) -> str:
        server = await asyncio.start_server(self.connection, "127.0.0.1", 0)
        return f"127.0.0.1:{server.sockets[0].getsockname()[1]}"

    def set(self, state: str) -> None:
        before, self.state = self.state, state
        if state == REFUSED:
            self.cut()
        if state == HELD:
            self.passes.clear()
        elif before == HELD:
            # What was under way when the partition began is lost with its connection: by then one of the two has given it up, and what a
            # network delivers late is tried by pausing programs.
            self.cut()
            self.passes.set()

    def cut(self) -> None:
        for writer in self.writers:
            writer.transport.abort()
        self.writers = []

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        if self.state == REFUSED:
            writer.transport.abort()
            return
        await self.passes.wait()
        try:
            far_reader, far_writer = await asyncio.open_connection(self.host, self.port)
        except OSError:
            writer.transport.abort()
            return
        self.writers.append(far_writer)
        await asyncio.gather(self.pump(reader, far_writer), self.pump(far_reader, writer))
        self.writers = [one for one in self.writers if one not in (writer, far_writer)]
        for one in (writer, far_writer):
            one.transport.abort()

    async def pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                await self.passes.wait()
                writer.write(data)
                await writer.drain()
            await self.passes.wait()
            if writer.can_write_eof():
                writer.write_eof()
        except (OSError, RuntimeError):
            # A side that is gone takes the other with it, when the network is there to say so.
            await self.passes.wait()
            writer.transport.abort()


async def serve(targets: Dict[str, str]) -> None:
    links = {name: Link(target) for name, target in targets.items()}
    print(json.dumps({name: await link.listen() for name, link in links.items()}), flush=True)
    orders = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    while line := await orders.readline():
        order = json.loads(line)
        for name in order["links"]:
            links[name].set(order["state"])
        print("{}", flush=True)
    # Connections that are open need no goodbye.
    os._exit(0)


class Links:
    """The process of the links: `addresses[name]` is where each listens."""

    def __init__(self, targets: Dict[str, str]):
        self._child = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve()), json.dumps(targets)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.addresses: Dict[str, str] = json.loads(self._child.stdout.readline())

    def set(self, state: str, *names: str) -> None:
        self._child.stdin.write(json.dumps({"state": state, "links": names}) + "\n")
        self._child.stdin.flush()
        assert self._child.stdout.readline().strip() == "{}"

    def address(self, name: str) -> str:
        return self.addresses[name]

    def close(self) -> None:
        self._child.stdin.close()
        self._child.wait(10)

    def __enter__(self) -> "Links":
        return self

    def __exit__(self, *_) -> None:
        self.close()


if __name__ == "__main__":
    asyncio.run(serve(json.loads(sys.argv[1])))
