"""`millpond backup` beside a running server and `millpond restore`: consistent under churn and longer than the garbage grace,
incremental, unharmed by kill -9, and what is restored is whole and plays (docs/design/backup.md). The last test is the restore
drill of docs/operations.md."""

from __future__ import annotations

import os
import re
import subprocess
import threading
import time
from pathlib import Path

import oss2
import pytest

from millpond_test import media
from millpond_test.playback import read_stream
from millpond_test.server import BINARY, ROOT, Server, create_channel, wait_for

# Held bytes are due at once, so a backup that does not hold them loses them.
SETTINGS = "[storage]\ngarbage_grace_s = 0\n"


def millpond(*arguments, check: bool = True, env=None) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run([str(BINARY), *map(str, arguments)], capture_output=True, text=True, timeout=120, env=env)
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def backup(server: Server, folder: Path, *arguments, check: bool = True):
    return millpond("backup", folder, "--data-dir", server.data, *arguments, check=check)


def restore(folder: Path, data: Path, *arguments, check: bool = True):
    return millpond("restore", folder, "--data-dir", data, *arguments, check=check)


def generations(folder: Path) -> "list[str]":
    return millpond("restore", folder, "--list").stdout.split()


def copied(output: str) -> "tuple[int, int, int]":
    """Blobs linked, copied, and there already."""
    found = re.search(r"(\d+) blobs linked, (\d+) copied \(.*?\), (\d+) were there", output)
    assert found, output
    return tuple(map(int, found.groups()))


class Churn:
    """Writers that replace and delete objects all the time, and know what must be there."""

    def __init__(self, server: Server, bucket: str, writers: int = 3):
        self.server, self.name, self.stop = server, bucket, threading.Event()
        self.replaced = 0
        self.threads = [threading.Thread(target=self._write, args=(n,), daemon=True) for n in range(writers)]

    def _write(self, writer: int) -> None:
        bucket, number = self.server.bucket(self.name), 0
        while not self.stop.is_set():
            # Each object is two blobs' worth of one letter: a mix of two generations would show.
            bucket.put_object(f"churn/{writer}/{number % 5}", bytes([65 + number % 26]) * (40_000 + number))
            if number % 4 == 3:
                bucket.delete_object(f"churn/{writer}/{(number + 2) % 5}")
            number += 1
            self.replaced += 1

    def __enter__(self) -> "Churn":
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join(20)


def restored(tmp_path: Path, folder: Path, name: str, *arguments) -> Server:
    server = Server(tmp_path / name)
    done = restore(folder, server.data, *arguments)
    assert " 0 faults" in done.stdout, done.stdout
    return server.start()


def all_objects(bucket: oss2.Bucket) -> "dict[str, bytes]":
    return {found.key: bucket.get_object(found.key).read() for found in oss2.ObjectIterator(bucket)}


@pytest.mark.parametrize("how", [[], ["--copy"]], ids=["links", "copies"])
def test_the_second_backup_brings_only_what_is_new(fresh_server, tmp_path, how):
    server, folder = fresh_server(settings=SETTINGS), tmp_path / "backup"
    bucket = server.new_bucket()
    bodies = {f"old/{n}": os.urandom(50_000 + n) for n in range(6)}
    for key, body in bodies.items():
        bucket.put_object(key, body)
    bucket.put_object("small", b"in the metadata")
    linked, copies, present = copied(backup(server, folder, *how).stdout)
    assert (linked + copies, present) == (6, 0)
    assert (copies == 0) == (not how)
    bucket.put_object("new", os.urandom(70_000))
    bucket.delete_object("old/0")
    linked, copies, present = copied(backup(server, folder, *how).stdout)
    assert (linked + copies, present) == (1, 5)
    first, second = generations(folder)
    again = restored(tmp_path, folder, "first", "--generation", first)
    assert all_objects(again.bucket(bucket.bucket_name)) == {**bodies, "small": b"in the metadata"}
    again.kill()
    again = restored(tmp_path, folder, "second")
    assert set(all_objects(again.bucket(bucket.bucket_name))) == {*bodies, "small", "new"} - {"old/0"}
    again.kill()
    # The oldest go, with the bytes that only they had.
    assert "1 blobs of older ones deleted" in backup(server, folder, "--keep", "1", *how).stdout
    assert len(generations(folder)) == 1
    assert millpond("backup", folder, "--check", "--data-dir", server.data).stdout.endswith(": 0 faults\n")


