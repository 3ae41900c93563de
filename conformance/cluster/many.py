#!/usr/bin/env python3
"""`millpond`, of which `serve` is several servers of one installation behind HAProxy: suites that drive one server drive these instead.

    many.py INSTALLATION.json serve --data-dir DIR --listen 127.0.0.1:0 …

`suites.py` writes the file: the binary, the engines, how many servers. Each data directory gets a schema and a prefix of its own, and each
server of it a folder in it. Listeners of the command line are those of HAProxy: a request of a client that names itself (User-Agent) goes to the next server,
request by request; everything else, RTMP and what tests write byte by byte, goes there as it is, connection by connection. The metrics are the
sums of all servers. What it is killed by kills them all; SIGTERM and SIGHUP reach each. Every other command is the binary's, with
the engines of the data directory that it names.

The standard library only: it runs under whatever Python there is."""

from __future__ import annotations

import ctypes
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
from pathlib import Path

#: Where HAProxy connects from. Servers believe it alone, not the clients of the tests, which are at 127.0.0.1.
FRONT = "127.0.0.99"
NAMES = ["one", "two", "three", "four", "five"]
LISTENERS = {"--listen": "http", "--rtmp-listen": "rtmp", "--admin-listen": "admin", "--console-listen": "console"}
STATE = "installation.json"
#: Until a connection counts as one of a client that names itself.
INSPECT_MS = 50

CONFIGURATION = """global
    tune.bufsize 65536
    tune.maxrewrite 4096
defaults
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    timeout http-request 1h
    retries 3
    option redispatch 1
"""

# A fetch of a header would unfold the lines of what passes as it is, so the bytes are looked at.
BY_REQUEST = f"""    tcp-request inspect-delay {INSPECT_MS}ms
    acl is_named req.payload(0,0),lower -m sub user-agent:
    tcp-request content set-var(sess.is_named) bool(true) if is_named
    tcp-request content switch-mode http if is_named
"""


