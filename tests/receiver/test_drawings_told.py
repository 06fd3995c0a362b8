"""`holdfast show` and `holdfast status` on what is drawn here, what waits, and what is not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from archiver import clock
from archiver.catalog import Catalog, Tables
from archiver.catalog.renders import RENDERER
from archiver.catalog.schema import migrate
from archiver.ledger import keep
from archiver.lifecycle import archive, refuse
from archiver.models import Generation, Origin, Undrawn
from archiver.work import Job, JobKind, JobState
from receiver.cli import main
from tests.archiver.heard import DRAWN, FLAGGED_ASSET, REQUEST, asset, failed, hear
from tests.service import write_config

Happening = Callable[[Tables, Generation], object]


def told(folder: Path, *happenings: Happening) -> tuple[str, str, dict[str, Any]]:
    """What `show` and `status` say of one lost picture after these, and `status` as JSON."""

    def work(tables: Tables) -> None:
        lost = keep(tables, None, hear(failed(), REQUEST), now=clock.now())
        for happen in happenings:
            happen(tables, lost)

    async def write() -> None:
        catalog = Catalog(folder / "catalog.db")
        await catalog.start()
        await catalog.write(work)
        await catalog.close()

    migrate(folder / "catalog.db")
    asyncio.run(write())
    file = write_config(folder)
    shown, status, as_json = (
        CliRunner().invoke(main, ["--config", str(file), *typed])
        for typed in (["show", "1"], ["status"], ["status", "--json"])
    )
    assert (shown.exit_code, status.exit_code, as_json.exit_code) == (0, 0, 0), shown.output
    return shown.stdout, status.stdout, json.loads(as_json.stdout)


def seen(tables: Tables, _: Generation) -> None:
    """A renderer gave a sign of life."""
    tables.deliveries.beat(RENDERER, now=clock.now())


def claimed(tables: Tables, _: Generation) -> Job:
    """A renderer has it."""
    (job,) = tables.jobs.claim(
        JobKind.RENDER, limit=1, worker="w", lease_seconds=60, now=clock.now()
    )
    return job


def refused(tables: Tables, lost: Generation) -> None:
    """A renderer could not draw it."""
    job = claimed(tables, lost)
    reason = "no checkpoint draws flux: add it"
    tables.jobs.finish(job, JobState.HELD, reason=reason, now=clock.now())
    undrawn = Undrawn(target=job.target, reason=reason)
    keep(tables, lost, refuse(lost, 0, undrawn), now=clock.now())


def drawn(tables: Tables, lost: Generation) -> None:
    """A renderer has drawn it, not quite as it was asked for."""
    picture = replace(asset(Origin.FALLBACK), rendering=DRAWN)
    keep(tables, lost, archive(lost, 0, picture), now=clock.now())


def flagged(tables: Tables, lost: Generation) -> None:
    """A renderer has drawn it, and its safety checker saw something."""
    keep(tables, lost, archive(lost, 0, FLAGGED_ASSET), now=clock.now())


STANDS: dict[str, tuple[tuple[Happening, ...], str]] = {
    "no renderer": ((), "held: no renderer"),
    "waiting": ((seen,), "held: waiting to be drawn"),
    "being drawn": ((seen, claimed), "held: being drawn"),
    "refused": ((seen, refused), "held: not drawn: no checkpoint draws flux: add it"),
    "drawn": ((seen, drawn), "rendered: drawn by the fallback renderer"),
    "flagged": ((seen, flagged), "held: flagged by the safety checker"),
}


@pytest.mark.parametrize(("happenings", "stands"), STANDS.values(), ids=STANDS)
def test_show_says_how_far_a_drawing_is(
    tmp_path: Path, happenings: tuple[Happening, ...], stands: str
) -> None:
    """Only where nobody has been seen that could draw there is no renderer."""
    shown, _, _ = told(tmp_path, *happenings)
    [line] = [line for line in shown.splitlines() if line.startswith("  state") and ":" in line]
    assert line.split(maxsplit=1)[1] == stands


def test_show_says_how_a_picture_was_drawn(tmp_path: Path) -> None:
    """Enough to draw it again, and what of the request was not honoured."""
    shown, _, _ = told(tmp_path, drawn)
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    assert "drawn with owner/name@commit, seed 7" in lines
    assert "drawn by holdfast, on cpu" in lines
    assert "note a note" in lines
    assert not [line for line in lines if line.startswith("flagged")]


def test_show_says_what_was_flagged(tmp_path: Path) -> None:
    """It is kept, and where it lies is no secret of the operator's."""
    shown, _, _ = told(tmp_path, flagged)
    assert "the safety checker saw something: kept, but not shown" in shown
    assert asset().blob_key in shown


def test_status_says_whether_anybody_draws(tmp_path: Path) -> None:
    """And how many wait for it."""
    _, status, as_json = told(tmp_path)
    assert "renderer     never ran; 1 waiting, 0 being drawn\n" in status
    assert as_json["renderer"] == {
        "beat_seconds_ago": None,
        "waiting": 1,
        "drawing": 0,
        "not_drawn": {},
    }


def test_status_says_that_it_was_seen(tmp_path: Path) -> None:
    """However long ago, for an operator to judge."""

    def long_ago(tables: Tables, _: Generation) -> None:
        tables.deliveries.beat(RENDERER, now=clock.now() - timedelta(hours=1))

    _, status, as_json = told(tmp_path, long_ago, claimed)
    assert 3600 <= as_json["renderer"]["beat_seconds_ago"] < 4200
    assert "renderer     last seen 60 min ago; 0 waiting, 1 being drawn\n" in status


def test_status_says_what_was_not_drawn(tmp_path: Path) -> None:
    """By reason, so that one setting mends many."""
    _, status, as_json = told(tmp_path, seen, refused)
    assert as_json["renderer"]["not_drawn"] == {"no checkpoint draws flux: add it": 1}
    assert as_json["holds"] == {"not drawn": 1}
    assert "not drawn    1: no checkpoint draws flux: add it\n" in status