def test_a_backup_under_churn_that_is_longer_than_the_grace_is_of_one_moment(fresh_server, tmp_path, source):
    server, folder = fresh_server(settings=SETTINGS), tmp_path / "backup"
    bucket = server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    create_channel(bucket)
    for n in range(40):
        bucket.put_object(f"still/{n}", os.urandom(100_000))
    url = bucket.sign_rtmp_url("test-channel", "playlist.m3u8", 600)
    with media.Push(source.path, url) as push, Churn(server, bucket.bucket_name) as churn:
        wait_for(lambda: bucket.get_live_channel_stat("test-channel").status == "Live", "live")
        time.sleep(3)
        before, begun = churn.replaced, time.monotonic()
        done = backup(server, folder, "--copy", "--mib-per-s", "1")
        # Four seconds: garbage is collected every second, but for these.
        assert time.monotonic() - begun > 2 and churn.replaced > before + 10
        assert "missing" not in done.stdout and "\n0 faults" in done.stdout, done.stdout
        assert "1 of running pushes" in done.stdout
        wait_for(lambda: "millpond_garbage_held 0" in server.admin("/metrics").text, "garbage is collected again")
        push.kill()
    server.kill()
    again = restored(tmp_path, folder, "restored")
    bucket = again.bucket(bucket.bucket_name)
    for key, body in all_objects(bucket).items():
        assert not key.startswith("churn/") or len(set(body)) == 1
    # The segment that was open is closed, listed, and plays.
    url = again.url(f"{bucket.bucket_name}/test-channel/playlist.m3u8")
    _, report = read_stream(url)
    assert report.video_frames > 30
    found = media.decode_listed(url)
    assert found.errors == "" and set(found.video) <= set(source.decoded.video)
    assert again.stop() == 0
    assert again.findings().returncode == 0


def test_a_backup_that_is_killed_harms_nothing(fresh_server, tmp_path):
    server, folder = fresh_server(settings=SETTINGS), tmp_path / "backup"
    bucket = server.new_bucket()
    for n in range(30):
        bucket.put_object(f"o/{n}", os.urandom(100_000))
    backup(server, folder, "--copy")
    kept = generations(folder)
    with Churn(server, bucket.bucket_name):
        for n in range(4):
            for m in range(10):
                bucket.put_object(f"o/{m}", os.urandom(100_000))
            command = [str(BINARY), "backup", str(folder), "--data-dir", str(server.data), "--copy", "--mib-per-s", "1"]
            running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(0.1 + 0.25 * n)
            running.kill()
            running.wait()
            assert generations(folder) == kept
            assert millpond("backup", folder, "--check", "--data-dir", server.data).stdout.endswith(": 0 faults\n")
        # The system gave the hold back, so garbage goes again.
        wait_for(lambda: "millpond_garbage_held 0" in server.admin("/metrics").text, "garbage is collected again")
    assert "\n0 faults" in backup(server, folder).stdout
    assert len(generations(folder)) == len(kept) + 1
    assert list(folder.glob("generations/*.new")) == [] and list(folder.glob("blobs/?/??/*.part")) == []


def test_a_server_that_was_killed_can_be_backed_up_before_it_starts_again(fresh_server, tmp_path, source):
    """Its last commits are in the log of the metadata only, and a segment is torn; the restored server repairs both, and what it
    changes is not changed in the backup, with which it shares files."""
    server, folder = fresh_server(), tmp_path / "backup"
    bucket = server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    create_channel(bucket)
    with media.Push(source.path, bucket.sign_rtmp_url("test-channel", "playlist.m3u8", 600)):
        wait_for(lambda: bucket.get_live_channel_stat("test-channel").status == "Live", "live")
        time.sleep(3)
        bucket.put_object("last", b"l" * 50_000)
        server.kill()
    assert "1 of running pushes" in backup(server, folder).stdout
    for name in ("one", "two"):
        again = restored(tmp_path, folder, name, "--link")
        assert again.bucket(bucket.bucket_name).get_object("last").read() == b"l" * 50_000
        again.bucket(bucket.bucket_name).delete_object("last")
        _, report = read_stream(again.url(f"{bucket.bucket_name}/test-channel/playlist.m3u8"))
        assert report.video_frames > 30
        assert again.stop() == 0
        assert again.findings().returncode == 0
    assert millpond("backup", folder, "--check", "--data-dir", server.data).stdout.endswith(": 0 faults\n")


