"""The index of a backup: the one object that makes a backup of the others, and is written last.

The layout is a promise, as the manifest's is: fields are added, never renamed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Annotated

import msgspec
from msgspec import Meta

from archiver.errors import ManifestError

FORMAT = "holdfast-backup-1"
CATALOG = "catalog.db"

# Whatever has no index by then was broken off, however slow its upload was.
UNFINISHED = timedelta(days=1)

_Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
_Size = Annotated[int, Meta(ge=0)]


class BackedUp(msgspec.Struct, frozen=True, kw_only=True):
    """One database as it was copied: `size_bytes` and `sha256` of its file, and of the object.

    Of an inbox also its UUID, the position of its last delivery, and which one that was
    (`databases`), by which a later copy of it is known.
    """

    name: str
    key: str
    size_bytes: _Size
    sha256: _Sha256
    stored_bytes: _Size
    stored_sha256: _Sha256
    inbox: str = ""
    position: _Size = 0
    last: str = ""


class BackupIndex(msgspec.Struct, frozen=True, kw_only=True):
    """All of one backup: the catalog first, then every inbox, each copied after the one before.

    So no inbox is older than what the catalog has absorbed of it: `positions`, by UUID. `steps`,
    `born_at`, `beat_at` and `generations` are what the catalog says of itself (`databases`).
    """

    format: str = FORMAT
    taken_at: Annotated[datetime, Meta(tz=True)]
    version: str
    steps: tuple[str, ...]
    born_at: str
    beat_at: datetime | None
    generations: _Size
    positions: dict[str, int]
    files: tuple[BackedUp, ...]

    @property
    def stored_bytes(self) -> int:
        """How much room it takes in the bucket."""
        return sum(file.stored_bytes for file in self.files)


_decode = msgspec.json.Decoder(BackupIndex).decode


def render(index: BackupIndex) -> bytes:
    """The index's bytes: JSON."""
    return msgspec.json.format(msgspec.json.encode(index), indent=1) + b"\n"


def parse(text: bytes) -> BackupIndex:
    """The index that was rendered so; raises ManifestError."""
    try:
        index = _decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ManifestError(f"it is no index of a backup: {error}") from error
    if index.format != FORMAT:
        raise ManifestError(
            f"it is of the format {index.format[:40]!r}, and this holdfast reads {FORMAT!r}: use "
            "the version that wrote it, or a newer one"
        )
    return index


def next_at(
    backups: Collection[datetime], begun_at: datetime | None, every: timedelta
) -> datetime | None:
    """When the next backup is due, given those there are and when the archive began.

    None: an archive that has heard of nothing needs none.
    """
    last = max(backups, default=begun_at)
    return last + every if last is not None else None


def superfluous(
    found: Mapping[datetime, bool], *, keep: int, taken_at: datetime | None, now: datetime
) -> list[datetime]:
    """Which backups may go, the oldest first; of each is told whether it has its index.

    All that have one but the newest `keep`, and never the one just `taken_at`, whatever the clocks
    have done; and what was broken off so long ago that nobody is at it any more.
    """
    whole = sorted((at for at, has_index in found.items() if has_index), reverse=True)
    broken_off = (at for at, has_index in found.items() if not has_index and at < now - UNFINISHED)
    return sorted({*whole[max(keep, 1) :], *broken_off} - {taken_at})
