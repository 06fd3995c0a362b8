"""The trial `inboxes`: two of them and one catalog, whatever befalls the files."""

from __future__ import annotations

import asyncio
from pathlib import Path
from unittest.mock import patch

from archiver.catalog import Tables
from archiver.inbox import InboxReader
from receiver import absorb
from tests.receiver.ruins import Ruins
from tests.torture.plays import play
from tests.torture.suites import suite
from tests.torture.trial import Row, Run

CI, LONG, CONTROL = 40, 1500, 8
LENGTH = 40  # of a play, in happenings
_SUITE = (
    "tests/acceptance/test_two_inboxes.py",
    "tests/acceptance/test_rebuild.py::test_beside_a_service_nothing_is_missed",
    "tests/receiver/test_restore.py",
    "tests/archiver/inbox/test_pruning.py",
)


def inboxes(run: Run) -> list[Row]:
    """Plays made up by chance, and the tests of what is no matter of chance."""
    count = LONG if run.long else CI
    skipped, doubled = played(run.folder / "plays", run.seed, count, told=True)
    with patch.object(absorb, "_position", position_unproved):
        blind, _ = played(run.folder / "unproved", run.seed, CONTROL)
    with patch.object(absorb, "_advance", lambda last, tables: None):
        _, again = played(run.folder / "unmoved", run.seed, CONTROL)
    dose = f"{count} plays of {LENGTH} happenings"
    return [
        Row(
            test="inboxes: nothing skipped",
            dose=dose,
            must="0 acknowledged and skipped",
            result=f"{skipped} skipped",
            kept=not skipped,
            control=f"a copy is taken for the inbox itself, {CONTROL} plays: {blind} skipped",
            control_broke=blind > 0,
        ),
        Row(
            test="inboxes: nothing twice",
            dose=dose,
            must="0 absorbed twice",
            result=f"{doubled} twice",
            kept=not doubled,
            control=f"how far it came is not noted, {CONTROL} plays: {again} twice",
            control_broke=again > 0,
        ),
        suite(run, "inboxes: a service", "nothing skipped, nothing twice", _SUITE),
    ]


def played(folder: Path, first_seed: int, count: int, *, told: bool = False) -> tuple[int, int]:
    """How many deliveries were skipped in all plays, and how many were absorbed twice.

    Where it is to be told, a play that broke a promise is: its seed and all that happened.
    """
    skipped = doubled = 0
    for seed in range(first_seed, first_seed + count):
        place = folder / str(seed)
        ruins = Ruins(folder=place / "archive", bucket=place / "bucket")
        it = asyncio.run(play(ruins, seed, LENGTH))
        if told and (it.skipped or it.doubled):
            print(f"seed {seed}: {', '.join(it.happened)}", flush=True)
        skipped += it.skipped
        doubled += it.doubled
    return skipped, doubled


def position_unproved(inbox: InboxReader, tables: Tables) -> int:
    """How far an inbox of that name was absorbed, whichever it was."""
    return tables.deliveries.position(inbox.uuid)
