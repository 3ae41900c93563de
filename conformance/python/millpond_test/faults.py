"""A disk that fails when a test says so: the server runs with a small library before libc (faults.c) that obeys a file of rules.

    faults = Faults(tmp_path)
    server = fresh_server(environment=faults.environment)
    broken = faults.add("sync", faults.OPEN_SEGMENTS, times=1, drop=True)
    ...
    assert faults.hits(broken)

The server makes all of its calls by way of libc (the feature `use-libc` of rustix), so that they are seen: those past the page cache,
peeks into it and files that the kernel sends too.
"""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional

SOURCE = Path(__file__).with_name("faults.c")


@dataclass(frozen=True)
class Fault:
    """One rule."""

    number: int
    text: str


@dataclass(frozen=True)
class Hit:
    """A call that a rule acted on; `start` and `end` are the bytes that were dropped, -1 where none were."""

    path: str
    start: int
    end: int


class Faults:
    """The rules of one server. They may change while it runs."""

    # Paths below the data directory, as the rules match them.
    BLOBS = "*/blobs/*"
    OPEN_SEGMENTS = "*/blobs/*.part"
    FINISHED_BLOBS = "*/blobs/?/??/[0-9a-f]*[0-9a-f]"
    BLOB_FOLDERS = "*/blobs/?/[0-9a-f][0-9a-f]"
    METADATA = "*/meta.sqlite"
    METADATA_LOG = "*/meta.sqlite-wal"

    def __init__(self, folder: Path):
        self.control = folder / "faults"
        self._rules: List[Fault] = []
        self._last = 0
        self._write()

    @property
    def environment(self) -> Dict[str, str]:
        return {"LD_PRELOAD": str(library()), "MILLPOND_FAULTS": str(self.control)}

    def add(
        self,
        operation: str,
        pattern: str = "-",
        error: int = errno.EIO,
        delay_s: float = 0,
        first: int = 1,
        times: int = 0,
        drop: "bool | int" = False,
    ) -> Fault:
        """From the `first` matching call on, `times` of them (0: all) fail with `error` (0: only late); see faults.c."""
        self._last += 1
        text = f"{self._last} {operation} {error} {int(delay_s * 1000)} {first} {times} {int(drop)} {pattern}"
        fault = Fault(self._last, text)
        self._rules.append(fault)
        self._write()
        return fault

    def clear(self, fault: Optional[Fault] = None) -> None:
        """Lifts one rule, or all."""
        self._rules = [rule for rule in self._rules if fault is not None and rule != fault]
        self._write()

    def set_clock(self, wrong_s: float) -> None:
        """The wall clock of the server is wrong by so much from now on; the monotonic clock is not."""
        fresh = self.control.with_suffix(".newclock")
        fresh.write_text(str(int(wrong_s * 1000)))
        os.replace(fresh, f"{self.control}.clock")

    def hits(self, fault: Fault) -> List[Hit]:
        log = Path(f"{self.control}.log")
        found = []
        for line in log.read_text().splitlines() if log.exists() else []:
            number, rest = line.split(" ", 1)
            if int(number) == fault.number:
                _, rest = rest.split(" ", 1)
                path, start, end = rest.rsplit(" ", 2)
                found.append(Hit(path, int(start), int(end)))
        return found

    def _write(self) -> None:
        fresh = self.control.with_suffix(".new")
        fresh.write_text("".join(f"{rule.text}\n" for rule in self._rules))
        os.replace(fresh, self.control)


def library(name: str = SOURCE.name) -> Path:
    """A library of this folder, compiled once for each version of its source."""
    path = SOURCE.with_name(name)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    built = Path(tempfile.gettempdir()) / f"millpond-{path.stem}-{os.getuid()}-{digest}.so"
    if not built.exists():
        fresh = built.with_suffix(f".{os.getpid()}")
        command = ["cc", "-O1", "-Wall", "-shared", "-fPIC", "-o", str(fresh), str(path), "-ldl", "-lpthread"]
        made = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert made.returncode == 0, made.stderr
        os.replace(fresh, built)
    return built
