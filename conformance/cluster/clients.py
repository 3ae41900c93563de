"""Who uses an installation while it is disturbed: writers of objects, viewers of channels, players of recordings, makers of VOD playlists.
They only note what they saw; `history.py` judges it."""

from __future__ import annotations

import hashlib
import random
import threading
import time
from typing import Dict, List, Optional, Set

import oss2
import requests

from history import Look, Reads
from millpond_test import media
from millpond_test.playlist import Malformed, Playlist
from millpond_test.workload import Objects
from numbered import Number, numbers_in

#: How long a player tries to get something, and how long it waits for an answer before it asks again (those of hls.js).
PATIENCE_S, ANSWER_S = 20.0, 10.0


class Writers(Objects):
    """Writers of objects, below a prefix that nobody had before. A key whose last change was not answered is left alone from then on: it
    may be done later."""

    def __init__(self, server, bucket: str, writers: int, source: random.Random, prefix: str):
        super().__init__(server, bucket, writers, source)
        self.prefix = prefix

    def _write(self, writer: int, source: random.Random) -> None:
        client, lives, number = self._client(), [0] * 8, 0
        while not self._stop.is_set():
            place, number = source.randrange(8), number + 1
            if not self.change(client, f"{self.prefix}/{writer}/{place}-{lives[place]}", number, source):
                lives[place] += 1
            self._stop.wait(0.05)

    def settled(self) -> Dict[str, Optional[str]]:
        """What each key holds now; a key without an answer is not among them."""
        found = {}
        for key in sorted(self.may):
            for _ in range(40):
                try:
                    found[key] = hashlib.md5(self._client().get_object(key).read()).hexdigest()
                except oss2.exceptions.NoSuchKey:
                    found[key] = None
                except (oss2.exceptions.OssError, requests.RequestException, OSError):
                    time.sleep(0.25)
                    continue
                break
        return found


class Worker:
    """Something that is done again and again by a thread until it is stopped."""

    pause_s = 0.1

    def __init__(self):
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._error: Optional[Exception] = None

    def start(self):
        self._thread.start()
        return self

    def stop(self) -> None:
        self._over.set()
        self._thread.join(60)
        assert not self._thread.is_alive(), f"{type(self).__name__} hangs"
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            while not self._over.wait(self.pause_s):
                self.once()
        except Exception as error:
            # Who sees nothing any more must not pass for one who saw nothing wrong.
            self._error = error

    def once(self) -> None:
        raise NotImplementedError


class Viewer(Worker):
    """Looks at the playlists of channels at one address, which may be a server or the balancer, and reads each segment that is new."""

    def __init__(self, server, bucket: str, channels: List[str]):
        super().__init__()
        self.server, self.bucket, self.channels = server, bucket, channels
        self.looks: Dict[str, List[Look]] = {channel: [] for channel in channels}
        #: Hashes of the bytes of each segment, by its path.
        self.seen: Dict[str, List[str]] = {}
        self.wrong: List[str] = []
        self._session = requests.Session()

    def once(self) -> None:
        for channel in self.channels:
            if self._over.is_set():
                return
            self.look(channel)

    def get(self, path: str) -> Optional[requests.Response]:
        try:
            return self._session.get(self.server.url(f"{self.bucket}/{path}"), timeout=15)
        except requests.RequestException:
            return None

    def look(self, channel: str) -> Optional[Playlist]:
        asked = time.monotonic()
        answer = self.get(f"{channel}/playlist.m3u8")
        if answer is None or answer.status_code >= 500:
            return None
        if answer.status_code != 200:
            # Before its first segment a channel has no list.
            if self.looks[channel]:
                self.wrong.append(f"{channel}/playlist.m3u8, which was there: {answer.status_code}")
            return None
        try:
            playlist = Playlist.parse(answer.text)
        except Malformed as error:
            self.wrong.append(f"{channel}/playlist.m3u8: {error}")
            return None
        self.looks[channel].append(Look(asked, time.monotonic(), playlist))
        for uri in playlist.uris[-3:]:
            if f"{channel}/{uri}" not in self.seen:
                self.read(f"{channel}/{uri}")
        return playlist

    def read(self, path: str) -> Optional[bytes]:
        answer = self.get(path)
        if answer is None or answer.status_code >= 500:
            return None
        if answer.status_code != 200:
            self.wrong.append(f"{path}, which is listed: {answer.status_code}")
            return None
        self.seen.setdefault(path, []).append(hashlib.md5(answer.content).hexdigest())
        return answer.content


