"""The sub-commands a newcomer types: sign, channel create, demo, check."""

import json
import os
import re
import sqlite3
import subprocess

import pytest
import requests

from millpond_test import media
from millpond_test.playback import fetch_playlist, read_stream
from millpond_test.server import ACCESS_KEY_ID, ACCESS_KEY_SECRET, BINARY, create_channel, wait_for
from test_tls import make_certificate

KEYS = {"OSS_ACCESS_KEY_ID": ACCESS_KEY_ID, "OSS_ACCESS_KEY_SECRET": ACCESS_KEY_SECRET}


def millpond(*arguments: str, timeout_s: float = 20) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([str(BINARY), *arguments], capture_output=True, text=True, timeout=timeout_s, env={**os.environ, **KEYS})


def urls(text: str, scheme: str):
    return re.findall(rf"{scheme}://[^\s\"']+", text)


def test_help_names_the_commands():
    shown = millpond("--help")
    assert shown.returncode == 0
    for command in ("serve", "demo", "sign", "channel", "check"):
        assert command in shown.stdout


def test_an_unknown_option_is_refused():
    assert millpond("serve", "--no-such-option").returncode != 0


def test_an_unknown_configuration_key_is_refused(tmp_path):
    (tmp_path / "millpond.toml").write_text('unknown_key = "value"\n')
    refused = millpond("serve", "--config", str(tmp_path / "millpond.toml"), "--data-dir", str(tmp_path / "data"), timeout_s=10)
    assert refused.returncode != 0
    assert "unknown_key" in refused.stderr + refused.stdout


def test_a_health_check_asks_whether_the_server_is_ready(fresh_server):
    running = fresh_server()
    asked = millpond("ready", "--admin-listen", running.admin_address)
    assert (asked.returncode, asked.stdout) == (0, "ready\n"), asked
    # A download that nobody takes keeps it from leaving; it says that it stops.
    bucket = running.new_bucket()
    bucket.put_object("large", b"l" * (64 << 20))
    with requests.get(bucket.sign_url("GET", "large", 60), stream=True, timeout=20) as download:
        next(download.iter_content(1))
        running.process.terminate()
        wait_for(lambda: running.admin("/readyz").status_code == 503, "it says that it stops")
        asked = millpond("ready", "--admin-listen", running.admin_address)
        assert asked.returncode == 1 and "not ready: stopping" in asked.stderr, asked
    running.kill()
    asked = millpond("ready", "--admin-listen", running.admin_address)
    assert asked.returncode == 1 and running.admin_address in asked.stderr, asked


def test_a_channel_created_by_the_command_takes_its_push(server, short_source):
    created = millpond("channel", "create", "cli-bucket/cli-channel", "--endpoint", server.endpoint)
    assert created.returncode == 0, created.stderr
    (push,) = [url for url in urls(created.stdout, "rtmp") if "Signature=" in url][:1]
    media.push_file(short_source.path, push)
    bucket = server.bucket("cli-bucket")
    wait_for(lambda: bucket.get_live_channel_stat("cli-channel").status == "Idle", "idle")
    (play,) = [url for url in urls(created.stdout, "http") if ".m3u8" in url and "/-/play" not in url][:1]
    assert fetch_playlist(play).segments


def test_a_push_url_signed_by_the_command_is_accepted(server, bucket, short_source):
    create_channel(bucket)
    signed = millpond("sign", "rtmp", f"{bucket.bucket_name}/test-channel", "--host", server.http_address)
    assert signed.returncode == 0, signed.stderr
    media.push_file(short_source.path, urls(signed.stdout, "rtmp")[0])


@pytest.mark.parametrize("options", [[], ["--version", "v4"]], ids=["v1", "v4"])
def test_a_url_signed_by_the_command_reads_a_private_object(server, bucket, options):
    bucket.put_object("dir/key", b"body")
    signed = millpond("sign", "url", f"{bucket.bucket_name}/dir/key", "--host", server.http_address, *options)
    assert signed.returncode == 0, signed.stderr
    assert requests.get(urls(signed.stdout, "http")[0], timeout=10).content == b"body"


@pytest.fixture
def demo(tmp_path):
    process = subprocess.Popen(
        [
            str(BINARY), "demo", "--data-dir", str(tmp_path / "data"), "--listen", "127.0.0.1:0", "--rtmp-listen", "127.0.0.1:0",
            "--admin-listen", "127.0.0.1:0",
        ],
        stdout=(tmp_path / "out").open("wb"), stderr=subprocess.STDOUT, cwd=tmp_path,
    )  # fmt: skip
    yield lambda: (tmp_path / "out").read_text()
    process.terminate()
    assert process.wait(20) == 0


