"""The journal is on disk before what follows from it, and survives whatever ends its writer."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from receiver.submission.batch import BatchError, read_batch
from receiver.submission.entries import (
    Entry,
    Event,
    Standing,
    check_same_account,
    check_unchanged,
    idempotency_key,
    standings,
)
from receiver.submission.journal import JournalError, opened

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
[ROW, OTHER] = read_batch("b.csv", b"prompt\na cat\na dog\n", "doitong")


def entry(event: Event, row: int = 1, **more: Any) -> Entry:
    return Entry(row=row, event=event, at=NOW, **more)


SENT = entry(Event.SENDING, provider="doitong", account="mine", digest=ROW.digest, key="k")
BEGUN = entry(Event.SUBMITTED, id="g1", cost=10.0)


def test_it_reads_back(tmp_path: Path) -> None:
    """Who opens it again finds the same name and the same standings."""
    path = tmp_path / "b.csv.journal"
    with opened(path) as journal:
        for each in (SENT, BEGUN, entry(Event.SENDING, row=2)):
            journal.append(each)
        before = journal.id, journal.standings

    with opened(path) as journal:
        assert (journal.id, journal.standings) == before
        assert journal.standing(1) == Standing(
            event=Event.SUBMITTED,
            account="mine",
            digest=ROW.digest,
            key="k",
            sent_at=NOW,
            generation_id="g1",
            cost=10.0,
        )
        assert journal.standing(2).event is Event.SENDING
        assert journal.standing(3).event is Event.WAITING


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_a_crash_anywhere_costs_no_whole_line(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Cut at any byte, it opens, has the entries that were whole, and takes the next."""
    path = tmp_path_factory.mktemp("journal") / "b.journal"
    entries = [SENT, BEGUN, entry(Event.SENDING, row=2)]
    with opened(path) as journal:
        for each in entries:
            journal.append(each)
    whole = path.read_bytes()
    cut = whole[: data.draw(st.integers(0, len(whole)))]
    path.write_bytes(cut)

    with opened(path) as journal:
        assert journal.standings == standings(entries[: max(cut.count(b"\n") - 1, 0)])
        journal.append(entry(Event.DEAD, row=3))
    with opened(path) as journal:
        assert journal.standing(3).event is Event.DEAD


def test_it_is_one_commands_alone(tmp_path: Path) -> None:
    """Two commands on one batch would send each row twice, so the second is refused."""
    path = tmp_path / "b.journal"
    with opened(path), pytest.raises(JournalError, match="another command"), opened(path):
        pass


@pytest.mark.parametrize(
    "content", [b"prompt\na cat\n", b"no end", b'{"journal":"x"}\n{"row":1}\n']
)
def test_what_is_no_journal_is_left_alone(tmp_path: Path, content: bytes) -> None:
    """A file that holds something else is neither read nor written over."""
    path = tmp_path / "b.journal"
    path.write_bytes(content)

    with pytest.raises(JournalError, match="is not a journal"), opened(path):
        pass
    assert path.read_bytes() == content


def test_a_journal_that_cannot_be_made(tmp_path: Path) -> None:
    """It is said, with its path."""
    with pytest.raises(JournalError, match="cannot be opened"), opened(tmp_path / "no" / "b"):
        pass


def test_keys_are_a_rows_own() -> None:
    """The same whenever it is repeated, another for another row, journal, or after a refusal."""
    key = idempotency_key("j", ROW, 0)
    others = [
        idempotency_key("i", ROW, 0),
        idempotency_key("j", OTHER, 0),
        idempotency_key("j", ROW, 1),
    ]

    assert key == idempotency_key("j", ROW, 0)
    assert len({key, *others}) == 4


@pytest.mark.parametrize(
    ("entries", "complaint"),
    [
        ([], None),
        ([SENT], "row 1 has changed since it was sent"),
        ([SENT, BEGUN], "row 1 has changed since it was sent"),
        ([SENT, entry(Event.WAITING)], None),
        ([SENT, entry(Event.DEAD)], None),
        ([entry(Event.SENDING, row=9)], "row 9 is missing"),
    ],
)
def test_a_sent_row_must_not_change(entries: list[Entry], complaint: str | None) -> None:
    """What was refused may be mended; what was sent stays as it was."""
    changed = read_batch("b.csv", b"prompt\na bird\n", "doitong")
    if complaint is None:
        check_unchanged(changed, standings(entries), batch="b.csv")
    else:
        with pytest.raises(BatchError, match=complaint):
            check_unchanged(changed, standings(entries), batch="b.csv")


@pytest.mark.parametrize(
    ("entries", "account", "fits"),
    [
        ([SENT], "mine", True),
        ([SENT], "yours", False),
        ([SENT, BEGUN], "yours", True),
        ([SENT, entry(Event.WAITING)], "yours", True),
    ],
)
def test_doubt_is_settled_by_the_same_account(
    entries: list[Entry], account: str, fits: bool
) -> None:
    """Under another key the same idempotency key would begin it a second time."""
    if fits:
        check_same_account([ROW], standings(entries), {"doitong": account})
    else:
        with pytest.raises(BatchError, match="settle it with --key mine first"):
            check_same_account([ROW], standings(entries), {"doitong": account})
