"""What a disk holds when the power goes: a journal of journal.c, played up to any moment, with what was not flushed kept or lost.

The rules are those that POSIX gives, which are harder than what file systems do:

* of a file, each block of 4 KiB that was written since the last flush is the new or the old one, whatever the others are;
* a flush that failed decides the same at once, and for ever: a later one does not write those blocks again (D29);
* of a folder, some of the names that were made, changed or removed since its last flush are so, in their order, and the others are not.
"""

from __future__ import annotations

import random
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Set, Tuple

BLOCK = 4096


@dataclass(frozen=True)
class Step:
    """One line of the journal; `end` is where it ends in the file."""

    op: str
    inode: int
    numbers: Tuple[int, ...]
    path: str
    data: bytes
    end: int


def steps(journal: Path) -> Iterator[Step]:
    """All whole steps. A process that was killed may have left half of one, which did not happen then."""
    with journal.open("rb") as file:
        while True:
            line = file.readline()
            if not line.endswith(b"\n"):
                return
            op, inode, rest = (line[:-1].split(b" ", 2) + [b""])[:3]
            numbers: Tuple[int, ...] = ()
            path, data = "", b""
            kind = op.decode()
            if kind in "CMRLU":
                path = rest.decode()
            else:
                numbers = tuple(int(number) for number in rest.split())
            if kind == "W":
                data = file.read(numbers[1])
                if len(data) < numbers[1]:
                    return
            yield Step(kind, int(inode), numbers, path, data, file.tell())


