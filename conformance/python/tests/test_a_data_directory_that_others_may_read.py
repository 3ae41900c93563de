"""A data directory that exists may be open to others; metadata and blobs in it are not."""

import os
import stat
import subprocess

import pytest

BODY = b"not for everybody " * 10_000


def readable(folder, bits: int):
    """What others (0o007) or the group too (0o077) reach below a folder, as they would walk it."""
    found = []
    for path in folder.iterdir():
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & bits:
            found.append(f"{path.name} {mode:o}")
    return found


@pytest.fixture
def open_server(fresh_server, tmp_path):
    """A server on a directory that was made beforehand with this mode, started with the usual mask."""

    def start(mode: int):
        data = tmp_path / "server" / "data"
        data.mkdir(parents=True)
        data.chmod(mode)
        before = os.umask(0o022)
        try:
            server = fresh_server()
        finally:
            os.umask(before)
        server.new_bucket(name="kept-bucket").put_object("key", BODY)
        return server

    return start


@pytest.mark.parametrize("mode", [0o755, 0o777], ids=oct)
def test_what_is_made_is_private(open_server, mode):
    server = open_server(mode)
    assert readable(server.data, 0o077) == []
    assert stat.S_IMODE(server.data.stat().st_mode) == mode, "it may hold files of others"
    blobs = [path for path in (server.data / "blobs").rglob("*") if path.is_file()]
    assert blobs and all(stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 for path in blobs)
    if os.geteuid() == 0:
        for path in [server.data / "meta.sqlite", *blobs]:
            tried = subprocess.run(["cat", str(path)], capture_output=True, user=65534, group=65534, extra_groups=[])
            assert tried.returncode != 0 and tried.stdout == b"", path


def test_what_was_open_is_closed_and_told(open_server):
    server = open_server(0o755)
    assert server.stop() == 0
    for name, mode in [("meta.sqlite", 0o644), ("blobs", 0o755), ("instance", 0o644), ("lock", 0o644)]:
        (server.data / name).chmod(mode)
    server.start()
    assert readable(server.data, 0o077) == []
    assert "others could read the data directory" in server.log()
    assert server.bucket("kept-bucket").get_object("key").read() == BODY


def test_a_group_that_the_directory_is_open_to_may_go_on_reading(open_server):
    server = open_server(0o750)
    assert readable(server.data, 0o007) == []
    assert stat.S_IMODE((server.data / "meta.sqlite").stat().st_mode) == 0o640
    assert stat.S_IMODE((server.data / "blobs").stat().st_mode) == 0o750
    assert stat.S_IMODE((server.data / "secrets.key").stat().st_mode) == 0o600
