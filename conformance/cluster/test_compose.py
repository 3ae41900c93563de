"""The image and the compose files of deploy/: what they say is what runs here, with the same balancers' configurations; pushes and reads go
through these. Nothing is emulated but the images of others, whose programs are those of this machine (`images.py`)."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import tarfile
import threading
import time

import oss2
import pytest
import requests

import images
from compose import resolved
from millpond_test import media
from millpond_test.server import ROOT, Server, create_channel, wait_for
from single import FILES, SECRETS, at, is_one_server
from test_two_servers import playlist, push_url

NGINX = {
    "command": ["nginx", "-g", "daemon off; error_log stderr; pid /tmp/nginx.pid;", "-c", "/etc/nginx/nginx.conf"],
    "volumes": [{"type": "bind", "source": str(ROOT / "deploy" / "nginx-stream.conf"), "target": "/etc/nginx/nginx.conf", "read_only": True}],
}

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may make networks and mounts")


def is_ready(server: Server) -> bool:
    try:
        return server.admin("/readyz").text == "ready\n"
    except requests.RequestException:
        return False


def publications(server: Server) -> int:
    try:
        return int(re.search(r"^millpond_publications (\d+)", server.admin("/metrics").text, re.M).group(1))
    except requests.RequestException:
        return 0


def requests_of(server: Server) -> int:
    """How many requests it has answered, without those of the balancer's own."""
    return sum(map(int, re.findall(r"^millpond_http_requests_total\{.*\} (\d+)", server.admin("/metrics").text, re.M)))


def wait_for_the_balancer(front: Server, servers: "tuple[Server, ...]", what) -> None:
    """Until each server has answered a request that came through it, and one the beginning of a push. The balancer leaves out who was
    asked whether it is well before it listened, until some more checks have gone well."""
    before = [requests_of(server) for server in servers]

    def are_all_asked() -> bool:
        try:
            front.get("")
        except requests.RequestException:
            return False
        return all(requests_of(server) > known for server, known in zip(servers, before))

    def are_pushes_taken() -> bool:
        host, port = front.rtmp_address.rsplit(":", 1)
        try:
            with socket.create_connection((host, int(port)), timeout=5) as connection:
                connection.sendall(b"\x03" + bytes(1536))
                return connection.recv(1) == b"\x03"
        except OSError:
            return False

    wait_for(are_all_asked, what, 60)
    wait_for(are_pushes_taken, what, 60)


