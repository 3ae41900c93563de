#!/usr/bin/env python3
"""The suites that drive one server drive an installation of several behind HAProxy:

    suites.py python -n 2 --dist loadfile      the whole Python suite; what follows goes to pytest
    suites.py node                             the whole Node suite; or files of it
    suites.py --servers 2 python tests/test_usage.py -k bytes

It starts PostgreSQL and SeaweedFS, gives the suite `many.py` in the place of the binary, and says what it leaves out (one_machine.toml) and why."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path

from engines import BUCKET, PASSWORD, S3_KEY, S3_SECRET, Postgres, Seaweed
from one_machine import entry_of, reasons

ROOT = Path(__file__).resolve().parents[2]
PYTHON, NODE = ROOT / "conformance" / "python", ROOT / "conformance" / "node"
BINARY = Path(os.environ.get("MILLPOND_BIN", ROOT / "target" / "release" / "millpond")).resolve()


@contextmanager
def installation(folder: Path, servers: int):
    """The variables that make suites drive it."""
    # The database runs as another user, who has to reach its folder.
    folder.chmod(0o755)
    with ExitStack() as engines:
        postgres = Postgres(folder / "postgres", connections=1000).make()
        engines.callback(postgres.stop)
        seaweed = Seaweed(folder / "seaweed").start()
        engines.callback(seaweed.kill)
        seaweed.make_bucket()
        given = {
            "binary": str(BINARY),
            "servers": servers,
            "meta": postgres.url,
            "blobs": f"s3://{BUCKET}/PREFIX?endpoint=http://127.0.0.1:{seaweed.port}",
            "environment": {
                "PGPASSWORD": PASSWORD,
                "AWS_ACCESS_KEY_ID": S3_KEY,
                "AWS_SECRET_ACCESS_KEY": S3_SECRET,
                "MILLPOND_SECRETS_KEY": secrets.token_hex(32),
                "OSS_ACCESS_KEY_ID": "LTAI5tFakeKeyForSpec0001",
                "OSS_ACCESS_KEY_SECRET": "FakeSecretForSpecOnly0000000001",
            },
        }
        (folder / "installation.json").write_text(json.dumps(given))
        program = folder / "millpond"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -I {ROOT}/conformance/cluster/many.py {folder}/installation.json "$@"\n')
        program.chmod(0o755)
        # The plugin of pytest lies here.
        path = os.pathsep.join(filter(None, [str(ROOT / "conformance" / "cluster"), os.environ.get("PYTHONPATH")]))
        yield {**os.environ, "MILLPOND_BIN": str(program), "MILLPOND_SERVERS": str(servers), "PYTHONPATH": path}


def python_tests() -> "list[str]":
    """The names of all tests of the Python suite."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "tests"]
    listed = subprocess.run(command, cwd=PYTHON, capture_output=True, text=True, timeout=300)
    assert listed.returncode == 0, listed.stdout + listed.stderr
    return [line for line in listed.stdout.splitlines() if "::" in line]


def say_what_is_left_out() -> None:
    """Prints the list of the Python suite with the number of tests; a name that names none is a mistake. (Tests of Node say it themselves.)"""
    tests, names = python_tests(), reasons("python")
    counts = {name: 0 for name in names}
    for test in tests:
        for name in names:
            counts[name] += entry_of(test, [name]) is not None
    print(f"{len(tests)} tests, of which {sum(entry_of(test, names) is not None for test in tests)} are about one machine:")
    for name, why in names.items():
        print(f"  {counts[name]:3} {name}: {why}")
    assert all(counts.values()), f"one_machine.toml names what is not there: {[name for name, count in counts.items() if not count]}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", type=int, default=3)
    parser.add_argument("suite", choices=["python", "node"])
    parser.add_argument("rest", nargs=argparse.REMAINDER)
    asked = parser.parse_args()
    if asked.suite == "python":
        say_what_is_left_out()
        command, place = [sys.executable, "-m", "pytest", "-p", "one_machine", *asked.rest], PYTHON
    else:
        command, place = (["node", "--test", *asked.rest] if asked.rest else ["npm", "test"]), NODE
    with tempfile.TemporaryDirectory(prefix="millpond-suites-") as folder:
        with installation(Path(folder), asked.servers) as environment:
            return subprocess.run(command, cwd=place, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
