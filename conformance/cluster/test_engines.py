"""The store's own suites over the engines that servers share: without these two variables they have nothing to look at, and say that they passed."""

from __future__ import annotations

import os
import re
import subprocess

import pytest

from engines import S3_KEY, S3_SECRET, Postgres, free_port
from millpond_test.server import ROOT

#: What is run over PostgreSQL, and how many tests it has at least: the others would pass without a database.
OVER_POSTGRES = {
    "the map": (["--lib", "kv::postgres::tests"], 5),
    "the suite of all maps, and round trips": (["--test", "postgres"], 2),
    "a cut at any write": (["--test", "crash"], 1),
    "copies": (["--test", "sharing"], 2),
}
#: The others take the half of a minute and more.
QUICK = {"the map", "the suite of all maps, and round trips"}


@pytest.fixture(scope="module")
def open_postgres(reachable):
    """The suites give no password."""
    engine = Postgres(reachable / "suites").make("trust")
    yield engine
    engine.stop()


def run(*selection: str, **variables: str) -> "tuple[int, int]":
    """Runs tests of the store, with the words of the stage `rust` of `make test`, which has built them: the exit status, and how many passed."""
    command = ["cargo", "--config", "scripts/tests.toml", "test", "--release", "--workspace", "--locked", *selection]
    ran = subprocess.run(command, cwd=ROOT, env={**os.environ, **variables}, capture_output=True, text=True, timeout=1200)
    # Pytest shows it of tests that fail.
    print(ran.stdout[-5000:] + ran.stderr[-5000:])
    return ran.returncode, sum(int(passed) for passed in re.findall(r"^test result: ok\. (\d+) passed; 0 failed; 0 ignored;", ran.stdout, re.M))


@pytest.mark.parametrize("what", [pytest.param(what, marks=[pytest.mark.quick] if what in QUICK else []) for what in OVER_POSTGRES])
def test_the_suites_hold_over_postgresql(open_postgres, what):
    selection, expected = OVER_POSTGRES[what]
    before = open_postgres.commits()
    status, passed = run(*selection, MILLPOND_TEST_POSTGRES=open_postgres.url)
    assert status == 0 and passed >= expected
    made = open_postgres.commits() - before
    print(f"\n{what}: {made} transactions")
    # Those that return at once make none.
    assert made > 20 * expected


@pytest.mark.quick
def test_the_suite_holds_over_an_s3_compatible_store(seaweed):
    keys = {"AWS_ACCESS_KEY_ID": S3_KEY, "AWS_SECRET_ACCESS_KEY": S3_SECRET}
    suite = ("--lib", "blob::s3::tests::passes_the_suite_on_a_real_store")
    assert run(*suite, MILLPOND_TEST_S3=seaweed.url, **keys) == (0, 1)
    # It deletes what it writes. Had it looked at nothing, it would pass here, too.
    status, passed = run(*suite, MILLPOND_TEST_S3=seaweed.url_at(f"127.0.0.1:{free_port()}"), **keys)
    assert status != 0 and passed == 0
