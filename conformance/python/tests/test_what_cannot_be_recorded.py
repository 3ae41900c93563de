"""Media that cannot be recorded: one WARN per session names the codec and what to do while there is time; stat, report and the
overview of what is on air say it; with `refuse_unrecordable_after_s` the encoder, also ffmpeg, shows the reason (LiveChannel 2, Q44)."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import oss2
import pytest
import requests

from millpond_test import media
from millpond_test.accounts import Key, manage
from millpond_test.corpus import path as corpus_path
from millpond_test.server import ACCESS_KEY_ID, ACCESS_KEY_SECRET, BINARY, REGION, create_channel, until_heard, wait_for

# Which stream, what is to be changed, what stat calls the kind, and the warning of the overview.
CASES = {
    "hevc": ("HEVC: choose H.264", "H265", "foreign_video"),
    "av1": ("AV1: choose H.264", "AV1", "foreign_video"),
    "vp9": ("VP9: choose H.264", "VP9", "foreign_video"),
    "hevc and mp3": ("HEVC: choose H.264; MP3: choose AAC", "H265", "foreign_video"),
    "sound alone": ("sound without a picture: nothing is recorded, send H.264 too", None, "no_picture"),
    "h264 and mp3": ("MP3: choose AAC", "MP3", "foreign_audio"),
}
NOTHING = [name for name in CASES if name != "h264 and mp3"]


@pytest.fixture(scope="module")
def streams(tmp_path_factory) -> "dict[str, Path]":
    """A file for each case. The three codecs of enhanced FLV differ by their four letters: nobody decodes them here."""
    folder = tmp_path_factory.mktemp("media")
    hevc = corpus_path("enhanced-hevc").read_bytes()
    assert hevc.count(b"hvc1") > 20
    made = {name: folder / f"{name}.flv" for name in CASES}
    made["hevc"].write_bytes(hevc)
    made["av1"].write_bytes(hevc.replace(b"hvc1", b"av01"))
    made["vp9"].write_bytes(hevc.replace(b"hvc1", b"vp09"))
    plain = media.make_source(folder / "plain.flv", seconds=6)
    for name, options in [("h264 and mp3", ["-c:v", "copy", "-c:a", "libmp3lame"]), ("sound alone", ["-vn", "-c:a", "copy"])]:
        done = media.run(["ffmpeg", "-v", "error", "-y", "-i", str(plain), *options, "-f", "flv", str(made[name])])
        assert done.returncode == 0, done.stderr
    made["hevc and mp3"].write_bytes(with_sound_of(hevc, made["h264 and mp3"].read_bytes()))
    return made


def tags(flv: bytes) -> "list[tuple[int, bytes]]":
    found, position = [], 13
    while position + 11 <= len(flv):
        end = position + 11 + int.from_bytes(flv[position + 1 : position + 4], "big") + 4
        found.append((int.from_bytes(flv[position + 4 : position + 7], "big"), flv[position:end]))
        position = end
    return found


def with_sound_of(video: bytes, other: bytes) -> bytes:
    """The pictures of the one with the sound of the other."""
    both = [tag for tag in tags(video) if tag[1][0] == 9] + [tag for tag in tags(other) if tag[1][0] == 8]
    return video[:13] + b"".join(tag for _, tag in sorted(both, key=lambda tag: tag[0]))


def publisher(file: Path, url: str) -> subprocess.Popen:
    """Sends the file again and again, at its pace. ffmpeg does it where it can: `millpond publish` wants pictures."""
    command = [str(BINARY), "publish", url, "--file", str(file), "--rounds", "0"]
    if file.name == "sound alone.flv":
        command = ["ffmpeg", "-hide_banner", "-nostats", "-re", "-stream_loop", "-1", "-i", str(file), "-c", "copy", "-f", "flv", url]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def warnings(server) -> "list[str]":
    lines = [json.loads(line) for line in server.log().splitlines() if line.startswith("{")]
    said = "what this encoder sends is not recorded: "
    return [line["message"].removeprefix(said) for line in lines if line["message"].startswith(said) and line["level"] == "WARN"]


def on_air(server, bucket: str) -> dict:
    request = oss2.http.Request("GET", f"{server.endpoint}/-/api/v1/on-air", headers={"x-oss-admin": "v1"}, params={"bucket": bucket}, region=REGION, product="oss")
    Key(ACCESS_KEY_ID, ACCESS_KEY_SECRET).auth("v4")._sign_request(request, "api", "v1/on-air")
    answer = requests.get(request.url, params=request.params, headers=dict(request.headers), timeout=10)
    assert answer.status_code == 200, answer.text
    (channel,) = answer.json()["channels"]
    return channel


@pytest.mark.parametrize("name", CASES)
def test_it_is_said_once_and_everywhere(fresh_server, streams, name):
    server = fresh_server()
    bucket = server.new_bucket()
    create_channel(bucket, "cam")
    advice, codec, warning = CASES[name]
    push = publisher(streams[name], bucket.sign_rtmp_url("cam", "playlist.m3u8", 600))
    try:
        # While the push goes on.
        wait_for(lambda: warnings(server), "a warning")
        assert push.poll() is None
        stat = bucket.get_live_channel_stat("cam")
        assert stat.status == "Live"
        kinds = [stat.video and stat.video.codec, stat.audio and stat.audio.codec]
        assert codec in kinds, kinds
        if name == "sound alone":
            assert not kinds[0], kinds
        assert warning in wait_for(lambda: on_air(server, bucket.bucket_name)["warnings"], "the overview warns")
    finally:
        push.kill()
        push.wait()
    wait_for(lambda: bucket.get_live_channel_stat("cam").status == "Idle", "idle")
    assert warnings(server) == [advice]
    where = f"{bucket.bucket_name}/cam"
    (session,) = manage(server, "channel", "sessions", where)["sessions"]
    for one in advice.split("; "):
        assert one in session["report"]["advice"]
    # People read it at the end of the line.
    shown = subprocess.run([str(BINARY), "channel", "sessions", where, "--admin", f"http://{server.admin_address}"],
                capture_output=True, text=True, timeout=20, env=server.keys())  # fmt: skip
    assert shown.returncode == 0 and f"→ {advice}" in shown.stdout, shown


@pytest.mark.parametrize("name", CASES)
def test_it_is_refused_where_that_is_wanted(fresh_server, streams, name):
    server = fresh_server()
    bucket = server.new_bucket()
    create_channel(bucket, "cam")
    where = f"{bucket.bucket_name}/cam"
    manage(server, "channel", "set", where, "refuse_unrecordable_after_s=2")
    advice = CASES[name][0]
    url = bucket.sign_rtmp_url("cam", "playlist.m3u8", 600)
    if name not in NOTHING:
        # What can be recorded of it is.
        media.push_file(streams[name], url)
        wait_for(lambda: bucket.get_live_channel_stat("cam").status == "Idle", "idle")
        assert bucket.get_object("cam/playlist.m3u8").read().count(b"#EXTINF") >= 2
        return
    push = publisher(streams[name], url)
    said = push.communicate(timeout=60)[0].decode()
    reason = f"Nothing of this push can be recorded: {advice.split('; ')[0]}"
    assert push.returncode != 0 and reason in said, said
    assert f"publish refused: {reason}" in server.log()
    assert warnings(server) == [advice]
    until_heard()
    (refusal,) = manage(server, "channel", "sessions", where)["refusals"]
    assert refusal["message"] == reason
    # The channel is free for a push that can be.
    create_channel(bucket, "cam")
