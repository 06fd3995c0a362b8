"""A rescue's orders: all of them, the earliest death first, and what a person said stands."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from archiver.catalog import Catalog, CatalogReader, Tables
from archiver.catalog.orders import JobFilter
from archiver.catalog.schema import migrate
from archiver.ledger import keep
from archiver.lifecycle import lose_link
from archiver.links import url_sha256
from archiver.models import Failure, FailureClass
from archiver.orders import hold, retry
from archiver.recovery.rescue_plan import Outside
from archiver.recovery.rescue_rules import Kind
from archiver.recovery.rescuing import carry_out
from archiver.recovery.survey import count_safe, is_served, survey
from archiver.sqlite import open_writer
from archiver.work import JobKind, JobState
from tests.archiver.heard import REQUEST, hear, hearing
from tests.clocks import NOON, FrozenClock

COUNT = 250
FETCHES = JobFilter(kinds=(JobKind.FETCH,))
LIVES = [timedelta(minutes=Random(number).randrange(5, 5000)) for number in range(COUNT)]
REFUSED = Failure(failure_class=FailureClass.OPERATOR, code="forbidden", message="a host")


def url(number: int) -> str:
    expires = int(dies_at(number).timestamp())
    return f"https://cdn.doitong.com/{number}.png?Expires={expires}&Signature=x"


def dies_at(number: int) -> datetime:
    return NOON + LIVES[number]


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fetches that all wait for the operator, of links that die at any time."""
    path = tmp_path_factory.mktemp("stocked") / "catalog.db"
    migrate(path)
    connection = open_writer(path)
    connection.execute("BEGIN")
    tables = Tables(connection)
    for number in range(COUNT):
        heard = replace(hear(hearing(url=url(number), received_at=NOON)), id=str(number))
        before = keep(tables, None, heard, now=NOON)
        (job,) = tables.jobs.claim(JobKind.FETCH, limit=1, worker="w", lease_seconds=9, now=NOON)
        tables.jobs.finish(job, JobState.HELD, reason="a host", now=NOON)
        after = lose_link(before, 0, url_sha256(url(number)), REFUSED)
        keep(tables, before, after, now=NOON)
    connection.execute("COMMIT")
    connection.close()
    return path


