"""The numbers of a server: named as Prometheus wants them, there from the start, bounded, and true; every query of the dashboard and
of the alerts in deploy/ finds series in a real Prometheus.

What needs Prometheus runs with `make monitoring`, which installs it; without it these tests are skipped, and say so."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import time

import oss2
import pytest
import requests

from millpond_test import media
from millpond_test.server import ROOT, create_channel, wait_for

DEPLOY = ROOT / "deploy"
MISSING = [tool for tool in ("prometheus", "promtool") if shutil.which(tool) is None]
if MISSING and os.environ.get("MILLPOND_NEEDS_PROMETHEUS"):
    pytest.exit(f"missing: {', '.join(MISSING)}", returncode=3)
needs_prometheus = pytest.mark.skipif(bool(MISSING), reason=f"NOT TESTED: {', '.join(MISSING)} missing; run `make monitoring`")

SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def samples(server) -> "dict[str, dict[tuple, float]]":
    """Families by name, samples by their labels."""
    found: "dict[str, dict[tuple, float]]" = {}
    for line in server.admin("/metrics").text.splitlines():
        if line and not line.startswith("#"):
            name, labels, value = SAMPLE.match(line).groups()
            found.setdefault(name, {})[tuple(sorted(LABEL.findall(labels or "")))] = float(value)
    return found


def queries() -> "list[str]":
    """Every query of the dashboard, and both sides of every comparison of the alerts."""
    dashboard = json.loads((DEPLOY / "grafana.json").read_text())
    found = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    for line in (DEPLOY / "alerts.yaml").read_text().splitlines():
        if match := re.match(r"\s+expr: '?(.*?)'?$", line):
            sides = re.split(r" (?:>=|<=|==|!=|>|<) ", match[1])
            assert len(sides) == 2, line
            found += [side for side in sides if not re.fullmatch(r"[\d.]+", side)]
    assert len(found) > 40
    return found


@needs_prometheus
def test_names_and_help_are_as_prometheus_wants_them(fresh_server, short_source):
    server = fresh_server()
    fresh = server.admin("/metrics").text
    bucket = server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    create_channel(bucket)
    media.push_file(short_source.path, bucket.sign_rtmp_url("test-channel", "playlist.m3u8", 600))
    for text in (fresh, server.admin("/metrics").text):
        checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
        assert checked.returncode == 0, checked.stdout + checked.stderr


@needs_prometheus
def test_the_rules_are_rules_and_fire_when_they_should():
    for command in (["check", "rules", "alerts.yaml"], ["test", "rules", "alerts_test.yaml"]):
        done = subprocess.run(["promtool", *command], cwd=DEPLOY, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    rules = re.findall(r"alert: (\w+)", (DEPLOY / "alerts.yaml").read_text())
    tests = (DEPLOY / "alerts_test.yaml").read_text()
    # Once fired, and once quiet.
    assert all(tests.count(f"alertname: {rule}\n") == 2 for rule in rules)


@needs_prometheus
def test_every_query_finds_series_in_a_real_prometheus(fresh_server, source, tmp_path):
    server = fresh_server()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    configuration = tmp_path / "prometheus.yml"
    configuration.write_text(
        "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
        f"rule_files: ['{DEPLOY}/alerts.yaml']\n"
        f"scrape_configs: [{{job_name: millpond, static_configs: [{{targets: ['{server.admin_address}']}}]}}]\n"
    )
    command = [
        "prometheus", f"--config.file={configuration}", f"--storage.tsdb.path={tmp_path}/tsdb", f"--web.listen-address={address}",
    ]  # fmt: skip
    with (tmp_path / "prometheus.log").open("wb") as log:
        prometheus = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_for(lambda: answers(f"http://{address}/-/ready"), "Prometheus is ready", 30)
        bucket = server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
        create_channel(bucket)
        url = bucket.sign_rtmp_url("test-channel", "playlist.m3u8", 600)
        with media.Push(source.path, url, loop=True):
            wait_for(lambda: bucket.get_live_channel_stat("test-channel").status == "Live", "live")
            for n in range(5):
                bucket.put_object("a", b"a" * 50_000)
                bucket.get_object("a").read()
                server.get(f"{bucket.bucket_name}/test-channel/playlist.m3u8")
                time.sleep(1)
            # While the push runs: some series are about running pushes only.
            deadline = time.monotonic() + 60
            while (left := empty(address)) and time.monotonic() < deadline:
                time.sleep(2)
            assert left == []
        rules = requests.get(f"http://{address}/api/v1/rules", timeout=10).json()["data"]["groups"][0]["rules"]
        assert [rule["name"] for rule in rules if rule["health"] != "ok"] == []
    finally:
        prometheus.kill()
        prometheus.wait()


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).status_code == 200
    except requests.RequestException:
        return False


def empty(address: str) -> "list[str]":
    """Queries that find nothing, or fail."""
    found = []
    for query in queries():
        query = query.replace("$__rate_interval", "20s").replace("$instance", ".*")
        answer = requests.get(f"http://{address}/api/v1/query", params={"query": query}, timeout=10).json()
        if answer["status"] != "success" or not answer["data"]["result"]:
            found.append(f"{query}: {answer.get('error', 'nothing')}")
    return found


def test_series_are_there_before_anything_has_happened(fresh_server):
    found = samples(fresh_server())
    for cause in ("open", "write", "sync", "commit"):
        for name in ("media_lost_seconds", "segments_lost", "segments_cut_short", "segment_failures"):
            assert found[f"millpond_{name}_total"][(("cause", cause),)] == 0
    for name in ("panics_total", "damaged_objects_total", "log_lines_lost_total", "segments_total", "publications", "garbage_held"):
        assert found[f"millpond_{name}"][()] == 0
    for name in ("segment_publish", "segment_sync", "http_request"):
        assert found[f"millpond_{name}_seconds_count"][()] == 0
    ((labels, servers),) = found["millpond_build_info"].items()
    assert dict(labels)["version"]
    assert found["millpond_dependency_up"] == {(("dependency", "blobs"),): servers, (("dependency", "metadata"),): servers}


def test_what_is_shown_of_disk_and_process_is_true(fresh_server):
    server = fresh_server()
    found, disk = samples(server), os.statvfs(server.data)
    assert found["millpond_disk_size_bytes"][()] == disk.f_blocks * disk.f_frsize
    assert found["millpond_disk_free_bytes"][()] == pytest.approx(disk.f_bavail * disk.f_frsize, rel=0.05)
    assert found["process_resident_memory_bytes"][()] == pytest.approx(server.resident_bytes(), rel=0.2)
    assert 0 < found["process_open_fds"][()] <= found["process_max_fds"][()]
    assert abs(found["process_start_time_seconds"][()] - time.time()) < 60
    assert found["process_cpu_seconds_total"][()] < 60


def test_a_channel_is_shown_as_what_it_is(fresh_server, source):
    server = fresh_server()
    bucket = server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    create_channel(bucket)
    name = (("bucket", bucket.bucket_name), ("channel", "test-channel"))
    with media.Push(source.path, bucket.sign_rtmp_url("test-channel", "playlist.m3u8", 600)):
        wait_for(lambda: samples(server).get("millpond_channel_live", {}).get(name) == 1, "live")
        wait_for(lambda: server.get(f"{bucket.bucket_name}/test-channel/playlist.m3u8").status_code == 200, "a playlist")
        # Of several servers the one that has the push counts viewers.
        for _ in range(6):
            server.get(f"{bucket.bucket_name}/test-channel/playlist.m3u8")
        found = samples(server)
        # Key frames come every two seconds; this machine may be slow.
        assert 0 <= found["millpond_channel_key_frame_age_seconds"][name] < 10
        assert found["millpond_channel_ingest_bytes_per_second"][name] > 1000
        assert found["millpond_channel_viewers"][name] == 1
        assert found["millpond_channel_media_lost_seconds_total"][(*name[:1], ("cause", "write"), *name[1:])] == 0
        assert found["millpond_metadata_commit_seconds_count"][()] > 0
    wait_for(lambda: samples(server)["millpond_channel_live"][name] == 0, "idle")
    found = samples(server)
    assert name not in found.get("millpond_channel_key_frame_age_seconds", {})
    assert found["millpond_channel_ingest_bytes_per_second"][name] == 0
