#!/usr/bin/env python3
"""The crates that do no IO depend on nothing that does: all that they are built with, directly or not, is named here. Uses
`cargo metadata`, which compiles nothing. `crates/acceptance/tests/layering.rs` looks at their own sources."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PURE = ("millpond-media", "millpond-model", "millpond-oss")
# Whoever adds a name has read the crate: no files, sockets, threads, clocks or random numbers in what is used of it.
ALLOWED = frozenset(
    # bytes, text and errors
    "base64 bytes cfg-if itoa memchr millpond-model quick-xml serde serde_core serde_json subtle thiserror zmij "
    # the calendar, which has a clock only with features that nobody may ask for
    "deranged num-conv powerfmt time time-core "
    # hashes
    "block-buffer cmov const-oid cpufeatures crypto-common ctutils digest hmac hybrid-array md-5 sha1 sha2 typenum "
    # what runs in the compiler
    "proc-macro2 quote serde_derive syn thiserror-impl unicode-ident".split()
)


def metadata() -> dict:
    host = next(line.split()[1] for line in subprocess.run(["rustc", "-vV"], check=True, capture_output=True, text=True).stdout.splitlines()
                if line.startswith("host:"))  # fmt: skip
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", host]
    return json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)


def closure(graph: dict, root: str) -> set:
    """The names of the crates that `root` is built with; those of its tests do not count."""
    names = {package["id"]: package["name"] for package in graph["packages"]}
    nodes = {node["id"]: node for node in graph["resolve"]["nodes"]}
    found, waiting = set(), [next(identity for identity, name in names.items() if name == root)]
    while waiting:
        for dependency in nodes[waiting.pop()]["deps"]:
            is_built = any(kind["kind"] != "dev" for kind in dependency["dep_kinds"])
            if is_built and dependency["pkg"] not in found:
                found.add(dependency["pkg"])
                waiting.append(dependency["pkg"])
    return {names[identity] for identity in found}


def examine() -> list:
    graph = metadata()
    return [f"{root} is built with {name}, which is not known to do no IO (scripts/check_dependencies.py)"
            for root in PURE for name in sorted(closure(graph, root) - ALLOWED)]  # fmt: skip


if __name__ == "__main__":
    faults = examine()
    print("\n".join(faults) or "the pure crates are built with nothing that does IO")
    sys.exit(1 if faults else 0)
