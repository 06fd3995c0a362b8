"""A person's orders: what they change, what outlasts what, and what they cannot do."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.catalog import Tables
from archiver.catalog.orders import JobFilter, JobLine
from archiver.drawing import drawn_from
from archiver.ledger import keep
from archiver.lifecycle import archive, lose_link, refuse, release_links, stop_asking
from archiver.models import (
    Failure,
    Generation,
    GenerationState,
    Slot,
    SlotState,
    Undrawn,
)
from archiver.orders import ORDERS, cancel, hold, release, retry
from archiver.planning import plan
from archiver.previews import Preview
from archiver.work import (
    CANCELLED_BY_OPERATOR,
    HELD_BY_OPERATOR,
    JobKind,
    JobState,
)
from tests.archiver.catalog.scratch import scratch
from tests.archiver.heard import (
    DEAD,
    DELIVERED,
    HEARINGS,
    LINK_LIFETIME,
    OPERATOR,
    PLAIN_DIGEST,
    PLAIN_URL,
    RECEIVED_AT,
    RENDERABLE,
    REQUEST,
    SIGNED_URL,
    Hearing,
    asset,
    failed,
    hear,
    hearing,
)
from tests.archiver.histories import HISTORIES, Event, happen

NOW = RECEIVED_AT + timedelta(hours=1)
DEAD_AT = RECEIVED_AT + LINK_LIFETIME
FETCH, POLL, RENDER, SEAL = JobKind.FETCH, JobKind.POLL, JobKind.RENDER, JobKind.SEAL


def kept(tables: Tables, *states: Generation) -> Generation:
    """A generation that has come to stand so, one step after the other."""
    known: Generation | None = None
    for after in states:
        known = keep(tables, known, after if known is None else _as(known, after), now=NOW)
    assert known is not None
    return known


def _as(known: Generation, after: Generation) -> Generation:
    """What is known of `after`, under the key and the numbers of `known`."""
    numbers = {slot.index: slot.number for slot in known.slots}
    slots = tuple(replace(slot, number=numbers.get(slot.index)) for slot in after.slots)
    return replace(after, key=known.key, revision=known.revision, slots=slots)


def job(tables: Tables, kind: JobKind = FETCH) -> JobLine:
    """The only job of that kind."""
    (line,) = tables.orders.page(JobFilter(kinds=(kind,)), below=None, limit=9)
    return line


def standing(tables: Tables, kind: JobKind = FETCH) -> tuple[str, str]:
    """How it stands, and why."""
    line = job(tables, kind)
    return line.state.value, line.reason


def slot(tables: Tables) -> Slot:
    """The only slot, as the catalog has it; its state is the law's."""
    generation = tables.generations.load("doitong", "abc")
    assert generation is not None
    (only,) = generation.slots
    return only


def attempt(tables: Tables, ends: JobState, kind: JobKind = FETCH, **how: Any) -> None:
    """A worker has tried it."""
    (claimed,) = tables.jobs.claim(kind, limit=1, worker="w", lease_seconds=30, now=NOW)
    tables.jobs.finish(claimed, ends, now=NOW, **how)


def lost(tables: Tables, failure: Failure, ends: JobState = JobState.DISCARDED) -> Generation:
    """A generation whose only link came to that end."""
    known = kept(tables, DELIVERED)
    attempt(tables, ends, reason=failure.message)
    return keep(tables, known, lose_link(known, 0, PLAIN_DIGEST, failure), now=NOW)


# Retry --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("failure", [OPERATOR, DEAD, RENDERABLE])
def test_a_link_that_lives_is_believed_in_again(tables: Tables, failure: Failure) -> None:
    """Whatever was said of it; slot and job say the same."""
    ends = JobState.HELD if failure is OPERATOR else JobState.DISCARDED
    lost(tables, failure, ends)
    assert slot(tables).state is not SlotState.LINKED

    assert retry(tables, job(tables).number, now=NOW) == ""
    assert standing(tables) == ("available", "")
    assert (job(tables).attempts, slot(tables).state) == (0, SlotState.LINKED)


