"""Blobs that never had a name: `millpond check` finds them beside a server, and `--reclaim` deletes them and nothing else."""

from __future__ import annotations

import os
import re
import socket
import threading
import time

import oss2
import pytest

from engines import BUCKET, Rclone
from millpond_test import media
from millpond_test.faults import Faults
from millpond_test.server import Server, create_channel, wait_for
from test_moving import millpond
from test_two_servers import playlist, push_url

#: Longer than what has no name is left alone, as an upload might be under way.
LATER_S = 3 * 86_400


class Patient:
    """A way to a store for a program whose clock is days ahead: requests get the time of now, and nobody looks at their signatures."""

    def __init__(self, port: int):
        self.port = port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                ours, _ = self.listener.accept()
            except OSError:
                return
            theirs = socket.create_connection(("127.0.0.1", self.port))
            for pair in ((ours, theirs, self._dated), (theirs, ours, bytes)):
                threading.Thread(target=self._pass, args=pair, daemon=True).start()

    @staticmethod
    def _dated(data: bytes) -> bytes:
        now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()).encode()
        return re.sub(rb"(?i)(\r\nx-amz-date: )[0-9]{8}T[0-9]{6}Z", rb"\g<1>" + now, data)

    @staticmethod
    def _pass(source: socket.socket, target: socket.socket, change) -> None:
        try:
            while data := source.recv(65_536):
                target.sendall(change(data))
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass


@pytest.fixture
def files(tmp_path):
    """A store whose objects are files, and that takes every signature."""
    store = Rclone(tmp_path / "rclone")
    store.keys = []
    # Before it looks for the first time.
    (store.folder / "data" / BUCKET).mkdir(parents=True)
    store.start()
    yield store
    store.kill()


def blobs(store: Rclone) -> "dict[str, object]":
    """The blobs that are there, by name."""
    found = (store.folder / "data" / BUCKET / "unnamed").glob("[0-9a-f][0-9a-f]/*")
    return {path.name: path for path in found if re.fullmatch("[0-9a-f]{32}", path.name)}


def blob_of(store: Rclone, created_in_s: float) -> str:
    """A blob that nobody names, begun then."""
    name = f"{int((time.time() + created_in_s) * 1000):012x}7{os.urandom(2).hex()[1:]}8{os.urandom(8).hex()[1:]}"
    path = store.folder / "data" / BUCKET / "unnamed" / name[-2:] / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"half of an upload")
    return name


def test_what_has_no_name_is_reclaimed_and_nothing_else(files, environment, source, tmp_path):
    place = {
        **environment,
        "MILLPOND_META": f"{environment['MILLPOND_META']}?schema=unnamed",
        "MILLPOND_BLOBS": files.url.replace(f"{BUCKET}/mill", f"{BUCKET}/unnamed"),
    }
    made = millpond("store", "init", environment=place)
    assert made.returncode == 0, made.stdout + made.stderr
    server = Server(tmp_path / "then", environment=place).start()
    bucket = server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    create_channel(bucket)
    contents = {f"key-{n}": os.urandom(300_000) for n in range(3)}
    for key, content in contents.items():
        bucket.put_object(key, content)
    bucket.copy_object(bucket.bucket_name, "key-0", "copied")
    media.push_file(source[0], push_url(server, bucket))
    wait_for(lambda: bucket.get_live_channel_stat("test-channel").status == "Idle", "the end of the push", 60)
    assert server.stop() == 0
    named = set(blobs(files))
    assert len(named) >= len(contents) + 2
    # Three days later that one is old, and so is all that has a name; one that somebody has just begun is not.
    old, young = blob_of(files, 0), blob_of(files, LATER_S)
    stranger = files.folder / "data" / BUCKET / "unnamed" / "ab" / "notes.txt"
    stranger.parent.mkdir(exist_ok=True)
    stranger.write_text("of somebody else")
    # It has looked into its folders before.
    files.kill()
    files.start()

    # A server runs meanwhile, whose cache is empty.
    server = Server(tmp_path / "now", environment=place).start()
    later = Faults(tmp_path)
    later.set_clock(LATER_S)
    patient = Patient(files.port)
    there = {
        **place, **later.environment, "MILLPOND_DATA_DIR": str(tmp_path / "no"),
        "MILLPOND_BLOBS": place["MILLPOND_BLOBS"].replace(f"127.0.0.1:{files.port}", patient.address),
    }  # fmt: skip
    try:
        at_once = millpond("check", "--reclaim", environment={**place, "MILLPOND_DATA_DIR": str(tmp_path / "no")})
        assert at_once.returncode == 0 and "0 blobs without a name" in at_once.stdout, at_once.stdout + at_once.stderr
        found = millpond("check", environment=there)
        assert found.returncode == 0, found.stdout + found.stderr
        print("\n" + found.stdout)
        assert f"blob {old} of 17 bytes has no name" in found.stdout
        assert " 0 faults, 1 blobs without a name" in found.stdout
        assert set(blobs(files)) == {*named, young, old}, "a look changes nothing"
        reclaimed = millpond("check", "--reclaim", environment=there)
        assert reclaimed.returncode == 0 and "1 blobs without a name, of which 1 were deleted" in reclaimed.stdout, reclaimed.stdout
        assert set(blobs(files)) == {*named, young}
        assert stranger.exists()
        again = millpond("check", "--reclaim", environment=there)
        assert again.returncode == 0 and "0 blobs without a name" in again.stdout, again.stdout
        for key in (*contents, "copied"):
            assert server.get(f"{bucket.bucket_name}/{key}").content == contents.get(key, contents["key-0"]), key
        uris = playlist(server, bucket)[1]
        assert uris
        for uri in uris:
            assert server.get(f"{bucket.bucket_name}/test-channel/{uri}").status_code == 200, uri
    finally:
        patient.listener.close()
        server.kill()
    assert "panicked" not in server.log()
