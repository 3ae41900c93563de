#!/usr/bin/env python3
"""Compares the documents with the program: links and headings, paths, settings, metrics, commands and flags. Standard library only.

    scripts/check_documents.py [BINARY]    prints what does not fit, and fails then; commands need the binary

Shell blocks (```sh) are run by `conformance/python/tests/test_documents.py` where the line above says `<!-- run -->`;
`<!-- not run: why -->` exempts one. A block with neither is a fault."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ("crates/server/src/config.rs", "crates/server/src/config/http.rs", "crates/server/src/config/live.rs")
METRICS = ("crates/server/src/metrics.rs", "crates/server/src/metrics/system.rs", "crates/server/src/admin.rs")
# What counters that are recorded in other units of time are called on the page (crates/server/src/metrics/page.rs).
IN_SECONDS = re.compile("_(milliseconds|ms|minutes)_total$")
FOLDERS = ("bench", "conformance", "crates", "docs", "fuzz", "scripts", ".github", ".ci")
BLOCK = re.compile(r"^(?P<mark><!-- (?P<what>run|not run: [^>]+) -->\n)?```sh\n(?P<body>.*?)^```", flags=re.MULTILINE | re.DOTALL)


def documents() -> list:
    """Every document for people, relative to the root."""
    found = [path.relative_to(ROOT) for path in sorted((ROOT / "docs").rglob("*.md"))]
    return [Path(name) for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md") if (ROOT / name).exists()] + found


def prose(text: str) -> str:
    """The text without fenced blocks, so that line numbers stay."""
    return re.sub(r"^```.*?^```", lambda match: "\n" * match.group(0).count("\n"), text, flags=re.MULTILINE | re.DOTALL)


def headings(text: str) -> set:
    """The anchors of a document, as GitHub makes them."""
    anchors = set()
    for title in re.findall(r"^#+ (.*)$", prose(text), flags=re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).replace("`", "")
        anchors.add(re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-"))
    return anchors


def check_links() -> list:
    faults = []
    for document in documents():
        text = (ROOT / document).read_text()
        for target in re.findall(r"(?<!`)\]\(([^)\s]+)\)", prose(text)):
            if "://" in target:
                continue
            name, _, anchor = target.partition("#")
            path = (ROOT / document.parent / name) if name else ROOT / document
            if not path.exists():
                faults.append(f"{document}: the link {target} leads nowhere")
            elif anchor and anchor not in headings(path.read_text()):
                faults.append(f"{document}: {target} names a heading that does not exist")
    return faults


def check_paths() -> list:
    """A name in backticks that begins with a folder of the repository is a file or folder in it."""
    faults = []
    for document in documents():
        if document.name == "CHANGELOG.md" or document.parent.name == "design":
            continue
        for name in re.findall(r"`((?:" + "|".join(map(re.escape, FOLDERS)) + r")/[\w./*-]+)`", prose((ROOT / document).read_text())):
            if not any(ROOT.glob(name.rstrip("/"))):
                faults.append(f"{document}: {name} does not exist")
    return faults


def settings() -> dict:
    """Section to keys, read from the structs of the configuration; "" is the top level."""
    source = "".join((ROOT / path).read_text() for path in CONFIG)
    structs = {}
    for name, body in re.findall(r"pub\(crate\) struct (\w*Config) \{(.*?)^\}", source, flags=re.MULTILINE | re.DOTALL):
        structs[name] = re.findall(r"^    pub\(crate\) (\w+): ([\w:<>, ]+),$", body, flags=re.MULTILINE)
    sections = {"": [key for key, _ in structs["Config"]]}
    for key, kind in structs["Config"]:
        if kind in structs:
            sections[key] = [inner for inner, _ in structs[kind]]
    return sections


def check_settings() -> list:
    sections = settings()
    everything = {key for keys in sections.values() for key in keys}
    faults = []
    text = (ROOT / "docs/config.md").read_text()
    for key in re.findall(r"^\| `\[?(\w+)\]?` \|", text, flags=re.MULTILINE):
        if key not in everything:
            faults.append(f"docs/config.md: there is no setting {key}")
    pattern = re.compile(r"`(" + "|".join(name for name in sections if name) + r")\.([a-z_]+)(?: = [^`]*)?`")
    for document in documents():
        for section, key in pattern.findall(prose((ROOT / document).read_text())):
            if key not in sections[section] and key not in ("rs", "md", "toml"):
                faults.append(f"{document}: there is no setting {section}.{key}")
    return faults


def check_metrics() -> list:
    named = {name for file in METRICS for name in re.findall(r'"(millpond_\w+)"', (ROOT / file).read_text())}
    known = {IN_SECONDS.sub("_seconds_total", name) for name in named}
    faults = []
    for document in documents():
        for name in set(re.findall(r"`(millpond_[a-z_]+)(?:\{[^`]*)?`", (ROOT / document).read_text())):
            if name not in known and name != "millpond_test":
                faults.append(f"{document}: there is no metric {name}")
    described = (ROOT / "docs/operations.md").read_text()
    return faults + [f"docs/operations.md does not have the metric {name}" for name in sorted(known) if name not in described]


@lru_cache(maxsize=None)
def help_of(binary: str, words: tuple) -> str:
    answer = subprocess.run([binary, *words, "--help"], capture_output=True, text=True, timeout=20)
    return answer.stdout if answer.returncode == 0 else ""


def calls_of(text: str) -> list:
    """The `millpond ...` of a document: in backticks, and in fenced blocks, without comments and what is piped on."""
    calls = re.findall(r"`millpond ([a-z][^`]*)`", prose(text))
    for block in re.findall(r"^```.*?^```", text, flags=re.MULTILINE | re.DOTALL):
        for command in re.split(r"[;|\n]|&&|\$\(", re.sub(r"(?:^|\s)#.*$", "", block, flags=re.MULTILINE)):
            calls += re.findall(r"^\s*millpond (.+)$", command)
    return calls


def check_commands(binary: str) -> list:
    """Every `millpond ...` of the documents has a command and flags that `--help` knows."""
    faults = []
    for document in documents():
        for call in calls_of((ROOT / document).read_text()):
            path: tuple = ()
            for word in call.split():
                if not re.search(rf"^  {re.escape(word)}\s", help_of(binary, path), flags=re.MULTILINE):
                    break
                path += (word,)
            if not path:
                faults.append(f"{document}: there is no command: millpond {call}")
            page = help_of(binary, path)
            faults += [f"{document}: millpond {' '.join(path)} has no {flag}"
                       for flag in re.findall(r"(?<!\w)--[a-z][a-z-]+", call) if flag not in page]  # fmt: skip
    return faults


def check_blocks() -> list:
    faults = []
    for document in documents():
        text = (ROOT / document).read_text()
        marked = {match.start("body") for match in BLOCK.finditer(text) if match["mark"]}
        for match in re.finditer(r"^```sh\n", text, flags=re.MULTILINE):
            if match.end() not in marked:
                line = text.count("\n", 0, match.start()) + 1
                faults.append(f"{document}:{line}: a shell block is marked neither `run` nor `not run: why`")
        for match in re.finditer(r"^```\n(?=.*(?:^|[; ])(?:millpond|cargo|make) )", text, flags=re.MULTILINE):
            if re.match(r"(?:millpond|cargo|make) ", text[match.end() :]):
                faults.append(f"{document}:{text.count(chr(10), 0, match.start()) + 1}: a block of commands is not marked as sh")
    return faults


def runnable_blocks() -> list:
    """The shell blocks to run, as (document, body), in the order of the text."""
    return [(str(document), match["body"]) for document in documents() for match in BLOCK.finditer((ROOT / document).read_text())
            if match["what"] == "run"]  # fmt: skip


def check_designs() -> list:
    """Every design document says how much of it is true, and the index says the same."""
    index = (ROOT / "docs/design/README.md").read_text()
    faults = []
    for path in sorted((ROOT / "docs/design").glob("*.md")):
        if path.name == "README.md":
            continue
        status = re.search(r"^Status: (\w+)", path.read_text(), flags=re.MULTILINE)
        row = re.search(rf"^\| \[{re.escape(path.name)}\].*\| (\w+)[^|]*\|$", index, flags=re.MULTILINE)
        if not status or status[1] not in ("planned", "begun", "built"):
            faults.append(f"docs/design/{path.name}: there is no line `Status: planned`, `begun` or `built`")
        elif not row or row[1] != status[1]:
            faults.append(f"docs/design/README.md: {path.name} is {status[1]}, and its row does not say so")
    return faults


def examine(binary: str | None) -> list:
    faults = check_links() + check_paths() + check_settings() + check_metrics() + check_blocks() + check_designs()
    return faults + (check_commands(binary) if binary else [])


def main(arguments: list) -> int:
    binary = arguments[0] if arguments else os.environ.get("MILLPOND_BIN")
    if not arguments and binary and not Path(binary).exists():
        binary = None  # not built yet; the Python stage of `make test` has it
    faults = examine(binary)
    print("\n".join(faults + [f"{len(documents())} documents, {len(faults)} faults" + ("" if binary else "; commands not checked")]))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
