"""When a backup is due, and which ones may go."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.errors import ManifestError
from archiver.recovery.backup_index import (
    BackedUp,
    BackupIndex,
    next_at,
    parse,
    render,
    superfluous,
)
from tests.clocks import NOON

DAY = timedelta(days=1)
FILE = BackedUp(
    name="inbox/receive.db",
    key="backups/20261121t120000z/inbox/receive.db.gz",
    size_bytes=4096,
    sha256="0" * 64,
    stored_bytes=99,
    stored_sha256="f" * 64,
    inbox="a uuid",
    position=7,
    last="ab 1",
)
INDEX = BackupIndex(
    taken_at=NOON,
    version="1.2.3",
    steps=("001_spine",),
    born_at="2026-01-01 00:00:00",
    beat_at=None,
    generations=3,
    positions={"a uuid": 5},
    files=(FILE,),
)


def ago(*days: float) -> list[datetime]:
    return [NOON - timedelta(days=it) for it in days]


@pytest.mark.parametrize(
    ("backups", "begun_at", "due_at"),
    [
        ([], None, None),
        ([], NOON, NOON + DAY),
        (ago(3, 2), NOON - 9 * DAY, NOON - DAY),
        (ago(0), NOON - 9 * DAY, NOON + DAY),
    ],
)
def test_a_backup_is_due(
    backups: list[datetime], begun_at: datetime | None, due_at: datetime | None
) -> None:
    """So long after the last one, or after the archive began; never of an empty one."""
    assert next_at(backups, begun_at, DAY) == due_at


@pytest.mark.parametrize(
    ("whole", "broken_off", "keep", "gone"),
    [
        ([], [], 7, []),
        (ago(0, 1, 2), [], 2, ago(2)),
        (ago(0, 1, 2), [], 3, []),
        (ago(0, 1), ago(0.5), 7, []),
        (ago(0, 1), ago(1.5), 7, ago(1.5)),
        (ago(1, 2), ago(0.1, 3), 1, ago(3, 2)),
    ],
)
def test_older_ones_may_go(
    whole: list[datetime], broken_off: list[datetime], keep: int, gone: list[datetime]
) -> None:
    """All but the newest, and what was broken off a day ago."""
    found = {**dict.fromkeys(whole, True), **dict.fromkeys(broken_off, False)}
    assert superfluous(found, keep=keep, taken_at=None, now=NOON) == gone


@given(
    found=st.dictionaries(st.integers(-90, 9), st.booleans()),
    keep=st.integers(-1, 9),
    taken=st.none() | st.integers(-90, 9),
)
def test_the_newest_good_one_never_goes(
    found: dict[int, bool], keep: int, taken: int | None
) -> None:
    """Nor the one just taken, whatever the clocks of whoever took the others have done; and what
    is kept is as many as was asked for, where there are so many."""
    at = {day: NOON + timedelta(days=day) for day in found}
    taken_at = at.get(taken) if taken is not None else None
    backups = {at[day]: has_index for day, has_index in found.items()}
    gone = superfluous(backups, keep=keep, taken_at=taken_at, now=NOON)
    whole = {it for it, has_index in backups.items() if has_index}
    left = whole - set(gone)
    assert taken_at not in gone
    assert not whole or max(whole) in left
    assert len(left) >= min(len(whole), max(keep, 1))
    assert gone == sorted(gone)


def test_an_index_is_read_as_it_was_written() -> None:
    """And what a newer version has added is passed over."""
    assert parse(render(INDEX)) == INDEX
    told = json.loads(render(INDEX)) | {"added": 1}
    assert parse(json.dumps(told).encode()) == INDEX
    assert INDEX.stored_bytes == 99


@pytest.mark.parametrize(
    "change",
    [
        {"format": "holdfast-backup-2"},
        {"format": None},
        {"taken_at": "2026-11-21T12:00:00"},
        {"files": [{"name": "catalog.db"}]},
        {"positions": {"a uuid": "5"}},
    ],
)
def test_what_is_no_index_is_refused(change: dict[str, object]) -> None:
    """Half of one restores nothing."""
    told = json.loads(render(INDEX)) | change
    with pytest.raises(ManifestError):
        parse(json.dumps(told).encode())
    with pytest.raises(ManifestError):
        parse(render(INDEX)[:-9])
