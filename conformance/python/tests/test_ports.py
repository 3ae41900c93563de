"""One port speaks HTTP and RTMP, buckets are hosts or paths, and the admin port says how the server is."""

import re
import time

import pytest
import requests

from millpond_test.server import wait_for
from millpond_test.wire import check_common_headers


@pytest.mark.parametrize("host", ["{bucket}.localhost:{port}", "{bucket}.localhost", "{bucket}.oss-cn-hangzhou.aliyuncs.com", "{bucket}.media.example.com"])
def test_a_bucket_as_host(fresh_server, host):
    server = fresh_server("--domain", "media.example.com")
    bucket = server.new_bucket("public-read")
    bucket.put_object("dir/key", b"body")
    header = host.format(bucket=bucket.bucket_name, port=server.port)
    for path in ("dir/key", "dir%2Fkey"):
        response = requests.get(server.url(path), headers={"Host": header}, timeout=10)
        assert (response.status_code, response.content) == (200, b"body"), response.text


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "media.example.com", "some-container:9000"])
def test_a_bucket_as_path(fresh_server, host):
    server = fresh_server("--domain", "media.example.com")
    bucket = server.new_bucket("public-read")
    bucket.put_object("dir/key", b"body")
    response = requests.get(server.url(f"{bucket.bucket_name}/dir/key"), headers={"Host": host}, timeout=10)
    assert (response.status_code, response.content) == (200, b"body"), response.text


def test_health_and_metrics(server):
    assert server.admin("/healthz").status_code == 200
    assert server.admin("/readyz").status_code == 200
    metrics = server.admin("/metrics")
    assert metrics.status_code == 200
    assert re.search(r"^millpond_\w+", metrics.text, re.MULTILINE)
    assert server.admin("/secret").status_code == 404


def test_the_admin_paths_are_not_on_the_public_port(server):
    for path in ("healthz", "metrics"):
        assert "millpond_" not in server.get(path).text


def test_every_answer_carries_the_common_headers(server, bucket):
    for response in (server.get(""), server.get(f"{bucket.bucket_name}/key"), requests.head(server.url(bucket.bucket_name), timeout=10)):
        check_common_headers(response)


def test_several_listeners(fresh_server):
    server = fresh_server("--listen", "127.0.0.1:0")
    log = server.log()
    assert server.get("").status_code == 403, log


def test_a_disk_of_secrets_is_private(fresh_server):
    server = fresh_server()
    mode = server.data.stat().st_mode & 0o777
    assert mode & 0o007 == 0, oct(mode)


def test_an_idle_server_is_small_and_starts_fast(fresh_server):
    began = time.monotonic()
    server = fresh_server()
    took = time.monotonic() - began
    assert took < 1.0, f"{took:.3f} s to the listening line"
    assert server.resident_bytes() < 40 * 1024 * 1024


def test_it_stops_cleanly_and_starts_again(fresh_server):
    server = fresh_server()
    bucket = server.new_bucket()
    bucket.put_object("key", b"body")
    assert server.stop() == 0
    assert server.findings().returncode == 0
    server.start()
    assert server.bucket(bucket.bucket_name).get_object("key").read() == b"body"
    wait_for(lambda: server.admin("/readyz").status_code == 200, "ready")