def test_a_link_that_died_says_so(tables: Tables) -> None:
    """And nothing changes, for nothing would come of it."""
    lost(tables, RENDERABLE)
    before = slot(tables)

    why = retry(tables, job(tables).number, now=DEAD_AT + timedelta(seconds=1))
    assert why == f"its link died at {DEAD_AT:%F %T} UTC"
    assert standing(tables) == ("discarded", "410 Gone")
    assert slot(tables) == before


def test_what_waited_for_the_operator_is_tried_even_beyond_its_death(tables: Tables) -> None:
    """Only so does its slot come to what follows: another link, or a drawing."""
    lost(tables, OPERATOR, JobState.HELD)
    assert retry(tables, job(tables).number, now=DEAD_AT + timedelta(hours=9)) == ""
    assert standing(tables) == ("available", "")


def test_what_waits_for_its_time_is_tried_now(tables: Tables) -> None:
    """Its tries stay counted, for its patience has begun."""
    kept(tables, DELIVERED)
    attempt(tables, JobState.SCHEDULED, reason="busy", run_at=NOW + timedelta(hours=1))
    assert retry(tables, job(tables).number, now=NOW) == ""
    assert tables.jobs.promote(now=NOW) == 1
    assert (job(tables).state, job(tables).attempts) == (JobState.AVAILABLE, 1)


@pytest.mark.parametrize("final", [False, True])
def test_a_refused_drawing_is_offered_again(tables: Tables, final: bool) -> None:
    """Also one that was given up, and its slot no longer says that it was."""
    known = kept(tables, hear(failed(), REQUEST))
    undrawn = Undrawn(target=drawn_from(known), reason="no memory", final=final)
    ends = JobState.DISCARDED if final else JobState.HELD
    attempt(tables, ends, RENDER, reason="no memory")
    keep(tables, known, refuse(known, 0, undrawn), now=NOW)
    assert slot(tables).reason == "not drawn: no memory"

    assert retry(tables, job(tables, RENDER).number, now=NOW) == ""
    assert standing(tables, RENDER) == ("available", "")
    assert slot(tables).reason.startswith("no renderer")


def test_a_provider_is_asked_again_for_another_link(tables: Tables) -> None:
    """Where nobody could be asked, say, and there is a key by now."""
    known = lost(tables, RENDERABLE)
    tables.jobs.promote(now=NOW)
    attempt(tables, JobState.COMPLETED, POLL, reason="not pollable")
    keep(tables, known, stop_asking(known), now=NOW)
    assert slot(tables).state is SlotState.HELD

    assert retry(tables, job(tables, POLL).number, now=NOW) == ""
    assert slot(tables).state is SlotState.EXPECTED
    assert job(tables, POLL).state is JobState.SCHEDULED
    assert tables.jobs.promote(now=NOW) == 1


def test_a_picture_that_could_not_be_derived_is_tried_again(tables: Tables) -> None:
    """As if it never had been: what was noted of it is forgotten."""
    picture = asset()
    kept(tables, DELIVERED, archive(DELIVERED, 0, picture))
    tables.previews.put(picture.sha256, Preview(reason="it is no picture"))
    attempt(tables, JobState.DISCARDED, JobKind.DERIVE, reason="it is no picture")

    assert retry(tables, job(tables, JobKind.DERIVE).number, now=NOW) == ""
    assert standing(tables, JobKind.DERIVE) == ("available", "")
    assert tables.previews.of([picture.sha256]) == {}


# Hold and release ---------------------------------------------------------------------------------


@given(first=HEARINGS, history=HISTORIES, data=st.data())
def test_what_a_person_holds_stays_held(
    migrated: Path, first: Hearing, history: list[Event], data: st.DataObject
) -> None:
    """Through whatever is heard, comes to pass, starts or ends; its row keeps up with it."""
    with scratch(migrated) as tables:
        known = keep(tables, None, hear(first), now=NOW)
        waiting = tables.orders.page(JobFilter(), below=None, limit=99)
        if not waiting:
            return
        held = data.draw(st.sampled_from(waiting)).number
        assert hold(tables, held, now=NOW) == ""
        for event in history:
            known = keep(tables, known, happen(known, event), now=NOW)
            tables.renders.offer_again()
            tables.jobs.promote(now=NOW + timedelta(days=9))
            line = tables.orders.get(held)
            assert line is not None
            assert (line.state, line.reason) == (JobState.HELD, HELD_BY_OPERATOR)
        line = tables.orders.get(held)
        assert line is not None
        wanted = {(it.kind, it.subject): it for it in plan(known)}.get((line.kind, line.subject))
        assert wanted is None or (line.target, line.deadline_at) == (
            wanted.target,
            wanted.deadline_at,
        )


