"""What a disk may hold after a power cut, worked out from what was asked of it (`write_log.c`).

As much is believed as POSIX promises and no more: a file's bytes are there once the file was
synced, its name once its folder was. What was not synced is gone, or is there in part: any of the
512-byte sectors that were written, any change of a length, and of each folder's changes the first
few, for file systems keep those in order.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

_RECORD = struct.Struct("<c3xIQQ")
_SECTOR_BYTES = 512


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """One call; see `write_log.c` for what its parts mean."""

    kind: str
    inode: int
    at: int
    said: bytes

    @property
    def paths(self) -> list[Path]:
        """The names that it is about."""
        return [Path(name.decode()) for name in self.said.split(b"\0")]


def read_log(log: Path) -> list[Record]:
    """All that was written down, in order."""
    told, start, records = log.read_bytes(), 0, []
    while start < len(told):
        kind, length, inode, at = _RECORD.unpack_from(told, start)
        start += _RECORD.size + length
        said = told[start - length : start]
        records.append(Record(kind=kind.decode(), inode=inode, at=at, said=said))
    return records


@dataclass(slots=True)
class _File:
    """A file's bytes as they surely are, and what was asked since: (where, bytes or the length)."""

    synced: bytearray = field(default_factory=bytearray)
    since: list[tuple[int, bytes | None]] = field(default_factory=list)


@dataclass(slots=True)
class _Folder:
    """A folder's names as they surely are, and what was asked since: (name, its thing or None)."""

    synced: dict[str, _File | _Folder] = field(default_factory=dict)
    since: list[tuple[str, _File | _Folder | None]] = field(default_factory=list)


class Disk:
    """The disk below one folder, told call after call; it may be cut off after any of them."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._top = _Folder()
        self._inodes: dict[int, _File | _Folder] = {}  # an inode may be used again, a thing is not
        self._names: dict[Path, _File | _Folder] = {}  # as programs see them

    def told(self, record: Record) -> None:
        """Takes one call in."""
        thing = self._inodes.get(record.inode)
        match record.kind:
            case "d" | "c":
                self._begin(record)
            case "w" if isinstance(thing, _File):
                thing.since.append((record.at, record.said))
            case "t" if isinstance(thing, _File):
                thing.since.append((record.at, None))
            case "s" if isinstance(thing, _File):
                _write(thing.synced, thing.since)
                thing.since.clear()
            case "s" if isinstance(thing, _Folder):
                _rename(thing.synced, thing.since)
                thing.since.clear()
            case "l":
                old, new = record.paths
                self._name(new, self._names[old])
            case "r":
                old, new = record.paths
                self._name(new, self._names[old])
                self._name(old, None)
            case "u":
                self._name(record.paths[0], None)

    def surviving(self, chance: Random | None) -> dict[Path, bytes]:
        """The files there are after a cut, by their paths below the root, and their bytes.

        Nothing that was not synced without `chance`; with it, what that chooses.
        """
        return {path: bytes(found) for path, found in _walk(self._top, Path(), chance)}

    def seen(self, path: Path) -> bytes:
        """A file as programs see it, by its path below the root; empty if there is none."""
        thing, content = self._names.get(self._root / path), bytearray()
        if isinstance(thing, _File):
            content += thing.synced
            _write(content, thing.since)
        return bytes(content)

    def _begin(self, record: Record) -> None:
        [path] = record.paths
        if path == self._root:
            self._inodes[record.inode] = self._names[path] = self._top
            return
        thing = _Folder() if record.kind == "d" else _File()
        self._inodes[record.inode] = thing
        self._name(path, thing)

    def _name(self, path: Path, thing: _File | _Folder | None) -> None:
        folder = self._names[path.parent]
        assert isinstance(folder, _Folder)
        folder.since.append((path.name, thing))
        if thing is None:
            self._names.pop(path, None)
        else:
            self._names[path] = thing


def _walk(folder: _Folder, path: Path, chance: Random | None) -> Iterator[tuple[Path, bytearray]]:
    names = dict(folder.synced)
    if chance:
        _rename(names, folder.since[: chance.randint(0, len(folder.since))])
    for name, thing in names.items():
        if isinstance(thing, _Folder):
            yield from _walk(thing, path / name, chance)
            continue
        found = bytearray(thing.synced)
        if chance:
            _write(found, _torn(thing.since, chance))
        yield path / name, found


def _torn(
    asked: list[tuple[int, bytes | None]], chance: Random
) -> Iterator[tuple[int, bytes | None]]:
    """About half of it, by sectors."""
    for at, said in asked:
        if said is None:
            if chance.random() < 0.5:
                yield at, None
            continue
        start = 0
        while start < len(said):
            end = min(len(said), start + _SECTOR_BYTES - (at + start) % _SECTOR_BYTES)
            if chance.random() < 0.5:
                yield at + start, said[start:end]
            start = end


def _write(
    content: bytearray, asked: list[tuple[int, bytes | None]] | Iterator[tuple[int, bytes | None]]
) -> None:
    for at, said in asked:
        end = at + len(said or b"")
        if len(content) < end:
            content.extend(bytes(end - len(content)))
        if said is None:
            del content[at:]
        else:
            content[at:end] = said


def _rename(
    names: dict[str, _File | _Folder], asked: list[tuple[str, _File | _Folder | None]]
) -> None:
    for name, thing in asked:
        if thing is None:
            names.pop(name, None)
        else:
            names[name] = thing