def test_the_demo_shows_a_moving_picture(demo):
    printed = wait_for(lambda: ".m3u8" in demo() and demo(), "the play URL", 20)
    page = next(url for url in urls(printed, "http") if "/-/play" in url)
    assert requests.get(page, timeout=10).status_code == 200
    assert "ffmpeg" in printed and "rtmp://" in printed
    play = next(url for url in urls(printed, "http") if ".m3u8" in url and "/-/play" not in url)
    wait_for(lambda: requests.get(play, timeout=10).status_code == 200, "the first segment", 20)
    first = fetch_playlist(play.strip())
    wait_for(lambda: fetch_playlist(play).next_sequence > first.next_sequence, "the playlist grows", 20)
    _, report = read_stream(play)
    assert report.video_frames > 0 and report.audio_frames > 0


def test_check_finds_nothing_in_a_new_directory(fresh_server):
    server = fresh_server()
    server.stop()
    found = server.findings()
    assert found.returncode == 0, found.stdout + found.stderr


def test_the_listening_line_is_json_for_machines(fresh_server):
    # The fixture itself parses the line on standard output; standard error holds only JSON.
    server = fresh_server()
    for line in server.log().splitlines():
        json.loads(line)


def test_channel_sessions_tell_what_each_push_was(fresh_channel, short_source):
    """D7, D21: encoder, amounts and quirks of the last pushes, kept beside the history and across a restart."""
    channel = fresh_channel()
    bucket, server = channel.bucket.bucket_name, channel.server
    media.push_file(short_source.path, channel.push_url)
    wait_for(lambda: channel.status() == "Idle", "idle")
    wrong = channel.bucket.sign_rtmp_url(channel.name, "wrong.m3u8", 600)
    media.push_file(short_source.path, wrong, options=["-bsf:v", "setts=pts=DTS"])
    wait_for(lambda: channel.status() == "Idle", "idle")
    with media.Push(short_source.path, channel.push_url):
        wait_for(lambda: channel.status() == "Live", "live")
        server.kill()
    server.start()

    def sessions(*options: str) -> str:
        shown = millpond("channel", "sessions", f"{bucket}/{channel.name}", "--admin", f"http://{server.admin_address}", *options)
        assert shown.returncode == 0, shown.stderr
        return shown.stdout

    plain, repaired, died = json.loads(sessions("--json"))["sessions"]
    report = plain["report"]
    assert report["encoder"].startswith("Lavf"), report
    assert (report["pictures"], report["segments"], report["handshake"]) == (len(short_source.decoded.video), 2, "digest-first")
    assert report["key_frames"] == 2 and report["audio_frames"] == len(short_source.decoded.audio)
    assert "repaired_pts" not in report["quirks"] and repaired["report"]["quirks"]["repaired_pts"] > 10
    assert died["report"] is None
    history = server.bucket(bucket).get_live_channel_history(channel.name).records
    assert [one["remote_addr"] for one in (plain, repaired, died)] == [record.remote_addr for record in history]

    head, *lines = sessions().splitlines()
    assert head.split()[:4] == ["START", "SECONDS", "PICTURES", "SEGMENTS"]
    assert len(lines) == 3
    assert "Lavf" in lines[0] and "repaired_pts=" in lines[1] and "no report" in lines[2]

    missing = millpond("channel", "sessions", f"{bucket}/nothing", "--admin", f"http://{server.admin_address}")
    assert missing.returncode != 0 and "no such channel" in missing.stderr.lower()
    assert requests.get(f"http://{server.admin_address}/api/v1/channels/{bucket}/{channel.name}/sessions", timeout=10).status_code == 403


def test_check_says_what_of_the_metadata_file_is_damaged(fresh_server):
    server = fresh_server()
    server.new_bucket().put_object("a.bin", b"x" * 4096)
    assert server.stop() == 0
    assert server.findings().returncode == 0
    with sqlite3.connect(server.data / "meta.sqlite") as file:
        file.execute("DELETE FROM large WHERE length(v) > 4096")
    found = server.findings()
    assert found.returncode == 1
    assert "the metadata file is damaged: 1 long values are missing" in found.stdout


def test_the_help_of_publish_names_its_placeholder():
    shown = millpond("publish", "--help")
    assert shown.returncode == 0 and "{N} in it becomes the number of the publisher" in shown.stdout