def test_a_restart_releases_what_the_operator_has_to_mend_and_no_more(tables: Tables) -> None:
    """A person's pause is no missing setting."""
    known = lost(tables, OPERATOR, JobState.HELD)
    assert hold(tables, job(tables).number, now=NOW) == ""
    keep(tables, known, release_links(known), now=NOW)
    assert standing(tables) == ("held", HELD_BY_OPERATOR)

    assert "holdfast jobs release" in retry(tables, job(tables).number, now=NOW)
    assert release(tables, job(tables).number, now=NOW) == ""
    assert standing(tables) == ("available", "")
    assert "it is not held" in release(tables, job(tables).number, now=NOW)


def test_a_renderers_start_offers_nothing_that_a_person_holds(tables: Tables) -> None:
    """Though it offers again what others have refused."""
    kept(tables, hear(failed(), REQUEST))
    assert hold(tables, job(tables, RENDER).number, now=NOW) == ""
    tables.renders.offer_again()
    assert standing(tables, RENDER) == ("held", HELD_BY_OPERATOR)


def test_what_is_no_longer_wanted_is_released_to_rest(tables: Tables) -> None:
    """What nobody wants by then is not done for having been held."""
    known = kept(tables, hearing_of_a_running())
    assert hold(tables, job(tables, POLL).number, now=NOW) == ""
    keep(tables, known, hear(failed(), known=known), now=NOW)
    assert standing(tables, POLL) == ("held", HELD_BY_OPERATOR)

    assert release(tables, job(tables, POLL).number, now=NOW).startswith("nothing is left to do")
    assert standing(tables, POLL) == ("cancelled", "no longer wanted")


def hearing_of_a_running() -> Generation:
    """A generation whose end is yet to come."""
    return hear(hearing(GenerationState.RUNNING, slots=()), REQUEST)


# Cancel -------------------------------------------------------------------------------------------


def test_a_cancelled_fetch_is_dead_until_a_fresh_link_comes(tables: Tables) -> None:
    """The same link heard again changes nothing, and the slot's state is no lie."""
    known = kept(tables, DELIVERED)
    assert cancel(tables, job(tables).number, now=NOW) == ""
    dead = (SlotState.DEAD, "can neither be fetched nor drawn: cancelled by the operator")
    assert (slot(tables).state, slot(tables).reason) == dead

    for url, state in ((PLAIN_URL, JobState.CANCELLED), (SIGNED_URL, JobState.AVAILABLE)):
        found = tables.generations.load("doitong", "abc")
        assert found is not None
        known = keep(tables, found, hear(hearing(url=url), known=found), now=NOW)
        assert job(tables).state is state
    assert known.slots[0].state is SlotState.LINKED


def test_a_cancelled_fetch_can_be_ordered_again(tables: Tables) -> None:
    """By its number, while its link lives."""
    kept(tables, DELIVERED)
    cancel(tables, job(tables).number, now=NOW)
    assert retry(tables, job(tables).number, now=NOW) == ""
    assert (standing(tables), slot(tables).state) == (("available", ""), SlotState.LINKED)


def test_a_cancelled_drawing_is_stopped_and_stays_undrawn(tables: Tables) -> None:
    """Even from under a renderer; other parameters are new facts."""
    kept(tables, hear(failed(), REQUEST))
    tables.jobs.claim(RENDER, limit=1, worker="w", lease_seconds=30, now=NOW)
    assert cancel(tables, job(tables, RENDER).number, now=NOW) == ""
    assert slot(tables).reason == f"not drawn: {CANCELLED_BY_OPERATOR}"
    tables.renders.offer_again()
    found = tables.generations.load("doitong", "abc")
    assert found is not None
    keep(tables, found, found, now=NOW)
    assert standing(tables, RENDER) == ("cancelled", CANCELLED_BY_OPERATOR)

    keep(tables, found, hear(failed(service="flux-pro"), known=found), now=NOW)
    assert job(tables, RENDER).state is JobState.AVAILABLE