def die_with_parent() -> None:
    """In a child before it becomes a program: SIGKILL when this process ends, however it does."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Arguments:
    """A command line, taken apart as far as it matters here."""

    def __init__(self, words: "list[str]"):
        self.words = words

    def values(self, flag: str) -> "list[str]":
        found = [value for word, value in zip(self.words, self.words[1:]) if word == flag]
        return found + [word.partition("=")[2] for word in self.words if word.startswith(f"{flag}=")]

    def without(self, *flags: str) -> "list[str]":
        left, skips = [], False
        for word in self.words:
            if skips or word in flags:
                skips = not skips
            elif not word.startswith(tuple(f"{flag}=" for flag in flags)):
                left.append(word)
        return left

    def listeners(self) -> "list[tuple[str, str]]":
        """Flags and addresses; what the command line does not name may stand in the settings."""
        settings, found = self.settings(), []
        for flag in LISTENERS:
            set_there = settings.get(flag.strip("-").replace("-", "_"), [])
            named = self.values(flag) or (set_there if isinstance(set_there, list) else [set_there])
            found += [(flag, address) for address in named]
        return found

    def data_dir(self) -> "Path | None":
        named = self.values("--data-dir") or [os.environ.get("MILLPOND_DATA_DIR", "")]
        return Path(named[-1]) if named[-1] else None

    def settings(self) -> dict:
        named = self.values("--config") or [os.environ.get("MILLPOND_CONFIG", "")]
        try:
            return tomllib.loads(Path(named[-1]).read_text()) if named[-1] else {}
        except (OSError, ValueError):
            # The server says what is wrong with it.
            return {}


class Installation:
    """What servers share: a schema and a prefix on the engines."""

    def __init__(self, given: dict, name: str):
        self.binary, self.count = given["binary"], given["servers"]
        self.environment = {
            **given["environment"],
            "MILLPOND_META": f"{given['meta']}?schema={name}",
            "MILLPOND_BLOBS": given["blobs"].replace("/PREFIX", f"/{name}"),
            # A test may bring keys of its own.
            **{name: value for name, value in os.environ.items() if name in given["environment"]},
        }

    def variables(self) -> "dict[str, str]":
        return {**os.environ, **self.environment}

    @staticmethod
    def of(given: dict, data: Path) -> "Installation | None":
        try:
            return Installation(given, json.loads((data / STATE).read_text())["name"])
        except OSError:
            return None

    @staticmethod
    def make(given: dict, data: Path) -> "Installation":
        name = f"i{secrets.token_hex(6)}"
        made = Installation(given, name)
        done = subprocess.run([made.binary, "store", "init"], env=made.variables(), capture_output=True, text=True, timeout=120)
        if done.returncode != 0:
            sys.exit(f"store init: {done.stdout}{done.stderr}")
        data.mkdir(parents=True, exist_ok=True)
        (data / STATE).write_text(json.dumps({"name": name, "pids": []}))
        return made


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


class Servers:
    """The servers as processes, and what each said of its listeners."""

    def __init__(self, installation: Installation, data: Path, arguments: Arguments):
        self.data = data
        # Those of a life that was killed a moment ago hold the locks of their folders until they are gone.
        state = json.loads((data / STATE).read_text())
        deadline = time.monotonic() + 10
        while any(is_alive(pid) for pid in state["pids"]) and time.monotonic() < deadline:
            time.sleep(0.01)
        words = arguments.without("--data-dir", *LISTENERS, "--trusted-proxy")
        for flag, _ in arguments.listeners():
            words += [flag, "127.0.0.1:0"]
        proxies = arguments.values("--trusted-proxy") or arguments.settings().get("trusted_proxies", [])
        for proxy in [*proxies, FRONT]:
            words += ["--trusted-proxy", proxy]
        self.children = []
        for name in NAMES[: installation.count]:
            command = [installation.binary, *words, "--data-dir", str(data / name)]
            child = subprocess.Popen(command, stdout=subprocess.PIPE, env=installation.variables(), preexec_fn=die_with_parent)
            self.children.append(child)
        (data / STATE).write_text(json.dumps({**state, "pids": [child.pid for child in self.children]}))
        self.ready = [self._listening(child) for child in self.children]

    def _listening(self, child: subprocess.Popen) -> dict:
        for line in child.stdout:
            try:
                said = json.loads(line)
            except ValueError:
                said = {}
            if said.get("message") == "listening":
                return said
            sys.stdout.buffer.write(line)
            sys.stdout.flush()
        self.end(child.wait() or 1)

    def signal(self, number: int) -> None:
        for child in self.children:
            if child.poll() is None:
                child.send_signal(number)

    def end(self, status: int) -> None:
        self.signal(signal.SIGKILL)
        os._exit(status & 255 if status >= 0 else 1)

    def addresses(self, kind: str, index: int) -> "list[str]":
        return [ready[kind][index] if isinstance(ready[kind], list) else ready[kind] for ready in self.ready]


def listen(address: str) -> socket.socket:
    host, port = address.rsplit(":", 1)
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host.strip("[]"), int(port)))
    except OSError as error:
        sys.exit(f"many: cannot listen on {address}: {error}")
    listener.listen(1024)
    listener.set_inheritable(True)
    return listener


def shown(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def backend(name: str, mode: str, addresses: "list[str]", server: str, *options: str) -> str:
    lines = [f"backend {name}", f"mode {mode}", "balance roundrobin", f"source {FRONT}", *options]
    lines += [f"server {NAMES[number]} {address} {server}" for number, address in enumerate(addresses)]
    return "\n    ".join(lines) + "\n"


class Front:
    """HAProxy on the listeners of the command line."""

    def __init__(self, arguments: Arguments, data: Path):
        self.path = data / "haproxy.cfg"
        self.listeners: "list[tuple[str, int, socket.socket]]" = []
        for flag, address in arguments.listeners():
            kind = LISTENERS[flag]
            index = sum(kind == known for known, _, _ in self.listeners)
            self.listeners.append((kind, index, listen(address)))
        self.child: "subprocess.Popen | None" = None

    def shown(self) -> dict:
        said: dict = {}
        for kind, _, listener in self.listeners:
            if kind in ("http", "rtmp"):
                said.setdefault(kind, []).append(shown(listener))
            else:
                said[kind] = shown(listener)
        return said

    def start(self, servers: Servers, metrics: str) -> None:
        text = CONFIGURATION
        for kind, index, listener in self.listeners:
            name, addresses = f"{kind}{index}", servers.addresses(kind, index)
            text += f"frontend {name}\n    bind fd@{listener.fileno()}\n"
            text += f"    mode tcp\n    default_backend {name}-connections\n"
            # The admin listener reads no PROXY header.
            header, options = ("", ["option forwardfor"]) if kind == "admin" else ("send-proxy-v2", [])
            if kind != "rtmp":
                text += BY_REQUEST
                if kind == "admin":
                    text += "    use_backend metrics if { var(sess.is_named) -m bool } { path /metrics }\n"
                text += f"    use_backend {name} if {{ var(sess.is_named) -m bool }}\n"
                text += backend(name, "http", addresses, header, *options)
            text += backend(f"{name}-connections", "tcp", addresses, header)
        text += f"backend metrics\n    mode http\n    server sum {metrics}\n"
        self.path.write_text(text)
        program = shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
        numbers = [listener.fileno() for _, _, listener in self.listeners]
        with (self.path.parent / "haproxy.log").open("ab") as log:
            self.child = subprocess.Popen(
                [program, "-db", "-f", str(self.path)], stdout=log, stderr=log, pass_fds=numbers, preexec_fn=die_with_parent
            )
        for _, _, listener in self.listeners:
            listener.close()


def summed(addresses: "list[str]"):
    """The samples of all servers, and the headers of the last: numbers of the same name are added."""
    import urllib.request

    lines: "dict[str, float | None]" = {}
    for address in addresses:
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
            for line in answer.read().decode().splitlines():
                name, _, value = line.rpartition(" ")
                if line.startswith("#") or not line:
                    lines.setdefault(line, None)
                else:
                    lines[name] = (lines.get(name) or 0.0) + float(value)
    number = lambda value: "" if value is None else f" {value:.0f}" if value.is_integer() else f" {value!r}"  # noqa: E731
    text = "".join(f"{name}{number(value)}\n" for name, value in lines.items())
    return text.encode(), {name: value for name, value in answer.headers.items() if name.lower() in ("content-type", "cache-control")}


def serve_metrics(addresses: "list[str]") -> str:
    """On a thread of its own; gives its address."""
    import threading
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            try:
                status, (body, headers) = 200, summed(addresses)
            except OSError as error:
                status, body, headers = 502, str(error).encode(), {}
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"127.0.0.1:{server.server_port}"


def serve(given: dict, words: "list[str]", data: Path) -> None:
    arguments = Arguments(words)
    front = Front(arguments, data)
    installation = Installation.of(given, data) or Installation.make(given, data)
    servers = Servers(installation, data, arguments)
    metrics = serve_metrics(servers.addresses("admin", 0))
    said = {**servers.ready[0], **front.shown()}
    front.start(servers, metrics)

    # A balancer outlives its servers: until they have gone it says that they are going.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda received, _: servers.signal(received))
    print(json.dumps(said), flush=True)
    left = {child.pid for child in servers.children}
    while left:
        pid, status = os.wait()
        left.discard(pid)
        if status != 0 or pid == front.child.pid:
            servers.end(os.waitstatus_to_exitcode(status) or 1)
    front.child.kill()
    servers.end(0)


def main() -> None:
    given = json.loads(Path(sys.argv[1]).read_text())
    words = sys.argv[2:]
    data = Arguments(words).data_dir()
    # One that names no data directory is only asked what it says.
    if words[:1] == ["serve"] and data and not {"-h", "--help"} & set(words):
        return serve(given, words, data)
    installation = Installation.of(given, data) if data else None
    os.execve(given["binary"], [given["binary"], *words], installation.variables() if installation else dict(os.environ))


if __name__ == "__main__":
    main()
