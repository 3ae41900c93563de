"""The binary and the image that are given away; `MILLPOND_BIN` is what deploy/build.sh made."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

CONFORMANCE = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(CONFORMANCE / "python"), str(CONFORMANCE / "cluster")]
pytest.register_assert_rewrite("millpond_test", "single")

from millpond_test import media  # noqa: E402
from single import archives, ours, stack_of  # noqa: E402, F401


@pytest.fixture(scope="session")
def source(tmp_path_factory):
    """Twelve seconds, and what they decode to."""
    path = media.make_source(tmp_path_factory.mktemp("media") / "source.flv")
    return path, media.decode(str(path))