def test_a_new_channel_says_how_far_behind_viewers_are_and_what_to_type(server):
    created = millpond("channel", "create", "cli-bucket/cli-lines", "--endpoint", server.endpoint)
    assert created.returncode == 0, created.stderr
    assert re.search(r"ffmpeg -re -i FILE\.mp4 .* -f flv 'rtmp://[^']*&[^']*'", created.stdout), "the URL is quoted, since it contains &"
    for row in ("1 s → 3.5 s ", "2 s → 8 s*", "5 s → 19 s "):
        assert row in created.stdout
    configuration = server.bucket("cli-bucket").get_live_channel("cli-lines")
    assert int(configuration.target.frag_duration) == 2


@pytest.mark.parametrize(
    "address, said",
    [
        ("9000", "type 127.0.0.1:9000 for this machine alone, or 0.0.0.0:9000"),
        ("localhost:9000", "names are not looked up: type 127.0.0.1:9000"),
        ("0.0.0.0", "the port is missing: type 0.0.0.0:9000"),
    ],
)
def test_an_address_that_is_none_says_what_to_type(address, said, tmp_path):
    refused = millpond("serve", "--listen", address, "--data-dir", str(tmp_path / "data"))
    assert refused.returncode != 0 and said in refused.stderr, refused.stderr


def serving(tmp_path, *arguments: str):
    options = ["--rtmp-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data-dir", str(tmp_path / "data")]
    return subprocess.Popen(
        [str(BINARY), "serve", *options, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={name: value for name, value in os.environ.items() if not name.startswith("OSS_")},
    )  # fmt: skip


def said_until(process, text: str) -> str:
    lines = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return "".join(lines)
    raise AssertionError("".join(lines))


def test_a_taken_port_says_what_to_do(server, tmp_path):
    refused = millpond("serve", "--listen", server.http_address, "--admin-listen", "127.0.0.1:0", "--data-dir", str(tmp_path / "data"))
    assert refused.returncode != 0
    assert "another program has this port" in refused.stderr and "--listen" in refused.stderr


def test_the_start_says_where_the_secret_is_and_what_is_open(tmp_path):
    first = serving(tmp_path, "--listen", "0.0.0.0:0")
    try:
        said = said_until(first, "is open to whoever reaches this machine")
        assert "export OSS_ACCESS_KEY_SECRET=" in said and "root-key.json" not in said.split("A root access key was made")[0]
    finally:
        first.terminate()
        first.wait(timeout=20)
    second = serving(tmp_path, "--listen", "127.0.0.1:0")
    try:
        said = said_until(second, "Access key")
        assert re.search(r"its secret: in \S*root-key\.json", said) and "is open to" not in said
    finally:
        second.terminate()
        second.wait(timeout=20)


def test_a_list_without_users_says_so(fresh_server):
    server = fresh_server()
    admin = ["--admin", f"http://{server.admin_address}"]
    shown = millpond("user", "list", *admin)
    assert (shown.returncode, shown.stdout) == (0, "") and "There are no users yet" in shown.stderr
    assert json.loads(millpond("user", "list", "--json", *admin).stdout) == {"users": []}


def test_the_commands_speak_https(fresh_server, tmp_path):
    certificate, key = make_certificate(tmp_path, "cli")
    server = fresh_server("--tls-cert", str(certificate), "--tls-key", str(key))
    admin = ["--admin", f"https://{server.admin_address}"]
    assert millpond("user", "create", "anna", *admin, "--ca", str(certificate)).returncode == 0
    assert "anna" in millpond("user", "list", *admin, "--ca", str(certificate)).stdout
    other, _ = make_certificate(tmp_path, "other")
    for arguments in ([], ["--ca", str(other)]):
        refused = millpond("user", "list", *admin, *arguments)
        assert refused.returncode != 0 and "no TLS with" in refused.stderr, refused.stderr
    assert "--ca FILE" in millpond("user", "list", *admin).stderr
    endpoint = server.endpoint.replace("http:", "https:")
    created = millpond("channel", "create", "cli-tls/cam", "--endpoint", endpoint, "--ca", str(certificate))
    assert created.returncode == 0, created.stderr
    assert "Push to   rtmps://" in created.stdout and f"Play      {endpoint}/" in created.stdout


def test_a_push_that_is_faster_than_time_lasts_as_long_as_its_media(server, short_source):
    bucket = server.bucket("cli-bucket")
    create_channel(bucket, "cli-fast", frag_duration=1)
    media.push_file(short_source.path, server.on_rtmp_port(bucket.sign_rtmp_url("cli-fast", "playlist.m3u8", 600)))
    admin = ["--admin", f"http://{server.admin_address}"]
    sessions = lambda: json.loads(millpond("channel", "sessions", "cli-bucket/cli-fast", "--json", *admin).stdout)["sessions"]  # noqa: E731
    report = wait_for(lambda: (sessions() or [{"report": None}])[-1]["report"], "the report")
    assert report["seconds"] in (4, 5), report
