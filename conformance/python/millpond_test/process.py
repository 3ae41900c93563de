"""A program that says JSON lines on its standard output: its start, what it says, and its end. Standard library only."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from typing import Any, Callable, List, Optional, Tuple


class Process:
    """The program as a child. All its lines are taken, so that its pipe never fills; those that are no JSON are dropped."""

    def __init__(self, command: List[str], **options):
        """`options` are those of Popen."""
        self.started = time.monotonic()
        self.child = subprocess.Popen(command, stdout=subprocess.PIPE, **options)
        self.lines: List[Tuple[float, Any]] = []
        self.has_ended = False
        self.changed = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self.child.stdout:
            now = time.monotonic()
            try:
                value = json.loads(line)
            except ValueError:
                continue
            with self.changed:
                self.lines.append((now, value))
                self.changed.notify_all()
        with self.changed:
            self.has_ended = True
            self.changed.notify_all()

    def next_line(self, wanted: Callable[[Any], bool], seconds: float) -> Optional[Tuple[float, Any]]:
        """Takes lines up to the first that is WANTED, and gives the moment and the line; None when none came within SECONDS or the
        program will say no more."""
        deadline = time.monotonic() + seconds
        with self.changed:
            while True:
                while self.lines:
                    at, value = self.lines.pop(0)
                    if wanted(value):
                        return at, value
                if self.has_ended or not self.changed.wait(max(0.0, deadline - time.monotonic())):
                    return None


def stop(child: subprocess.Popen, seconds: float) -> int:
    """SIGTERM and the exit status; a program that does not end within SECONDS is killed, and that is a failure."""
    child.send_signal(signal.SIGTERM)
    try:
        return child.wait(seconds)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
        raise AssertionError(f"{child.args[0]} did not stop within {seconds} s of SIGTERM") from None
