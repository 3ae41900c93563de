"""What strangers can do to publishers and readers who share a machine with them.

strangers   1,000 idle peers at a limit of 1,024 open files, then 5,000 at 20,000: silent ones, half a request, half a
            handshake of RTMP, viewers between two requests. Beside them 200 slow ones: half send a request a byte at a
            time, half read an object a little at a time. All come from many addresses, and whoever is closed comes back after five seconds. Meanwhile 50
            publishers push at the pace of life, and one reader asks for an object of 16 KiB again and again, in turn on
            the connection that it has and on a new one. The strangers come and go twice, so each figure is one of both
            moods of the machine. Media that is not listed is lost; the publishers do not come back.

Alone: bench/run.py --only strangers.
"""

import http.client
import os
import random
import re
import resource
import select
import socket
import statistics
import subprocess
import sys
import threading
import time

from harness import BUCKET, Millpond, oss, resident_kib, say
from publishers import make_sample

#: Idle strangers, and the limit of open files of the server.
KINDS = ((1000, 1024), (5000, 20000))
SLOW = 200
PUBLISHERS = 50
SAMPLE_S = 24
ROUNDS = 4
#: Until a stranger who was closed comes back.
BACK_AFTER_S = 5
#: Length of each part in which answers are timed, and what the strangers need to come or go.
PART_S, SETTLE_S = 8, 6
FRAG_S = 2
#: The encoder's clock and the segments count whole pictures and packets of sound.
SLACK_S = 0.1


class Strangers:
    """Peers in a process of their own: `python strangers.py HTTP RTMP IDLE SLOW`."""

    def __init__(self, http_address, rtmp_address, idle):
        command = [sys.executable, __file__, http_address, rtmp_address, str(idle), str(SLOW)]
        self.child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        if not self.child.stdout.readline():
            raise RuntimeError("the strangers did not come")

    def leave(self):
        self.child.terminate()
        said = self.child.stdout.read()
        self.child.wait()
        return said.strip()