class Encoder:
    """Pushes, and pushes again a second after it was cut, as encoders do."""

    def __init__(self, path, url: str):
        self.path, self.url, self.times, self._over = path, url, 0, threading.Event()
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def _work(self):
        while not self._over.is_set():
            self.times += 1
            with media.Push(self.path, self.url, loop=True) as push:
                while push.running() and not self._over.wait(0.1):
                    pass
            self._over.wait(1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join(30)


class Viewer:
    """Asks for the list and its last segment ten times a second, over connections that it keeps; what fails is remembered."""

    def __init__(self, server: Server, bucket, keeps: bool = True):
        self.base = server.url(f"{bucket.bucket_name}/test-channel")
        self.asked, self.failures, self._keeps, self._over = 0, [], keeps, threading.Event()
        #: Answers that ended in the middle.
        self.cut = []
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def _work(self):
        session = requests.Session()
        while not self._over.wait(0.1):
            if not self._keeps:
                session = requests.Session()
            self.asked += 1
            try:
                listed = session.get(f"{self.base}/playlist.m3u8", timeout=15)
                uri = [line for line in listed.text.splitlines() if line and not line.startswith("#")][-1]
                segment = session.get(f"{self.base}/{uri}", timeout=15)
                if (listed.status_code, segment.status_code) != (200, 200):
                    self.failures.append((listed.status_code, segment.status_code))
            except requests.exceptions.ChunkedEncodingError as error:
                self.cut.append(repr(error))
            except (requests.RequestException, IndexError) as error:
                self.failures.append(repr(error))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join(30)


def test_the_images_that_the_files_name():
    cargo = (ROOT / "Cargo.toml").read_text()
    version = re.search(r'^version = "(.*)"', cargo, re.M).group(1)
    named = {}
    for file in ("one.yaml", "many.yaml"):
        said = resolved(FILES / file, SECRETS)
        named |= {service["image"].rsplit("/", 1)[-1].split(":")[0]: service["image"].rsplit(":", 1)[1] for service in said["services"].values()}
    assert named["millpond"] == version
    # What runs here is of the version that the file names.
    for name in ("postgres", "haproxy"):
        assert images.version_of(name) == named[name], name
    assert named["seaweedfs"].split(".")[0] == images.version_of("seaweedfs").split(".")[0]


def test_secrets_that_are_missing_are_named():
    for name in SECRETS:
        with pytest.raises(AssertionError, match=f"{name}.*docs/cluster.md"):
            resolved(FILES / "many.yaml", {one: value for one, value in SECRETS.items() if one != name})


def test_the_lines_that_make_the_secrets(tmp_path):
    page = (ROOT / "docs" / "cluster.md").read_text()
    (lines,) = re.findall(r"^```sh\n(umask 077\ncat >deploy/compose/\.env .*?)^```", page, re.M | re.S)
    (tmp_path / "deploy" / "compose").mkdir(parents=True)
    subprocess.run(["sh", "-ec", lines], cwd=tmp_path, check=True, timeout=30)
    file = tmp_path / "deploy" / "compose" / "many.yaml"
    file.write_text((FILES / "many.yaml").read_text())
    given = resolved(file, {})["services"]["one"]["environment"]
    assert set(SECRETS) <= set(given) and len(set(given.values())) == len(given)
    assert re.fullmatch("[0-9a-f]{64}", given["MILLPOND_SECRETS_KEY"])
    assert file.with_name(".env").stat().st_mode & 0o077 == 0


def test_what_the_image_says(ours, archives):
    image, config = ours
    assert (image.user, image.command) == ("65532:65532", ["serve", "--config", "/etc/millpond/millpond.toml"])
    assert set(config["ExposedPorts"]) == {"9000/tcp", "1935/tcp"} and set(config["Volumes"]) == {"/var/lib/millpond"}
    assert config["Labels"]["org.opencontainers.image.title"] == "millpond"
    found = {str(path.relative_to(image.root)) for path in image.root.rglob("*") if path.is_file()}
    assert {"usr/local/bin/millpond", "etc/millpond/millpond.toml", "etc/ssl/certs/ca-certificates.crt"} <= found
    assert [path for path in found if path.endswith("/sh") or "bin/" in path and "millpond" not in path] == [], "nothing else can be run"
    writable = [path for path in image.root.rglob("*") if not path.is_symlink() and (path.stat().st_uid == 65532 or path.stat().st_mode & 0o002)]
    assert sorted(str(path.relative_to(image.root)) for path in writable) == ["tmp", "var/lib/millpond"]
    # The same health check in Docker's format as in the compose files.
    with tarfile.open(archives / "millpond-docker.tar") as packed:
        manifest = json.load(packed.extractfile("manifest.json"))[0]
        docker = json.load(packed.extractfile(manifest["Config"]))["config"]
    assert docker["Healthcheck"]["Test"] == ["CMD", "/usr/local/bin/millpond", "ready"]
    assert {key: docker[key] for key in ("User", "Entrypoint", "Cmd")} == {key: config[key] for key in ("User", "Entrypoint", "Cmd")}


def test_one_server(stack_of, source, tmp_path):
    is_one_server(stack_of("one.yaml"), source, tmp_path)


def push_through_the_balancer(stack, source, tmp_path) -> "tuple[Server, Server, Server, oss2.Bucket]":
    """A whole push through the balancer, read through it and at each server."""
    path, decoded = source
    front, one, two = (at(stack.addresses[name], tmp_path) for name in ("balancer", "one", "two"))
    wait_for(lambda: is_ready(one) and is_ready(two), stack.logs, 60)
    wait_for_the_balancer(front, (one, two), stack.logs)
    bucket = front.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    create_channel(bucket)
    media.push_file(path, push_url(front, bucket))
    wait_for(lambda: bucket.get_live_channel_stat("test-channel").status == "Idle", "the end of the push", 60)
    for server in (front, one, two):
        found = media.decode_listed(server.url(f"{bucket.bucket_name}/test-channel/playlist.m3u8"))
        media.assert_same_frames(found, decoded)
    # The encoder's address is its own, not the balancer's.
    (record,) = bucket.get_live_channel_history("test-channel").records
    assert record.remote_addr.rsplit(":", 1)[0] == str(stack.network.network_address + 1)
    content = os.urandom(3 << 20)
    bucket.put_object("large", content)
    assert bucket.get_object("large").read() == content
    return front, one, two, bucket


def test_many_servers_behind_haproxy(stack_of, source, tmp_path):
    stack = stack_of("many.yaml")
    front, one, two, bucket = push_through_the_balancer(stack, source, tmp_path)
    known = len(playlist(front, bucket)[1])
    with Encoder(source[0], push_url(front, bucket)) as encoder, Viewer(front, bucket) as keeping, Viewer(front, bucket, keeps=False) as fresh:
        wait_for(lambda: len(playlist(front, bucket)[1]) > known, stack.logs, 40)
        # A rolling restart: one after the other, the next when the first is ready.
        for name, server in (("one", one), ("two", two)):
            begun = time.monotonic()
            assert stack[name].stop() == 0, stack[name].log()[-2000:]
            print(f"\n{name} stopped after {time.monotonic() - begun:.1f} s")
            known = len(playlist(front, bucket)[1])
            wait_for(lambda: len(playlist(front, bucket)[1]) > known, "the push goes on at the other", 40)
            print(f"the playlist went on {time.monotonic() - begun:.1f} s after the signal")
            stack[name].start()
            wait_for(lambda: is_ready(server), stack[name].log, 30)
            time.sleep(3)
        print(f"rolling restart: {keeping.asked + fresh.asked} reads, failed: {keeping.failures + fresh.failures}; {encoder.times} pushes")
        assert keeping.failures + fresh.failures + keeping.cut + fresh.cut == []

        # The server of the push dies.
        name, server = next((name, server) for name, server in (("one", one), ("two", two)) if publications(server))
        begun = time.monotonic()
        known = len(playlist(front, bucket)[1])
        stack[name].kill()
        wait_for(lambda: len(playlist(front, bucket)[1]) > known, "the push goes on at the other", 60)
        print(f"the playlist went on {time.monotonic() - begun:.1f} s after kill -9")
        stack[name].start()
        wait_for(lambda: is_ready(server), stack[name].log, 30)
        time.sleep(3)
        cut = keeping.cut + fresh.cut
        print(f"with kill -9: {keeping.asked + fresh.asked} reads, failed: {keeping.failures + fresh.failures}, cut: {cut}")
        assert keeping.failures + fresh.failures == []
        # An answer of which the dead server had sent a part nobody can go on with: one of each reader at most.
        assert len(keeping.cut) <= 1 and len(fresh.cut) <= 1
    assert [line for line in (stack["one"].log() + stack["two"].log()).splitlines() if "PROXY protocol" in line] == []


def certificates(folder):
    """An authority, and a certificate of it for the database and the store."""
    folder.mkdir()
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    for command in (
        ["req", "-x509", *key, "-days", "2", "-subj", "/CN=authority", "-keyout", "authority.key", "-out", "authority.pem"],
        ["req", "-new", *key, "-subj", "/CN=engines", "-keyout", "engines.key", "-out", "engines.csr"],
        ["x509", "-req", "-in", "engines.csr", "-CA", "authority.pem", "-CAkey", "authority.key", "-CAcreateserial", "-days", "2", "-extfile", "names", "-out", "engines.pem"],
    ):  # fmt: skip
        (folder / "names").write_text("subjectAltName=DNS:database,DNS:store\nbasicConstraints=CA:FALSE\n")
        made = subprocess.run(["openssl", *command], cwd=folder, capture_output=True, text=True, timeout=30)
        assert made.returncode == 0, made.stderr
    # The database takes a key that belongs to root only if its own group may read it.
    shutil.chown(folder / "engines.key", "root", "postgres")
    (folder / "engines.key").chmod(0o640)
    return folder


@pytest.mark.parametrize("is_known", [True, False])
def test_the_authorities_of_the_image_decide_about_the_engines(stack_of, tmp_path, is_known):
    folder = certificates(tmp_path / "tls")
    bind = lambda source, target: {"type": "bind", "source": str(source), "target": target, "read_only": True}  # noqa: E731
    said = resolved(FILES / "many.yaml", SECRETS)["services"]
    changes = {name: {"volumes": [*said[name].get("volumes", []), bind(folder, "/tls")]} for name in ("database", "store")}
    changes["database"]["command"] = [*said["database"]["command"], "-c", "ssl=on", "-c", "ssl_cert_file=/tls/engines.pem", "-c", "ssl_key_file=/tls/engines.key"]
    changes["store"]["command"] = [*said["store"]["command"], "-s3.port.https=8334", "-s3.cert.file=/tls/engines.pem", "-s3.key.file=/tls/engines.key"]
    for name in ("init", "one", "two"):
        environment = said[name]["environment"]
        secured = {
            "MILLPOND_META": environment["MILLPOND_META"].replace("?sslmode=disable", ""),
            "MILLPOND_BLOBS": environment["MILLPOND_BLOBS"].replace("http://store:8333", "https://store:8334"),
        }
        assert all(environment[key] != value for key, value in secured.items())
        changes[name] = {"environment": environment | secured}
        if is_known:
            own = bind(folder / "authority.pem", "/etc/ssl/certs/ca-certificates.crt")
            changes[name]["volumes"] = [*said[name].get("volumes", []), own]
    if not is_known:
        with pytest.raises(AssertionError, match="init failed(.|\n)*certificate"):
            stack_of("many.yaml", changes)
        return
    stack = stack_of("many.yaml", changes)
    front, one, two = (at(stack.addresses[name], tmp_path) for name in ("balancer", "one", "two"))
    wait_for(lambda: is_ready(one) and is_ready(two), stack.logs, 60)
    content = os.urandom(3 << 20)
    bucket = one.new_bucket()
    bucket.put_object("large", content)
    assert two.bucket(bucket.bucket_name).get_object("large").read() == content


def test_a_server_that_is_taken_out_by_hand(stack_of, source, tmp_path):
    stack = stack_of("many.yaml")
    front, one, two, bucket = push_through_the_balancer(stack, source, tmp_path)
    # The line of haproxy.cfg, with Python in the place of socat.
    line = re.search(r'echo "(set server \S+ state drain)"', (ROOT / "deploy" / "haproxy.cfg").read_text()).group(1)
    ask = "import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect('/tmp/haproxy.sock'); s.sendall(sys.argv[1].encode()+b'\\n'); print(s.recv(9999).decode())"
    for state in (line, line.replace("http/", "rtmp/")):
        said = stack["balancer"].execute("python3", "-c", ask, state)
        assert said.returncode == 0 and said.stdout.strip() == "", said
    before = requests_of(one), requests_of(two)
    for _ in range(20):
        assert front.get(f"{bucket.bucket_name}/large").status_code == 200
    assert requests_of(one) == before[0] and requests_of(two) >= before[1] + 20
    with media.Push(source[0], push_url(front, bucket), loop=True):
        wait_for(lambda: publications(two), "the push is at the other", 20)
        assert publications(one) == 0


def test_many_servers_behind_nginx(stack_of, source, tmp_path):
    stack = stack_of("many.yaml", {"balancer": NGINX})
    front, one, two, bucket = push_through_the_balancer(stack, source, tmp_path)
    known = len(playlist(front, bucket)[1])
    with Encoder(source[0], push_url(front, bucket)):
        wait_for(lambda: len(playlist(front, bucket)[1]) > known, stack.logs, 40)
        name = next(name for name, server in (("one", one), ("two", two)) if publications(server))
        stack[name].kill()
        begun, known = time.monotonic(), len(playlist(two if name == "one" else one, bucket)[1])

        def goes_on():
            # New connections: nginx finds out by the first that a server is gone, and asks the other.
            return len(playlist(front, bucket)[1]) > known

        wait_for(goes_on, "the push goes on at the other", 60)
        print(f"\nthe playlist went on {time.monotonic() - begun:.1f} s after kill -9")
