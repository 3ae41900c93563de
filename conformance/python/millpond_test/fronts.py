"""Reverse proxies as docs/fronts.md configures them: each block of that page, with other ports, as a process."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Iterator

from millpond_test.server import ROOT, Server

PAGE = ROOT / "docs" / "fronts.md"
PROGRAMS = {
    "nginx": "nginx", "nginx-tls": "nginx", "nginx-stream": "nginx", "nginx-slices": "nginx", "haproxy": "haproxy", "varnish": "varnishd", "caddy": "caddy", "apache": "apache2",
}  # fmt: skip


def blocks() -> "dict[str, str]":
    """The configurations of the page by the names of their fronts."""
    return dict(re.findall(r"<!-- front: ([\w-]+) -->\n```\w+\n(.*?)```", PAGE.read_text(), re.S))


#: Debian has it in a package of its own; other builds have it inside.
STREAM_MODULE = Path("/usr/lib/nginx/modules/ngx_stream_module.so")


def program(name: str) -> "str | None":
    if name == "nginx-stream" and not STREAM_MODULE.exists():
        return None
    return shutil.which(PROGRAMS[name]) or shutil.which(PROGRAMS[name], path="/usr/sbin")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass
class Front:
    """Where a front listens."""

    http: str
    rtmp: str
    #: What signs the certificate of a front with TLS.
    authority: "str | None" = None

    @property
    def endpoint(self) -> str:
        return f"{'https' if self.authority else 'http'}://{self.http}"


def make_certificate(folder: Path) -> Path:
    """A self-signed certificate for 127.0.0.1, with its key beside it."""
    certificate = folder / "media.pem"
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=front",
         "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-keyout", str(folder / "media.key"), "-out", str(certificate)],
        capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    return certificate


def command(name: str, text: str, folder: Path, port: int) -> "list[str]":
    path = folder / "front.conf"
    run = program(name)
    if name.startswith("nginx"):
        text = re.sub(r"/var/cache/nginx/\w+", str(folder / "cache"), text)
        temp = "".join(
            f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        whole = f"http {{ {temp} access_log off;\n{text}}}\n"
        if name == "nginx-stream":
            whole = f"load_module {STREAM_MODULE};\nevents {{}}\n{text}"
        else:
            whole = f"events {{}}\n{whole}"
        path.write_text(f"daemon off; user root; pid {folder}/pid; error_log {folder}/error.log;\n{whole}")
        return [run, "-e", str(folder / "error.log"), "-c", str(path), "-p", str(folder)]
    path.write_text(text)
    if name == "haproxy":
        return [run, "-db", "-f", str(path)]
    if name == "varnish":
        return [run, "-F", "-n", str(folder / "work"), "-f", str(path), "-a", f"127.0.0.1:{port}", "-s", "malloc,64m",
                "-p", "http_req_size=65536", "-p", "http_req_hdr_len=65536"]  # fmt: skip
    if name == "caddy":
        path.write_text("{\n admin off\n auto_https off\n}\n" + text)
        return [run, "run", "--adapter", "caddyfile", "--config", str(path)]
    modules = "/usr/lib/apache2/modules"
    loaded = ["mpm_event", "proxy", "proxy_http", "headers", "authz_core"]
    path.write_text(
        f"ServerRoot {folder}\nServerName localhost\nPidFile {folder}/pid\nErrorLog {folder}/error.log\n"
        f"DefaultRuntimeDir {folder}\nMutex default:{folder}\nUser www-data\nGroup www-data\n"
        + "".join(f"LoadModule {name}_module {modules}/mod_{name}.so\n" for name in loaded)
        + text
    )
    return [run, "-DFOREGROUND", "-f", str(path)]


@contextmanager
def running(name: str, server: Server) -> "Iterator[Front]":
    """The front of that name before the server."""
    # Some give up their rights before they read their files.
    with TemporaryDirectory(prefix=f"millpond-{name}-") as folder:
        Path(folder).chmod(0o755)
        with started(name, server, Path(folder)) as front:
            yield front


@contextmanager
def started(name: str, server: Server, folder: Path) -> "Iterator[Front]":
    http, rtmp = free_port(), free_port()
    upstream_port = server.http_address.rsplit(":", 1)[1]
    text = blocks()[name]
    authority = None
    if name == "nginx-tls":
        authority = str(make_certificate(folder))
        text = text.replace("/etc/ssl/", f"{folder}/")
    if name == "nginx-stream":
        # One port for everything, as the server has it.
        rtmp = http
    for old, new in [
        ("127.0.0.1:9000", server.http_address), ('"9000"', f'"{upstream_port}"'), (":8935", f"127.0.0.1:{rtmp}"),
        ("*:8080", f"127.0.0.1:{http}"), ("Listen 8080", f"Listen 127.0.0.1:{http}"), ("listen 8080", f"listen 127.0.0.1:{http}"),
        ("listen 8443", f"listen 127.0.0.1:{http}"), ("listen 8935", f"listen 127.0.0.1:{rtmp}"),
        ("bind :8080", f"bind 127.0.0.1:{http}"), (":8080 {", f"http://127.0.0.1:{http} {{\n    bind 127.0.0.1"),
    ]:  # fmt: skip
        text = text.replace(old, new)
    log = (folder / "log").open("wb")
    process = subprocess.Popen(
        command(name, text, folder, http), stdout=log, stderr=log, cwd=folder, env={"HOME": str(folder), "PATH": "/usr/bin:/usr/sbin:/bin"}
    )
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", http), timeout=1).close()
                break
            except OSError:
                said = (folder / "log").read_text(errors="replace")[-2000:]
                assert process.poll() is None and time.monotonic() < deadline, f"{name} does not start: {said}"
                time.sleep(0.1)
        yield Front(f"127.0.0.1:{http}", f"127.0.0.1:{rtmp}", authority)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        log.close()
