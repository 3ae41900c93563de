"""Three rounds of the nemesis: six kinds of disturbance in `make test`, each kind once in `make cluster`. `MILLPOND_NEMESIS_SEED` repeats a
run; the seed is printed."""

from __future__ import annotations

import os
import resource
import time

import pytest

from disturbances import KINDS
from installation import Installation
from nemesis import Nemesis

ROUNDS = 3
PUSHES = 20


@pytest.fixture
def folder(reachable):
    made = reachable / f"nemesis-{time.monotonic_ns()}"
    made.mkdir()
    return made


#: What is tried by each `make test`: a server, a machine, the database and the store that die, a pause longer than leases, and a server
#: that reaches neither engine.
MOST_TOLD = ["server dies", "store dies", "machine is lost", "database fails over", "server pauses", "server without both"]


def play(folder, kinds):
    """Three rounds with these kinds of disturbance, dealt out in turn, or with each kind once."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    seed = int(os.environ.get("MILLPOND_NEMESIS_SEED") or time.time())
    print(f"\nnemesis: MILLPOND_NEMESIS_SEED={seed}")
    with Installation(folder) as installation:
        nemesis = Nemesis(installation, folder, PUSHES, seed)
        kinds = kinds or nemesis.next_kinds(len(KINDS))
        for number in range(ROUNDS):
            nemesis.round(0, kinds[number::ROUNDS])
    print(nemesis.table())
    assert nemesis.faults == [], f"seed {seed}"


@pytest.mark.nemesis
def test_nothing_is_lost_when_what_must_not_die_dies(folder):
    play(folder, MOST_TOLD)


def test_nothing_is_lost_whatever_happens(folder):
    play(folder, None)


def test_a_store_without_conditions_is_enough(folder):
    """`rclone serve s3` understands neither conditions nor appends. Servers and machines are lost over it too."""
    seed = int(os.environ.get("MILLPOND_NEMESIS_SEED") or time.time())
    print(f"\nnemesis: MILLPOND_NEMESIS_SEED={seed}")
    with Installation(folder, "rclone") as installation:
        nemesis = Nemesis(installation, folder, 8, seed)
        nemesis.round(0, ["machine is lost", "store dies", "server dozes"])
    print(nemesis.table())
    assert nemesis.faults == [], f"seed {seed}"
