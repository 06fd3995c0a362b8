"""A rescue's plan: every slot falls under one rule, and what is ordered can be done."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given

from archiver.catalog import Tables
from archiver.catalog.unsafe import Pending, Standing, Unsafe
from archiver.ledger import keep
from archiver.models import SlotState
from archiver.orders import retry
from archiver.recovery.rescue_plan import MAX_REASONS, Outside, Step, plan
from archiver.recovery.rescue_rules import Kind, rule_for
from archiver.recovery.rescuing import Watch
from archiver.work import CANCELLED_BY_OPERATOR, HELD_BY_OPERATOR, JobState
from tests.archiver.catalog.scratch import scratch
from tests.archiver.heard import HEARINGS, RECEIVED_AT, Hearing, hear
from tests.archiver.histories import HISTORIES, Event, happen

NOW = RECEIVED_AT + timedelta(hours=3)
SOON = NOW + timedelta(minutes=5)

AVAILABLE, RUNNING = JobState.AVAILABLE, JobState.RUNNING
SCHEDULED, HELD, DISCARDED = JobState.SCHEDULED, JobState.HELD, JobState.DISCARDED
COMPLETED, CANCELLED = JobState.COMPLETED, JobState.CANCELLED


def slot(state: SlotState, reason: str = "", **jobs: object) -> Unsafe:
    """A slot; a job is its state, or that and a reason."""
    given: dict[str, object] = {}
    for name, value in jobs.items():
        if isinstance(value, JobState):
            value = (value, "")
        if isinstance(value, tuple):
            value = Standing(number=len(name), state=value[0], reason=value[1])
        given[name] = value
    return Unsafe(
        number=1,
        generation=7,
        name="doitong/a",
        state=state,
        reason=reason,
        **given,  # type: ignore[arg-type]
    )


EXPECTED, LINKED, RENDERED = SlotState.EXPECTED, SlotState.LINKED, SlotState.RENDERED
PAUSED, GIVEN_UP = (HELD, HELD_BY_OPERATOR), (CANCELLED, CANCELLED_BY_OPERATOR)

RULED: dict[str, tuple[Unsafe, Kind | None, str]] = {
    "a link at its turn": (slot(LINKED, live_at=SOON, fetch=AVAILABLE), Kind.FETCH, ""),
    "a link on its way": (slot(LINKED, live_at=SOON, fetch=RUNNING), Kind.FETCH, ""),
    "a link to be tried again": (slot(LINKED, live_at=SOON, fetch=SCHEDULED), Kind.FETCH, "fetch"),
    "a link past its paper": (slot(LINKED, fetch=SCHEDULED), Kind.FETCH, "fetch"),
    "a link nobody fetches": (slot(LINKED, live_at=SOON), Kind.FETCH, "fetch"),
    "a link that a dead worker held": (slot(LINKED, live_at=SOON, fetch=HELD), Kind.FETCH, "fetch"),
    "a link given up early": (
        slot(SlotState.HELD, "no renderer: 404", live_at=SOON, fetch=DISCARDED, render=AVAILABLE),
        Kind.FETCH,
        "fetch",
    ),
    "being drawn meanwhile": (
        slot(SlotState.HELD, "no renderer: 404", live_at=SOON, fetch=DISCARDED, render=RUNNING),
        Kind.DRAW,
        "",
    ),
    "an original beside a drawing": (
        slot(RENDERED, live_at=SOON, fetch=DISCARDED),
        Kind.FETCH,
        "fetch",
    ),
    "a drawing": (slot(RENDERED, fetch=DISCARDED), None, ""),
    "held by a person": (slot(LINKED, live_at=SOON, fetch=PAUSED), Kind.HELD, ""),
    "silent": (slot(EXPECTED, poll=SCHEDULED), Kind.ASK, "poll"),
    "being asked": (slot(EXPECTED, poll=RUNNING), Kind.ASK, ""),
    "nobody asks": (slot(EXPECTED), Kind.ASK, "poll"),
    "asking is held": (slot(EXPECTED, poll=PAUSED), Kind.HELD, ""),
    "asking was cancelled": (slot(EXPECTED, poll=GIVEN_UP), Kind.UNWANTED, ""),
    "a setting": (slot(SlotState.HELD, "needs the operator: a", fetch=HELD), Kind.RETRY, "fetch"),
    "a setting and a person": (
        slot(SlotState.HELD, "needs the operator: a", fetch=PAUSED),
        Kind.HELD,
        "",
    ),
    "no credit": (slot(SlotState.HELD, "needs the operator: 402"), Kind.HELD, ""),
    "moderated": (slot(SlotState.HELD, "moderation, never drawn: nsfw"), Kind.HELD, ""),
    "flagged": (slot(SlotState.HELD, "flagged by the safety checker"), Kind.HELD, ""),
    "no renderer": (slot(SlotState.HELD, "no renderer: 500", render=AVAILABLE), Kind.DRAW, ""),
    "a dead renderer": (
        slot(SlotState.HELD, "no renderer: 500", render=HELD),
        Kind.RETRY,
        "render",
    ),
    "a drawing held by a person": (
        slot(SlotState.HELD, "no renderer: 500", render=PAUSED),
        Kind.HELD,
        "",
    ),
    "refused": (slot(SlotState.HELD, "not drawn: no memory", render=HELD), Kind.RETRY, "render"),
    "refused for good": (
        slot(SlotState.HELD, "not drawn: killed it", render=DISCARDED),
        Kind.HELD,
        "",
    ),
    "not to be drawn": (
        slot(SlotState.HELD, f"not drawn: {CANCELLED_BY_OPERATOR}", render=GIVEN_UP),
        Kind.UNWANTED,
        "",
    ),
    "not to be fetched": (
        slot(SlotState.DEAD, f"can neither be …: {CANCELLED_BY_OPERATOR}", fetch=GIVEN_UP),
        Kind.UNWANTED,
        "",
    ),
    "canceled": (
        slot(SlotState.DEAD, "can neither be …: canceled at the provider"),
        Kind.UNWANTED,
        "",
    ),
    "dead": (slot(SlotState.DEAD, "lost, and no prompt is known", fetch=DISCARDED), Kind.GONE, ""),
}


@pytest.mark.parametrize(("found", "kind", "order"), RULED.values(), ids=RULED)
def test_each_slot_falls_under_one_rule(found: Unsafe, kind: Kind | None, order: str) -> None:
    """By what it lacks and by what a person has said."""
    rule = rule_for(found, is_drawing=True)
    assert (rule.kind if rule else None, rule.order if rule else "") == (kind, order)


def test_what_was_refused_waits_while_nobody_draws() -> None:
    """It is offered again where a renderer could take it."""
    rule = rule_for(RULED["refused"][0], is_drawing=False)
    assert rule is not None
    assert (rule.kind, rule.order) == (Kind.HELD, "")


@given(first=HEARINGS, history=HISTORIES)
def test_nothing_goes_unmentioned_and_what_is_ordered_can_be_done(
    migrated: Path, first: Hearing, history: list[Event]
) -> None:
    """Whatever has become of a generation: each slot without a picture is counted once."""
    with scratch(migrated) as tables:
        known = keep(tables, None, hear(first), now=NOW)
        for event in history:
            known = keep(tables, known, happen(known, event), now=NOW)
        found = [slot for state in SlotState for slot in _page(tables, state)]
        steps = plan(found, Outside(), is_drawing=True)
        states = Counter(slot.state for slot in known.slots)
        lacking = states.total() - states[SlotState.ARCHIVED] - states[SlotState.RENDERED]
        beside = sum(
            rule_for(slot, is_drawing=True) is not None
            for slot in found
            if slot.state is SlotState.RENDERED
        )
        assert sum(step.count for step in steps) == lacking + beside
        for step in steps:
            assert [retry(tables, number, now=NOW) for number in step.jobs] == [""] * len(step.jobs)


def _page(tables: Tables, state: SlotState) -> list[Unsafe]:
    if state is SlotState.ARCHIVED:
        return []
    return [*tables.unsafe.page(state, above=0, limit=99, now=NOW)]


def test_the_most_urgent_comes_first() -> None:
    """By kind, then by the first death; and within a step by death as well."""
    later = NOW + timedelta(hours=9)
    dying = [
        replace(slot(LINKED, live_at=at, fetch=SCHEDULED), number=number)
        for number, at in enumerate((later, SOON, NOW + timedelta(hours=2)))
    ]
    for number, one in enumerate(dying):
        assert one.fetch is not None
        dying[number] = replace(one, fetch=replace(one.fetch, number=100 + number))
    others = [
        slot(SlotState.DEAD, "lost"),
        slot(LINKED, live_at=NOW + timedelta(minutes=1), fetch=AVAILABLE),
        slot(EXPECTED, poll=SCHEDULED),
    ]
    outside = Outside(
        backlog=3, unparsed=2, authentic=4, unverified=5, lapsed_leases=1, unsealed=(8, 9)
    )
    steps = plan([*others, *dying], outside, is_drawing=False)
    assert [(step.kind, step.count) for step in steps] == [
        (Kind.FETCH, 1),
        (Kind.FETCH, 3),
        (Kind.ASK, 1),
        (Kind.ABSORB, 3),
        (Kind.REPLAY, 2),
        (Kind.REVERIFY, 4),
        (Kind.LEASE, 1),
        (Kind.RETRY, 2),
        (Kind.HELD, 5),
        (Kind.GONE, 1),
    ]
    assert (steps[1].first_deadline_at, steps[1].jobs) == (SOON, (101, 102, 100))
    assert steps[7].jobs == (8, 9)


def test_a_job_that_is_not_there_is_planned_anew() -> None:
    """Once for a generation, however many of its slots lack it."""
    (step,) = plan([slot(EXPECTED), slot(EXPECTED)], Outside(), is_drawing=False)
    assert (step.count, step.jobs, step.generations) == (2, (), (7,))


def test_reasons_are_told_apart_as_far_as_anybody_reads() -> None:
    """Their moments do not make them another; beyond so many they are counted together."""
    when = "2026-11-21 1{}:00:00 UTC"
    dated = [slot(SlotState.DEAD, f"the link died at {when.format(n)}: 403") for n in range(9)]
    (step,) = plan(dated, Outside(), is_drawing=False)
    assert (step.because, step.count) == ("the link died at …: 403", 9)

    many = [slot(SlotState.DEAD, f"reason {n}") for n in range(MAX_REASONS + 5)]
    steps = plan(many, Outside(), is_drawing=False)
    assert len(steps) == MAX_REASONS + 1
    assert next(step.count for step in steps if step.because == "for other reasons") == 5


def test_nothing_is_to_be_done_where_all_is_safe() -> None:
    """No steps at all."""
    steps: tuple[Step, ...] = plan([slot(RENDERED)], Outside(), is_drawing=False)
    assert steps == ()


def test_a_watch_ends_when_all_was_tried() -> None:
    """Each once; what is found on the way is tried too, and what fails is not waited for."""
    watch = Watch()

    def look(*jobs: tuple[int, str, int, bool]) -> int:
        """By number, target, fence and whether it is under way; each has its fence's attempts."""
        return watch.untried(
            Pending(number=number, target=target, fence=fence, attempts=fence, is_running=running)
            for number, target, fence, running in jobs
        )

    assert look((1, "a", 5, False), (2, "b", 1, True)) == 2
    assert look((1, "a", 6, True), (2, "b", 1, False)) == 1  # the second was under way before
    assert look((1, "a", 6, False)) == 0
    assert look((3, "c", 0, False)) == 1  # another link was found
    assert look((3, "c", 1, True)) == 1
    assert look((3, "c", 1, False), (4, "d", 2, False)) == 0  # one was found and tried meanwhile
    assert look() == 0
