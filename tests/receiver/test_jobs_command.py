"""`holdfast jobs` as an operator types it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from archiver.catalog import CatalogReader, Tables
from archiver.catalog.orders import JobFilter
from archiver.catalog.schema import migrate
from archiver.clock import now
from archiver.ledger import keep
from archiver.lifecycle import lose_link
from archiver.models import Generation
from archiver.sqlite import open_writer
from archiver.work import JobKind, JobState
from receiver.cli import main
from receiver.commands.jobs_orders import _found
from tests.archiver.heard import OPERATOR, PLAIN_URL, RENDERABLE, hear, hearing
from tests.service import write_config

HELD, LIVE = 60, 3


def known(name: str, life: timedelta) -> Generation:
    """A generation with one link, that has this much longer to live."""
    heard = hear(hearing(url=f"{PLAIN_URL}?{name}", received_at=now()))
    (slot,) = heard.slots
    (link,) = slot.links
    slot = replace(slot, links=(replace(link, expires_at=now() + life),))
    return replace(heard, id=name, slots=(slot,))


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    """Of an archive whose fetches wait for a setting, but for three that wait for their turn.

    One that is held has died; those that live die the earlier the later they were heard of.
    """
    path = tmp_path / "catalog.db"
    migrate(path)
    connection = open_writer(path)
    connection.execute("BEGIN")
    tables = Tables(connection)
    for number in range(HELD):
        life = timedelta(hours=HELD - number) if number else timedelta(hours=-1)
        before = keep(tables, None, known(f"held-{number}", life), now=now())
        (job,) = tables.jobs.claim(
            JobKind.FETCH, limit=1, worker="w", lease_seconds=9, now=now() - timedelta(days=9)
        )
        failure = RENDERABLE if number == 0 else OPERATOR
        state = JobState.DISCARDED if number == 0 else JobState.HELD
        tables.jobs.finish(job, state, reason="the host is not allowed", now=now())
        digest = bytes.fromhex(job.target)
        keep(tables, before, lose_link(before, 0, digest, failure), now=now())
    for number in range(LIVE):
        keep(tables, None, known(f"live-{number}", timedelta(hours=1)), now=now())
    connection.execute("COMMIT")
    connection.close()
    return write_config(tmp_path)


def typed(config_file: Path, *arguments: str, text: str | None = None) -> Result:
    """A command run to its end."""
    given = ["--config", str(config_file), "jobs", *arguments]
    return CliRunner().invoke(main, given, input=text)


def told(config_file: Path, *arguments: str, code: int = 0) -> Any:
    """What it prints with `--json`."""
    done = typed(config_file, *arguments, "--json")
    assert done.exit_code == code, done.output
    return json.loads(done.stdout)


def listed(config_file: Path, *arguments: str) -> list[dict[str, Any]]:
    """All pages of a list."""
    jobs, cursor = [], None
    while True:
        more = ("--cursor", str(cursor)) if cursor else ()
        page = told(config_file, "list", "--limit", "25", *arguments, *more)
        jobs += page["jobs"]
        cursor = page["cursor"]
        if cursor is None:
            return jobs


def test_jobs_are_listed_newest_first_page_by_page(config_file: Path) -> None:
    """Each once, by every filter that was typed."""
    everything = listed(config_file, "--kind", "fetch")
    numbers = [job["number"] for job in everything]
    assert numbers == sorted(numbers, reverse=True)
    assert len(set(numbers)) == HELD + LIVE
    held = listed(config_file, "--state", "held", "--reason", "HOST", "--provider", "doitong")
    assert {job["id"] for job in held} == {f"held-{number}" for number in range(1, HELD)}
    assert listed(config_file, "--host", "doitong.com", "--kind", "fetch") == everything
    assert "no such jobs" in typed(config_file, "list", "--provider", "dashscope").stderr


def test_one_job_is_shown_with_its_slot(config_file: Path) -> None:
    """What it is for, and where its link leads; the link's query is nobody's business."""
    (job, *_) = listed(config_file, "--state", "available", "--kind", "fetch")
    shown = told(config_file, "show", str(job["number"]))
    assert (shown["slot_state"], shown["link"]) == ("linked", PLAIN_URL)
    assert shown.items() >= job.items()
    assert "live-2" in typed(config_file, "show", str(job["number"])).stdout
    missing = typed(config_file, "show", "4711")
    assert (missing.exit_code, "no job has the number 4711" in missing.stderr) == (1, True)


def test_an_order_is_counted_first_and_agreed_to(config_file: Path) -> None:
    """Without a terminal and without a word nothing is done, and a dry run only counts."""
    bulk = ("retry", "--kind", "fetch")
    counted = typed(config_file, *bulk, "--dry-run")
    assert counted.exit_code == 0
    assert [line.split()[:3] for line in counted.stdout.splitlines()[1:]] == [
        ["1", "fetch", "discarded"],
        [str(HELD - 1), "fetch", "held"],
    ]
    refused = typed(config_file, *bulk)
    assert (refused.exit_code, "say --yes" in refused.stderr) == (1, True)
    assert typed(config_file, "retry").exit_code == 2
    assert len(listed(config_file, "--kind", "fetch", "--state", "held")) == HELD - 1


def test_what_can_be_is_tried_now_and_the_rest_says_why(config_file: Path) -> None:
    """The dead link says so, by number and by count; again nothing is left to do."""
    outcome = told(config_file, "retry", "--kind", "fetch", "--yes", code=1)
    assert (outcome["found"], outcome["done"]) == (HELD, HELD - 1)
    [(why, count)] = outcome["not_done"].items()
    assert (why.startswith("its link died at"), count) == (True, 1)
    assert len(listed(config_file, "--kind", "fetch", "--state", "available")) == HELD - 1 + LIVE
    again = told(config_file, "retry", "--kind", "fetch", "--state", "held", "--yes")
    assert (again["found"], again["done"]) == (0, 0)


def test_the_first_to_die_are_the_first_to_be_ordered(config_file: Path) -> None:
    """Whoever stops it in the middle has had the most urgent done."""
    reader = CatalogReader(config_file.with_name("catalog.db"))
    numbers = _found(reader, JobFilter(kinds=(JobKind.FETCH,)))
    deadlines = {job["number"]: job["deadline_at"] for job in listed(config_file)}
    assert [deadlines[number] for number in numbers] == sorted(
        deadlines[number] for number in numbers
    )
    assert numbers != sorted(numbers)
    reader.close()


def test_a_person_holds_and_releases_by_number(config_file: Path) -> None:
    """Numbers that were typed need no second word; what was held says by whom."""
    numbers = [str(job["number"]) for job in listed(config_file, "--state", "available")[:2]]
    assert told(config_file, "hold", *numbers)["done"] == 2
    (first, _) = held = listed(config_file, "--reason", "by the operator")
    assert {str(job["number"]) for job in held} == {*numbers}
    assert told(config_file, "release", "--reason", "by the operator", "--yes")["done"] == 2
    assert listed(config_file, "--reason", "by the operator") == []
    done = typed(config_file, "cancel", str(first["number"]))
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (0, "cancel: 1 of 1")
