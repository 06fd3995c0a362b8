"""What an inbox has taken in lately, added up."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from archiver.inbox.lately import Tally, lately
from archiver.models import Heard
from tests.clocks import NOON
from tests.receiver.deliveries import delivery, record

DAY = timedelta(days=1)


def at(hours: float, body: str, **said: object) -> object:
    """A delivery of so many hours before noon."""
    return delivery(body.encode(), received_at=NOON - timedelta(hours=hours), **said)


async def test_deliveries_are_added_up(tmp_path: Path) -> None:
    """By source, way and label; `daily` is of the day before the last of a source and way."""
    await record(
        tmp_path / "receive.db",
        at(50, "too old"),
        at(26, "old", verified_by="older"),
        at(3, "one"),
        at(2, "two"),
        at(1, "asked", heard=Heard.POLLED, verified_by="poll"),
    )
    found = lately(tmp_path, since=NOON - DAY, reached=lambda inbox: 3)
    common = {"source": "doitong", "heard": Heard.PUSHED, "last_at": NOON - timedelta(hours=2)}
    assert (found.exact, found.backlog) == (True, 2)
    assert found.unreadable == []
    assert found.found == [
        Tally(
            source="doitong",
            heard=Heard.POLLED,
            verified_by="poll",
            count=1,
            waiting=1,
            daily=1,
            last_at=NOON - timedelta(hours=1),
        ),
        Tally(**common, verified_by="2026-11", count=2, waiting=1, daily=2),
        Tally(
            **{**common, "last_at": NOON - timedelta(hours=26)},
            verified_by="older",
            count=0,
            waiting=0,
            daily=0,
        ),
    ]


async def test_no_more_than_the_newest_are_looked_at(tmp_path: Path) -> None:
    """And that it may have been more is said."""
    path = tmp_path / "receive.db"
    await record(path, *(at(1, f"{number}") for number in range(5)))
    few = lately(tmp_path, since=NOON - DAY, reached=lambda inbox: 0, rows=5)
    all_of_them = lately(tmp_path, since=NOON - DAY, reached=lambda inbox: 0, rows=6)
    assert (few.exact, [one.count for one in few.found]) == (False, [5])
    assert all_of_them.exact


async def test_one_that_cannot_be_read_hides_no_other(tmp_path: Path) -> None:
    """It is said which; the quarantine is no inbox."""
    await record(tmp_path / "receive.db", at(1, "one"))
    (tmp_path / "broken.db").write_bytes(b"this is no database at all" * 100)
    (tmp_path / "quarantine.db").write_bytes(b"neither is this")
    found = lately(tmp_path, since=NOON - DAY, reached=lambda inbox: 0)
    assert [one.count for one in found.found] == [1]
    [sentence] = found.unreadable
    assert sentence.startswith(f"the inbox {tmp_path}/broken.db cannot be read")
