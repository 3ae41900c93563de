"""The binary of deploy/build.sh on an old system: the C library of Debian 11 takes the place of this machine's in the image, and the server
records, serves and makes pictures."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from compose import run
from millpond_test.server import BINARY, ROOT
from single import is_one_server

OLD = ROOT / "target" / "dist" / "old-system" / "files"
#: What deploy/build.sh promises.
GLIBC = (2, 17)


def test_what_the_binary_asks_for():
    assert BINARY.name == "millpond" and BINARY.stat().st_size < 60 << 20
    symbols = run("readelf", "--dyn-syms", "--wide", str(BINARY))
    versions = {tuple(map(int, found.split("."))) for found in re.findall(r"@GLIBC_([0-9.]+)", symbols)}
    assert versions and max(versions) <= GLIBC, sorted(versions)
    assert ".symtab" not in run("readelf", "--sections", "--wide", str(BINARY))
    print(f"\n{BINARY.stat().st_size} bytes, glibc {'.'.join(map(str, max(versions)))}")


@pytest.fixture
def old_image(ours, tmp_path):
    """The image with the libraries of the old system in the place of those that it has."""
    image = replace(ours[0], root=tmp_path / "old")
    shutil.copytree(ours[0].root, image.root, symlinks=True)
    shutil.chown(image.root / "var/lib/millpond", 65532, 65532)
    replaced = set()
    for library in [path for path in image.root.rglob("*.so*") if path.is_file()]:
        found = next(OLD.glob(f"lib/*/{library.name}"), None)
        assert found, f"{library.name} is not a part of the old C library"
        library.unlink()
        shutil.copy(found.resolve(), library)
        replaced.add(library.name)
    assert "libc.so.6" in replaced
    return image


def test_it_serves_on_an_old_system(old_image, stack_of, source, tmp_path):
    is_one_server(stack_of("one.yaml", image=old_image), source, tmp_path)
    libc = next(Path(old_image.root).rglob("libc.so.6"))
    assert b"stable release version 2.31" in libc.read_bytes()
