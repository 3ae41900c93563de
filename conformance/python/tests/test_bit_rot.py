"""One flipped bit on the disk: no answer has wrong bytes with a status of success, the damage is named in the log and counted, `check`
and the scrub find it, and `check --repair` says what it does."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from pathlib import Path

import oss2
import pytest
import requests

from millpond_test import media
from millpond_test.playback import read_stream
from millpond_test.server import BINARY, create_channel, wait_for

BLOCK = 64 << 10


def blob_files(server) -> "dict[Path, int]":
    return {path: path.stat().st_size for path in (server.data / "blobs").rglob("*") if path.is_file()}


def put(server, bucket, key: str, size: int) -> "tuple[bytes, Path]":
    """Puts random bytes; the file that has them."""
    before = set(blob_files(server))
    body = os.urandom(size)
    bucket.put_object(key, body)
    (file,) = set(blob_files(server)) - before
    return body, file


def flip(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 0x10]))
        os.fsync(file.fileno())


def flip_in_metadata(server, content: bytes) -> None:
    """Flips a bit in the middle of these bytes, which stand once in the file."""
    path = server.data / "meta.sqlite"
    at = path.read_bytes().index(content)
    flip(path, at + len(content) // 2)


def check(server, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [str(BINARY), "check", "--data-dir", str(server.data), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def metric(server, name: str) -> float:
    lines = re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", server.admin("/metrics").text, re.MULTILINE)
    return sum(map(float, lines))


def logged(server, text: str) -> "list[str]":
    return [line for line in server.log().splitlines() if text in line]


def download(url: str, **headers: str) -> "tuple[int, bytes]":
    """Status and body; a connection that is cut ends the body. Nothing is believed that was not announced."""
    with requests.get(url, headers=headers, stream=True, timeout=20) as answer:
        body = b""
        try:
            for piece in answer.iter_content(1 << 14):
                body += piece
        except requests.exceptions.RequestException:
            pass
        return answer.status_code, body


@pytest.fixture
def at_rest(fresh_server):
    """A server that does not scrub, and a public bucket on it."""
    server = fresh_server(settings="[storage]\nscrub_mib_per_s = 0\n")
    return server, server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)


def test_a_flipped_bit_in_a_blob_is_never_sent(at_rest):
    server, bucket = at_rest
    bodies = {key: put(server, bucket, key, size) for key, size in [("short", 300_000), ("long", 5_000_000), ("sound", 300_000)]}
    assert server.stop() == 0
    for key in ("short", "long"):
        flip(bodies[key][1], 2 * BLOCK + 17)
    server.start()
    bucket = server.bucket(bucket.bucket_name)
    url = lambda key: server.url(f"{bucket.bucket_name}/{key}")  # noqa: E731

    # Short enough to be looked at before the answer begins.
    assert download(url("short"))[0] == 500
    assert download(url("short"), Range="bytes=131080-131090")[0] == 500
    body = bodies["short"][0]
    assert download(url("short"), Range="bytes=10-99") == (206, body[10:100])
    assert download(url("short"), Range=f"bytes=0-{2 * BLOCK - 1}") == (206, body[: 2 * BLOCK])
    assert requests.head(url("short"), timeout=5).status_code == 200

    # The first answer of a long one ends where the damage begins, and from then on it is known.
    body = bodies["long"][0]
    status, got = download(url("long"))
    assert (status, len(got) <= 2 * BLOCK, got) == (200, True, body[: len(got)])
    assert download(url("long"))[0] == 500
    assert download(url("long"), Range=f"bytes={3 * BLOCK}-") == (206, body[3 * BLOCK :])
    assert download(url("sound")) == (200, bodies["sound"][0])

    # A copy of it shares its bytes, and is refused like it.
    bucket.copy_object(bucket.bucket_name, "short", "copy")
    assert download(url("copy"))[0] == 500

    for key in ("short", "long"):
        wait_for(lambda: logged(server, f'{key}') and [l for l in logged(server, "a stored object is damaged") if f'\\"{key}\\"' in l], key)
    assert metric(server, "millpond_damaged_objects_total") >= 2
    assert metric(server, "millpond_damaged_reads_total") >= 4

    # Put again, it is whole again; deleting works too.
    bucket.put_object("long", body)
    assert download(url("long")) == (200, body)
    bucket.delete_object("long")


def test_check_names_what_is_damaged_and_deletes_nothing(at_rest):
    server, bucket = at_rest
    body, file = put(server, bucket, "folder/film", 700_000)
    put(server, bucket, "other", 200_000)
    assert server.stop() == 0
    sound = check(server)
    assert sound.returncode == 0 and "2 blobs were compared with their checksums; 0 of earlier" in sound.stdout
    flip(file, 5 * BLOCK)
    assert check(server, "--quick").returncode == 0
    for arguments in ((), ("--repair",)):
        found = check(server, *arguments)
        assert found.returncode != 0
        assert re.search(rf"folder/film: blob [0-9a-f]{{32}} is damaged in bytes {5 * BLOCK} to {6 * BLOCK - 1}\n", found.stdout), found.stdout
    assert "folder/film: damaged; kept" in found.stdout
    server.start()
    bucket = server.bucket(bucket.bucket_name)
    assert download(server.url(f"{bucket.bucket_name}/folder/film"), Range="bytes=0-9") == (206, body[:10])
    # The bit back as it was: nothing was made worse.
    flip(file, 5 * BLOCK)
    assert server.stop() == 0
    assert check(server).returncode == 0


def test_a_flipped_bit_in_a_small_body_is_never_sent(at_rest):
    server, bucket = at_rest
    body = b"a small body that stands in the metadata file " * 40
    bucket.put_object("small", body)
    bucket.put_object("sound", b"other" * 100)
    assert server.stop() == 0
    flip_in_metadata(server, body)
    server.start()
    bucket = server.bucket(bucket.bucket_name)
    url = server.url(f"{bucket.bucket_name}/small")
    for headers in ({}, {"Range": "bytes=0-3"}):
        assert download(url, **headers)[0] == 500
    assert logged(server, "x00small: its bytes are not those that were written")
    assert metric(server, "millpond_damaged_reads_total") >= 2
    assert download(server.url(f"{bucket.bucket_name}/sound")) == (200, b"other" * 100)
    assert [listed.key for listed in oss2.ObjectIterator(bucket)] == ["small", "sound"]
    assert server.stop() == 0
    found = check(server)
    assert found.returncode != 0 and "x00small" in found.stdout and "not those that were written" in found.stdout
    # Its owner can do something about it.
    server.start()
    bucket = server.bucket(bucket.bucket_name)
    bucket.put_object("small", body)
    assert download(server.url(f"{bucket.bucket_name}/small")) == (200, body)
    assert server.stop() == 0
    assert check(server).returncode == 0


def test_the_scrub_finds_what_nobody_reads(fresh_server):
    server = fresh_server(settings="[storage]\nscrub_mib_per_s = 100\n")
    bucket = server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    _, file = put(server, bucket, "unread", 2_000_000)
    body = b"a small body that nobody reads either " * 40
    bucket.put_object("small", body)
    assert server.stop() == 0
    flip(file, 1_999_999)
    flip_in_metadata(server, body)
    server.start()
    bucket = server.bucket(bucket.bucket_name)
    wait_for(lambda: [line for line in logged(server, "a stored object is damaged") if "unread" in line], "the blob")
    wait_for(lambda: [line for line in logged(server, "a small object is damaged") if "small" in line], "the body")
    wait_for(lambda: logged(server, "everything stored was read"), "the end of the scrub")
    assert metric(server, "millpond_damaged_objects_total") == 2
    assert metric(server, "millpond_scrubbed_bytes_total") >= 2_000_000
    assert download(server.url(f"{bucket.bucket_name}/unread"))[0] == 500


def test_a_damaged_segment_is_left_out_of_playlists_on_demand(at_rest, short_source):
    server, bucket = at_rest
    create_channel(bucket, "ch")
    media.push_file(short_source.path, bucket.sign_rtmp_url("ch", "playlist.m3u8", 3600))
    wait_for(lambda: bucket.get_live_channel_stat("ch").status == "Idle", "the push to be over")
    segments = sorted(o.key for o in oss2.ObjectIterator(bucket, prefix="ch/") if o.key.endswith(".ts"))
    assert len(segments) >= 2
    victim = bucket.get_object(segments[1]).read()
    now = int(time.time())
    assert server.stop() == 0
    (file,) = [path for path in blob_files(server) if path.read_bytes()[: len(victim)] == victim]
    flip(file, len(victim) // 2)
    server.start()
    bucket = server.bucket(bucket.bucket_name)
    assert download(server.url(f"{bucket.bucket_name}/{segments[1]}"))[0] == 500
    wait_for(lambda: logged(server, "a stored object is damaged"), "the mark")
    bucket.post_vod_playlist("ch", "vod.m3u8", now - 3600, now + 60)
    playlist, _ = read_stream(server.url(f"{bucket.bucket_name}/ch/vod.m3u8"))
    assert [segment.uri for segment in playlist.segments] == [key.split("/")[1] for key in segments if key != segments[1]]
    if len(segments) > 2:
        assert playlist.segments[1].discontinuity


def test_repair_takes_names_away_that_lead_nowhere(at_rest):
    server, bucket = at_rest
    _, file = put(server, bucket, "lost", 200_000)
    body, _ = put(server, bucket, "kept", 200_000)
    assert server.stop() == 0
    file.unlink()
    assert "lost: blob" in check(server).stdout
    mended = check(server, "--repair")
    assert "lost: its bytes are lost, so the name was removed" in mended.stdout, mended.stdout
    assert check(server).returncode == 0
    server.start()
    bucket = server.bucket(bucket.bucket_name)
    assert [listed.key for listed in oss2.ObjectIterator(bucket)] == ["kept"]
    assert bucket.get_object("kept").read() == body
