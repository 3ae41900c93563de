"""The balancers of deploy/ with other addresses: one of the two servers that they name is there, the other is not. What several servers make of it
is in conformance/cluster; here is what one can show: nobody notices the missing one, TLS passes,
and who stops finishes what it has."""

from __future__ import annotations

import re
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import oss2
import requests

from millpond_test import fronts, media
from millpond_test.server import ROOT, create_channel, wait_for

CLIENTS_PORTS = ("9000", "1935", "9444")


@contextmanager
def balancer(name: str, server, folder: Path):
    """The balancer in front of `server`, as `one`, and of nobody, as `two`; gives its ports by those of the file."""
    text = (ROOT / "deploy" / name).read_text()
    ports = {port: fronts.free_port() for port in CLIENTS_PORTS}
    nobody = fronts.free_port()
    for port, address in (("9000", server.http_address), ("1935", server.rtmp_address)):
        assert f"10.89.18.11:{port}" in text and f"10.89.18.12:{port}" in text
        text = text.replace(f"10.89.18.11:{port}", address).replace(f"10.89.18.12:{port}", f"127.0.0.1:{nobody}")
    text = text.replace("check port 9001", f"check port {server.admin_address.rsplit(':', 1)[1]}")
    text = re.sub(r"(bind |listen )[:]?(9000|1935|9444)\b", lambda found: f"{found[1]}127.0.0.1:{ports[found[2]]}", text)
    path = folder / name
    if name.startswith("nginx"):
        text = re.sub(r"^worker_rlimit_nofile .*|^\s*worker_connections .*", "", text, flags=re.M)
        # The line finds what Debian has switched on; another prefix has nothing there.
        assert text.count("include /etc/nginx/modules-enabled/*.conf;") == 1
        text = text.replace("include /etc/nginx/modules-enabled/*.conf;", f"load_module {fronts.STREAM_MODULE};")
        path.write_text(f"daemon off; pid {folder}/pid;\n{text}")
        command = [fronts.program("nginx-stream"), "-e", str(folder / "error.log"), "-c", str(path), "-p", str(folder)]
    else:
        path.write_text(text.replace("/tmp/haproxy.sock", f"{folder}/s"))
        command = [fronts.program("haproxy"), "-db", "-f", str(path)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    try:
        wait_for(lambda: is_there(ports["9000"]), (folder / "log").read_text, 20)
        yield ports
    finally:
        process.terminate()
        process.wait(20)


def is_there(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/", timeout=2).status_code == 403
    except requests.RequestException:
        return False


def behind(name, fresh_server, folder: Path, source) -> None:
    certificate = fronts.make_certificate(folder)
    server = fresh_server(settings=f'trusted_proxies = ["127.0.0.1"]\n[tls]\ncertificate = "{certificate}"\nkey = "{folder / "media.key"}"\n')
    bucket = server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    create_channel(bucket)
    with balancer(name, server, folder) as ports:
        listed = f"{bucket.bucket_name}/test-channel/playlist.m3u8"
        push = bucket.sign_rtmp_url("test-channel", "playlist.m3u8", 600)
        media.push_file(source.path, push.replace(server.http_address, f"127.0.0.1:{ports['1935']}"))
        wait_for(lambda: bucket.get_live_channel_stat("test-channel").status == "Idle", "the channel is idle")
        # Every other connection would go to the server that is not there.
        for _ in range(20):
            assert requests.get(f"http://127.0.0.1:{ports['9000']}/{listed}", timeout=10).status_code == 200
        found = media.decode_listed(f"http://127.0.0.1:{ports['9000']}/{listed}")
        media.assert_same_frames(found, source.decoded)
        # HTTPS and RTMPS end at the server.
        secure = ports["9444" if name == "haproxy.cfg" else "9000"]
        for _ in range(4):
            assert requests.get(f"https://127.0.0.1:{secure}/{listed}", timeout=10, verify=str(certificate)).status_code == 200
        media.push_file(source.path, push.replace("rtmp://", "rtmps://").replace(server.http_address, f"127.0.0.1:{secure}"))
        wait_for(lambda: len(bucket.get_live_channel_history("test-channel").records) == 2, "both pushes are over")
    assert "PROXY protocol header" not in server.log()


def test_haproxy(fresh_server, tmp_path, short_source):
    behind("haproxy.cfg", fresh_server, tmp_path, short_source)


def test_nginx(fresh_server, tmp_path, short_source):
    behind("nginx-stream.conf", fresh_server, tmp_path, short_source)


def test_a_server_that_stops_is_left_out_and_finishes_what_it_has(fresh_server, tmp_path):
    server = fresh_server(settings='trusted_proxies = ["127.0.0.1"]\n')
    bucket = server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    size = 64 << 20
    bucket.put_object("large", b"l" * size)
    with balancer("haproxy.cfg", server, tmp_path) as ports:
        url = f"http://127.0.0.1:{ports['9000']}/{bucket.bucket_name}/large"
        with requests.get(url, timeout=30, stream=True) as answer:
            pieces = answer.iter_content(1 << 20)
            got = len(next(pieces))
            server.process.terminate()
            wait_for(lambda: server.admin("/readyz").status_code == 503, "it says that it stops")
            time.sleep(2.5)
            # Nobody is left for what is new; what had begun is finished.
            assert requests.get(url, timeout=30).status_code == 503
            got += sum(map(len, pieces))
        assert got == size
        assert server.process.wait(30) == 0
