"""What goes wrong in the nemesis of several servers. Each kind does its harm, and undoes it before it returns."""

from __future__ import annotations

import os
import random
import signal
import time
from dataclasses import dataclass
from typing import Callable, Dict

from installation import Installation
from links import HELD, PASSES, REFUSED

#: Longer than leases live and than servers wait for the database, seconds.
LONG = (12.0, 14.0)
#: Longer than the balancer leaves pushes at a server that says nothing: ten checks, of which each waits for a second for its answer.
LONGER = (23.0, 25.0)
#: What a stream loses at most that was sent to such a server until then, ms.
UNTIL_CUT_MS = 24_000


@dataclass(frozen=True)
class Kind:
    do: Callable[[Installation, random.Random], None]
    #: Media that one stream may lose, ms: docs/design/many-servers.md, "What is promised".
    may_lose_ms: int
    #: Whether an encoder that comes back has to be on air within RETURN_S of `nemesis.py`.
    is_return_bounded: bool = True


def server_dies(installation: Installation, source: random.Random) -> None:
    member = source.choice(installation.members)
    member.kill()
    time.sleep(source.uniform(1, 13))
    member.start()


def machine_is_lost(installation: Installation, source: random.Random) -> None:
    """With its disk: of what it had under way there is only what it had sent to the store."""
    member = source.choice(installation.members)
    member.kill()
    member.lose_disk()
    time.sleep(source.uniform(11, 13))
    member.start()


def server_pauses(installation: Installation, source: random.Random, seconds=LONGER) -> None:
    """Until others have taken its channels, and a little longer."""
    member = source.choice(installation.members)
    os.kill(member.process.pid, signal.SIGSTOP)
    try:
        time.sleep(source.uniform(*seconds))
    finally:
        os.kill(member.process.pid, signal.SIGCONT)


def database_restarts(installation: Installation, source: random.Random) -> None:
    installation.database.primary.kill()
    time.sleep(source.uniform(0, 2))
    installation.database.primary.start()


def database_fails_over(installation: Installation, source: random.Random) -> None:
    installation.database.primary.kill()
    time.sleep(source.uniform(0, 3))
    installation.database.promote()
    time.sleep(2)
    installation.database.rejoin()


def database_machine_is_lost(installation: Installation, source: random.Random) -> None:
    """Nobody tells its clients: what they say to it is not answered, whatever they do."""
    gone = installation.database.primary
    installation.links.set(HELD, *installation.links_to(gone))
    gone.kill()
    time.sleep(source.uniform(0, 2))
    installation.database.promote()
    time.sleep(6)
    installation.links.set(PASSES, *installation.links_to(gone))
    installation.database.rejoin()


def database_pauses(installation: Installation, source: random.Random) -> None:
    """Longer than servers wait for it: they refuse requests and new pushes; those that are on go on."""
    pids = installation.database.primary.pause()
    try:
        time.sleep(source.uniform(*LONG))
    finally:
        installation.database.primary.resume(pids)


def store_dies(installation: Installation, source: random.Random) -> None:
    installation.store.kill()
    time.sleep(source.uniform(0, 4))
    installation.store.start()


def store_pauses(installation: Installation, source: random.Random) -> None:
    installation.store.pause()
    try:
        time.sleep(source.uniform(*LONG))
    finally:
        installation.store.resume()


def server_dozes(installation: Installation, source: random.Random) -> None:
    """Longer than its lease, but nobody notices before it is back."""
    server_pauses(installation, source, LONG)


def cut_off(*kinds: str, state: str = HELD, seconds=LONG) -> Callable[[Installation, random.Random], None]:
    """One server does not reach engines that the others reach."""

    def do(installation: Installation, source: random.Random) -> None:
        links = installation.links_of(source.choice(installation.names), *kinds)
        installation.links.set(state, *links)
        time.sleep(source.uniform(*seconds))
        installation.links.set(PASSES, *links)

    return do


KINDS: Dict[str, Kind] = {
    "server dies": Kind(server_dies, 1500),
    "machine is lost": Kind(machine_is_lost, 1500),
    "database fails over": Kind(database_fails_over, 0),
    "store dies": Kind(store_dies, 0),
    "server dozes": Kind(server_dozes, 0),
    "server pauses": Kind(server_pauses, UNTIL_CUT_MS),
    "database machine is lost": Kind(database_machine_is_lost, 0),
    "database restarts": Kind(database_restarts, 0),
    "database pauses": Kind(database_pauses, 0, is_return_bounded=False),
    "store pauses": Kind(store_pauses, 0),
    "server without database": Kind(cut_off("database", seconds=LONGER), UNTIL_CUT_MS),
    "server without store": Kind(cut_off("store"), 0),
    "server without both": Kind(cut_off("database", "store", seconds=LONGER), UNTIL_CUT_MS),
    "server refused by both": Kind(cut_off("database", "store", state=REFUSED), UNTIL_CUT_MS),
}
