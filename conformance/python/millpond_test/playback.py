"""Reading what the server publishes as a player does: playlists, segments, and a poller that watches a running push."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Dict, List, Optional
from urllib.parse import urljoin

import requests

from .playlist import Malformed, Playlist, violations
from .ts import Report, check


def fetch_playlist(url: str) -> Playlist:
    response = requests.get(url, timeout=10)
    assert response.status_code == 200, f"{response.status_code} {response.text}"
    assert response.headers["Content-Type"] == "application/x-mpegURL"
    return Playlist.parse(response.text)


def fetch_segments(url: str, playlist: Playlist) -> List[bytes]:
    bodies = []
    with requests.Session() as session:
        for segment in playlist.segments:
            response = session.get(urljoin(url, segment.uri), timeout=10)
            assert response.status_code == 200, f"{segment.uri}: {response.status_code} {response.text[:300]}"
            bodies.append(response.content)
    return bodies


def read_stream(url: str) -> "tuple[Playlist, Report]":
    """The playlist now and the strict report over its segments; both without a violation."""
    playlist = fetch_playlist(url)
    assert violations(playlist) == []
    report = check(fetch_segments(url, playlist), [segment.discontinuity for segment in playlist.segments])
    assert report.violations == []
    return playlist, report


@dataclass
class Seen:
    at: float
    playlist: Playlist


class Poller:
    """Polls a live playlist and every segment it names, from before the push until after it.

    Faults are anything a player would stumble over: a status other than 200 once the list was there, a broken rule, a segment that
    is missing, short or different from one reading to the next.
    """

    def __init__(self, url: str, every_s: float = 0.05):
        self.url = url
        self.every_s = every_s
        self.versions: List[Seen] = []
        self.segments: Dict[str, bytes] = {}
        self.faults: List[str] = []
        self.requests = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Poller":
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._stop.set()
        self._thread.join(15)

    @property
    def last(self) -> Optional[Playlist]:
        return self.versions[-1].playlist if self.versions else None

    def _fault(self, text: str) -> None:
        if len(self.faults) < 50:
            self.faults.append(text)

    def _run(self) -> None:
        with requests.Session() as session:
            while not self._stop.is_set():
                try:
                    self._poll(session)
                except requests.RequestException as error:
                    self._fault(f"the connection failed: {error}")
                except Malformed as error:
                    self._fault(f"malformed playlist: {error}")
                self._stop.wait(self.every_s)

    def _poll(self, session: requests.Session) -> None:
        response = session.get(self.url, timeout=10)
        self.requests += 1
        if response.status_code != 200:
            if self.versions or response.status_code != 404:
                self._fault(f"playlist: {response.status_code} after {len(self.versions)} versions")
            return
        if self.last is not None and response.text == self.last.text:
            return
        playlist = Playlist.parse(response.text)
        for violation in violations(playlist, self.last):
            self._fault(violation)
        self.versions.append(Seen(time.monotonic(), playlist))
        for segment in playlist.segments:
            if segment.uri in self.segments:
                continue
            body = session.get(urljoin(self.url, segment.uri), timeout=10)
            if body.status_code != 200:
                self._fault(f"{segment.uri}: {body.status_code} although listed")
            elif not body.content or len(body.content) % 188 or len(body.content) != int(body.headers["Content-Length"]):
                self._fault(f"{segment.uri}: {len(body.content)} bytes")
            else:
                self.segments[segment.uri] = body.content

    def recheck(self) -> None:
        """Reads every segment again: what was listed never changes and never goes away."""
        for uri, body in self.segments.items():
            response = requests.get(urljoin(self.url, uri), timeout=10)
            if response.status_code != 200 or response.content != body:
                self._fault(f"{uri}: another body on the second reading ({response.status_code})")
