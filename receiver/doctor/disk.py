"""The disk of the catalog: whether it keeps what it was told, has room, and is nobody else's."""

from __future__ import annotations

import os
import shutil
import statistics
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryFile
from urllib.parse import unquote, urlsplit

from rich.filesize import decimal

from archiver import clock
from receiver.doctor.finding import Judged, fail, ok, warn
from receiver.doctor.patient import Patient
from receiver.settings import Config

_MOUNTS = Path("/proc/self/mountinfo")
_FLUSHES = 7
_PAGE_BYTES = 4096
# No disk or flash writes a page through in less; whoever says so has only taken note of it.
_INCREDIBLE_SECONDS = 50e-6
_IN_MEMORY = frozenset({"tmpfs", "ramfs"})
# Of these the shared memory that a write-ahead log needs is none (sqlite.org/wal.html).
_OF_OTHERS = frozenset({"9p", "afs", "cifs", "fuse.sshfs", "nfs", "nfs4", "smb3", "smbfs"})

_SKEW_WARNS = timedelta(seconds=5)
# EventBridge's events are refused beyond a minute, and S3 answers nothing beyond a quarter hour.
_SKEW_FAILS = timedelta(seconds=60)

_GIB = 2**30
# With less a database cannot even begin its log.
_NOTHING_BYTES = 2**24

ACCESS_CURE = (
    "see that its disk is well and has room, is not mounted read-only (`findmnt`; `dmesg` says "
    "why), and that whoever runs holdfast may read and write there"
)


def flush(patient: Patient) -> Iterator[Judged]:
    """Whether what is committed is on the disk."""
    folder = patient.config.catalog.folder
    if not folder.is_dir():
        return
    mounts = _MOUNTS.read_text() if _MOUNTS.exists() else ""
    try:
        median_seconds = _flush_seconds(folder)
    except OSError as error:
        yield fail(f"nothing can be written into {folder} ({error.strerror})", ACCESS_CURE)
    else:
        yield judge_flush(median_seconds, filesystem_of(folder, mounts), str(folder))


def judge_flush(median_seconds: float, filesystem: str, folder: str) -> Judged:
    """An fsync that takes as long, on a file system of that kind."""
    micros = f"{median_seconds * 1e6:,.0f} µs"
    if filesystem in _IN_MEMORY:
        return warn(
            f"{folder} lies in memory ({filesystem}), so nothing in it outlives a restart",
            "let catalog.url name a place on a disk",
        )
    if filesystem in _OF_OTHERS:
        return fail(
            f"{folder} lies on {filesystem}, where SQLite's write-ahead log does not work",
            "let catalog.url name a place on a disk of this machine",
        )
    if median_seconds < _INCREDIBLE_SECONDS:
        return warn(
            f"an fsync in {folder} takes {micros}, which no disk does, so a power cut may take "
            "what was acknowledged",
            "have the disk, or the hypervisor's cache, write through",
        )
    return ok(f"an fsync in {folder} takes {micros}")


def filesystem_of(path: Path, mounts: str) -> str:
    """The kind of file system that a path lies on, by proc_pid_mountinfo(5); "" if unknown."""
    kinds: dict[Path, str] = {}
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split()[:1]
        if len(fields) > 4 and kind:
            mounted = fields[4].encode().decode("unicode_escape")
            kinds[Path(mounted)] = kind[0]
    resolved = path.resolve()
    return next((kinds[it] for it in (resolved, *resolved.parents) if it in kinds), "")


def _flush_seconds(folder: Path) -> float:
    """The median of a few, each of one page more."""
    took = []
    with TemporaryFile(dir=folder) as file:
        for _ in range(_FLUSHES):
            file.write(b"\0" * _PAGE_BYTES)
            file.flush()
            began = clock.monotonic()
            os.fsync(file.fileno())
            took.append(clock.monotonic() - began)
    return statistics.median(took)


def disk_clock(patient: Patient) -> Iterator[Judged]:
    """Whether the catalog's file system has the same time as this machine."""
    folder = patient.config.catalog.folder
    if not folder.is_dir():
        return
    try:
        with NamedTemporaryFile(dir=folder) as file:
            written_at = datetime.fromtimestamp(Path(file.name).stat().st_mtime, UTC)
    except OSError:  # which fsync has told
        return
    yield judge_skew(written_at - patient.now(), "the catalog's file system")


def judge_skew(ahead: timedelta, of: str) -> Judged:
    """A clock that is `ahead` of ours, or behind where that is less than nothing."""
    far = abs(ahead)
    if far <= _SKEW_WARNS:
        return ok(f"the clock of {of} agrees with ours")
    side = "ahead of" if ahead > timedelta(0) else "behind"
    said = f"the clock of {of} is {far.total_seconds():,.0f} s {side} ours"
    judged = warn if far <= _SKEW_FAILS else fail
    return judged(said, "set the clocks right: `timedatectl set-ntp true`")


def space(patient: Patient) -> Iterator[Judged]:
    """Whether there is room on every disk that is written to."""
    seen = set()
    for folder in filter(Path.is_dir, _folders(patient.config)):
        device = folder.stat().st_dev
        if device not in seen:
            seen.add(device)
            usage = shutil.disk_usage(folder)
            yield judge_space(usage.free, patient.config.catalog.min_free_bytes, str(folder))


def judge_space(free_bytes: int, min_free_bytes: int, folder: str) -> Judged:
    """So much room, of which so much is never used."""
    said = f"{folder} has {decimal(free_bytes)} free"
    if free_bytes < _NOTHING_BYTES:
        return fail(
            f"{said}, which is as good as nothing, so webhooks are refused with 503",
            "free some space, and let catalog.min_free_bytes leave more of it",
        )
    if free_bytes < min_free_bytes:
        return fail(
            f"{said}, less than catalog.min_free_bytes, so webhooks are refused with 503",
            "free some space; they are taken in again by themselves",
        )
    if free_bytes < max(4 * min_free_bytes, _GIB):
        return warn(f"{said}, and webhooks are refused before it is full", "free some space")
    return ok(said)


def _folders(config: Config) -> Iterator[Path]:
    yield config.catalog.folder
    if config.bucket.url.startswith("file://"):
        yield Path(unquote(urlsplit(config.bucket.url).path))
