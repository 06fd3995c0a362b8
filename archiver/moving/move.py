"""An archive moved from its files to a server, in as many runs as it takes.

While a service runs, a run copies what has come since the last; once nobody writes, the last one
copies the rest, compares every row, and hands the archive over. Nothing is written to the files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from hashlib import sha256
from pathlib import Path

from archiver import sqlite
from archiver.errors import CatalogUnavailableError
from archiver.moves import Move
from archiver.moving.catalog import pairs_of
from archiver.moving.inboxes import DeliveriesPair, NamesPair
from archiver.moving.source import Source, counts_of, opened_source
from archiver.moving.target import hand_over, led, prepare, require_its_own, require_unused
from archiver.moving.walking import Pair, Tally, as_bytes, portions_of, walk
from archiver.postgres import Connection


class State(Enum):
    """How a move stands after a run."""

    MOVED = "moved"
    MOVED_BEFORE = "moved before"
    GONE_ON = "moved before, and the files have gone on since"
    COPIED = "copied beside the running service"
    DIFFERS = "differs"


@dataclass(frozen=True, kw_only=True, slots=True)
class Moved:
    """What a run came to: what it wrote of each table, and what of each is not the same now."""

    state: State
    written: Sequence[Tally] = ()
    differing: Sequence[Tally] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Planned:
    """How many rows of each table there are here, and whether the move has begun already."""

    rows: Mapping[str, int]
    begun: bool
    finished_at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Moving:
    """The move of the archive of `catalog` and the inboxes in `inbox_folder` to that URL.

    `progress` hears what is done, of how many rows in all, and how many more were done.
    """

    catalog: Path
    inbox_folder: Path
    url: str
    node: str
    now: Callable[[], datetime]
    progress: Callable[[str, int, int], None] = lambda what, total, rows: None

    def plan(self) -> Planned:
        """What is to be moved; changes nothing. Raises as `run` does."""
        with self._open() as (source, target):
            move = require_its_own(target, source.archive)
            return Planned(
                rows=counts_of(source),
                begun=move is not None,
                finished_at=move.finished_at if move else None,
            )

    def run(self, *, alone: bool) -> Moved:
        """Copies what differs; all of it, compared and handed over, if the caller is `alone`: then
        he has seen to it that nobody writes.

        May be killed and called again. Raises MoveError, CatalogUnavailableError, ConfigError.
        """
        with self._open() as (source, target):
            move = require_its_own(target, source.archive)
            if move is not None and move.finished_at is not None:
                return self._moved_before(source, target, move)
            if move is None:
                prepare(target, self.url, source.archive, now=self.now())
            require_unused(target)
            pairs = _pairs(source, target)
            versions = source.versions()
            written, digests = self._walk("copying", pairs, mends=True)
            # Where nothing differed, every row has just been compared.
            anew = [pair for pair, tally in zip(pairs, written, strict=True) if tally.changed]
            compared, others = self._walk("comparing", anew, mends=False)
            differing = [tally for tally in compared if tally.changed]
            if not alone or versions != source.versions():
                return Moved(state=State.COPIED, written=written, differing=differing)
            if differing:
                return Moved(state=State.DIFFERS, written=written, differing=differing)
            hand_over(target, source, rows_sha256=_joined(digests | others), now=self.now())
            return Moved(state=State.MOVED, written=written)

    def _moved_before(self, source: Source, target: Connection, move: Move) -> Moved:
        """Whether the files are still what was moved; what is there has long gone on."""
        pairs = _pairs(source, target)
        total = sum(pair.count() for pair in pairs)
        digests: dict[str, bytes] = {}
        for pair in pairs:
            digest = sha256()
            for _, portion in portions_of(pair):
                for row in portion.rows.values():
                    digest.update(as_bytes(pair, pair.seen(row)))
                self.progress("reading", total, len(portion.rows))
            digests[pair.name] = digest.digest()
        same = _joined(digests) == move.rows_sha256
        return Moved(state=State.MOVED_BEFORE if same else State.GONE_ON)

    def _walk(
        self, what: str, pairs: Sequence[Pair], *, mends: bool
    ) -> tuple[list[Tally], dict[str, bytes]]:
        """What it came to for each table, and the digests of their rows."""
        total = sum(pair.count() for pair in pairs)
        tallies, digests = [], {}

        def told(rows: int) -> None:
            self.progress(what, total, rows)

        for pair in pairs:
            digest = sha256()
            tallies.append(walk(pair, mends=mends, told=told, hashed=digest.update))
            digests[pair.name] = digest.digest()
        return tallies, digests

    @contextmanager
    def _open(self) -> Iterator[tuple[Source, Connection]]:
        try:
            with (
                opened_source(self.catalog, self.inbox_folder, node=self.node) as source,
                led(self.url) as target,
            ):
                yield source, target
        except sqlite.Error as error:
            raise CatalogUnavailableError(
                f"the files of the archive cannot be read ({error}): see that their disk is well, "
                "and type the same again"
            ) from error


def _pairs(source: Source, target: Connection) -> list[Pair]:
    inboxes = [DeliveriesPair(file, target) for file in source.inboxes]
    return [*pairs_of(source.catalog, target), NamesPair(source.inboxes, target), *inboxes]


def _joined(digests: Mapping[str, bytes]) -> bytes:
    """One digest of those of all tables."""
    return sha256(b"".join(digests[name] for name in sorted(digests))).digest()
