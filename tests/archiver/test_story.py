"""The story of what was found: complete, plain, and without a key to any picture."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from archiver import manifest
from archiver.cards import card_of
from archiver.catalog import Tables
from archiver.catalog.renders import RENDERER
from archiver.ledger import keep
from archiver.lifecycle import archive, refuse
from archiver.models import Generation, Origin, Undrawn
from archiver.moments import to_text
from archiver.query import Query
from archiver.search import Hit, search
from archiver.story import generation_story, hit_summary
from archiver.work import JobKind, JobState
from tests.archiver.catalog.scratch import scratch
from tests.archiver.catalog.test_deliveries import DELIVERY
from tests.archiver.generated import URL_DIES_AT, histories, linked
from tests.archiver.heard import DRAWN, REQUEST, asset, failed, hear
from tests.clocks import NOON

SECRETS = (b"hush", b"Signature", b"Expires")


@pytest.fixture
def told(tables: Tables) -> dict[str, Any]:
    """The story of a generation that was heard of, fetched, archived and asked to be sealed."""
    kept = keep(tables, None, linked("1", prompt="a cat"), now=NOON)
    assert kept.key is not None
    tables.deliveries.observed([(DELIVERY, kept.key, "succeeded")])
    (job,) = tables.jobs.claim(JobKind.FETCH, limit=1, worker="w", lease_seconds=9, now=NOON)
    tables.jobs.finish(job, JobState.COMPLETED, now=NOON)
    after = keep(tables, kept, archive(kept, 0, asset()), now=NOON)
    return generation_story(tables, after, now=NOON)


def test_the_story_is_the_manifest_and_more(tables: Tables, told: dict[str, Any]) -> None:
    """Whatever the manifest says is told, and besides it our own work and whom we heard."""
    generation = tables.generations.load("doitong", "1")
    assert generation is not None
    described = manifest.describe(generation)
    ours = ("jobs", "drawing")
    slots = [{name: slot[name] for name in slot if name not in ours} for slot in told["slots"]]
    assert described == {**{name: told[name] for name in described}, "slots": slots}
    assert (told["revision"], told["sealed_revision"]) == (2, 0)


def test_the_story_tells_every_job(told: dict[str, Any]) -> None:
    """What was tried, how often, and what comes next."""
    fetch = {
        "kind": "fetch",
        "state": "completed",
        "reason": "",
        "attempts": 1,
        "next_try_at": None,
        "deadline_at": to_text(URL_DIES_AT),
    }
    seal = {**fetch, "kind": "seal", "state": "available", "attempts": 0, "deadline_at": None}
    derive = {**seal, "kind": "derive"}
    assert [slot["jobs"] for slot in told["slots"]] == [[fetch, derive]]
    assert told["jobs"] == [seal]


@pytest.mark.parametrize("state", [JobState.COMPLETED, JobState.DISCARDED])
def test_a_preview_that_is_there_is_no_news(tables: Tables, state: JobState) -> None:
    """That there will never be one is."""
    kept = keep(tables, None, archive(linked("1"), 0, asset()), now=NOON)
    (job,) = tables.jobs.claim(JobKind.DERIVE, limit=1, worker="w", lease_seconds=9, now=NOON)
    tables.jobs.finish(job, state, reason="", now=NOON)
    (slot,) = generation_story(tables, kept, now=NOON)["slots"]
    told = [job["state"] for job in slot["jobs"]]
    assert told == [state for _ in told]
    assert bool(told) is (state is JobState.DISCARDED)


def test_the_story_tells_whom_it_was_heard_from(told: dict[str, Any]) -> None:
    """Each delivery by its place in its inbox."""
    assert told["deliveries"] == [
        {
            "inbox": "inbox-a",
            "position": 7,
            "heard": "pushed",
            "state": "succeeded",
            "received_at": to_text(NOON),
        }
    ]


def test_a_hit_is_summed_up_in_a_line(tables: Tables) -> None:
    """Enough to recognise it; without a picture its fields are null."""
    kept = keep(tables, None, linked("1", prompt="a cat"), now=NOON)
    keep(tables, kept, archive(kept, 0, asset()), now=NOON)
    keep(tables, None, linked("2"), now=NOON)
    lost, saved = (hit_summary(hit) for hit in search(tables, Query(), limit=9).hits)
    assert saved == {
        "number": kept.slots[0].number,
        "provider": "doitong",
        "id": "1",
        "slot": 0,
        "state": "archived",
        "reason": "the provider's picture is in the bucket",
        "prompt": "a cat",
        "service": None,
        "model": None,
        "seed": None,
        "steps": None,
        "guidance_scale": None,
        "heard_at": to_text(NOON),
        "archived_at": to_text(NOON),
        "origin": "provider",
        "sha256": asset().sha256.hex(),
        "media_type": "image/png",
        "size_bytes": 3,
        "width": 1,
        "height": 2,
        "flagged": False,
    }
    assert saved.keys() == lost.keys()
    assert (lost["state"], lost["origin"], lost["size_bytes"]) == ("linked", None, None)


def test_the_providers_own_picture_leads(tables: Tables) -> None:
    """If there are two, the hit shows the original."""
    drawn = replace(asset(Origin.FALLBACK), size_bytes=7, rendering=DRAWN)
    first = keep(tables, None, archive(linked("1"), 0, drawn), now=NOON)
    (hit,) = search(tables, Query(), limit=9).hits
    summary = hit_summary(hit)
    assert (summary["origin"], summary["size_bytes"]) == ("fallback", 7)
    keep(tables, first, archive(first, 0, asset()), now=NOON)
    (hit,) = search(tables, Query(), limit=9).hits
    summary = hit_summary(hit)
    assert (summary["origin"], summary["size_bytes"]) == ("provider", 3)


def test_it_is_told_how_far_a_renderer_is(tables: Tables) -> None:
    """While one was seen lately a lost picture waits to be drawn; else there is no renderer."""

    def drawing(generation: Generation, seconds: float = 0) -> str | None:
        at = NOON + timedelta(seconds=seconds)
        told: str | None = generation_story(tables, generation, now=at)["slots"][0]["drawing"]
        return told

    lost = keep(tables, None, hear(failed(), REQUEST), now=NOON)
    assert drawing(lost) is None
    tables.deliveries.beat(RENDERER, now=NOON)
    assert drawing(lost, 60) == "waiting to be drawn"
    assert drawing(lost, 600) is None
    (job,) = tables.jobs.claim(JobKind.RENDER, limit=1, worker="w", lease_seconds=9, now=NOON)
    assert drawing(lost, 600) == "being drawn"
    tables.jobs.finish(job, JobState.HELD, reason="no checkpoint", now=NOON)
    undrawn = Undrawn(target=job.target, reason="no checkpoint")
    assert drawing(keep(tables, lost, refuse(lost, 0, undrawn), now=NOON)) is None


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(history=histories())
def test_nothing_told_opens_a_picture(migrated: Path, history: list[Generation]) -> None:
    """Whatever happened, story, hit and manifest are JSON and hold no query of any URL."""
    with scratch(migrated) as tables:
        before: Generation | None = None
        for after in history:
            before = keep(tables, before, after, now=NOON)
        assert before is not None
        (slot, *_) = before.slots
        assert slot.number is not None
        hit = hit_summary(Hit(card=card_of(before, slot), prompt=before.params.prompt))
        told = msgspec.json.encode([generation_story(tables, before, now=NOON), hit])
        for secret in SECRETS:
            assert secret not in told
            assert secret not in manifest.render(before)
