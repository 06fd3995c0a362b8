"""Where a slot stands: one reading of the facts, whatever led to them."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.drawing import drawn_from
from archiver.lifecycle import (
    NO_RENDERER,
    NOT_DRAWN,
    SLOT_LAW,
    Facts,
    archive,
    lose_link,
    refuse,
    release_links,
    settle,
    stop_asking,
    withheld,
)
from archiver.links import url_sha256
from archiver.models import (
    Failure,
    FailureClass,
    Generation,
    GenerationState,
    Origin,
    SlotObservation,
    SlotState,
    Undrawn,
)
from archiver.planning import plan
from archiver.work import JobKind
from tests.archiver.heard import (
    DEAD,
    DELIVERED,
    FLAGGED_ASSET,
    HEARINGS,
    OPERATOR,
    PLAIN_DIGEST,
    PLAIN_URL,
    POLICY,
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
    only_slot,
)
from tests.archiver.histories import (
    HISTORIES,
    Event,
    Stored,
    happen,
)

LOST = hear(failed(RENDERABLE), REQUEST)

# One way into each row of the law, by the row's own reason; and the reason given in full.
ROWS: dict[str, tuple[Generation, SlotState, str]] = {
    "the provider's picture is in the bucket": (
        archive(archive(DELIVERED, 0, asset(Origin.FALLBACK)), 0, asset(Origin.PROVIDER)),
        SlotState.ARCHIVED,
        "",
    ),
    "flagged by the safety checker": (
        archive(hear(failed(RENDERABLE), REQUEST), 0, FLAGGED_ASSET),
        SlotState.HELD,
        "",
    ),
    "drawn by the fallback renderer": (
        archive(hear(failed(RENDERABLE), REQUEST), 0, asset(Origin.FALLBACK)),
        SlotState.RENDERED,
        "",
    ),
    "a link is known and being fetched": (
        hear(hearing(GenerationState.FAILED, url=PLAIN_URL, failure=POLICY)),
        SlotState.LINKED,
        "",
    ),
    "its link is lost, and the provider is asked for another": (
        lose_link(DELIVERED, 0, PLAIN_DIGEST, RENDERABLE),
        SlotState.EXPECTED,
        "",
    ),
    "waiting for the provider": (
        hear(hearing(slots=(SlotObservation(index=0, failure=TRANSIENT),))),
        SlotState.EXPECTED,
        "",
    ),
    "moderation, never drawn": (
        hear(failed(POLICY), REQUEST),
        SlotState.HELD,
        ": nsfw",
    ),
    "needs the operator": (hear(failed(OPERATOR)), SlotState.HELD, ": 402"),
    "can neither be fetched nor drawn": (
        lose_link(DELIVERED, 0, PLAIN_DIGEST, DEAD),
        SlotState.DEAD,
        ": one terabyte",
    ),
    "not drawn": (
        refuse(LOST, 0, Undrawn(target=drawn_from(LOST), reason="no checkpoint")),
        SlotState.HELD,
        ": no checkpoint",
    ),
    "no renderer": (
        stop_asking(lose_link(DELIVERED, 0, PLAIN_DIGEST, RENDERABLE)),
        SlotState.HELD,
        ": 410 Gone",
    ),
    "lost, and no prompt is known to draw it from": (hear(failed()), SlotState.DEAD, ""),
}


def stands(facts: Facts) -> SlotState:
    """The law once more, in other words."""
    if facts.original:
        return SlotState.ARCHIVED
    if facts.drawn:
        return SlotState.HELD if facts.flagged else SlotState.RENDERED
    if facts.live_link or facts.askable:
        return SlotState.LINKED if facts.live_link else SlotState.EXPECTED
    match facts.failure_class:
        case None | FailureClass.TRANSIENT:
            return SlotState.EXPECTED
        case FailureClass.POLICY | FailureClass.OPERATOR:
            return SlotState.HELD
        case FailureClass.RENDERABLE if facts.drawable:
            return SlotState.HELD
    return SlotState.DEAD


SWITCHES = [field.name for field in fields(Facts) if field.name != "failure_class"]


class TestSlotLaw:
    """Where a slot stands is read off its facts."""

    @pytest.mark.parametrize(("generation", "state", "why"), ROWS.values(), ids=ROWS)
    def test_each_row(
        self,
        generation: Generation,
        state: SlotState,
        why: str,
        request: pytest.FixtureRequest,
    ) -> None:
        """Each row is reached by what can really happen, and gives its reason."""
        because = request.node.callspec.id
        slot = only_slot(generation)

        assert (state, because + why) == (slot.state, slot.reason)

    def test_every_row_is_shown(self) -> None:
        """The table above leaves no row of the law out."""
        assert [rule.because for rule in SLOT_LAW] == list(ROWS)

    @pytest.mark.parametrize("failure_class", [None, *FailureClass])
    def test_of_all_facts_the_best_one_rules(self, failure_class: FailureClass | None) -> None:
        """Bytes outrank links, links outrank losses; drawing needs leave and a prompt."""
        for switches in product((False, True), repeat=len(SWITCHES)):
            facts = Facts(failure_class=failure_class, **dict(zip(SWITCHES, switches, strict=True)))
            rule = next(rule for rule in SLOT_LAW if rule.when(facts))

            assert stands(facts) is rule.state, facts

    @given(HEARINGS, HISTORIES)
    def test_a_slot_stands_by_one_row(self, first: Hearing, history: list[Event]) -> None:
        """After anything at all, every slot is where the law puts it, and its reason says so."""
        known = happen(hear(first), *history)

        assert settle(known) == known
        for slot in known.slots:
            rows = [
                rule
                for rule in SLOT_LAW
                if rule.state is slot.state and slot.reason.startswith(rule.because)
            ]
            assert len(rows) == 1, slot

    @given(HEARINGS, HISTORIES, st.integers(0, 3), HISTORIES)
    def test_archived_is_for_ever(
        self,
        first: Hearing,
        before: list[Event],
        index: int,
        after: list[Event],
    ) -> None:
        """Once the provider's picture is in the bucket, nothing heard or done moves its slot."""
        known = happen(hear(first), *before)
        safe = happen(known, Stored(index, Origin.PROVIDER))
        slot, later = safe.slot(index), happen(safe, *after).slot(index)

        if slot is not None:
            assert later is not None
            assert (slot.state, later.state) == (SlotState.ARCHIVED, SlotState.ARCHIVED)
            assert later.leading_asset == slot.leading_asset
            assert slot.leading_asset is not None
            assert Origin.PROVIDER is slot.leading_asset.origin

    def test_the_first_picture_of_a_kind_stays(self) -> None:
        """A second original, say of a job done twice, replaces nothing."""
        first, second = asset(), replace(asset(), blob_key="another")
        slot = only_slot(archive(archive(DELIVERED, 0, first), 0, second))

        assert (first,) == slot.assets

    def test_an_original_leads_over_what_was_drawn(self) -> None:
        """`rendered` becomes `archived` when the original arrives after all; both stay."""
        drawn = archive(DELIVERED, 0, asset(Origin.FALLBACK))
        both = only_slot(archive(drawn, 0, asset(Origin.PROVIDER)))

        assert SlotState.RENDERED is only_slot(drawn).state
        assert (both.state, len(both.assets)) == (SlotState.ARCHIVED, 2)
        assert both.leading_asset == asset(Origin.PROVIDER)

    def test_a_flagged_drawing_is_held_until_the_original_comes(self) -> None:
        """Also while its link is being fetched, for until then there is nothing else to show."""
        flagged = archive(LOST, 0, FLAGGED_ASSET)
        linked = hear(hearing(url=PLAIN_URL), known=flagged)
        both = archive(linked, 0, asset(Origin.PROVIDER))

        assert [only_slot(it).state for it in (flagged, linked, both)] == [
            SlotState.HELD,
            SlotState.HELD,
            SlotState.ARCHIVED,
        ]
        assert [withheld(it, only_slot(it)) for it in (flagged, linked, both)] == [
            "flagged by the safety checker",
            "flagged by the safety checker",
            None,
        ]
        assert withheld(LOST, only_slot(LOST)) is None

    def test_a_picture_unsays_a_refusal(self) -> None:
        """What was drawn after all is not called undrawn."""
        undrawn = Undrawn(target=drawn_from(LOST), reason="no checkpoint")
        drawn = archive(refuse(LOST, 0, undrawn), 0, asset(Origin.FALLBACK))

        assert (only_slot(drawn).state, only_slot(drawn).undrawn) == (SlotState.RENDERED, None)

    def test_nothing_leads_where_nothing_is(self) -> None:
        """A slot without pictures has no leading one."""
        assert only_slot(DELIVERED).leading_asset is None

    @pytest.mark.parametrize("bad_end", [DEAD, RENDERABLE, OPERATOR])
    def test_a_fresher_link_is_a_rescue(self, bad_end: Failure) -> None:
        """A dead or held slot is linked again by a redelivery with another URL, not by the same."""
        lost = lose_link(hear(hearing(url=PLAIN_URL)), 0, PLAIN_DIGEST, bad_end)
        again = hear(hearing(url=PLAIN_URL, position=2), known=lost)
        rescued = hear(hearing(url=SIGNED_URL, position=2), known=lost)

        assert SlotState.LINKED is not only_slot(lost).state
        assert lost == again
        assert SlotState.LINKED is only_slot(rescued).state

    def test_losing_an_unknown_link_changes_nothing(self) -> None:
        """An outcome for a link or slot that is not there is void."""
        assert lose_link(DELIVERED, 0, url_sha256(SIGNED_URL), DEAD) == DELIVERED
        assert lose_link(DELIVERED, 1, PLAIN_DIGEST, DEAD) == DELIVERED
        assert archive(DELIVERED, 1, asset()) == DELIVERED

    def test_only_what_waits_for_the_operator_is_released(self) -> None:
        """A link from a host not allowed is tried again after a start; one that is gone is not."""
        known = hear(hearing(url=PLAIN_URL), hearing(url=SIGNED_URL, position=2))
        lost = lose_link(known, 0, PLAIN_DIGEST, RENDERABLE)
        held = lose_link(lost, 0, url_sha256(SIGNED_URL), OPERATOR)

        assert SlotState.HELD is only_slot(held).state
        assert lost == release_links(held)

    def test_a_provider_that_canceled_is_not_replaced(self) -> None:
        """What the user canceled is dead, whether or not it could be drawn."""
        slot = only_slot(hear(REQUEST, hearing(GenerationState.CANCELED)))

        assert SlotState.DEAD is slot.state
        assert slot.reason == "can neither be fetched nor drawn: canceled at the provider"

    def test_a_success_after_all_forgives_the_failure(self) -> None:
        """`failed` and then `completed` is a success, waiting for its link or fetching it."""
        assert SlotState.EXPECTED is only_slot(hear(failed(DEAD), hearing())).state
        assert SlotState.LINKED is only_slot(hear(failed(DEAD), hearing(url=PLAIN_URL))).state


