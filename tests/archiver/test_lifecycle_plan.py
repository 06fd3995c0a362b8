"""The work that a generation still wants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given

from archiver.drawing import drawn_from
from archiver.lifecycle import (
    NO_RENDERER,
    NOT_DRAWN,
    archive,
    leading_link,
    lose,
    lose_link,
    refuse,
    stop_asking,
)
from archiver.links import url_sha256
from archiver.models import (
    Generation,
    GenerationParams,
    GenerationState,
    InputObservation,
    Origin,
    SlotState,
    Undrawn,
)
from archiver.planning import FIRST_POLL, plan
from archiver.work import JobKind, JobState, WantedJob
from tests.archiver.heard import (
    DEAD,
    DELIVERED,
    FLAGGED_ASSET,
    HEARINGS,
    LINK_LIFETIME,
    OPERATOR,
    PLAIN_DIGEST,
    PLAIN_URL,
    RECEIVED_AT,
    RENDERABLE,
    REQUEST,
    SIGNED_URL,
    TRANSIENT,
    Hearing,
    asset,
    failed,
    hear,
    hearing,
    numbered,
)
from tests.archiver.histories import (
    HISTORIES,
    Event,
    happen,
)

WITHOUT_RENDERER = (NO_RENDERER, NOT_DRAWN)


def undecorated(jobs: Sequence[WantedJob]) -> list[WantedJob]:
    """Those that something could be lost without."""
    return [job for job in jobs if job.kind is not JobKind.DERIVE]


class TestPlan:
    """All of it, and nothing that is done."""

    def test_a_link_is_fetched(self) -> None:
        """By its digest, from its host, before it dies."""
        fetch = WantedJob(
            kind=JobKind.FETCH,
            subject=100,
            target=PLAIN_DIGEST.hex(),
            host="cdn.doitong.com",
            deadline_at=RECEIVED_AT + LINK_LIFETIME,
        )

        assert (fetch,) == plan(numbered(DELIVERED))

    def test_a_loss_that_could_be_drawn_is_offered_to_renderers(self) -> None:
        """By all that it would be drawn from, without any deadline; and sealed as it stands."""
        lost = numbered(hear(failed(), REQUEST))
        render = WantedJob(kind=JobKind.RENDER, subject=100, target=drawn_from(lost))
        seal = WantedJob(kind=JobKind.SEAL, subject=7, target="1")

        assert (render, seal) == plan(lost)

    @pytest.mark.parametrize(("final", "state"), [(False, "held"), (True, "discarded")])
    def test_what_was_refused_waits_until_more_is_known(self, final: bool, state: str) -> None:
        """As long as it would be drawn from the same; anything else is offered anew."""
        lost = numbered(hear(failed(), REQUEST))
        undrawn = Undrawn(target=drawn_from(lost), reason="no checkpoint", final=final)
        refused = refuse(lost, 0, undrawn)
        (render, _), (again, _) = (
            plan(known)
            for known in (refused, replace(refused, params=replace(lost.params, steps=9)))
        )

        assert (render.state, render.reason, render.target) == (
            state,
            "no checkpoint",
            undrawn.target,
        )
        assert (again.state, again.reason) == (JobState.AVAILABLE, "")
        assert again.target != render.target

    @given(HEARINGS, HISTORIES)
    def test_only_what_is_lost_and_undrawn_is_offered(
        self, first: Hearing, history: list[Event]
    ) -> None:
        """Every slot that is held for want of a renderer, and no other; each once."""
        known = numbered(happen(hear(first), *history))
        offered = {job.subject: job for job in plan(known) if job.kind is JobKind.RENDER}
        held = {
            slot.number: slot for slot in known.slots if slot.reason.startswith(WITHOUT_RENDERER)
        }

        assert offered.keys() == held.keys()
        for number, job in offered.items():
            refused = held[number].reason.startswith(NOT_DRAWN)
            assert (job.state is not JobState.AVAILABLE) == refused

    @pytest.mark.parametrize(
        "generation",
        [
            lose_link(DELIVERED, 0, PLAIN_DIGEST, OPERATOR),
            lose_link(DELIVERED, 0, PLAIN_DIGEST, DEAD),
            archive(DELIVERED, 0, asset()),
            archive(hear(failed(), REQUEST), 0, asset()),
            archive(hear(failed(), REQUEST), 0, asset(Origin.FALLBACK)),
            archive(hear(failed(), REQUEST), 0, FLAGGED_ASSET),
            hear(failed()),
            hear(failed(params=GenerationParams(prompt=" "))),
        ],
        ids=[
            "operator",
            "dead",
            "archived",
            "archived all the same",
            "drawn",
            "flagged",
            "no prompt",
            "a blank prompt",
        ],
    )
    def test_what_is_settled_is_only_sealed(self, generation: Generation) -> None:
        """There is nothing more to do for it than to write its manifest, and to show it small."""
        seal = WantedJob(kind=JobKind.SEAL, subject=7, target="1")

        assert [seal] == undecorated(plan(numbered(generation)))

    def test_what_is_sealed_is_sealed_once(self) -> None:
        """A manifest of this revision in the bucket is enough; the next revision wants its own."""
        sealed = replace(numbered(archive(DELIVERED, 0, asset())), sealed_revision=1)

        assert undecorated(plan(sealed)) == []
        assert [job.target for job in undecorated(plan(replace(sealed, revision=2)))] == ["2"]

    @pytest.mark.parametrize("origin", Origin)
    def test_what_there_is_of_a_picture_is_derived(self, origin: Origin) -> None:
        """Its thumbnail and hash, by the digest of the bytes; drawings have theirs, too."""
        derive = WantedJob(kind=JobKind.DERIVE, subject=100, target=asset().sha256.hex())

        assert derive in plan(numbered(archive(DELIVERED, 0, asset(origin))))

    def test_what_leads_is_derived(self) -> None:
        """When the original comes after all, it is another picture than what was drawn."""
        drawn = replace(asset(Origin.FALLBACK), sha256=bytes(32))
        known = archive(archive(DELIVERED, 0, drawn), 0, asset())
        jobs = [job for job in plan(numbered(known)) if job.kind is JobKind.DERIVE]

        assert [asset().sha256.hex()] == [job.target for job in jobs]

    def test_nothing_is_derived_of_videos_and_inputs(self) -> None:
        """Of the first nothing can be; the others are the client's own, and are not searched."""
        video = replace(asset(), media_type="video/mp4")
        asked = hear(hearing(inputs=(InputObservation(role="init_image", url=PLAIN_URL),)))
        (given,) = (slot for slot in asked.slots if slot.role)
        for known in (archive(DELIVERED, 0, video), archive(asked, given.index, asset())):
            assert [job for job in plan(numbered(known)) if job.kind is JobKind.DERIVE] == []

    def test_what_is_awaited_is_asked_about(self) -> None:
        """Once, and not before it may have come by itself; until its links would be dead."""
        poll = WantedJob(
            kind=JobKind.POLL,
            subject=7,
            target="end",
            state=JobState.SCHEDULED,
            deadline_at=RECEIVED_AT + LINK_LIFETIME,
            run_at=RECEIVED_AT + FIRST_POLL,
        )

        assert (poll,) == plan(numbered(hear(hearing(GenerationState.RUNNING))))

    def test_a_hint_is_asked_about_at_once(self) -> None:
        """And the same hint once; the next one again."""
        running = hear(hearing(GenerationState.RUNNING))
        hinted = hear(hearing(GenerationState.RUNNING, hint=True), known=running)
        later = hearing(
            GenerationState.RUNNING, hint=True, received_at=RECEIVED_AT + timedelta(hours=1)
        )
        (first,), (second,) = plan(numbered(hinted)), plan(numbered(hear(later, known=hinted)))

        assert first.run_at == second.run_at == RECEIVED_AT
        assert len({"end", first.target, second.target}) == 3

    @pytest.mark.parametrize(
        ("generation", "polls"),
        {
            "delivered": (DELIVERED, 0),
            "delivered without a link": (hear(hearing(GenerationState.SUCCEEDED)), 1),
            "and asked": (stop_asking(hear(hearing(GenerationState.SUCCEEDED))), 0),
            "a lost link": (lose_link(DELIVERED, 0, PLAIN_DIGEST, RENDERABLE), 1),
            "and its provider asked": (
                stop_asking(lose_link(DELIVERED, 0, PLAIN_DIGEST, RENDERABLE)),
                0,
            ),
            "a passing loss, and its provider asked": (
                stop_asking(lose_link(DELIVERED, 0, PLAIN_DIGEST, TRANSIENT)),
                0,
            ),
            "a fresh link lost after that": (
                lose_link(
                    hear(
                        hearing(url=SIGNED_URL),
                        known=stop_asking(lose_link(DELIVERED, 0, PLAIN_DIGEST, RENDERABLE)),
                    ),
                    0,
                    url_sha256(SIGNED_URL),
                    RENDERABLE,
                ),
                1,
            ),
            "failed": (hear(failed()), 0),
            "given up": (lose(hear(hearing(GenerationState.RUNNING)), RENDERABLE), 0),
            "archived": (archive(DELIVERED, 0, asset()), 0),
        }.values(),
    )
    def test_what_a_slot_lacks_is_asked_for_once(self, generation: Generation, polls: int) -> None:
        """Once for each link that was lost; and nothing is asked where nothing can come."""
        jobs = [job for job in plan(numbered(generation)) if job.kind is JobKind.POLL]

        assert len(jobs) == polls

    def test_an_original_is_fetched_even_for_a_drawn_slot(self) -> None:
        """What was drawn is a stopgap: a live link of the original is still worth fetching."""
        for drawn in (asset(Origin.FALLBACK), FLAGGED_ASSET):
            jobs = undecorated(plan(numbered(archive(DELIVERED, 0, drawn))))

            assert [job.kind for job in jobs] == [JobKind.FETCH, JobKind.SEAL]

    def test_the_link_that_lives_longest_is_tried_first(self) -> None:
        """And when that one is lost, the next."""
        shorter = hearing(url=SIGNED_URL)
        longer = hearing(url=PLAIN_URL, received_at=RECEIVED_AT + timedelta(hours=1))
        known = hear(shorter, longer)
        (first,) = plan(numbered(known))
        (second,) = plan(numbered(lose_link(known, 0, PLAIN_DIGEST, DEAD)))

        assert [PLAIN_DIGEST.hex(), url_sha256(SIGNED_URL).hex()] == [first.target, second.target]

    @given(HEARINGS, HISTORIES)
    def test_every_live_link_is_fetched_in_its_time(
        self, first: Hearing, history: list[Event]
    ) -> None:
        """One fetch for each slot with a live link and no original, by that link's own expiry."""
        known = numbered(happen(hear(first), *history))
        wanted = {
            slot.number: (link.url_sha256.hex(), link.host, link.expires_at)
            for slot in known.slots
            if (link := leading_link(slot)) and slot.state is not SlotState.ARCHIVED
        }
        fetches = [job for job in plan(known) if job.kind is JobKind.FETCH]

        assert wanted == {job.subject: (job.target, job.host, job.deadline_at) for job in fetches}
        assert len(wanted) == len(fetches)

    @given(HEARINGS, HISTORIES)
    def test_wanting_again_wants_the_same(self, first: Hearing, history: list[Event]) -> None:
        """One job for each kind and subject, and the same jobs after any of it is heard again."""
        known = numbered(happen(hear(first), *history))
        jobs = plan(known)
        heard = [event for event in (first, *history) if isinstance(event, Hearing)]

        assert len(jobs) == len({(job.kind, job.subject) for job in jobs})
        assert jobs == plan(happen(known, *heard))

    @pytest.mark.parametrize(
        "generation", [DELIVERED, replace(DELIVERED, key=7)], ids=["no key", "no numbers"]
    )
    def test_numbers_come_first(self, generation: Generation) -> None:
        """A plan before the catalog has given numbers would name nothing."""
        with pytest.raises(AssertionError):
            plan(generation)
