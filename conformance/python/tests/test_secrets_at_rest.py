"""Secrets of users and sessions lie sealed in the data directory; the key that opens them lies beside it or elsewhere (OSS auth 1)."""

import stat
import subprocess

import pytest

from millpond_test.accounts import Key, manage, new_user


def holds(server, *texts: str) -> "list[str]":
    """Which of the texts are somewhere in the files of the data directory."""
    files = [path.read_bytes() for path in server.data.rglob("*") if path.is_file()]
    return [text for text in texts if any(text.encode() in content for content in files)]


@pytest.fixture
def used(fresh_server):
    """A server with a user, a key and a session, and a bucket that both may read."""
    server = fresh_server()
    bucket = server.new_bucket(name="sealed")
    bucket.put_object("a", b"a")
    user = new_user(server)
    user.allow("AliyunOSSReadOnlyAccess")
    return server, user.key(), user.session()


def read(server, key: Key) -> bytes:
    return key.bucket(server, "sealed").get_object("a").read()


def check(server) -> "subprocess.CompletedProcess[str]":
    return server.findings()


def test_a_copy_of_the_metadata_signs_nothing(used):
    server, key, session = used
    assert [read(server, who) for who in (key, session)] == [b"a", b"a"]
    assert holds(server, key.id, session.id) == [key.id, session.id], "the files are those that hold the keys"
    assert holds(server, key.secret, session.secret, session.token) == []
    assert stat.S_IMODE((server.data / "secrets.key").stat().st_mode) == 0o600
    assert server.stop() == 0
    assert holds(server, key.secret, session.secret, session.token) == []
    assert check(server).returncode == 0
    server.start()
    assert [read(server, who) for who in (key, session)] == [b"a", b"a"]


def test_without_the_key_nothing_starts_and_nothing_is_lost(used):
    server, key, _ = used
    assert server.stop() == 0
    path = server.data / "secrets.key"
    kept = path.read_text()
    path.unlink()
    with pytest.raises(AssertionError, match="put it back from your backup"):
        server.start()
    assert not path.exists()
    found = check(server)
    assert found.returncode != 0 and "put it back from your backup" in found.stdout, found
    path.write_text("11" * 32)
    with pytest.raises(AssertionError, match="is not the one that the secrets"):
        server.start()
    found = check(server)
    assert found.returncode != 0 and "is not the one that the secrets" in found.stdout, found
    path.write_text("nonsense")
    with pytest.raises(AssertionError, match="64 hex digits"):
        server.start()
    path.write_text(kept)
    assert check(server).returncode == 0
    server.start()
    assert read(server, key) == b"a"


def test_the_key_may_be_kept_elsewhere(used, tmp_path):
    server, key, _ = used
    assert server.stop() == 0
    path = server.data / "secrets.key"
    text = path.read_text()
    path.unlink()
    elsewhere = tmp_path / "elsewhere.key"
    elsewhere.write_text(text)
    server.arguments = ["--secrets-key-file", str(elsewhere)]
    server.start()
    assert read(server, key) == b"a"
    assert server.stop() == 0
    elsewhere.unlink()
    server.arguments, server.environment = [], {"MILLPOND_SECRETS_KEY": text.strip()}
    server.start()
    assert read(server, key) == b"a"
    assert not path.exists() and text.strip() not in server.log()
    made = manage(server, "key", "create", "root")
    assert holds(server, made["access_key_secret"], text.strip()) == []