def test_what_is_there_is_never_written_over(fresh_server, tmp_path):
    server, folder = fresh_server(), tmp_path / "backup"
    server.new_bucket().put_object("a", b"a" * 50_000)
    backup(server, folder)
    full = tmp_path / "full"
    full.mkdir()
    (full / "notes.txt").write_text("mine")
    refused = restore(folder, full, check=False)
    assert refused.returncode != 0 and "is not empty" in refused.stderr
    assert [path.name for path in full.iterdir()] == ["notes.txt"]
    refused = restore(folder, server.data, check=False)
    assert refused.returncode != 0
    assert backup(server, full, check=False).returncode != 0
    refused = backup(server, server.data / "inside", check=False)
    assert refused.returncode != 0 and "inside" in refused.stderr
    assert restore(tmp_path / "nothing", tmp_path / "new", check=False).returncode != 0
    assert not (tmp_path / "new").exists()


def test_what_has_rotted_is_said_and_older_generations_stay(fresh_server, tmp_path):
    server, folder = fresh_server(settings="[storage]\nscrub_mib_per_s = 0\n"), tmp_path / "backup"
    bucket = server.new_bucket()
    bucket.put_object("good", b"g" * 60_000)
    backup(server, folder, "--copy")
    bucket.put_object("bad", b"b" * 60_000)
    newest = max(server.data.glob("blobs/?/??/*"), key=lambda path: path.stat().st_mtime_ns)
    with newest.open("r+b") as file:
        file.seek(1000)
        file.write(b"x")
    done = backup(server, folder, "--copy", "--keep", "1", check=False)
    assert done.returncode != 0 and "1 faults" in done.stdout and "bad" in done.stdout, done.stdout
    assert len(generations(folder)) == 2


def test_keys_stay_at_home_when_asked(fresh_server, tmp_path):
    server, folder = fresh_server(), tmp_path / "backup"
    server.new_bucket().put_object("a", b"a" * 50_000)
    backup(server, folder, "--without-keys")
    assert list(folder.rglob("secrets.key")) == [] and list(folder.rglob("root-key.json")) == []
    assert (folder.stat().st_mode | (folder / "generations").stat().st_mode) & 0o077 == 0
    done = restore(folder, tmp_path / "data", "--secrets-key-file", server.data / "secrets.key")
    assert " 0 faults" in done.stdout


def test_the_restore_drill_of_the_manual(fresh_server, tmp_path):
    """The lines of docs/operations.md as they stand there, but for names of folders and ports."""
    text = (ROOT / "docs" / "operations.md").read_text()
    drill = re.search(r"<!-- not run: [^>]* this drill[^>]*-->\n```sh\n(.*?)```", text, re.DOTALL)
    assert drill, "docs/operations.md has the drill"
    server = fresh_server()
    bucket = server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    bucket.put_object("a", b"a" * 50_000)
    environment = {**os.environ, "PATH": f"{BINARY.parent}:{os.environ['PATH']}", "MILLPOND_DATA_DIR": ""}
    script = drill.group(1)
    for name, ours in [
        ("/var/lib/millpond", str(server.data)), ("/backup/millpond", str(tmp_path / "backup")), ("/tmp/drill", str(tmp_path / "drill")),
        ("BUCKET/OBJECT", f"{bucket.bucket_name}/a"),
    ]:  # fmt: skip
        assert name in script
        script = script.replace(name, ours)
    environment.pop("MILLPOND_DATA_DIR")
    assert BINARY.name == "millpond"
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "drill: ok" in done.stdout
