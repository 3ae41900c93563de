"""Snapshots of channels (LiveChannel 6): pictures of key frames in the bucket that a channel names, and why there are none."""

import hashlib
import http.server
import json
import os
import re
import signal
import threading
import time
import uuid
from pathlib import Path

import oss2
import pytest

from millpond_test import media, pictures
from millpond_test.accounts import new_user, refusal, statement
from millpond_test.playlist import Playlist
from millpond_test.server import wait_for
from millpond_test.wire import signed_request
from test_channel_reports import ROOT, ask
from test_usage import usage as ask_usage

TARGET = "<Target><Type>HLS</Type><FragDuration>2</FragDuration><FragCount>100</FragCount></Target>"


@pytest.fixture(scope="module")
def numbered(tmp_path_factory):
    """Sixty seconds with a key frame each second, so that a push at the pace of life lasts as long as a test wants."""
    return pictures.make_numbered(tmp_path_factory.mktemp("numbered") / "numbered.flv", 60, 25)


def configuration(dest: str, interval: int = 1, topic: str = "topic") -> bytes:
    snapshot = (
        f"<Snapshot><RoleName>role</RoleName><DestBucket>{dest}</DestBucket><NotifyTopic>{topic}</NotifyTopic>"
        f"<Interval>{interval}</Interval></Snapshot>"
    )
    return f"<LiveChannelConfiguration>{TARGET}{snapshot}</LiveChannelConfiguration>".encode()


def put(server, bucket, dest: str, **options) -> None:
    done = signed_request(server, "PUT", bucket.bucket_name, "cam", "live", configuration(dest, **options))
    assert done.status_code == 200, done.text


def names(bucket, prefix: str = "cam/") -> "list[str]":
    return [found.key for found in oss2.ObjectIterator(bucket, prefix=prefix)]


def url_of(bucket) -> str:
    return bucket.sign_rtmp_url("cam", "playlist.m3u8", 3600)


def stat(server, bucket) -> str:
    return signed_request(server, "GET", bucket.bucket_name, "cam", "live&comp=stat").text


def idle(bucket) -> None:
    wait_for(lambda: bucket.get_live_channel_stat("cam").status == "Idle", "idle")


def report(server, bucket) -> dict:
    answer = ask(server, bucket.bucket_name, "cam", ROOT)
    return json.loads(answer.content)["sessions"][-1]["report"]


def check_recording(server, bucket, key: str = "cam/playlist.m3u8") -> None:
    """What was recorded decodes without a complaint."""
    assert media.decode_listed(server.url(f"{bucket.bucket_name}/{key}")).errors == ""


def test_a_picture_per_interval_and_a_message_for_each(fresh_server, numbered):
    told = []

    class Endpoint(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            told.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            # The first attempt fails; any success will do.
            self.send_response(503 if len(told) == 1 else 204)
            self.end_headers()

        def log_message(self, *_):
            pass

    endpoint = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    threading.Thread(target=endpoint.serve_forever, daemon=True).start()
    server = fresh_server(settings=f'[snapshots.topics]\nheard = "http://127.0.0.1:{endpoint.server_port}/x"\n')
    bucket, dest = server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ), server.new_bucket()
    put(server, bucket, dest.bucket_name, interval=2, topic="heard")
    began = time.time() * 1000
    with media.Push(numbered, url_of(bucket)) as push:
        wait_for(lambda: len(names(dest)) >= 4, "four pictures", 30)
        assert "<Taken>" in stat(server, bucket) and "<Missing>0</Missing>" in stat(server, bucket)
        push.interrupt()
    idle(bucket)
    ended = time.time() * 1000
    found = names(dest)
    moments = [int(Path(name).stem) for name in found]
    assert all(name == f"cam/{moment}.jpg" for name, moment in zip(found, moments))
    assert all(began - 1000 <= moment <= ended for moment in moments)
    # One for each interval of the session at the most.
    assert len(moments) <= (ended - began) / 2000 + 1
    shown = []
    for name in found:
        picture = dest.get_object(name)
        assert picture.headers["content-type"] == "image/jpeg"
        body = picture.read()
        assert pictures.probe(body) == ("mjpeg", pictures.WIDTH, pictures.HEIGHT)
        shown.append(pictures.number(body))
    assert all(number % 25 == 0 for number in shown), f"each is a key frame: {shown}"
    assert shown == sorted(set(shown)) and shown[0] == 0
    # The message names the picture, in the envelope of the message service.
    wait_for(lambda: len(told) >= len(found), "a message for each picture")
    endpoint.shutdown()
    messages = [json.loads(message["Message"]) for message in told[1:]]
    assert {message["object"] for message in messages} <= set(found)
    first = told[0]
    assert first["MessageMD5"] == hashlib.md5(first["Message"].encode()).hexdigest().upper()
    assert (first["TopicName"], first["MessageTag"]) == ("heard", "snapshot")
    inside = json.loads(first["Message"])
    assert (inside["bucket"], inside["channel"], inside["destBucket"]) == (bucket.bucket_name, "cam", dest.bucket_name)
    assert (inside["width"], inside["height"], inside["interval"]) == (pictures.WIDTH, pictures.HEIGHT, 2)
    assert inside["object"] == f"cam/{inside['timestamp']}.jpg"
    # And the numbers.
    metrics = server.admin("/metrics").text
    assert f'millpond_live_snapshots_total{{bucket="{bucket.bucket_name}"' in metrics
    assert "millpond_pictures_made_total" in metrics
    assert not any(name.startswith("snapshots_refused") for name in report(server, bucket)["quirks"])


