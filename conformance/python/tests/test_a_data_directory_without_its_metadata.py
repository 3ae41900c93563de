"""Metadata, blobs, or the key of the secrets are missing: nothing is deleted, and nothing starts empty in silence."""

import shutil
import sqlite3
import subprocess

import pytest

from millpond_test.server import BINARY

BODY = b"worth keeping " * 10_000


def offline(server, *command):
    return subprocess.run(
        [str(BINARY), *command, "--data-dir", str(server.data)], capture_output=True, text=True, timeout=60
    )


def files(folder):
    return {str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def stopped(fresh_server):
    """A server that stored an object and was stopped."""
    server = fresh_server()
    server.new_bucket(name="kept-bucket").put_object("key", BODY)
    assert server.stop() == 0
    assert any(name.startswith("blobs/") for name in files(server.data))
    return server


def refused_everywhere(server, told: str):
    before = files(server.data)
    with pytest.raises(AssertionError, match=told):
        server.start()
    for command in (["check"], ["check", "--reclaim"], ["lifecycle"]):
        ended = offline(server, *command)
        assert ended.returncode == 1 and told in ended.stderr, (command, ended)
    # A lock is no harm; everything else is as it was.
    assert {name: size for name, size in files(server.data).items() if name != "lock"} == {
        name: size for name, size in before.items() if name != "lock"
    }


def take_away(server, *names):
    away = server.folder / "away"
    away.mkdir()
    for name in names:
        for path in server.data.glob(name):
            shutil.move(path, away / path.name)
    return away


def put_back(server, away):
    for path in away.iterdir():
        target = server.data / path.name
        if target.is_file():
            target.unlink()
        shutil.move(path, target)
    findings = offline(server, "check", "--reclaim")
    assert findings.returncode == 0, findings
    server.start()
    assert server.bucket("kept-bucket").get_object("key").read() == BODY
    assert server.stop() == 0


@pytest.mark.parametrize("kept", ["everything", "blobs", "instance", "secrets.key"])
def test_metadata_that_is_missing(stopped, kept):
    away = take_away(stopped, "meta.sqlite*")
    if kept != "everything":
        for name in {"blobs", "instance", "secrets.key"} - {kept}:
            shutil.move(stopped.data / name, away / name)
    refused_everywhere(stopped, "meta.sqlite is missing or empty")
    put_back(stopped, away)


def test_metadata_that_is_empty(stopped):
    away = take_away(stopped, "meta.sqlite*")
    (stopped.data / "meta.sqlite").touch()
    refused_everywhere(stopped, "meta.sqlite is missing or empty")
    put_back(stopped, away)


def test_a_new_beginning_on_purpose(stopped):
    """What is moved away is out of the way, and a directory without anything is a new one."""
    take_away(stopped, "meta.sqlite*", "blobs", "instance", "secrets.key")
    stopped.start()
    stopped.new_bucket(name="new-bucket").put_object("key", BODY)
    assert stopped.stop() == 0
    assert stopped.findings().returncode == 0


def test_metadata_of_another_beginning_reclaims_nothing(stopped):
    """What older versions left behind: they started empty, with the blobs of before beside them."""
    away = take_away(stopped, "blobs")
    for path in stopped.data.glob("meta.sqlite*"):
        shutil.move(path, away / path.name)
    (stopped.data / "instance").unlink()
    (stopped.data / "secrets.key").unlink()
    stopped.start()
    assert stopped.stop() == 0
    shutil.rmtree(stopped.data / "blobs")
    shutil.move(away / "blobs", stopped.data / "blobs")
    before = files(stopped.data / "blobs")
    ended = offline(stopped, "check", "--reclaim")
    assert ended.returncode == 1 and "nothing was deleted" in ended.stderr, ended
    assert files(stopped.data / "blobs") == before
    assert offline(stopped, "check").returncode == 0


def test_blobs_that_are_not_mounted(stopped):
    away = take_away(stopped, "blobs")
    refused_everywhere(stopped, "mount it")
    (stopped.data / "blobs").mkdir()
    refused_everywhere(stopped, "mount it")
    (stopped.data / "blobs").rmdir()
    put_back(stopped, away)


def test_nothing_is_made_by_looking(tmp_path):
    folder = tmp_path / "empty"
    folder.mkdir()
    for command in ("check", "lifecycle"):
        ended = subprocess.run(
            [str(BINARY), command, "--data-dir", str(folder)], capture_output=True, text=True, timeout=60
        )
        assert ended.returncode == 1 and "no metadata" in ended.stderr, ended
        assert list(folder.iterdir()) == []


def test_what_others_put_beside_the_blobs_is_no_remainder(fresh_server, tmp_path):
    blobs = tmp_path / "server" / "data" / "blobs"
    (blobs / "lost+found").mkdir(parents=True)
    (blobs / "lost+found" / "#12").write_bytes(b"of the file system")
    (blobs / ".gitkeep").touch()
    server = fresh_server()
    server.new_bucket(name="kept-bucket").put_object("key", BODY)
    assert server.stop() == 0
    server.start()
    assert server.bucket("kept-bucket").get_object("key").read() == BODY


def test_a_first_start_that_was_cut_off_is_begun_again(fresh_server, tmp_path):
    data = tmp_path / "server" / "data"
    data.mkdir(parents=True)
    connection = sqlite3.connect(data / "meta.sqlite")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    # What was there before the first table: a page, and a log without a frame.
    (data / "meta.sqlite-wal").write_bytes(bytes(32))
    assert (data / "meta.sqlite").stat().st_size == 4096
    server = fresh_server()
    server.new_bucket(name="kept-bucket").put_object("key", BODY)
    assert server.bucket("kept-bucket").get_object("key").read() == BODY