class File:
    """What the system shows of a file, and what of it is on the disk."""

    def __init__(self) -> None:
        self.shown, self.durable = bytearray(), bytearray()
        #: Blocks that were written since they were flushed, and the number of the write.
        self.dirty: Dict[int, int] = {}
        #: The shortest it was since it was flushed, and the number of the cut.
        self.shortest: Optional[Tuple[int, int]] = None
        self.writes = 0
        #: The number of the write that a block on the disk is of.
        self.kept: Dict[int, int] = {}
        #: The last cut that reached the disk: its length and its number.
        self.cut: Tuple[int, int] = (0, 0)

    def write(self, offset: int, data: bytes) -> None:
        self.writes += 1
        if len(self.shown) < offset:
            self.shown.extend(bytes(offset - len(self.shown)))
        self.shown[offset : offset + len(data)] = data
        for block in range(offset // BLOCK, (offset + len(data) - 1) // BLOCK + 1):
            self.dirty[block] = self.writes

    def set_length(self, length: int) -> None:
        self.writes += 1
        if length < len(self.shown):
            del self.shown[length:]
            before = self.shortest[0] if self.shortest else length
            self.shortest = (min(before, length), self.writes)
            self.dirty = {block: number for block, number in self.dirty.items() if block * BLOCK < length}
        else:
            self.shown.extend(bytes(length - len(self.shown)))

    def begin_flush(self) -> "Flush":
        blocks = {block: (number, self.block(block)) for block, number in self.dirty.items()}
        return Flush(blocks, len(self.shown), self.shortest)

    def end_flush(self, flush: "Flush", is_kept) -> None:
        """`is_kept` says of each block whether it reached the disk. What another flush, begun later and ended earlier, has brought
        there is newer and stays."""
        if flush.shortest is not None and flush.shortest == self.shortest and is_kept():
            del self.durable[flush.shortest[0] :]
            self.cut, self.shortest = flush.shortest, None
        for block, (number, data) in flush.blocks.items():
            is_gone = block * BLOCK >= self.cut[0] and number < self.cut[1]
            if is_kept() and not is_gone and number > self.kept.get(block, 0):
                put(self.durable, block, data)
                self.kept[block] = number
            if self.dirty.get(block) == number:
                del self.dirty[block]

    def block(self, number: int) -> bytes:
        return bytes(self.shown[number * BLOCK : (number + 1) * BLOCK])

    def after_a_cut(self, source: random.Random) -> bytes:
        found = bytearray(self.durable)
        if self.shortest is not None and source.random() < 0.5:
            del found[self.shortest[0] :]
        share = source.choice([0.0, 0.5, 0.5, 0.9, 1.0])
        for block in self.dirty:
            if source.random() < share:
                put(found, block, self.block(block))
        return bytes(found)


def put(content: bytearray, block: int, data: bytes) -> None:
    start = block * BLOCK
    if len(content) < start:
        content.extend(bytes(start - len(content)))
    content[start : start + len(data)] = data


@dataclass
class Flush:
    blocks: Dict[int, Tuple[int, bytes]]
    length: int
    shortest: Optional[Tuple[int, int]]


@dataclass(eq=False)
class Naming:
    """A change of names that is not flushed, and the folders that it belongs to."""

    op: str
    file: Optional[File]
    path: str
    folders: Set[str]


@dataclass
class Names:
    files: Dict[str, File] = field(default_factory=dict)
    folders: Set[str] = field(default_factory=set)

    def copy(self) -> "Names":
        return Names(dict(self.files), set(self.folders))

    def apply(self, naming: Naming) -> None:
        if naming.op == "M":
            self.folders.add(naming.path)
        elif naming.op in "CL":
            self.files[naming.path] = naming.file
        elif naming.op == "U":
            self.files.pop(naming.path, None)
            self.folders.discard(naming.path)
        else:
            old, new = naming.path.split("\t")
            if naming.file is not None:
                self.files.pop(old, None)
                self.files[new] = naming.file
            else:
                self.folders = {new + path[len(old) :] if is_in(path, old) else path for path in self.folders}
                self.files = {new + path[len(old) :] if is_in(path, old) else path: file for path, file in self.files.items()}


def is_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


class CutDisk:
    """A disk that a journal is played to. Flushes that fail are decided by `source`, so that all cuts of one run agree on them."""

    def __init__(self, root: Path, source: random.Random):
        self.root, self.source = str(root), source
        self.files: Dict[int, File] = {}
        self.folders: Dict[int, str] = {}
        self.durable, self.pending = Names(folders={self.root}), []  # type: Tuple[Names, List[Naming]]
        self.begun: Dict[int, "tuple"] = {}
        self.failed_flushes = 0

    def play(self, step: Step) -> None:
        if step.op == "W":
            self._file(step.inode).write(step.numbers[0], step.data)
        elif step.op == "T":
            self._file(step.inode).set_length(step.numbers[0])
        elif step.op in "CMRLU":
            self._name(step)
        elif step.op == "B":
            self._begin_flush(step)
        else:
            self._end_flush(step)

    def _file(self, inode: int) -> File:
        return self.files.setdefault(inode, File())

    def _name(self, step: Step) -> None:
        file: Optional[File] = None
        if step.op == "M":
            self.folders[step.inode] = step.path
        elif step.op == "C":
            # The number may be that of a file that is gone.
            file = self.files[step.inode] = File()
        elif step.inode not in self.folders:
            file = self._file(step.inode)
        elif step.op == "R":
            old, new = step.path.split("\t")
            self.folders = {inode: new + path[len(old) :] if is_in(path, old) else path for inode, path in self.folders.items()}
        folders = {path.rsplit("/", 1)[0] for path in step.path.split("\t")}
        self.pending.append(Naming(step.op, file, step.path, folders))

    def _begin_flush(self, step: Step) -> None:
        thread = step.numbers[0]
        if step.inode == 0:
            self.begun[thread] = ([(file, file.begin_flush()) for file in self.files.values()], list(self.pending))
        elif step.inode in self.folders:
            path = self.folders[step.inode]
            self.begun[thread] = ([], [naming for naming in self.pending if path in naming.folders])
        else:
            file = self._file(step.inode)
            self.begun[thread] = ([(file, file.begin_flush())], [])

    def _end_flush(self, step: Step) -> None:
        flushes, names = self.begun.pop(step.numbers[0], ([], []))
        is_done = step.numbers[1] == 0
        self.failed_flushes += not is_done
        for file, flush in flushes:
            file.end_flush(flush, (lambda: True) if is_done else (lambda: self.source.random() < 0.5))
            if is_done and len(file.durable) < min(flush.length, len(file.shown)):
                file.durable.extend(bytes(min(flush.length, len(file.shown)) - len(file.durable)))
        if is_done:
            for naming in names:
                if naming in self.pending:
                    self.durable.apply(naming)
                    self.pending.remove(naming)

    def cut(self, target: Path, source: random.Random) -> None:
        """Makes the folder `target` what is left when the power goes now."""
        names = self.durable.copy()
        reached = {folder: source.choice([0, source.randint(0, 1 << 30), 1 << 30]) for folder in {f for n in self.pending for f in n.folders}}
        counts = {folder: sum(folder in naming.folders for naming in self.pending) for folder in reached}
        left = {folder: reached[folder] % (counts[folder] + 1) if reached[folder] < 1 << 30 else counts[folder] for folder in reached}
        for naming in self.pending:
            if all(left[folder] > 0 for folder in naming.folders):
                names.apply(naming)
                for folder in naming.folders:
                    left[folder] -= 1
            else:
                # Those behind one that did not come did not come either.
                for folder in naming.folders:
                    left[folder] = 0
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for folder in sorted(names.folders):
            if folder != self.root and is_in(folder, self.root) and self._where(folder, target).parent.is_dir():
                self._where(folder, target).mkdir(exist_ok=True)
        contents: Dict[int, bytes] = {}
        for path, file in names.files.items():
            place = self._where(path, target)
            # The index of SQLite's log is of no use after a start of the machine, and holds what was never written.
            if place.parent.is_dir() and not path.endswith("-shm"):
                place.write_bytes(contents.setdefault(id(file), file.after_a_cut(source)))

    def _where(self, path: str, target: Path) -> Path:
        return target / path[len(self.root) :].lstrip("/")