class TestModeration:
    """A moderation signal outranks everything but bytes already delivered."""

    @pytest.mark.parametrize("other", [OPERATOR, DEAD, RENDERABLE, TRANSIENT])
    def test_policy_wins(self, other: Failure) -> None:
        """Against any other failure, heard before or after, for the whole or for its slot."""
        of_the_slot = hearing(
            GenerationState.FAILED, slots=(SlotObservation(index=0, failure=other),)
        )
        for known in (
            hear(REQUEST, failed(other), failed(POLICY)),
            hear(REQUEST, failed(POLICY), of_the_slot),
        ):
            assert SlotState.HELD is only_slot(known).state
            assert only_slot(known).reason.startswith("moderation, never drawn")

    def test_one_flagged_slot_holds_the_others(self) -> None:
        """What failed beside a flagged picture is not drawn; what was delivered is fetched."""
        slots = (
            SlotObservation(index=0, failure=POLICY),
            SlotObservation(index=1, failure=RENDERABLE),
            SlotObservation(index=2, url=PLAIN_URL),
        )
        known = numbered(hear(REQUEST, hearing(GenerationState.PARTIAL, slots=slots)))

        assert [slot.state for slot in known.slots] == [
            SlotState.HELD,
            SlotState.HELD,
            SlotState.LINKED,
        ]
        assert [job.kind for job in plan(known)] == [JobKind.FETCH, JobKind.SEAL]

    @given(HEARINGS, HISTORIES, st.integers(0, 6), HEARINGS)
    def test_nothing_moderated_is_ever_drawn(
        self, first: Hearing, history: list[Event], at: int, flagged: Hearing
    ) -> None:
        """One signal at any time, for any slot, and no slot is planned for drawing."""
        observation = replace(flagged.observation, failure=POLICY)
        history = [*history[:at], flagged._replace(observation=observation), *history[at:]]
        known = numbered(happen(hear(first), *history))

        assert known.moderated
        assert not [job for job in plan(known) if job.kind is JobKind.RENDER]
        assert not [
            slot for slot in known.slots if slot.reason.startswith((NO_RENDERER, NOT_DRAWN))
        ]

    def test_what_was_drawn_before_is_not_shown(self) -> None:
        """Moderation may be heard when a picture is drawn already; the provider's own is shown."""
        drawn = archive(LOST, 0, asset(Origin.FALLBACK))
        moderated = hear(failed(POLICY), known=drawn)
        original = archive(moderated, 0, asset(Origin.PROVIDER))

        assert withheld(drawn, only_slot(drawn)) is None
        assert withheld(moderated, only_slot(moderated)) is not None
        assert withheld(original, only_slot(original)) is None
