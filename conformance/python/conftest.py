"""Fixtures: one shared server for tests that do not disturb each other, a private one for those that kill or configure it."""

from __future__ import annotations

import resource
import shutil
from dataclasses import dataclass
from pathlib import Path

import oss2
import pytest

pytest.register_assert_rewrite("millpond_test")

from millpond_test import media  # noqa: E402
from millpond_test.server import Server, create_channel  # noqa: E402

# A missing tool is a failure of the run, never a reason to skip.
REQUIRED_TOOLS = ["ffmpeg", "ffprobe", "gst-launch-1.0", "obs", "Xvfb"]


def pytest_sessionstart(session):
    missing = [tool for tool in REQUIRED_TOOLS if shutil.which(tool) is None]
    if missing:
        pytest.exit(f"missing: {', '.join(missing)}; run scripts/setup-tests.sh", returncode=3)
    # Some tests are a thousand strangers at once; servers get limits of their own.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    # Every test has buckets of its own, more than an account has by default.
    running = Server(tmp_path_factory.mktemp("server"), settings="max_buckets = 10000\n").start()
    yield running
    assert running.running(), f"the server died:\n{running.log()[-3000:]}"
    assert running.stop() == 0
    assert "panicked" not in running.log()
    findings = running.findings()
    assert findings.returncode == 0, findings.stdout + findings.stderr


@pytest.fixture
def fresh_server(tmp_path):
    """Starts servers of the test's own: `fresh_server(arguments)`; all end with the test."""
    started = []

    def start(*arguments: str, environment=None, name: str = "server", settings: str = "", open_files: str = "") -> Server:
        running = Server(tmp_path / name, list(arguments), environment, settings, open_files).start()
        started.append(running)
        return running

    yield start
    for running in started:
        running.kill()
        assert "panicked" not in running.log(), running.log()[-3000:]


@dataclass
class Source:
    path: Path
    decoded: media.Decoded


@pytest.fixture(scope="session")
def source(tmp_path_factory) -> Source:
    """Twelve seconds of H.264 with B-frames at 30 fps and AAC, and the hashes of its frames."""
    path = media.make_source(tmp_path_factory.mktemp("media") / "source.flv")
    decoded = media.decode(str(path))
    assert decoded.errors == ""
    assert len(decoded.video) == media.SOURCE_SECONDS * media.SOURCE_RATE
    return Source(path, decoded)


@pytest.fixture(scope="session")
def short_source(tmp_path_factory) -> Source:
    """Four seconds of the same, for tests that only need some media."""
    path = media.make_source(tmp_path_factory.mktemp("media") / "short.flv", seconds=4)
    return Source(path, media.decode(str(path)))


@pytest.fixture(params=["v1", "v4"])
def version(request) -> str:
    """Each test that takes this runs under both signature versions."""
    return request.param


@pytest.fixture
def bucket(server) -> oss2.Bucket:
    """A new private bucket under V1."""
    return server.new_bucket()


@pytest.fixture
def public_bucket(server) -> oss2.Bucket:
    """A new public-read bucket under V1: players read it unsigned, encoders still sign."""
    return server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)


@dataclass
class Channel:
    """A channel in a public-read bucket, and the URLs of both sides."""

    server: Server
    bucket: oss2.Bucket
    name: str = "test-channel"
    playlist_name: str = "playlist.m3u8"

    @property
    def play_url(self) -> str:
        return self.server.url(f"{self.bucket.bucket_name}/{self.name}/{self.playlist_name}")

    @property
    def push_url(self) -> str:
        return self.bucket.sign_rtmp_url(self.name, self.playlist_name, 3600)

    def status(self) -> str:
        return self.bucket.get_live_channel_stat(self.name).status


@pytest.fixture
def channel(server, public_bucket) -> Channel:
    """FragDuration 2, and a FragCount that keeps a whole push listed."""
    create_channel(public_bucket)
    return Channel(server, public_bucket)


@pytest.fixture
def fresh_channel(fresh_server):
    """A channel on a server of the test's own: `fresh_channel(arguments, frag_count=3)`."""

    def make(*arguments: str, **configuration) -> Channel:
        running = fresh_server(*arguments)
        bucket = running.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
        create_channel(bucket, **configuration)
        return Channel(running, bucket)

    return make