def test_who_may_not_write_there_may_not_ask_for_pictures(server):
    bucket, dest = server.new_bucket(), server.new_bucket()
    user = new_user(server)
    user.allow("live", statement("Allow", "oss:PutLiveChannel", f"acs:oss:*:*:{bucket.bucket_name}/*"))
    key = user.key()
    client = key.bucket(server, bucket.bucket_name)
    name = f"cam-{uuid.uuid4().hex[:6]}"

    def attempt():
        return client._do("PUT", bucket.bucket_name, name, params={"live": ""}, data=configuration(dest.bucket_name))

    assert refusal(attempt) == (403, "AccessDenied")
    assert bucket.list_live_channel(prefix=name).channels == []
    user.allow("pictures", statement("Allow", "oss:PutObject", f"acs:oss:*:*:{dest.bucket_name}/{name}/*"))
    assert attempt().status == 200


def test_a_destination_that_goes_and_comes_again(server, numbered):
    bucket, dest = server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ), server.new_bucket()
    put(server, bucket, dest.bucket_name)
    with media.Push(numbered, url_of(bucket)) as push:
        wait_for(lambda: names(dest), "a picture")

        def is_deleted():
            # A picture may come between the two.
            for name in names(dest):
                dest.delete_object(name)
            try:
                dest.delete_bucket()
            except oss2.exceptions.BucketNotEmpty:
                return False
            return True

        wait_for(is_deleted, "the bucket is deleted")
        wait_for(lambda: "<Reason>no_such_bucket</Reason>" in stat(server, bucket), "the stat says so")
        segments = len(names(bucket))
        wait_for(lambda: len(names(bucket)) > segments + 1, "the recording goes on")
        dest.create_bucket()
        wait_for(lambda: names(dest), "pictures again")
        push.interrupt()
    idle(bucket)
    told = report(server, bucket)
    assert told["quirks"]["snapshots_refused_no_such_bucket"] >= 1
    assert any("no_such_bucket" in advice for advice in told["advice"])
    lines = [json.loads(line) for line in server.log().splitlines() if bucket.bucket_name in line and "snapshot" in line]
    said = [line for line in lines if "a snapshot is not taken" in json.dumps(line)]
    assert len(said) == 1, "once, not for each picture"
    assert any("taken again" in json.dumps(line) for line in lines)
    check_recording(server, bucket)


def test_a_policy_of_the_destination_is_asked_for_each_picture(server, numbered):
    bucket, dest = server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ), server.new_bucket()
    put(server, bucket, dest.bucket_name)
    with media.Push(numbered, url_of(bucket)) as push:
        wait_for(lambda: names(dest), "a picture")
        # Everybody is not the owner itself, whom a policy has to name.
        owner = dest.get_bucket_info().owner.id
        deny = {
            "Version": "1",
            "Statement": [
                {"Effect": "Deny", "Action": ["oss:PutObject"], "Principal": [owner], "Resource": [f"acs:oss:*:*:{dest.bucket_name}/cam/*"]}
            ],
        }
        dest.put_bucket_policy(json.dumps(deny))
        wait_for(lambda: "<Reason>access_denied</Reason>" in stat(server, bucket), "the stat says so")
        count = len(names(dest))
        # Of several servers the next that is asked may have heard less.
        missing = lambda: int((re.findall(r"<Missing>(\d+)<", stat(server, bucket)) or ["0"])[0])  # noqa: E731
        wait_for(lambda: missing() >= 3, "three are missing")
        assert len(names(dest)) == count
        push.interrupt()
    idle(bucket)
    assert report(server, bucket)["quirks"]["snapshots_refused_access_denied"] >= 3