@pytest.fixture
def catalog_path(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """That archive where it is asked for, else an empty one."""
    path = tmp_path / "catalog.db"
    if "stocked" in request.fixturenames:
        shutil.copy(request.getfixturevalue("stocked"), path)
    else:
        migrate(path)
    return path


async def test_the_earliest_death_is_fetched_first(
    stocked: Path, catalog: Catalog, reader: CatalogReader
) -> None:
    """One after the other, though they were heard of in any order; a held one is left alone."""
    (paused, *_) = await reader.read(
        lambda tables: tables.orders.page(FETCHES, below=None, limit=9)
    )
    await catalog.write(lambda tables: hold(tables, paused.number, now=NOON))
    steps = survey(reader, Outside(), now=NOON)
    assert [(step.kind, step.count, len(step.jobs)) for step in steps] == [
        (Kind.FETCH, COUNT - 1, COUNT - 1),
        (Kind.HELD, 1, 0),
    ]
    told: list[int] = []
    stop = asyncio.Event()
    not_done = await carry_out(catalog, steps, now=lambda: NOON, stop=stop, progress=told.append)
    assert (not_done.total(), sum(told), len(told)) == (0, COUNT - 1, 5)

    def claim(tables: Tables) -> list[datetime | None]:
        claimed = []
        while jobs := tables.jobs.claim(
            JobKind.FETCH, limit=7, worker="w", lease_seconds=9, now=NOON
        ):
            claimed += [job.deadline_at for job in jobs]
        return claimed

    deaths = await catalog.write(claim)
    assert len(deaths) == COUNT - 1
    assert deaths == sorted(deaths)  # type: ignore[type-var]


async def test_a_rescue_can_be_stopped_and_gone_on_with(
    stocked: Path, catalog: Catalog, reader: CatalogReader
) -> None:
    """The most urgent were ordered by then, and the rest is found again."""
    stop = asyncio.Event()
    steps = survey(reader, Outside(), now=NOON)
    await carry_out(catalog, steps, now=lambda: NOON, stop=stop, progress=lambda _: stop.set())
    waiting = replace(FETCHES, states=(JobState.AVAILABLE,))
    first = await reader.read(lambda tables: tables.orders.after(waiting, above=0, limit=999))
    assert 0 < len(first) < COUNT
    left = survey(reader, Outside(), now=NOON)
    assert [(step.count, len(step.jobs)) for step in left] == [
        (len(first), 0),
        (COUNT - len(first), COUNT - len(first)),
    ]
    deaths = sorted(map(dies_at, range(COUNT)))
    assert {line.deadline_at for line in first} == set(deaths[: len(first)])
    assert left[1].first_deadline_at == deaths[len(first)]


async def test_again_it_orders_nothing(
    stocked: Path, catalog: Catalog, reader: CatalogReader
) -> None:
    """What is ordered is under way."""
    stop = asyncio.Event()
    for _ in range(2):
        steps = survey(reader, Outside(), now=NOON)
        await carry_out(catalog, steps, now=lambda: NOON, stop=stop)
    assert sum(len(step.jobs) for step in steps) == 0


async def test_what_the_service_was_quicker_with_is_no_failure(
    stocked: Path, catalog: Catalog, reader: CatalogReader
) -> None:
    """Between the plan and its order it tries some by itself."""
    steps = survey(reader, Outside(), now=NOON)
    (first, second, *_) = steps[0].jobs
    assert await catalog.write(lambda tables: retry(tables, first, now=NOON)) == ""
    await catalog.write(lambda tables: hold(tables, second, now=NOON))
    not_done = await carry_out(catalog, steps, now=lambda: NOON, stop=asyncio.Event())
    assert [(why.partition(":")[0], n) for why, n in not_done.items()] == [
        ("it is held by the operator", 1)
    ]


async def test_a_dead_workers_job_is_given_to_another(
    catalog: Catalog, reader: CatalogReader
) -> None:
    """Its lease ran out, and nobody was there to see it."""
    heard = hear(hearing(url=url(0)))
    await catalog.write(lambda tables: keep(tables, None, heard, now=NOON))
    await catalog.write(
        lambda tables: tables.jobs.claim(
            JobKind.FETCH, limit=1, worker="w", lease_seconds=30, now=NOON
        )
    )
    later = FrozenClock().advance(seconds=31)
    steps = survey(reader, Outside(), now=later)
    assert [step.kind for step in steps] == [Kind.FETCH, Kind.LEASE]
    await carry_out(catalog, steps, now=lambda: later, stop=asyncio.Event())
    (line,) = await reader.read(lambda tables: tables.orders.page(JobFilter(), below=None, limit=9))
    assert (line.state, line.reason) == (JobState.AVAILABLE, "its worker died")


FAULTS = {
    "refused by the host": ("forbidden", FailureClass.OPERATOR, True),
    "a page for a picture": ("not_media", FailureClass.RENDERABLE, True),
    "gone": ("gone", FailureClass.RENDERABLE, False),
    "too large": ("too_large", FailureClass.DEAD, False),
    "not wanted": ("cancelled", FailureClass.DEAD, False),
}


@pytest.mark.parametrize(("code", "failure_class", "again"), FAULTS.values(), ids=FAULTS)
async def test_a_link_that_failed_is_tried_again_while_that_makes_sense(
    catalog: Catalog, reader: CatalogReader, code: str, failure_class: FailureClass, again: bool
) -> None:
    """While it lives, and its source has not said that nothing will come."""
    heard = hear(hearing(url=url(0)), REQUEST)
    lost = Failure(failure_class=failure_class, code=code, message="because")

    def lose(tables: Tables) -> None:
        known = keep(tables, None, heard, now=NOON)
        keep(tables, known, lose_link(known, 0, url_sha256(url(0)), lost), now=NOON)

    await catalog.write(lose)
    for moment, tried in ((NOON, again), (dies_at(0), False)):
        steps = survey(reader, Outside(), now=moment)
        assert any(step.kind is Kind.FETCH for step in steps) == tried


async def test_work_that_is_not_even_there_is_planned(
    catalog: Catalog, reader: CatalogReader
) -> None:
    """Whatever has become of its row."""
    heard = hear(hearing(url=url(0)))
    await catalog.write(lambda tables: keep(tables, None, heard, now=NOON))
    await catalog.write(lambda tables: tables.connection.execute("DELETE FROM jobs"))
    (step,) = survey(reader, Outside(), now=NOON)
    assert (step.kind, len(step.generations)) == (Kind.FETCH, 1)
    await carry_out(catalog, [step], now=lambda: NOON, stop=asyncio.Event())
    (line,) = await reader.read(lambda tables: tables.orders.page(JobFilter(), below=None, limit=9))
    assert (line.kind, line.state) == (JobKind.FETCH, JobState.AVAILABLE)


async def test_a_service_is_known_by_its_beat(catalog: Catalog, reader: CatalogReader) -> None:
    """And for a while after the last."""
    clock = FrozenClock()
    assert not is_served(reader, clock)
    await catalog.write(lambda tables: tables.deliveries.beat("archive", now=clock()))
    clock.advance(seconds=19)
    assert is_served(reader, clock)
    clock.advance(seconds=2)
    assert not is_served(reader, clock)
    assert count_safe(reader) == 0
