"""What must be true of everything that clients saw of an installation, whatever happened to it. Each check is a function of what was
seen, and returns what is wrong as sentences; `test_history.py` shows each of them a history that it must not accept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

from millpond_test.playlist import Playlist, violations
from numbered import FRAME_MS, Number, Sent


@dataclass(frozen=True)
class Look:
    """A playlist as somebody saw it: when the question left and the answer was there, monotonic seconds."""

    asked: float
    answered: float
    playlist: Playlist


@dataclass
class Loss:
    """Media that one connection sent and that is not listed."""

    channel: str
    connection: int
    #: When it happened: its connection was cut, or, within a connection, when the last picture of it was sent.
    at: float
    pictures: int
    #: Whether pictures of the same connection are listed after it: a hole, not an end.
    is_hole: bool

    @property
    def ms(self) -> int:
        return round(self.pictures * FRAME_MS)


@dataclass(frozen=True)
class Disturbance:
    """What was done to the installation, when that began, and how much of a stream it may cost."""

    kind: str
    begun: float
    #: Media of a stream, ms.
    may_lose_ms: int
    #: Whether a push that was cut by it is to be taken within RETURN_S of its encoder's return.
    is_return_bounded: bool = True


@dataclass
class Reads:
    """What somebody who plays a recording met: moments and how long it took until each answer was there."""

    answered_s: List[float] = field(default_factory=list)
    #: Answers that were none, and came when they were asked for again.
    repeated: List[str] = field(default_factory=list)
    failed: List[str] = field(default_factory=list)


def lost_objects(may: Mapping[str, Iterable[Optional[str]]], found: Mapping[str, Optional[str]]) -> List[str]:
    """Objects that are not what they may be; `None` is one that is not there."""
    wrong = [(key, found[key]) for key, allowed in may.items() if key in found and found[key] not in set(allowed)]
    faults = [f"acknowledged object {key} is {'away' if digest is None else 'another'}" for key, digest in wrong]
    return faults + [f"no answer about object {key}" for key in may if key not in found]


def changed_segments(seen: Mapping[str, Sequence[str]]) -> List[str]:
    """Segments whose bytes were not the same whenever they were read."""
    return [f"segment {path} changed: {sorted(set(digests))}" for path, digests in seen.items() if len(set(digests)) > 1]


def lost_segments(listed: Iterable[str], now: Mapping[str, bool]) -> List[str]:
    """Segments that were listed once, and are not readable or not listed now."""
    return [f"listed segment {path} is {'away' if path in now else 'not listed any more'}" for path in listed if not now.get(path)]


def two_publishers(channel: str, pictures: Sequence[Number]) -> List[str]:
    """Pictures of a channel in the order in which it lists them: those of one connection stand together and rise."""
    faults, ended, last = [], set(), None
    for connection, number in pictures:
        if last is not None and connection != last[0]:
            ended.add(last[0])
        if connection in ended:
            faults.append(f"{channel}: connection {connection} was listed again, at picture {number}, after {last}")
            ended.discard(connection)
        elif last is not None and last[0] == connection and number <= last[1]:
            faults.append(f"{channel}: picture {number} of connection {connection} follows {last[1]}")
        last = (connection, number)
    return faults


def illegal_playlists(looks: Sequence[Look]) -> List[str]:
    """Playlists that one viewer saw one after the other, which RFC 8216 does not allow."""
    faults, previous = [], None
    for look in looks:
        faults += violations(look.playlist, previous)
        previous = look.playlist
    return faults


def falling_numbers(looks: Iterable[Look]) -> List[str]:
    """Whoever asked after somebody had an answer, at whatever server, sees no older list."""
    faults: List[str] = []
    asked = sorted(looks, key=lambda look: look.asked)
    answered = sorted(asked, key=lambda look: look.answered)
    newest, first, at = -1, -1, 0
    for look in asked:
        while at < len(answered) and answered[at].answered < look.asked:
            newest = max(newest, answered[at].playlist.next_sequence)
            first = max(first, answered[at].playlist.media_sequence)
            at += 1
        if look.playlist.next_sequence < newest or look.playlist.media_sequence < first:
            faults.append(f"a list up to {look.playlist.next_sequence} was seen after one up to {newest}")
    return faults


def losses(sent: Mapping[int, Sent], pictures: Iterable[Number]) -> List[Loss]:
    """What was sent and is not listed, each run of pictures."""
    listed: Dict[int, set] = {}
    for connection, number in pictures:
        listed.setdefault(connection, set()).add(number)
    found: List[Loss] = []
    for connection, one in sent.items():
        there = listed.get(connection, set())
        run: List[int] = []
        for number in range(len(one.at) + 1):
            if number < len(one.at) and number not in there:
                run.append(number)
            elif run:
                is_hole = number < len(one.at)
                at = one.at[run[-1]] if is_hole or one.cut is None else one.cut
                found.append(Loss(one.channel, connection, at, len(run), is_hole))
                run = []
    return found


def unknown_pictures(sent: Mapping[int, Sent], pictures: Iterable[Number]) -> List[str]:
    """Pictures that are listed and that nobody sent: a later one of the same connection may be under way still."""
    return [f"picture {number} of connection {connection} was never sent" for connection, number in pictures
            if connection not in sent or number > len(sent[connection].at)]  # fmt: skip


def cause(disturbances: Sequence[Disturbance], at: float) -> Optional[Disturbance]:
    """What was done last when something happened: they come one after the other."""
    return next((one for one in reversed(disturbances) if one.begun <= at), None)


def too_much_lost(found: Iterable[Loss], disturbances: Sequence[Disturbance], slack_ms: int = 0) -> List[str]:
    """More than what was done to the installation may cost. Nothing may be missing in the middle of a connection."""
    faults = []
    for loss in found:
        why = cause(disturbances, loss.at)
        allowed = (why.may_lose_ms if why else 0) + slack_ms
        if loss.ms > allowed:
            faults.append(f"{loss.channel}: {loss.ms} ms of connection {loss.connection} lost by {why.kind if why else 'nothing'}, {allowed} are allowed")
        if loss.is_hole and loss.ms > slack_ms:
            faults.append(f"{loss.channel}: {loss.ms} ms are missing within connection {loss.connection}")
    return faults


def returns(sent: Mapping[int, Sent]) -> List[Tuple[Sent, float]]:
    """For each push that came back, how long its encoder waited since it noticed that it was cut."""
    return [(one, one.began - one.returned) for one in sent.values() if one.returned is not None]


def late_returns(sent: Mapping[int, Sent], disturbances: Sequence[Disturbance], within_s: float) -> List[str]:
    faults = []
    for one, waited_s in returns(sent):
        why = cause(disturbances, one.returned)
        if waited_s > within_s and (why is None or why.is_return_bounded):
            faults.append(f"{one.channel}: on air again after {waited_s:.1f} s ({why.kind if why else 'nothing'}), {within_s:.0f} are allowed")
    return faults


def failed_playback(reads: Reads) -> List[str]:
    return [f"a recording could not be played: {what}" for what in reads.failed]
