"""The journal beside a batch, as a crash, an editor or another program may have left it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from receiver.submission import journal
from receiver.submission.entries import Entry, Event, Standing
from receiver.submission.journal import JournalError, opened
from tests.clocks import NOON
from tests.fuzz.target import Sabotage, Target


def law(data: bytes) -> None:
    """Refused and left as it is, or gone on with: what it says stays, and what is added is read."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "prompts.csv.journal"
        path.write_bytes(data)
        try:
            before = added_to(path, 1)
        except JournalError as error:
            assert str(error).startswith(str(path))
            assert path.read_bytes() == data
            return
        assert data.startswith(b'{"journal":"'[: len(data)]) or b"\n" in data
        after = added_to(path, 10**6)
        assert all(after[row] == before[row] for row in before if row != 10**6)
        assert after[1].event is Event.SENDING


def added_to(path: Path, row: int) -> dict[int, Standing]:
    """Says of one row that it is being sent; how all of them stand then."""
    with opened(path) as journal:
        journal.append(Entry(row=row, event=Event.SENDING, at=NOON, key="a"))
        return dict(journal.standings)


TARGET = Target(
    law=law,
    sabotage=Sabotage(
        says="knowing that it is a journal", owner=journal, name="_BEGINNING", instead=b""
    ),
    words=(
        b'{"journal":"an-id"}\n',
        b'{"row":1,"event":"sending","at":"2026-11-21T12:00:00Z","key":"a"}\n',
        *(
            b'"event":"submitted"',
            b'"id":"a"',
            b'"cost":1e400',
            b"\r",
            b"\\ud800",
            b"[[[[",
            b"\n\n",
        ),
    ),
)
