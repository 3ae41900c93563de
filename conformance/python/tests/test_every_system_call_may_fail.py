"""Twenty random system calls of the stores fail, one in each run; `soak.py --syscalls` tries them all (millpond_test.syscalls)."""

from __future__ import annotations

import random
import time

from millpond_test.syscalls import ERRORS, Sweep

TRIES = 20


def test_what_was_acknowledged_survives_a_call_that_fails(tmp_path):
    seed = int(time.time())
    source, sweep = random.Random(seed), Sweep(tmp_path)
    calls = sweep.count()
    assert calls > 100, "the library sees the calls"
    wrong = []
    for _ in range(TRIES):
        wrong += sweep.fail(source.randint(1, calls), source.choice(ERRORS))
    assert wrong == [], f"seed {seed}"
