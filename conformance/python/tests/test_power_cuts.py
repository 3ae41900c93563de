"""A few power cuts over the real binary, with flushes that succeed and with some that fail; `soak.py --power-cuts` makes many more
(millpond_test.powercuts)."""

from __future__ import annotations

import random
import time

import pytest

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