class Player(Worker):
    """Plays a recording over and over: its list and all of its segments. What does not come is asked for again, as players do."""

    def __init__(self, server, bucket: str, channel: str):
        super().__init__()
        self.base = server.url(f"{bucket}/{channel}")
        self.reads, self._known = Reads(), {}

    def once(self) -> None:
        text = self.get("playlist.m3u8")
        for line in (text or b"").decode().splitlines():
            if line and not line.startswith("#") and not self._over.is_set():
                self.get(line)
                self._over.wait(0.05)

    def get(self, name: str) -> Optional[bytes]:
        begun = time.monotonic()
        while True:
            try:
                answer = requests.get(f"{self.base}/{name}", timeout=ANSWER_S)
                said = str(answer.status_code)
                if answer.status_code == 200:
                    break
                if answer.status_code < 500:
                    self.reads.failed.append(f"{name}: {said}")
                    return None
            except requests.RequestException as error:
                said = type(error).__name__
            if time.monotonic() - begun > PATIENCE_S:
                self.reads.failed.append(f"{name}: {said}")
                return None
            self.reads.repeated.append(f"{name}: {said}")
            time.sleep(0.5)
        self.reads.answered_s.append(time.monotonic() - begun)
        if self._known.setdefault(name, answer.content) != answer.content:
            self.reads.failed.append(f"{name} is another")
        return answer.content


class Editor(Worker):
    """Makes VOD playlists of what is recorded, stored and returned ones; what they list has to have been listed live."""

    pause_s = 0.3

    def __init__(self, server, bucket: str, channels: List[str], source: random.Random):
        super().__init__()
        self.client, self.channels, self.source = server.bucket(bucket), channels, source
        self.began = int(time.time()) - 1
        self.done, self.refused = 0, 0
        self.wrong: List[str] = []
        #: What they listed, by channel.
        self.listed: Dict[str, Set[str]] = {}

    def once(self) -> None:
        channel = self.source.choice(self.channels)
        span = (self.began, int(time.time()))
        try:
            if self.source.random() < 0.5:
                text = self.client.get_vod_playlist(channel, *span).playlist
            else:
                self.client.post_vod_playlist(channel, "vod.m3u8", *span)
                text = self.client.get_object(f"{channel}/vod.m3u8").read().decode()
        except oss2.exceptions.NoSuchKey as error:
            self.wrong.append(f"{channel}/vod.m3u8, which was made: {error}")
            return
        except (oss2.exceptions.OssError, requests.RequestException, OSError):
            self.refused += 1
            return
        self.done += 1
        try:
            playlist = Playlist.parse(text)
            self.listed.setdefault(channel, set()).update(playlist.uris)
            if not playlist.end_list:
                self.wrong.append(f"{channel}: a VOD playlist without an end")
        except Malformed as error:
            self.wrong.append(f"{channel}/vod.m3u8: {error}")


class Camera(Worker):
    """A real encoder, ffmpeg, which is started again a second after it was cut."""

    pause_s = 1.0

    def __init__(self, path, url):
        super().__init__()
        self.path, self.url = path, url

    def once(self) -> None:
        with media.Push(self.path, self.url(), loop=True) as push:
            while push.running() and not self._over.wait(0.1):
                pass
            if push.running():
                push.interrupt()


def end_of(viewer: Viewer, channel: str) -> "tuple[List[Number], Dict[str, bool]]":
    """After all is over: the pictures that a channel lists, in order, and which of its segments are there."""
    playlist, there, pictures = None, {}, []
    for _ in range(40):
        playlist = viewer.look(channel)
        if playlist is not None:
            break
        time.sleep(0.25)
    for uri in playlist.uris if playlist else []:
        path, content = f"{channel}/{uri}", None
        for _ in range(40):
            content = viewer.read(path)
            if content is not None:
                break
            time.sleep(0.25)
        there[path] = content is not None
        pictures += numbers_in(content or b"")
    return pictures, there
