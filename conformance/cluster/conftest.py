"""Fixtures: the engines once, and two servers that share them."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "python"))
pytest.register_assert_rewrite("millpond_test", "single")

from engines import PASSWORD, S3_KEY, S3_SECRET, Postgres, Seaweed  # noqa: E402
from millpond_test import media  # noqa: E402
from millpond_test.server import BINARY, Server  # noqa: E402
from single import archives, ours, stack_of  # noqa: E402, F401


@pytest.fixture(scope="session")
def reachable():
    """A folder that the user of the database reaches. That of pytest is closed to others again whenever somebody starts pytest."""
    folder = Path(tempfile.mkdtemp(prefix="millpond-cluster-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres(reachable):
    engine = Postgres(reachable / "postgres").make()
    yield engine
    engine.stop()


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory):
    engine = Seaweed(tmp_path_factory.mktemp("seaweed")).start()
    engine.make_bucket()
    yield engine
    engine.kill()


@pytest.fixture(scope="session")
def environment(postgres, seaweed):
    """What every server of the installation is given."""
    given = {
        "MILLPOND_META": postgres.url,
        "MILLPOND_BLOBS": seaweed.url,
        "PGPASSWORD": PASSWORD,
        "AWS_ACCESS_KEY_ID": S3_KEY,
        "AWS_SECRET_ACCESS_KEY": S3_SECRET,
        "MILLPOND_SECRETS_KEY": secrets.token_hex(32),
    }
    made = media.run(["env", *[f"{name}={value}" for name, value in given.items()], str(BINARY), "store", "init"])
    assert made.returncode == 0, made.stdout + made.stderr
    return given


@pytest.fixture
def start(environment, tmp_path):
    """Starts servers of the installation with settings, or with anything else of `Server`, of their own; `kind` is another `Server`."""
    started = []

    def one(name: str, settings: str = "", kind: "type[Server]" = Server, **options) -> Server:
        server = kind(tmp_path / name, environment=environment, settings="max_buckets = 10000\n" + settings, **options)
        # Also one that does not start is killed.
        started.append(server)
        return server.start()

    yield one
    for server in started:
        server.kill()
    for server in started:
        assert "panicked" not in server.log(), server.log()[-3000:]


@pytest.fixture
def servers(start):
    return [start(name) for name in "ab"]


@pytest.fixture(scope="session")
def source(tmp_path_factory):
    """Twelve seconds, and what they decode to."""
    path = media.make_source(tmp_path_factory.mktemp("media") / "source.flv")
    return path, media.decode(str(path))


def pytest_report_header():
    return f"binary: {BINARY}, {os.cpu_count()} cores"
