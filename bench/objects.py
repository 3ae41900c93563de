"""Objects over HTTP/1.1 on the loopback, each kind of request beside a program that does no more than it must. Rounds
alternate, so that a change of the machine's mood meets both; medians. CPU is that of the server processes, from /proc.

get      64 objects of 1 MiB, read by wrk over four kept-alive connections without signatures (the objects are public-read),
         from Millpond and from nginx (two workers, sendfile), which has the same bytes as files. All is in the page cache.
put      new objects of 8 MiB, V1-signed, one client after the answer to its last request and four at once (sockets and
         threads of Python, which sends a body with one call). The floors (bench/floor, `puts`) read the same requests from
         the same kind of socket, write the body to a file as it comes, flush it, rename it and flush its directory; one of
         them also computes the MD5 that an ETag is, on a thread beside.
small    new objects of 4 KiB, V1-signed, 32 clients (wrk with signatures made beforehand). The floor appends the bodies of
         all clients that wait to one log and flushes once for all of them.
"""

import http.client
import os
import re
import shutil
import socket
import statistics
import subprocess
import threading
import time
from pathlib import Path

from harness import BUCKET, ROOT, WORK, Floor, Millpond, cpu_seconds, oss, run, say, signed

MIB = 1 << 20
GET_OBJECTS, GET_CLIENTS = 64, 4
PUT_BYTES, PUT_COUNT = 8 * MIB, 24
SMALL_BYTES, SMALL_CLIENTS, SMALL_HEADS = 4096, 32, 60_000


def rows(args, only):
    run(["cargo", "build", "--release", "--quiet", "--manifest-path", str(ROOT / "bench/floor/Cargo.toml"),
         "--target-dir", str(WORK / "floor")])  # fmt: skip
    found = []
    if "get" in only:
        found += get(args)
    if "put" in only:
        found += put(args)
    if "small" in only:
        found += small(args)
    return found


class Puts(Floor):
    """A floor of uploads."""

    def __init__(self, mode, directory):
        binary = WORK / "floor/release/puts"
        super().__init__([binary, mode, "0", directory])
        self.http = f"127.0.0.1:{self.port}"

    def cpu(self):
        return cpu_seconds(self.pid)


class Store(Millpond):
    """Millpond with a bucket that anybody may read."""

    def __init__(self, args, name):
        super().__init__(args.millpond, args.scratch / name)
        oss(self.http, "PUT", f"/{BUCKET}/", headers={"x-oss-acl": "public-read"})

    def cpu(self):
        return cpu_seconds(self.pid)


class Nginx:
    """nginx as a static file server below DIRECTORY/files."""

    def __init__(self, directory):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.http = f"127.0.0.1:{port}"
        config = directory / "nginx.conf"
        temporary = "".join(
            f"{kind}_temp_path {directory}/tmp-{kind}; " for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        config.write_text(
            f"daemon off; worker_processes {os.cpu_count()}; pid {directory}/nginx.pid; error_log {directory}/error.log;\n"
            "events { worker_connections 512; }\n"
            f"http {{ sendfile on; tcp_nopush on; keepalive_requests 100000000; access_log off; {temporary}\n"
            f"  server {{ listen {self.http}; root {directory}/files; }} }}\n"
        )
        binary = shutil.which("nginx") or "/usr/sbin/nginx"
        # It runs as whoever measures, so the workers of root may read what root wrote.
        user = ["-g", "user root;"] if os.geteuid() == 0 else []
        self.child = subprocess.Popen([binary, "-p", str(directory), "-c", str(config), *user], stderr=subprocess.DEVNULL)
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.05)
        self.child.kill()
        raise RuntimeError(f"nginx does not listen: see {directory}/error.log")

    def cpu(self):
        children = Path(f"/proc/{self.child.pid}/task/{self.child.pid}/children").read_text().split()
        return sum(cpu_seconds(pid) for pid in [self.child.pid, *children])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.terminate()
        self.child.wait()