@pytest.mark.parametrize("kind", [POLL, SEAL])
def test_other_work_is_cancelled_until_something_changes(tables: Tables, kind: JobKind) -> None:
    """Planning again wants the same, and the same is not wanted."""
    known = kept(tables, hearing_of_a_running() if kind is POLL else hear(failed(), REQUEST))
    assert cancel(tables, job(tables, kind).number, now=NOW) == ""
    keep(tables, known, known, now=NOW)
    assert standing(tables, kind) == ("cancelled", CANCELLED_BY_OPERATOR)

    news = hearing(GenerationState.RUNNING, slots=(), hint=True, cost=3.0)
    keep(tables, known, hear(news, known=known), now=NOW)
    assert job(tables, kind).state in (JobState.AVAILABLE, JobState.SCHEDULED)


# What no order does -------------------------------------------------------------------------------

NOTHING = {
    "hold": (hold, JobState.RUNNING, "it is under way just now"),
    "cancel": (cancel, JobState.RUNNING, "it is under way just now"),
    "retry": (retry, JobState.RUNNING, "it is under way just now"),
    "hold what ended": (hold, JobState.COMPLETED, "it has ended"),
    "cancel what ended": (cancel, JobState.DISCARDED, "it has ended"),
    "retry what waits": (retry, JobState.AVAILABLE, "it is its turn already"),
    "release": (release, JobState.AVAILABLE, "it is not held by the operator"),
}


@pytest.mark.parametrize(("order", "state", "why"), NOTHING.values(), ids=NOTHING)
def test_an_order_that_makes_no_sense_changes_nothing(
    tables: Tables, order: Any, state: JobState, why: str
) -> None:
    """It says why."""
    kept(tables, DELIVERED)
    tables.connection.execute("UPDATE jobs SET state = ?", (state.value,))
    before = job(tables)
    assert order(tables, before.number, now=NOW) == why
    assert job(tables) == before


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_an_order_about_nothing_says_so(tables: Tables, order: Any) -> None:
    """A number that was never given, or is no more."""
    assert order(tables, 4711, now=NOW) == "there is no such job any more"


def test_a_safe_picture_is_not_fetched_again(tables: Tables) -> None:
    """Nothing is left to do."""
    kept(tables, DELIVERED)
    attempt(tables, JobState.COMPLETED)
    found = tables.generations.load("doitong", "abc")
    assert found is not None
    keep(tables, found, archive(found, 0, asset()), now=NOW)
    assert retry(tables, job(tables).number, now=NOW).startswith("nothing is left to do")


# By filter ----------------------------------------------------------------------------------------


def test_jobs_are_had_by_filter(tables: Tables) -> None:
    """Each filter alone and all together, in either direction, and counted."""
    lost(tables, OPERATOR, JobState.HELD)
    fetch = job(tables)

    def found(**which: Any) -> list[JobKind]:
        return [it.kind for it in tables.orders.page(JobFilter(**which), below=None, limit=9)]

    assert found() == [SEAL, FETCH]
    assert [it.kind for it in tables.orders.after(JobFilter(), above=0, limit=9)] == [FETCH, SEAL]
    assert found(kinds=(FETCH,), states=(JobState.HELD,), provider="doitong") == [FETCH]
    assert found(host="doitong.com") == found(host="cdn.doitong.com") == [FETCH]
    assert found(host="tong.com") == found(provider="dashscope") == []
    assert found(numbers=(fetch.number, 99)) == [FETCH]
    (count,) = tables.orders.count(JobFilter(kinds=(FETCH,)))
    assert (count.state, count.count, count.first_deadline_at) == (JobState.HELD, 1, DEAD_AT)
    assert (fetch.provider, fetch.generation_id) == ("doitong", "abc")
