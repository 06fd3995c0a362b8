"""Keeping a generation: rows, work and words in step."""

from __future__ import annotations

from dataclasses import replace

import pytest

from archiver.cards import card_of
from archiver.catalog import Tables
from archiver.errors import LeaseLostError
from archiver.ledger import index_anew, keep
from archiver.lifecycle import archive, refuse, settle
from archiver.links import url_sha256
from archiver.models import (
    Failure,
    FailureClass,
    Generation,
    GenerationParams,
    GenerationState,
    Observation,
    Undrawn,
)
from archiver.query import parse
from archiver.search import search
from archiver.work import Job, JobKind, JobState
from tests.archiver.generated import (
    FRESH_URL,
    FRESH_URL_DIES_AT,
    URL_DIES_AT,
    joined,
    linked,
    succeeded,
)
from tests.archiver.heard import asset
from tests.clocks import NOON


def number_of(generation: Generation) -> int:
    (slot,) = generation.slots
    assert slot.number is not None
    return slot.number


def states(tables: Tables, generation: Generation) -> dict[str, str]:
    """The generation's jobs of every kind with their states."""
    assert generation.key is not None
    subjects = {
        JobKind.FETCH: number_of(generation),
        JobKind.RENDER: number_of(generation),
        JobKind.SEAL: generation.key,
    }
    rows = {kind: tables.jobs.of(kind, subject) for kind, subject in subjects.items()}
    return {kind.value: row.state.value for kind, row in rows.items() if row is not None}


def failed(generation_id: str) -> Observation:
    """The provider's word that there will be no picture of a cat."""
    return Observation(
        provider="doitong",
        generation_id=generation_id,
        state=GenerationState.FAILED,
        params=GenerationParams(prompt="a cat"),
    )


def claim(tables: Tables, kind: JobKind) -> Job:
    """The one job of that kind, begun."""
    (job,) = tables.jobs.claim(kind, limit=9, worker="w", lease_seconds=30, now=NOON)
    return job


def found(tables: Tables, words: str) -> list[int]:
    """The archive numbers of what these words find."""
    page = search(tables, parse(words, now=NOON), limit=99)
    return [hit.card.number for hit in page.hits]


def test_what_is_new_is_saved_planned_and_indexed(tables: Tables) -> None:
    """One call leaves the rows, the fetch with its deadline, and the words to find it by."""
    kept = keep(tables, None, linked("Job-1", prompt="a black cat"), now=NOON)
    assert kept == tables.generations.load("doitong", "Job-1")
    assert kept.revision == 1
    assert states(tables, kept) == {"fetch": "available"}
    fetch = tables.jobs.of(JobKind.FETCH, number_of(kept))
    assert fetch is not None
    assert fetch.deadline_at == URL_DIES_AT
    for words in ('"black cat"', "doitong", "job:job-1", "2026-11-21", "state:linked"):
        assert found(tables, words) == [number_of(kept)]


def test_what_has_not_changed_keeps_its_revision(tables: Tables) -> None:
    """A redelivery neither writes nor seals anything again."""
    kept = keep(tables, None, linked("1"), now=NOON)
    again = keep(tables, kept, kept, now=NOON)
    assert kept == again
    assert states(tables, kept) == {"fetch": "available"}


def test_a_change_raises_the_revision_and_asks_for_a_seal(tables: Tables) -> None:
    """The manifest in the bucket follows every change of a settled generation."""
    kept = keep(tables, None, linked("1"), now=NOON)
    fetch = claim(tables, JobKind.FETCH)
    tables.jobs.finish(fetch, JobState.COMPLETED, now=NOON)
    after = keep(tables, kept, archive(kept, 0, asset()), now=NOON)
    assert after.revision == 2
    assert states(tables, after) == {"fetch": "completed", "seal": "available"}
    seal = claim(tables, JobKind.SEAL)
    assert (seal.subject, seal.target) == (kept.key, "2")


def test_a_job_that_ended_is_wanted_again_while_its_work_is_not_done(tables: Tables) -> None:
    """Planning is done even when nothing changed, so no work falls between two chairs."""
    kept = keep(tables, None, linked("1"), now=NOON)
    fetch = claim(tables, JobKind.FETCH)
    tables.jobs.finish(fetch, JobState.DISCARDED, now=NOON)
    keep(tables, kept, kept, now=NOON)
    assert states(tables, kept) == {"fetch": "available"}