# --- reading ---------------------------------------------------------------------------------------------------------

GET_SCRIPT = """
local n = 0
request = function()
  n = n + 1
  return wrk.format("GET", "%s/" .. (n %% %d) .. ".bin")
end
"""


def wrk(args, script, address, connections, seconds):
    """Requests a second, requests and bytes of one run."""
    path = args.scratch / "wrk.lua"
    path.write_text(script)
    command = ["wrk", "-t", "1", "-c", str(connections), "-d", f"{seconds}s", "-s", str(path), f"http://{address}/"]
    text = subprocess.run(command, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout
    # Connections that are open when the time is over are no errors of wrk.
    if re.search(r"Non-2xx|Socket errors", text):
        raise RuntimeError(f"not all requests succeeded:\n{text}")
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1])
    return rate, int(re.search(r"(\d+) requests in", text)[1])


def get(args):
    directory = args.scratch / "nginx"
    files = directory / "files"
    files.mkdir(parents=True)
    with Store(args, "get") as millpond, Nginx(directory) as nginx:
        for n in range(GET_OBJECTS):
            body = os.urandom(MIB)
            (files / f"{n}.bin").write_bytes(body)
            oss(millpond.http, "PUT", f"/{BUCKET}/{n}.bin", body)
            for server, path in ((millpond, f"/{BUCKET}/{n}.bin"), (nginx, f"/{n}.bin")):
                connection = http.client.HTTPConnection(server.http, timeout=30)
                connection.request("GET", path)
                if connection.getresponse().read() != body:
                    raise RuntimeError(f"{server.http}{path} is not what was stored")
                connection.close()
        costs, rates = {}, {}
        # The first round warms up and does not count.
        for n in range(args.rounds + 1):
            for name, server, prefix in (("nginx", nginx, ""), ("millpond", millpond, f"/{BUCKET}")):
                before = server.cpu()
                rate, requests = wrk(args, GET_SCRIPT % (prefix, GET_OBJECTS), server.http, GET_CLIENTS, args.seconds)
                cost = (server.cpu() - before) / (requests * MIB / 1e9)
                say(f"get {n}: {name} {cost:.3f} CPU s/GB, {rate * MIB / 1e6:.0f} MB/s")
                if n:
                    costs.setdefault(name, []).append(cost)
                    rates.setdefault(name, []).append(rate * MIB / 1e6)
    show = {name: f"{spread(costs[name], '.3f')} CPU s/GB, {statistics.median(rates[name]):.0f} MB/s" for name in costs}
    ratio = statistics.median(costs["nginx"]) / statistics.median(costs["millpond"])
    return [
        ("GET of 1 MiB, nginx with sendfile", show["nginx"], ""),
        ("GET of 1 MiB, Millpond", show["millpond"], ""),
        ("GET of 1 MiB, bytes per CPU second, Millpond : nginx", f"{ratio:.2f}", "at least 0.7"),
    ]


# --- writing ---------------------------------------------------------------------------------------------------------


def head_of_put(address, key, size):
    path = f"/{BUCKET}/{key}"
    headers = "".join(f"{name}: {value}\r\n" for name, value in signed("PUT", path).items())
    return f"PUT {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {size}\r\n{headers}\r\n"


def upload(address, keys, body):
    """Puts one object after the other; the milliseconds that each took."""
    host, port = address.split(":")
    times = []
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for key in keys:
            head = head_of_put(address, key, len(body)).encode()
            started = time.monotonic()
            connection.sendall(head)
            connection.sendall(body)
            answer = b""
            while b"\r\n\r\n" not in answer:
                answer += connection.recv(65536) or b"closed\r\n\r\n"
            times.append((time.monotonic() - started) * 1000)
            if not answer.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(f"PUT {key}: {answer.decode(errors='replace')}")
    return times


