"""A strict HLS media playlist reader: it accepts what LiveChannel 4.4 and 5.3 say and nothing else.

`Playlist.parse` refuses text that breaks the layout; `violations` names every rule of RFC 8216 that a playlist breaks, alone or
against the version before it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import List, Optional


class Malformed(Exception):
    """The text is not a playlist of the layout in LiveChannel 4.4."""


@dataclass(frozen=True)
class Segment:
    uri: str
    duration_ms: int
    discontinuity: bool
    program_date_time: Optional[str]


@dataclass
class Playlist:
    media_sequence: int
    discontinuity_sequence: int
    target_duration: int
    segments: List[Segment] = field(default_factory=list)
    end_list: bool = False
    text: str = ""
    independent: bool = False
    is_vod: bool = False

    @property
    def uris(self) -> List[str]:
        return [segment.uri for segment in self.segments]

    @property
    def next_sequence(self) -> int:
        return self.media_sequence + len(self.segments)

    def at(self, sequence: int) -> Segment:
        return self.segments[sequence - self.media_sequence]

    @staticmethod
    def parse(text: str) -> "Playlist":
        if "\r" in text:
            raise Malformed("line ends are LF")
        if not text.endswith("\n") or text.endswith("\n\n"):
            raise Malformed("exactly one LF after the last line")
        lines = text.split("\n")[:-1]
        position = 0

        def take(pattern: str, what: str) -> "re.Match[str]":
            nonlocal position
            match = re.fullmatch(pattern, lines[position]) if position < len(lines) else None
            if match is None:
                found = lines[position] if position < len(lines) else "the end"
                raise Malformed(f"line {position + 1}: expected {what}, found {found!r}")
            position += 1
            return match

        def maybe(pattern: str) -> "Optional[re.Match[str]]":
            nonlocal position
            if position < len(lines):
                match = re.fullmatch(pattern, lines[position])
                if match is not None:
                    position += 1
                    return match
            return None

        take("#EXTM3U", "#EXTM3U")
        take("#EXT-X-VERSION:3", "#EXT-X-VERSION:3")
        independent = maybe("#EXT-X-INDEPENDENT-SEGMENTS") is not None
        is_vod = maybe("#EXT-X-PLAYLIST-TYPE:VOD") is not None
        media_sequence = int(take(r"#EXT-X-MEDIA-SEQUENCE:(\d+)", "EXT-X-MEDIA-SEQUENCE")[1])
        discontinuities = maybe(r"#EXT-X-DISCONTINUITY-SEQUENCE:(\d+)")
        target_duration = int(take(r"#EXT-X-TARGETDURATION:([1-9]\d*)", "EXT-X-TARGETDURATION")[1])
        playlist = Playlist(media_sequence, int(discontinuities[1]) if discontinuities else 0, target_duration, text=text)
        playlist.independent, playlist.is_vod = independent, is_vod
        while position < len(lines):
            if maybe("#EXT-X-ENDLIST"):
                if position != len(lines):
                    raise Malformed("something follows EXT-X-ENDLIST")
                playlist.end_list = True
                break
            discontinuity = maybe("#EXT-X-DISCONTINUITY") is not None
            date = maybe(r"#EXT-X-PROGRAM-DATE-TIME:(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)")
            seconds = take(r"#EXTINF:(\d+)\.(\d{3}),", "EXTINF with three decimals and no title")
            uri = take(r"[^#/\s][^/\s]*", "a bare object name")[0]
            playlist.segments.append(
                Segment(uri, int(seconds[1]) * 1000 + int(seconds[2]), discontinuity, date[1] if date else None)
            )
        return playlist


def violations(playlist: Playlist, previous: Optional[Playlist] = None) -> List[str]:
    """Every rule that `playlist` breaks by itself or as the successor of `previous`; versions in between may have been missed."""
    found: List[str] = []
    if not playlist.segments:
        found.append("a playlist without segments")
    for segment in playlist.segments:
        # RFC 8216 4.3.3.1: rounded to the nearest integer, a duration is at most the target.
        if (segment.duration_ms + 500) // 1000 > playlist.target_duration:
            found.append(f"{segment.uri} lasts {segment.duration_ms} ms, the target is {playlist.target_duration} s")
        if segment.duration_ms == 0:
            found.append(f"{segment.uri} lasts nothing")
    names = playlist.uris
    if len(set(names)) != len(names):
        found.append("a segment is listed twice")
    numbers = [int(name[:-3]) for name in names if re.fullmatch(r"\d+\.ts", name)]
    if len(numbers) != len(names):
        found.append(f"segment names are numbers with .ts (LiveChannel 4.3): {names}")
    elif numbers != sorted(numbers):
        found.append(f"segment numbers rise (LiveChannel 4.3): {numbers}")
    if previous is not None:
        found.extend(_against(playlist, previous))
    return found


def _against(playlist: Playlist, previous: Playlist) -> List[str]:
    found: List[str] = []
    if previous.end_list and playlist.text != previous.text:
        return ["the playlist changed after EXT-X-ENDLIST (RFC 8216 6.2.1)"]
    if playlist.media_sequence < previous.media_sequence:
        found.append(f"EXT-X-MEDIA-SEQUENCE fell from {previous.media_sequence} to {playlist.media_sequence}")
        return found
    if playlist.next_sequence < previous.next_sequence:
        found.append(f"the newest segment {previous.next_sequence - 1} vanished")
        return found
    common = range(playlist.media_sequence, min(previous.next_sequence, playlist.next_sequence))
    for sequence in common:
        before, after = previous.at(sequence), playlist.at(sequence)
        # A date appears when a segment becomes the first of the list, so it is not part of the identity (D10).
        if (before.uri, before.duration_ms, before.discontinuity) != (after.uri, after.duration_ms, after.discontinuity):
            found.append(f"segment {sequence} changed: {before} became {after} (RFC 8216 6.2.1)")
    if len(common) > 0 and playlist.target_duration != previous.target_duration:
        found.append(f"EXT-X-TARGETDURATION changed: {previous.target_duration} became {playlist.target_duration}")
    if playlist.media_sequence <= previous.next_sequence:
        removed = previous.segments[: playlist.media_sequence - previous.media_sequence]
        expected = previous.discontinuity_sequence + sum(segment.discontinuity for segment in removed)
        if playlist.discontinuity_sequence != expected:
            found.append(
                f"EXT-X-DISCONTINUITY-SEQUENCE is {playlist.discontinuity_sequence}, "
                f"{expected} discontinuities were removed (RFC 8216 6.2.2)"
            )
    elif playlist.discontinuity_sequence < previous.discontinuity_sequence:
        found.append("EXT-X-DISCONTINUITY-SEQUENCE fell")
    if set(previous.uris) & set(playlist.uris) and len(common) == 0:
        found.append("a segment kept its name and changed its number")
    return found
