"""What a restore would do, for everything that may be there already."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest

from archiver.recovery.databases import Broken, CatalogFacts, InboxFacts
from archiver.recovery.restore_plan import (
    Fate,
    Present,
    PresentInbox,
    changes,
    plan,
    restored_name,
)
from tests.archiver.recovery.test_backup_index import FILE, INDEX
from tests.clocks import NOON

CATALOG = msgspec.structs.replace(FILE, name="catalog.db", inbox="", position=0, last="")
BACKUP = msgspec.structs.replace(INDEX, files=(CATALOG, FILE), beat_at=NOON)
SAME = CatalogFacts(
    steps=INDEX.steps,
    born_at=INDEX.born_at,
    generations=3,
    positions={"a uuid": 5},
    beat_at=NOON,
)
WHOLE = PresentInbox(facts=InboxFacts(uuid="a uuid", position=9, last="cd 9"), at_last="ab 1")
ANOTHER = PresentInbox(facts=InboxFacts(uuid="another", position=2, last="ef 2"), at_last="")
BROKEN = Broken(reason="file is not a database")
HERE = "inbox/receive.db"
BESIDE = "inbox/receive.20261121t120000z.db"

RESTORE, KEEP, ASIDE, RENAME = Fate.RESTORE, Fate.KEEP, Fate.ASIDE, Fate.RENAME


@pytest.mark.parametrize(
    ("present", "fates"),
    [
        (None, [RESTORE]),
        (BROKEN, [ASIDE, RESTORE]),
        (SAME, [KEEP]),
        (replace(SAME, positions={"a uuid": 9, "new": 1}, beat_at=NOON + timedelta(1)), [KEEP]),
        (replace(SAME, positions={"a uuid": 4}), [ASIDE, RESTORE]),
        (replace(SAME, positions={}), [ASIDE, RESTORE]),
        (replace(SAME, beat_at=NOON - timedelta(seconds=1)), [ASIDE, RESTORE]),
        (replace(SAME, beat_at=None), [ASIDE, RESTORE]),
        (
            replace(SAME, born_at="2026-11-20 00:00:00", beat_at=NOON + timedelta(1)),
            [ASIDE, RESTORE],
        ),
    ],
)
def test_a_catalog(present: CatalogFacts | Broken | None, fates: list[Fate]) -> None:
    """Only the very same one as it stands later is kept; never is one overwritten."""
    steps = plan(BACKUP, Present(catalog=present, inboxes={HERE: WHOLE}))
    found = [step for step in steps if step.name == "catalog.db"]
    assert [step.fate for step in found] == fates
    assert [step.file for step in found if step.file] == [CATALOG] * (RESTORE in fates)


@pytest.mark.parametrize(
    ("inboxes", "fates"),
    [
        ({}, {BESIDE: RESTORE}),
        ({HERE: WHOLE}, {HERE: KEEP}),
        ({"inbox/moved.db": WHOLE}, {"inbox/moved.db": KEEP}),
        ({HERE: ANOTHER}, {BESIDE: RESTORE}),
        ({HERE: BROKEN}, {HERE: ASIDE, BESIDE: RESTORE}),
        ({HERE: replace(WHOLE, at_last="zz 1")}, {HERE: RENAME, BESIDE: RESTORE}),
        (
            {HERE: PresentInbox(facts=replace(WHOLE.facts, position=6), at_last="")},
            {HERE: RENAME, BESIDE: RESTORE},
        ),
        ({HERE: WHOLE, "inbox/copy.db": WHOLE}, {HERE: KEEP, "inbox/copy.db": RENAME}),
        (
            {BESIDE: ANOTHER},
            {"inbox/receive.20261121t120000z-2.db": RESTORE},
        ),
    ],
)
def test_an_inbox(inboxes: dict[str, PresentInbox | Broken], fates: dict[str, Fate]) -> None:
    """It is kept if it has all that the backup has; restored, it lies beside the others; and of
    two with one name only one may keep it."""
    steps = plan(BACKUP, Present(catalog=SAME, inboxes=inboxes))
    assert {step.name: step.fate for step in steps if step.name != "catalog.db"} == fates
    assert changes(steps) == any(fate is not KEEP for fate in fates.values())


def test_one_that_was_restored_keeps_its_name() -> None:
    """Nobody has written it since."""
    assert restored_name(HERE, NOON) == BESIDE
    assert restored_name(BESIDE, NOON + timedelta(1)) == BESIDE


def test_two_inboxes_of_one_backup_do_not_collide() -> None:
    """A writer's own, and one that lies beside it since an earlier restore."""
    older = msgspec.structs.replace(FILE, name=BESIDE, inbox="older")
    backup = msgspec.structs.replace(BACKUP, files=(CATALOG, FILE, older))
    steps = plan(backup, Present(catalog=None, inboxes={}))
    names = [step.name for step in steps]
    assert len(names) == len(set(names)) == 3
