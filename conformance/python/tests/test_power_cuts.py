"""A few power cuts over the real binary, with flushes that succeed and with some that fail; `soak.py --power-cuts` makes many more
(millpond_test.powercuts)."""

from __future__ import annotations

import random
import time

import pytest

from millpond_test.cutdisk import BLOCK, File
from millpond_test.powercuts import Run
from millpond_test.pusher import flv_tags

SECONDS = 2.5
CUTS = 3


@pytest.mark.parametrize("fails", [False, True], ids=["flushes succeed", "some fail"])
def test_what_was_promised_is_there_after_a_power_cut(tmp_path, short_source, fails):
    seed = int(time.time())
    run = Run(tmp_path / "run", flv_tags(short_source.path), random.Random(seed), fails)
    run.work(SECONDS)
    history = run.history
    assert history.segments and any(change.done for changes in history.keys.values() for change in changes)
    cuts, wrong = run.cuts(CUTS)
    assert cuts >= CUTS and wrong == [], f"seed {seed}"


def test_a_flush_that_ends_late_takes_nothing_newer_back():
    file = File()
    file.write(0, b"old")
    slow = file.begin_flush()
    file.write(0, b"new")
    file.end_flush(file.begin_flush(), lambda: True)
    file.end_flush(slow, lambda: True)
    assert (bytes(file.durable[:3]), file.dirty) == (b"new", {})

    file.write(BLOCK, b"more")
    slow = file.begin_flush()
    file.set_length(BLOCK)
    file.end_flush(file.begin_flush(), lambda: True)
    file.end_flush(slow, lambda: True)
    assert len(file.durable) == 3
