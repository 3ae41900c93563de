"""Fixtures of the image and of running compose files, and what a server that runs alone has to do."""

from __future__ import annotations

import json
import re
import time

import oss2
import pytest

import images
from compose import Image, Stack
from millpond_test import media
from millpond_test.server import ACCESS_KEY_ID, ACCESS_KEY_SECRET, BINARY, ROOT, Server, create_channel, wait_for
from test_two_servers import playlist

FILES = ROOT / "deploy" / "compose"
SECRETS = {
    "OSS_ACCESS_KEY_ID": ACCESS_KEY_ID,
    "OSS_ACCESS_KEY_SECRET": ACCESS_KEY_SECRET,
    "MILLPOND_SECRETS_KEY": "5eed" * 16,
    "PGPASSWORD": "compose-password",
    "AWS_ACCESS_KEY_ID": "composekey",
    "AWS_SECRET_ACCESS_KEY": "compose-secret-0001",
}


@pytest.fixture(scope="session")
def archives(tmp_path_factory):
    return images.make(BINARY, tmp_path_factory.mktemp("image") / "dist")


@pytest.fixture(scope="session")
def ours(archives, tmp_path_factory):
    return images.unpack(archives / "millpond-oci.tar", tmp_path_factory.mktemp("unpacked"))


@pytest.fixture
def stack_of(ours, tmp_path):
    """Starts a file: `stack_of("many.yaml", changes)`, with an image of its own if the test has one; all of it ends with the test."""
    made = []

    def start(file: str, changes=None, image: "Image | None" = None) -> Stack:
        def image_of(name: str) -> Image:
            return images.stand_in(name, tmp_path) if "/" in name else image or ours[0]

        stack = Stack(FILES / file, tmp_path / "stack", SECRETS, image_of, changes)
        made.append(stack)
        return stack.up()

    yield start
    for stack in made:
        logs = stack.logs()
        # Pytest shows it of tests that fail.
        print(logs)
        stack.down()
        assert "panicked" not in logs, logs


def at(address: str, folder) -> Server:
    """Clients that point at this address, as if a server of the tests were there."""
    clients = Server(folder)
    clients.http_address, clients.rtmp_address, clients.admin_address = f"{address}:9000", f"{address}:1935", f"{address}:9001"
    return clients


def is_one_server(stack: Stack, source, tmp_path) -> None:
    """deploy/compose/one.yaml with its limits: a push, its playlist, a picture, a stop and a start; and the health check."""
    path, decoded = source
    service = stack["millpond"]
    server = at(service.address, tmp_path)
    wait_for(service.is_healthy, service.log, 30)
    status = (f"/proc/{service.pid()}/status", f"/proc/{service.pid()}/limits")
    with open(status[0]) as text:
        shown = text.read()
    for line in ("Uid:\t65532\t65532", "NoNewPrivs:\t1", "CapBnd:\t0000000000000000", "CapEff:\t0000000000000000"):
        assert line in shown
    with open(status[1]) as text:
        assert re.search(rf"Max open files +{service.files} +{service.files} ", text.read())

    made = json.loads((tmp_path / "stack" / "volumes" / "data" / "root-key.json").read_text())
    auth = oss2.Auth(*(made[name] for name in sorted(made) if "id" in name or "secret" in name))
    bucket = oss2.Bucket(auth, server.endpoint, "first-bucket")
    bucket.create_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    create_channel(bucket)
    media.push_file(path, server.on_rtmp_port(bucket.sign_rtmp_url("test-channel", "playlist.m3u8", 3600)))
    wait_for(lambda: bucket.get_live_channel_stat("test-channel").status == "Idle", "the end of the push", 60)
    listed = server.url("first-bucket/test-channel/playlist.m3u8")
    media.assert_same_frames(media.decode_listed(listed), decoded)
    # A picture is decoded in a process of its own.
    uri = playlist(server, bucket)[1][0]
    still = server.get(f"first-bucket/test-channel/{uri}?x-oss-process=video/snapshot,t_0")
    assert still.status_code == 200 and still.content[:2] == b"\xff\xd8"

    begun = time.monotonic()
    assert service.stop() == 0
    print(f"\nstopped after {time.monotonic() - begun:.1f} s")
    assert not service.running()
    service.start()
    wait_for(service.is_healthy, service.log, 30)
    media.assert_same_frames(media.decode_listed(listed), decoded)
    # A server that cannot be asked is not well.
    service.signal("STOP")
    assert not service.is_healthy()
    service.signal("CONT")
    wait_for(service.is_healthy, "healthy again", 30)
