"""A whole installation on this machine: PostgreSQL with a synchronous standby, a store, servers, each with links of its own to the
engines, and HAProxy with the project's configuration before them."""

from __future__ import annotations

import random
import re
import secrets
import shutil
import socket
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Dict, List, Optional

import requests

from engines import PASSWORD, S3_KEY, S3_SECRET, Rclone, Seaweed, Store, tool
from failover import Pair
from links import PASSES, Links
from millpond_test import media
from millpond_test.server import BINARY, ROOT, Server, wait_for

NAMES = ("one", "two", "three")
STORES = {"seaweed": Seaweed, "rclone": Rclone}
SETTINGS = """max_buckets = 10000
trusted_proxies = ["127.0.0.0/8"]
{more}
[storage]
cache_mib = 64
garbage_grace_s = 20
"""


class Member(Server):
    """One server of the installation, which is found at the same addresses in each of its lives."""

    def __init__(self, folder: Path, name: str, network: str, number: int, environment: Dict[str, str], settings: str):
        super().__init__(folder / name, environment=environment, settings=settings)
        self.name = name
        address = f"{network}.{11 + number}"
        self.listen = (f"{address}:9000", f"{address}:1935", f"{address}:9001")

    def is_ready(self) -> bool:
        try:
            return self.running() and self.admin("/readyz").status_code == 200
        except requests.RequestException:
            return False

    def lose_disk(self) -> None:
        shutil.rmtree(self.data)


class Installation:
    """All of it. `front` is where clients go: a server to the helpers of the tests, HAProxy in truth."""

    def __init__(self, folder: Path, store: str = "seaweed", names=NAMES, settings: str = ""):
        # The database runs as another user, who has to reach its folder.
        folder.chmod(0o755)
        self.folder = folder
        self.database = Pair(folder / "postgres")
        (folder / "store").mkdir()
        self.store: Store = STORES[store](folder / "store")
        # A loopback network of its own: the ports are those of the configuration.
        self.network = f"127.{random.SystemRandom().randrange(64, 250)}.{random.SystemRandom().randrange(1, 250)}"
        self.names, self.settings = names, SETTINGS.format(more=settings)
        self.links: Optional[Links] = None
        self.members: List[Member] = []
        self.front = Server(folder / "front")
        self.front.http_address, self.front.rtmp_address = f"{self.network}.10:9000", f"{self.network}.10:1935"
        self._balancer: Optional[subprocess.Popen] = None

    def start(self) -> "Installation":
        self.database.make()
        self.store.start().make_bucket()
        targets = {}
        for name in self.names:
            targets |= {f"{name}-{node.name}": f"127.0.0.1:{node.port}" for node in self.database.nodes}
            targets[f"{name}-store"] = f"127.0.0.1:{self.store.port}"
        self.links = Links(targets)
        given = {
            "PGPASSWORD": PASSWORD,
            "AWS_ACCESS_KEY_ID": S3_KEY,
            "AWS_SECRET_ACCESS_KEY": S3_SECRET,
            "MILLPOND_SECRETS_KEY": secrets.token_hex(32),
        }
        direct = {**given, "MILLPOND_META": self.database.url, "MILLPOND_BLOBS": self.store.url}
        made = media.run(["env", *[f"{name}={value}" for name, value in direct.items()], str(BINARY), "store", "init"])
        assert made.returncode == 0, made.stdout + made.stderr
        for number, name in enumerate(self.names):
            hosts = ",".join(self.links.address(f"{name}-{node.name}") for node in self.database.nodes)
            engines = {"MILLPOND_META": f"postgres://mill@{hosts}/postgres", "MILLPOND_BLOBS": self.store.url_at(self.links.address(f"{name}-store"))}
            member = Member(self.folder, name, self.network, number, {**given, **engines}, self.settings)
            self.members.append(member)
            member.start()
        self._balance()
        wait_for(self.is_well, "all servers are ready", 30)
        return self

    def _balance(self) -> None:
        """HAProxy with deploy/haproxy.cfg, whose addresses are put into this network, and whose servers are as many as ours."""
        text = (ROOT / "deploy" / "haproxy.cfg").read_text().replace("10.89.18", self.network)
        text = text.replace("bind :", f"bind {self.network}.10:").replace("/tmp/haproxy.sock", str(self.folder / "haproxy.sock"))
        lines = []
        for line in text.splitlines():
            lines.append(line)
            if line.strip().startswith("server two ") and len(self.names) == 3:
                lines.append(line.replace("server two ", "server three ").replace(f"{self.network}.12", f"{self.network}.13"))
        path = self.folder / "haproxy.cfg"
        path.write_text("\n".join(lines) + "\n")
        with (self.folder / "haproxy.log").open("ab") as log:
            self._balancer = subprocess.Popen([tool("haproxy", "/usr/sbin/haproxy"), "-db", "-f", str(path)], stdout=log, stderr=log)

    def is_well(self) -> bool:
        """All servers are ready, and the balancer gives requests and pushes to each."""
        if not all(member.is_ready() for member in self.members):
            return False
        with socket.socket(socket.AF_UNIX) as asked:
            if asked.connect_ex(str(self.folder / "haproxy.sock")) != 0:
                return False
            asked.sendall(b"show stat\n")
            said = b"".join(iter(lambda: asked.recv(65536), b"")).decode()
        rows = [line.split(",") for line in said.splitlines() if line and not line.startswith("#")]
        states = [row[17] for row in rows if row[0] in ("http", "rtmp") and row[1] in self.names]
        return len(states) == 2 * len(self.names) and all(state == "UP" for state in states)

    def links_of(self, name: str, *kinds: str) -> "list[str]":
        """The links of a server to the database (both nodes) or the store."""
        found = [f"{name}-{node.name}" for node in self.database.nodes] if "database" in kinds else []
        return found + ([f"{name}-store"] if "store" in kinds else [])

    def links_to(self, node) -> "list[str]":
        """The links of all servers to a node of the database."""
        return [f"{name}-{node.name}" for name in self.names]

    def heal(self) -> None:
        self.links.set(PASSES, *self.links.addresses)

    def publications(self) -> Optional[int]:
        """Pushes that all servers have together; `None` while one does not answer."""
        try:
            texts = [member.admin("/metrics").text for member in self.members]
        except requests.RequestException:
            return None
        return sum(int(re.search(r"^millpond_publications (\d+)$", text, re.MULTILINE)[1]) for text in texts)

    def stop(self) -> None:
        # All of it, also when a part cannot be stopped; the last one first.
        with ExitStack() as parts:
            parts.callback(self.database.stop)
            if self.store.process is not None:
                parts.callback(self.store.kill)
            if self.links is not None:
                parts.callback(self.links.close)
            if self._balancer is not None:
                parts.callback(self._balancer.wait)
                parts.callback(self._balancer.kill)
            for member in self.members:
                parts.callback(member.kill)

    def panics(self) -> "list[str]":
        return [f"{member.name}: {line}" for member in self.members for line in member.log().splitlines() if "panicked" in line]

    def __enter__(self) -> "Installation":
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *_) -> None:
        self.stop()