def test_a_fresher_link_is_what_the_fetch_is_for(tables: Tables) -> None:
    """A redelivery with a longer-lived link turns the waiting job to it."""
    kept = keep(tables, None, linked("1"), now=NOON)
    keep(tables, kept, joined(kept, succeeded("1", FRESH_URL)), now=NOON)
    fetch = claim(tables, JobKind.FETCH)
    assert fetch.target == url_sha256(FRESH_URL).hex()
    assert fetch.deadline_at == FRESH_URL_DIES_AT


def test_work_that_is_no_longer_wanted_is_taken_back(tables: Tables) -> None:
    """Nothing is drawn once the provider's own link has come after all."""
    lost = keep(tables, None, joined(None, failed("1")), now=NOON)
    assert states(tables, lost) == {"render": "available", "seal": "available"}
    rescued = keep(tables, lost, joined(lost, succeeded("1")), now=NOON)
    assert states(tables, rescued) == {
        "fetch": "available",
        "render": "cancelled",
        "seal": "cancelled",
    }


@pytest.mark.parametrize("final", [False, True])
def test_what_was_refused_stays_so_until_more_is_known(tables: Tables, final: bool) -> None:
    """However often it is kept, and whatever becomes of its other jobs."""
    lost = keep(tables, None, joined(None, failed("1")), now=NOON)
    render = claim(tables, JobKind.RENDER)
    state = JobState.DISCARDED if final else JobState.HELD
    tables.jobs.finish(render, state, reason="no checkpoint", now=NOON)
    undrawn = Undrawn(target=render.target, reason="no checkpoint", final=final)
    refused = keep(tables, lost, refuse(lost, 0, undrawn), now=NOON)
    for _ in range(2):
        refused = keep(tables, refused, refused, now=NOON)
        assert states(tables, refused)["render"] == state
    more = replace(refused, params=replace(refused.params, model="flux"))
    known = keep(tables, refused, settle(more), now=NOON)
    assert states(tables, known)["render"] == "available"
    assert claim(tables, JobKind.RENDER).target != render.target


@pytest.mark.parametrize("running", [False, True])
def test_a_drawing_that_is_forbidden_is_taken_back(tables: Tables, running: bool) -> None:
    """From under its renderer, too, whose outcome then changes nothing."""
    lost = keep(tables, None, joined(None, failed("1")), now=NOON)
    jobs = [claim(tables, JobKind.RENDER)] if running else []
    policy = Failure(failure_class=FailureClass.POLICY)
    moderated = joined(lost, replace(failed("1"), failure=policy))
    assert states(tables, keep(tables, lost, moderated, now=NOON))["render"] == "cancelled"
    for job in jobs:
        with pytest.raises(LeaseLostError):
            tables.jobs.finish(job, JobState.COMPLETED, now=NOON)


def test_words_that_come_later_are_found_too(tables: Tables) -> None:
    """The request may be heard after the webhook; the prompt is found from then on."""
    kept = keep(tables, None, linked("1"), now=NOON)
    assert found(tables, "cat") == []
    keep(tables, kept, replace(kept, params=GenerationParams(prompt="a cat")), now=NOON)
    assert found(tables, "cat") == [number_of(kept)]


def test_a_new_state_is_found_and_the_old_one_no_more(tables: Tables) -> None:
    """The card is the slot's own, word for word, and so are its tokens."""
    kept = keep(tables, None, linked("1", prompt="a cat"), now=NOON)
    kept = keep(tables, kept, archive(kept, 0, asset()), now=NOON)
    assert found(tables, "state:linked") == []
    assert found(tables, "cat is:saved type:png") == [number_of(kept)]
    assert tables.cards.load([number_of(kept)]) == {
        number_of(kept): (card_of(kept, kept.slots[0]), "a cat")
    }


def test_an_index_is_filled_anew(tables: Tables) -> None:
    """Of what it has lost; what it has is not even written."""
    kept = keep(tables, None, linked("1", prompt="a cat"), now=NOON)
    tables.connection.execute("DELETE FROM cards")
    tables.connection.execute("DELETE FROM texts")
    assert tables.cards.unindexed(above=0, limit=9) == [kept.key]
    index_anew(tables, [kept])
    assert tables.cards.unindexed(above=0, limit=9) == []
    assert found(tables, "cat state:linked") == [number_of(kept)]