def be_strangers(http_address, rtmp_address, idle, slow):
    """Keeps so many connections, whatever the server does with them, until it is told to end."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    get = f"GET /{BUCKET}/small HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    large = f"GET /{BUCKET}/large HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    openings = [(http_address, b""), (http_address, get[:9]), (http_address, get), (rtmp_address, b""), (rtmp_address, b"\x03" + bytes(700))]
    kinds = [("idle", *openings[n % len(openings)]) for n in range(idle)]
    kinds += [("drips", http_address, get[:9]) if n % 2 else ("sips", http_address, large) for n in range(slow)]
    poller, peers, again, away = select.epoll(), {}, 0, []

    def connect(n):
        kind, address, first = kinds[n]
        host, port = address.rsplit(":", 1)
        peer = socket.socket()
        if kind == "sips":
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        peer.bind((f"127.0.{1 + n % 50}.{1 + n // 50 % 250}", 0))
        peer.settimeout(5)
        try:
            peer.connect((host, int(port)))
            peer.setblocking(False)
            if first:
                peer.send(first)
        except OSError:
            pass
        peers[peer.fileno()] = (peer, n)
        # One that reads nothing is told only that its server has gone.
        poller.register(peer.fileno(), select.EPOLLRDHUP)

    for n in range(len(kinds)):
        connect(n)
        time.sleep(0.0005)
    print("here", flush=True)
    try:
        while True:
            time.sleep(1)
            gone = {number for number, _ in poller.poll(0, len(kinds) + 1)}
            for number, (peer, n) in list(peers.items()):
                kind = kinds[n][0]
                try:
                    if kind == "drips":
                        peer.send(b"x")
                    elif kind == "sips":
                        peer.recv(4096)
                except BlockingIOError:
                    pass
                except OSError:
                    gone.add(number)
            for number in gone:
                poller.unregister(number)
                peer, n = peers.pop(number)
                peer.close()
                away.append((time.monotonic() + BACK_AFTER_S, n))
            while away and away[0][0] <= time.monotonic():
                connect(away.pop(0)[1])
                again += 1
    except KeyboardInterrupt:
        print(f"{again} came back after they were closed")


class Reader:
    """Asks for the same object again and again; seconds until each answer was whole."""

    def __init__(self, address):
        self.address = address
        self.kept, self.new, self.errors = [], [], []
        self.connection = None

    def connect(self):
        host, port = self.address.rsplit(":", 1)
        connection = socket.create_connection((host, int(port)), 20)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    @staticmethod
    def ask(connection):
        connection.sendall(f"GET /{BUCKET}/small HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        answer = b""
        while True:
            piece = connection.recv(65536)
            if not piece:
                raise ConnectionError(f"cut after {len(answer)} bytes")
            answer += piece
            head = answer.find(b"\r\n\r\n")
            if head >= 0:
                length = int(re.search(rb"(?i)\r\ncontent-length: (\d+)", answer)[1])
                if len(answer) >= head + 4 + length:
                    if not answer.startswith(b"HTTP/1.1 200"):
                        raise ConnectionError(answer[:100].decode(errors="replace"))
                    return

    def run(self, seconds):
        self.kept, self.new = [], []
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for seen in (self.kept, self.new):
                begun = time.monotonic()
                try:
                    if seen is self.new:
                        with self.connect() as connection:
                            self.ask(connection)
                    else:
                        # A client opens another connection when its own was closed while it was idle, and the user waits for that.
                        try:
                            self.connection = self.connection or self.connect()
                            self.ask(self.connection)
                        except OSError:
                            self.connection = self.connect()
                            self.ask(self.connection)
                except OSError as error:
                    self.errors.append(str(error))
                    self.connection = None
                seen.append(time.monotonic() - begun)
                time.sleep(0.001)
        return p99(self.kept), p99(self.new)


def p99(seen):
    return sorted(seen)[int(len(seen) * 0.99)]


def create(millpond, names):
    oss(millpond.http, "PUT", f"/{BUCKET}/", headers={"x-oss-acl": "public-read-write"})
    body = (
        f"<LiveChannelConfiguration><Target><Type>HLS</Type><FragDuration>{FRAG_S}</FragDuration>"
        "<FragCount>100</FragCount></Target></LiveChannelConfiguration>"
    )
    for name in names:
        oss(millpond.http, "PUT", f"/{BUCKET}/{name}?live", body.encode())
    for key, size in (("small", 16384), ("large", 64 << 20)):
        connection = http.client.HTTPConnection(millpond.http, timeout=60)
        connection.request("PUT", f"/{BUCKET}/{key}", random.randbytes(size))
        if connection.getresponse().status != 200:
            raise RuntimeError(f"{key} could not be stored")


def listed_seconds(millpond, name):
    connection = http.client.HTTPConnection(millpond.http, timeout=20)
    connection.request("GET", f"/{BUCKET}/{name}/playlist.m3u8")
    text = connection.getresponse().read().decode()
    return sum(float(seconds) for seconds in re.findall(r"#EXTINF:([\d.]+)", text))


def measured(args, sample, idle, files):
    """Seconds of media that were lost, p99 of GET without and with strangers on kept and new connections, MiB at most."""
    with Millpond(args.millpond, args.scratch / f"strangers-{idle}", open_files=f"{files}:{files}") as millpond:
        names = [f"ch{n}" for n in range(PUBLISHERS)]
        create(millpond, names)
        command = [str(args.millpond), "publish", millpond.push_url("ch{n}"), "--file", str(sample)]
        command += ["--rounds", str(ROUNDS), "--publishers", str(PUBLISHERS)]
        pushes = subprocess.Popen(command, env={**os.environ}, stdin=subprocess.DEVNULL)
        reader, most, done = Reader(millpond.http), [0], threading.Event()

        def watch():
            while not done.wait(0.2):
                most[0] = max(most[0], resident_kib(millpond.pid))

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        without, beside = [], []
        try:
            time.sleep(SETTLE_S)
            for _ in range(2):
                without.append(reader.run(PART_S))
                strangers = Strangers(millpond.http, millpond.rtmp_address, idle)
                try:
                    time.sleep(SETTLE_S)
                    beside.append(reader.run(PART_S))
                finally:
                    said = strangers.leave()
                say(f"{idle} strangers at {files} files: p99 {without[-1]} s without, {beside[-1]} s with; {said}")
                time.sleep(2)
            if pushes.wait(ROUNDS * SAMPLE_S + 30) != 0:
                raise RuntimeError("a publisher was cut off")
        finally:
            pushes.kill()
            pushes.wait()
            done.set()
            watcher.join()
        if reader.errors:
            raise RuntimeError(f"{len(reader.errors)} requests failed: {reader.errors[:3]}")
        lost = [max(0.0, ROUNDS * SAMPLE_S - listed_seconds(millpond, name)) for name in names]
        counted = re.findall(r"^millpond_media_lost_seconds_total(?:\{[^}]*\})? (\S+)$", millpond.metrics(), re.M)
        worst = max(max(lost), sum(map(float, counted)))
        return (0.0 if worst < SLACK_S else worst), without, beside, most[0] / 1024


def rows(args, _only):
    sample = args.scratch.parent / "publishers.flv"
    make_sample(sample)
    found = []
    for idle, files in KINDS:
        lost, without, beside, mib = measured(args, sample, idle, files)
        who = f"{idle:,} idle and {SLOW} slow strangers, {files:,} files"
        found += [(f"{who}: lost by {PUBLISHERS} publishers", f"{lost:.1f} s of {PUBLISHERS * ROUNDS * SAMPLE_S:,} s", "nothing")]
        for at, kind in enumerate(("kept", "new")):
            before, after = (statistics.median(one[at] * 1000 for one in seen) for seen in (without, beside))
            found += [(f"p99 of GET, {kind} connection: without, with them", f"{before:.1f}, {after:.1f} ms; {after / before:.2f}", "at most 2")]
        found += [("Resident memory at most", f"{mib:.0f} MiB", "below 400 MiB")]
    return found


if __name__ == "__main__":
    import signal

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    be_strangers(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
