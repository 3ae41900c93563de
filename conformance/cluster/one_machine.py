"""A plugin of pytest: leaves out what one_machine.toml names, and says how many tests that are."""

from __future__ import annotations

import tomllib
from pathlib import Path

LIST = Path(__file__).with_name("one_machine.toml")


def reasons(suite: str) -> "dict[str, str]":
    """Why a file of tests, or a test in one, is left out."""
    return tomllib.loads(LIST.read_text())[suite]


def entry_of(test: str, names) -> "str | None":
    """The name that a test goes by in the list: its file's, its own, or with its parameters."""
    path = test.rsplit("/", 1)[-1]
    return next((name for name in (path, path.split("[")[0], path.split("::")[0]) if name in names), None)


def pytest_collection_modifyitems(config, items):
    names = reasons("python")
    left_out = [item for item in items if entry_of(item.nodeid, names)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]