def put(args):
    servers = {
        "floor": Puts("files", args.scratch / "floor-files"),
        "floor with MD5": Puts("files-md5", args.scratch / "floor-md5"),
        "millpond": Store(args, "put"),
    }
    body = os.urandom(PUT_BYTES)
    times, costs = {}, {}
    try:
        for clients in (1, 4):
            for n in range(args.rounds + 1):
                for name, server in servers.items():
                    before, results = server.cpu(), []
                    each = PUT_COUNT // clients
                    keys = [[f"{clients}-{n}-{client}-{i}" for i in range(each)] for client in range(clients)]
                    threads = [
                        threading.Thread(target=lambda mine: results.append(upload(server.http, mine, body)), args=(mine,))
                        for mine in keys
                    ]
                    started = time.monotonic()
                    for thread in threads:
                        thread.start()
                    for thread in threads:
                        thread.join()
                    took = time.monotonic() - started
                    if len(results) != clients:
                        raise RuntimeError(f"uploads to {name} failed")
                    total = each * clients
                    # With one client what counts is how long it waits, with several how much gets through.
                    value = statistics.median(sum(results, [])) if clients == 1 else took * 1000 / total
                    cost = (server.cpu() - before) / (total * PUT_BYTES / 1e9)
                    say(f"put {clients}/{n}: {name} {value:.1f} ms, {cost:.2f} CPU s/GB")
                    if n:
                        times.setdefault((clients, name), []).append(value)
                        costs.setdefault((clients, name), []).append(cost)
    finally:
        for server in servers.values():
            server.stop()
    found = []
    for clients, what in ((1, "PUT of 8 MiB, one client"), (4, "PUT of 8 MiB, four clients, time per object")):
        for name in servers:
            key = (clients, name)
            shown = f"{spread(times[key], '.1f')} ms, {statistics.median(costs[key]):.2f} CPU s/GB"
            found.append((f"{what}, {name}", shown, ""))
        for floor in ("floor", "floor with MD5"):
            ratio = statistics.median(times[clients, "millpond"]) / statistics.median(times[clients, floor])
            found.append((f"{what}, Millpond : {floor}", f"{ratio:.2f}", "at most 1.3"))
    return found


SMALL_SCRIPT = """
local heads, n = {}, 0
local body = string.rep("0123456789abcdef", %d)
for line in io.lines("%s") do heads[#heads + 1] = (line:gsub("|", "\\r\\n")) .. body end
request = function()
  n = n + 1
  return heads[(n - 1) %% #heads + 1]
end
"""


def small(args):
    heads = args.scratch / "heads"
    rates, costs = {}, {}
    with Puts("group", args.scratch / "floor-group") as floor, Store(args, "small") as millpond:
        for n in range(args.rounds + 1):
            for name, server in (("floor", floor), ("millpond", millpond)):
                lines = (head_of_put(server.http, f"{n}/{i}", SMALL_BYTES).replace("\r\n", "|") for i in range(SMALL_HEADS))
                heads.write_text("\n".join(lines) + "\n")
                before = server.cpu()
                script = SMALL_SCRIPT % (SMALL_BYTES // 16, heads)
                rate, requests = wrk(args, script, server.http, SMALL_CLIENTS, args.seconds)
                cost = (server.cpu() - before) / requests * 1e6
                say(f"small {n}: {name} {rate:.0f} requests/s, {cost:.0f} CPU us each")
                if n:
                    rates.setdefault(name, []).append(rate)
                    costs.setdefault(name, []).append(cost)
    show = {name: f"{spread(rates[name], '.0f')} a second, {statistics.median(costs[name]):.0f} CPU µs each" for name in rates}
    ratio = statistics.median(rates["floor"]) / statistics.median(rates["millpond"])
    return [
        ("PUT of 4 KiB, 32 clients, floor", show["floor"], ""),
        ("PUT of 4 KiB, 32 clients, Millpond", show["millpond"], ""),
        ("PUT of 4 KiB, time per object, Millpond : floor", f"{ratio:.2f}", "at most 2"),
    ]


def spread(values, form):
    """The median, and the best and worst round."""
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"
