"""A small disk below the data directory of a server, which another program fills. It is a tmpfs, which only root can mount."""

from __future__ import annotations

import errno
import os
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

MIB = 1 << 20


@contextmanager
def small_disk(data: Path):
    """64 MiB at this folder, which is made."""
    data.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m,mode=0700", "none", str(data)], check=True, timeout=10)
    try:
        yield data
    finally:
        for _ in range(50):
            if subprocess.run(["umount", str(data)], capture_output=True).returncode == 0:
                return
            time.sleep(0.2)
        subprocess.run(["umount", "-l", str(data)], check=True)


def fill(folder: Path, leave: int = 0) -> None:
    """Another program takes what is free, but for so many bytes."""
    with (folder / "others").open("ab", buffering=0) as file:
        while True:
            status = os.statvfs(folder)
            size = min(MIB, status.f_bavail * status.f_frsize - leave)
            try:
                if size <= 0 or file.write(bytes(size)) < size:
                    break
            except OSError as error:
                assert error.errno == errno.ENOSPC
                break
    status = os.statvfs(folder)
    assert status.f_bavail * status.f_frsize <= leave + MIB