def workers(server) -> "list[int]":
    """The decoders of a server."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, ValueError, IndexError):
            continue
        if b"picture-worker" in words and parent == server.process.pid:
            found.append(int(entry.name))
    return found


def test_a_worker_that_is_killed_harms_nobody(fresh_server, numbered):
    server = fresh_server(settings="[snapshots]\nworkers = 1\n")
    bucket, dest = server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ), server.new_bucket()
    put(server, bucket, dest.bucket_name)
    with media.Push(numbered, url_of(bucket)) as push:
        for _ in range(3):
            count = len(names(dest))
            wait_for(lambda: len(names(dest)) > count, "a picture")
            for pid in workers(server):
                # It was given a process group, so nothing else is hit.
                os.kill(pid, signal.SIGKILL)
        count = len(names(dest))
        wait_for(lambda: len(names(dest)) > count, "a picture")
        (worker,) = workers(server)
        environment = Path(f"/proc/{worker}/environ").read_bytes()
        assert b"SECRET" not in environment, "a decoder knows no secret"
        push.interrupt()
    idle(bucket)
    assert report(server, bucket)["lost_ms"] == 0
    check_recording(server, bucket)
    assert server.stop() == 0
    assert workers(server) == []
    assert server.findings().returncode == 0


def test_a_picture_and_its_count_are_one(fresh_server, numbered):
    """A crash between the two would bill a picture that is not there, or none for one that is."""
    server = fresh_server()
    bucket, dest = server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ), server.new_bucket()
    put(server, bucket, dest.bucket_name)
    for kills in range(1, 3):
        with media.Push(numbered, url_of(bucket), paced=3) as push:
            count = len(names(dest))
            wait_for(lambda: len(names(dest)) > count, "a picture")
            server.kill()
            push.kill()
        server.start()
        bucket, dest = server.bucket(bucket.bucket_name), server.bucket(dest.bucket_name)
        [row] = ask_usage(server, bucket.bucket_name)
        assert row["snapshots"] == len(names(dest)) >= kills


def test_a_stream_of_ten_bits_is_recorded_and_its_pictures_are_refused(server, tmp_path):
    ten = pictures.make_numbered(tmp_path / "ten.flv", 30, 25, ["-pix_fmt", "yuv420p10le", "-profile:v", "high10"])
    bucket, dest = server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ), server.new_bucket()
    put(server, bucket, dest.bucket_name)
    with media.Push(ten, url_of(bucket)) as push:
        wait_for(lambda: "<Reason>bit_depth</Reason>" in stat(server, bucket), "the stat says so")
        wait_for(lambda: len(names(bucket)) >= 4, "it is recorded")
        assert "<Missing>1</Missing>" in stat(server, bucket), "no further one is tried"
        still = signed_request(server, "GET", bucket.bucket_name, "cam/playlist.m3u8", "x-oss-process=live/still")
        assert (still.status_code, "bit_depth" in still.text) == (400, True), still.text
        push.interrupt()
    idle(bucket)
    told = report(server, bucket)
    assert told["quirks"]["snapshots_refused_bit_depth"] == 1
    assert any("bit_depth" in advice for advice in told["advice"])
    assert names(dest) == []
    check_recording(server, bucket)


def test_pictures_that_are_switched_off(fresh_server, numbered):
    server = fresh_server(settings="[snapshots]\nenabled = false\n")
    bucket, dest = server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ), server.new_bucket()
    put(server, bucket, dest.bucket_name)
    with media.Push(numbered, url_of(bucket)) as push:
        wait_for(lambda: len(names(bucket)) >= 3, "it is recorded")
        for process in ("live/still", "video/snapshot,t_0"):
            answer = signed_request(server, "GET", bucket.bucket_name, "cam/playlist.m3u8", f"x-oss-process={process}")
            assert answer.status_code == 501, answer.text
        push.interrupt()
    idle(bucket)
    assert names(dest) == [] and workers(server) == []
    assert server.log().count("pictures are switched off") == 1
    listed = Playlist.parse(bucket.get_object("cam/playlist.m3u8").read().decode())
    assert listed.segments
