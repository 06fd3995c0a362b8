"""What an operator sees at a glance is the same as looking at every row, and looks at few."""

from __future__ import annotations

import re
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.catalog import Tables, jobs, overview
from archiver.catalog import credits as credit
from archiver.catalog.overview import Discarded, DyingLinks, UnderWay
from archiver.models import GenerationState, SlotState
from archiver.moments import to_millis
from archiver.work import JobKind, JobState
from tests.archiver.catalog.scratch import scratch
from tests.clocks import NOON

HOUR = timedelta(hours=1)


def generation(tables: Tables, key: int, provider: str, state: str, minutes: int = 0) -> None:
    """A row, first heard of so many minutes after noon."""
    tables.connection.execute(
        "INSERT INTO generations (key, provider, id, state, params, moderated, first_heard_at,"
        " revision, sealed_revision) VALUES (?, ?, ?, ?, '{}', 0, ?, 1, 1)",
        (key, provider, str(key), state, to_millis(NOON + timedelta(minutes=minutes))),
    )


def slot(tables: Tables, number: int, state: str, reason: str = "") -> None:
    tables.connection.execute(
        "INSERT INTO slots (number, generation, slot_index, state, reason) VALUES (?,1,?,?,?)",
        (number, number, state, reason),
    )


def job(
    tables: Tables, subject: int, kind: str, state: str, minutes: int | None, reason: str = ""
) -> None:
    """A row whose deadline is so many minutes after noon."""
    deadline_at = None if minutes is None else to_millis(NOON + timedelta(minutes=minutes))
    tables.connection.execute(
        "INSERT INTO jobs (kind, subject, target, state, reason, host, deadline_at, wanted_at)"
        " VALUES (?, ?, '', ?, ?, '', ?, 0)",
        (kind, subject, state, reason, deadline_at),
    )


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b", "zz"]), st.sampled_from(list(GenerationState))),
        max_size=12,
    )
)
def test_generations_are_counted_by_provider_and_state(
    migrated: Path, rows: list[tuple[str, GenerationState]]
) -> None:
    """However many providers there are, and though none may be."""
    with scratch(migrated) as tables:
        for key, (provider, state) in enumerate(rows):
            generation(tables, key, provider, state.value, minutes=-key)
        assert tables.overview.generations() == Counter(
            (provider, state.value) for provider, state in rows
        )
        waiting = [(key, row) for key, row in enumerate(rows) if row[1] in ("queued", "running")]
        assert tables.overview.under_way() == {
            provider: UnderWay(
                count=sum(row[0] == provider for _, row in waiting),
                since=NOON
                - timedelta(minutes=max(key for key, row in waiting if row[0] == provider)),
            )
            for provider in {row[0] for _, row in waiting}
        }


@given(st.lists(st.sampled_from(list(SlotState)), max_size=12))
def test_slots_are_counted_by_state(migrated: Path, rows: list[SlotState]) -> None:
    """Those that are archived too, which are not looked at."""
    with scratch(migrated) as tables:
        generation(tables, 1, "doitong", "succeeded")
        for number, state in enumerate(rows):
            slot(tables, number, state.value)
        assert tables.generations.count_slots_by_state() == Counter(it.value for it in rows)


def test_reasons_are_told_in_the_laws_words(tables: Tables) -> None:
    """The most frequent first, and without what each slot adds."""
    generation(tables, 1, "doitong", "succeeded")
    for number, reason in enumerate(["no renderer: the link died", "no renderer: 410", "other"]):
        slot(tables, number, "held", reason)
    slot(tables, 9, "dead", "canceled")
    held = tables.overview.reasons(SlotState.HELD)
    assert list(held.items()) == [("no renderer", 2), ("other", 1)]
    assert tables.overview.reasons(SlotState.DEAD) == {"canceled": 1}


@given(
    st.lists(
        st.tuples(
            st.sampled_from([JobKind.FETCH, JobKind.RENDER]),
            st.sampled_from(list(JobState)),
            st.integers(-90, 90),
        ),
        max_size=12,
    )
)
def test_links_that_die_within_the_hour(
    migrated: Path, rows: list[tuple[JobKind, JobState, int]]
) -> None:
    """Whatever still waits for its fetch, overdue or not; a held one only while it lives."""
    with scratch(migrated) as tables:
        for subject, (kind, state, minutes) in enumerate(rows):
            job(tables, subject, kind.value, state.value, minutes)
        fetches = [(state, minutes) for kind, state, minutes in rows if kind is JobKind.FETCH]
        waiting = ("available", "scheduled", "running")
        soon = [at for state, at in fetches if state in (*waiting, "held") and 0 < at <= 60]
        overdue = [at for state, at in fetches if state in waiting and at <= 0]
        expected = DyingLinks(soon=len(soon), overdue=len(overdue))
        assert tables.overview.dying(now=NOON, until=NOON + HOUR) == expected


def test_what_was_given_up_is_told_with_its_reason(tables: Tables) -> None:
    """The most frequent first, and no more than are wanted."""
    for subject, reason in enumerate(["gone", "gone", "too large"]):
        job(tables, subject, "fetch", "discarded", 5, reason)
    job(tables, 7, "render", "discarded", None, "never ended")
    job(tables, 8, "fetch", "held", 5, "gone")
    gone = Discarded(kind="fetch", reason="gone", count=2)
    assert tables.overview.discarded(limit=1) == [gone]
    assert len(tables.overview.discarded(limit=9)) == 3


def test_what_was_not_understood_lately(tables: Tables) -> None:
    """By source, and only since then."""
    for position, (source, minutes) in enumerate([("doitong", 1), ("doitong", -1), ("x", 2)]):
        at = to_millis(NOON + timedelta(minutes=minutes))
        row = ("i", position, source, "?", at)
        tables.connection.execute("INSERT INTO unparsed VALUES (?,?,?,?,?)", row)
    assert tables.overview.unparsed_since(NOON) == {"doitong": 1, "x": 1}


def test_an_empty_archive_has_nothing(tables: Tables) -> None:
    """No byte, no object, and nothing that dies."""
    assert tables.overview.stored_bytes() == 0
    assert tables.overview.newest_blob_key() is None
    assert tables.overview.dying(now=NOON, until=NOON + HOUR) == DyingLinks(soon=0, overdue=0)


# Where a plan may read a whole index, and of which it is but a small part of the table.
PARTS = "jobs_scheduled|jobs_running|slots_amiss"
QUERIES = {
    "generations": overview._GENERATIONS,
    "under way": overview._OLDEST_UNDER_WAY,
    "dying": overview._DYING,
    "first loss": jobs._FIRST_LOSS,
    "spent": credit._SPENT,
    "balances": credit._KNOWN,
}


@pytest.mark.parametrize("tables", ["sqlite"], indirect=True)
@pytest.mark.parametrize("sql", QUERIES.values(), ids=QUERIES)
def test_no_table_is_read_from_end_to_end(tables: Tables, sql: str) -> None:
    """Only indexes, and only the part of them that is asked for."""
    values = dict.fromkeys(re.findall(r":(\w+)", sql), 0) or (0,) * sql.count("?")
    plan = [row[3] for row in tables.connection.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
    read = [step for step in plan if re.match(r"SCAN (generations|jobs|slots)\b", step)]
    assert [step for step in read if not re.search(PARTS, step)] == []
    assert [
        step for step in plan if re.search(r"(generations|jobs) USING (INDEX )?\w*auto", step)
    ] == []
