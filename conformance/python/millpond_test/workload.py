"""What a soak does to a server, and what it knows must be true: pushes that count what they sent, writers that remember what was
acknowledged, readers that compare."""

from __future__ import annotations

import hashlib
import random
import re
import threading
import time
from typing import Dict, List, Optional, Set

import oss2
import requests

from .playlist import Malformed, Playlist
from .server import Server

#: What an absent object is in the model.
ABSENT = None


def body(key: str, number: int, size: int) -> bytes:
    """Bytes that tell what they are, so that those of another object or of another time are seen."""
    stamp = f"{key}#{number};".encode()
    return (stamp * (size // len(stamp) + 1))[:size]


def is_body(key: str, found: bytes) -> bool:
    """Whether these are bytes of this object as it was at some time."""
    stamp = re.match(rb"[^#]*#(\d+);", found)
    return stamp is not None and found == body(key, int(stamp[1]), len(found))


class Objects:
    """Writers of objects, each with keys of its own, and the model: what each key may hold."""

    def __init__(self, server: Server, bucket: str, writers: int, source: random.Random):
        self.server, self.bucket = server, bucket
        self.may: Dict[str, Set[Optional[str]]] = {}
        self.lock = threading.Lock()
        self.acknowledged, self.refused, self.reads = 0, 0, 0
        self.wrong: List[str] = []
        self.lost: List[str] = []
        self._stop = threading.Event()
        seeds = [source.random() for _ in range(2 * writers)]
        self._threads = [threading.Thread(target=self._write, args=(n, random.Random(seeds[n])), daemon=True) for n in range(writers)]
        self._threads += [threading.Thread(target=self._read, args=(random.Random(seed),), daemon=True) for seed in seeds[writers:]]

    def start(self) -> "Objects":
        for thread in self._threads:
            thread.start()
        return self

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(40)
        assert not any(thread.is_alive() for thread in self._threads), "a writer or a reader hangs"

    def _client(self) -> oss2.Bucket:
        return oss2.Bucket(self.server.bucket(self.bucket).auth, self.server.endpoint, self.bucket, connect_timeout=20)

    def _write(self, writer: int, source: random.Random) -> None:
        number, client, endpoint = 0, self._client(), self.server.endpoint
        while not self._stop.is_set():
            if endpoint != self.server.endpoint:
                client, endpoint = self._client(), self.server.endpoint
            key, number = f"o/{writer}/{source.randrange(8)}", number + 1
            self.change(client, key, number, source)
            self._stop.wait(0.01)

    def change(self, client: oss2.Bucket, key: str, number: int, source: random.Random) -> bool:
        """One put or delete; whether it was acknowledged. Until it is, both what was and what shall be are possible."""
        data = body(key, number, source.choice([200, 3_000, 30_000, 200_000])) if source.random() < 0.8 else None
        digest = ABSENT if data is None else hashlib.md5(data).hexdigest()
        with self.lock:
            self.may.setdefault(key, {ABSENT}).add(digest)
        try:
            if data is None:
                client.delete_object(key)
            else:
                client.put_object(key, data)
        except (oss2.exceptions.OssError, requests.RequestException, OSError):
            self.refused += 1
            time.sleep(0.05)
            return False
        with self.lock:
            self.may[key] = {digest}
        self.acknowledged += 1
        return True

    def _read(self, source: random.Random) -> None:
        while not self._stop.is_set():
            with self.lock:
                keys = sorted(self.may)
            if keys:
                self.compare(source.choice(keys))
            self._stop.wait(0.02)

    def compare(self, key: str, is_final: bool = False) -> bool:
        """Reads a key and looks whether it may be so; whether there was an answer."""
        with self.lock:
            before = set(self.may.get(key, {ABSENT}))
        try:
            found = self._client().get_object(key).read()
        except oss2.exceptions.NoSuchKey:
            found = None
        except (oss2.exceptions.OssError, requests.RequestException, OSError):
            return False
        self.reads += 1
        digest = ABSENT if found is None else hashlib.md5(found).hexdigest()
        with self.lock:
            # What was written while it was read is as good, and so is what was replaced twice meanwhile: only keys at rest are lost.
            may = before | self.may.get(key, {ABSENT})
            if is_final:
                self.may[key] = {digest}
        if digest in may:
            return True
        if found is None or is_final:
            if is_final:
                self.lost.append(key)
        elif not is_body(key, found):
            self.wrong.append(key)
        return True

    def settle(self) -> None:
        """Nobody writes any more: every key is compared, and what is found is the truth from here on."""
        for key in sorted(self.may):
            for _ in range(50):
                if self.compare(key, is_final=True):
                    break
                time.sleep(0.2)
            else:
                self.lost.append(f"{key}: no answer")


class Viewer:
    """Plays channels: remembers each segment that was listed, and what it was."""

    def __init__(self, server: Server, bucket: str, channels: List[str]):
        self.server, self.bucket, self.channels = server, bucket, channels
        self.seen: Dict[str, str] = {}
        self.wrong: List[str] = []
        self.lost: List[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> "Viewer":
        self._thread.start()
        return self

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(40)

    def _run(self) -> None:
        while not self._stop.is_set():
            for channel in self.channels:
                self.look(channel)
            self._stop.wait(0.1)

    def _get(self, path: str) -> Optional[requests.Response]:
        try:
            return requests.get(self.server.url(f"{self.bucket}/{path}"), timeout=20)
        except requests.RequestException:
            return None

    def playlist(self, channel: str) -> Optional[Playlist]:
        answer = self._get(f"{channel}/playlist.m3u8")
        if answer is None or answer.status_code != 200:
            return None
        try:
            return Playlist.parse(answer.text)
        except Malformed as error:
            self.wrong.append(f"{channel}/playlist.m3u8: {error}")
            return None

    def look(self, channel: str) -> Optional[Playlist]:
        playlist = self.playlist(channel)
        for segment in playlist.segments if playlist else []:
            path = f"{channel}/{segment.uri}"
            if path not in self.seen:
                self.fetch(path)
        return playlist

    def fetch(self, path: str) -> bool:
        """A segment as it is now; whether there was an answer that says so."""
        answer = self._get(path)
        if answer is None or answer.status_code >= 500:
            return False
        if answer.status_code != 200:
            self.lost.append(f"{path}: {answer.status_code}")
            return True
        digest = hashlib.md5(answer.content).hexdigest()
        if self.seen.setdefault(path, digest) != digest or len(answer.content) % 188:
            self.wrong.append(path)
        return True

    def settle(self) -> Dict[str, int]:
        """Every segment that was ever listed is fetched again; how much media each channel lists, ms."""
        listed = {}
        for channel in self.channels:
            playlist = None
            for _ in range(50):
                playlist = self.look(channel)
                if playlist:
                    break
                time.sleep(0.2)
            listed[channel] = sum(segment.duration_ms for segment in playlist.segments) if playlist else 0
            now = {f"{channel}/{segment.uri}" for segment in playlist.segments} if playlist else set()
            self.lost += [f"{path}: not listed any more" for path in self.seen if path.startswith(f"{channel}/") and path not in now]
        for path in list(self.seen):
            if not any(self.fetch(path) or time.sleep(0.2) for _ in range(50)):
                self.lost.append(f"{path}: no answer")
        return listed
