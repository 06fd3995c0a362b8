"""What is heard of a generation joins: in any order, any number of times."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from archiver.lifecycle import GENERATION_RANK
from archiver.merging import MAX_SLOTS
from archiver.models import (
    DeliveryRef,
    GenerationParams,
    GenerationState,
    InputObservation,
    SlotObservation,
    SlotState,
)
from tests.archiver.heard import (
    DELIVERED,
    HEARINGS,
    LINK_LIFETIME,
    PLAIN_URL,
    RECEIVED_AT,
    REQUEST,
    SIGNED_URL,
    SIGNED_URL_DIES_AT,
    Hearing,
    hear,
    hearing,
    only_slot,
)
from tests.archiver.histories import (
    HISTORIES,
    OUTCOMES,
    Event,
    Outcome,
    happen,
    possible,
)


class TestMerge:
    """Whatever is heard, in whatever order, how often soever."""

    @settings(max_examples=250)
    @given(st.lists(HEARINGS, min_size=1, max_size=6), st.data())
    def test_order_and_repetition_do_not_matter(
        self, hearings: list[Hearing], data: st.DataObject
    ) -> None:
        """Any shuffling of the same hearings, some of them repeated, ends in the same."""
        repeated = data.draw(st.lists(st.sampled_from(hearings), max_size=4))
        shuffled = data.draw(st.permutations(hearings + repeated))

        assert hear(*hearings) == hear(*shuffled)

    def test_a_request_may_name_only_so_many_pictures(self) -> None:
        """However many roles it gives them: each would be a slot, and a row."""
        named = tuple(
            InputObservation(role=f"img{at}", url=f"{PLAIN_URL}?{at}") for at in range(99)
        )

        assert len(hear(hearing(inputs=named)).slots) == MAX_SLOTS + 1

    @given(HEARINGS, HISTORIES, HEARINGS)
    def test_twice_is_once(self, first: Hearing, history: list[Hearing], again: Hearing) -> None:
        """A redelivery changes nothing, whatever came before it."""
        once = happen(hear(first), *history, again)

        assert once == happen(once, again)

    @given(HEARINGS, HISTORIES, HEARINGS, OUTCOMES)
    def test_hearing_and_doing_do_not_care_which_was_first(
        self, first: Hearing, history: list[Event], heard: Hearing, done: Outcome
    ) -> None:
        """What our own work brought about joins with what is heard meanwhile."""
        known = happen(hear(first), *history)

        assume(possible(done, known))
        assert happen(known, heard, done) == happen(known, done, heard)

    @given(HEARINGS, HISTORIES)
    def test_a_state_never_falls(self, first: Hearing, history: list[Event]) -> None:
        """What outranks is never taken back, least of all a terminal state."""
        known = hear(first)
        for event in history:
            after = happen(known, event)
            assert GENERATION_RANK[after.state] >= GENERATION_RANK[known.state]
            known = after

    def test_late_news_is_no_news(self) -> None:
        """`processing` heard after `completed` leaves a success and its link alone."""
        late = hearing(GenerationState.RUNNING, position=2)

        assert hear(late, known=DELIVERED) == DELIVERED

    def test_the_earliest_times_are_kept(self) -> None:
        """When it was first heard of, made and completed, whichever delivery says so."""
        later = RECEIVED_AT + timedelta(hours=1)
        first = hearing(created_at=later, completed_at=RECEIVED_AT)
        second = hearing(created_at=RECEIVED_AT, completed_at=later, received_at=later)
        known = hear(second, first)

        assert (known.first_heard_at, known.created_at, known.completed_at) == (RECEIVED_AT,) * 3

    def test_a_request_completes_what_the_webhook_began(self) -> None:
        """The webhook knows the link, the request the prompt, and either may come first."""
        known = hear(hearing(url=PLAIN_URL), REQUEST)

        assert known == DELIVERED
        assert (known.params.prompt, known.state) == ("A lighthouse", GenerationState.SUCCEEDED)

    @pytest.mark.parametrize(
        ("samples", "expected"),
        [(None, 1), (0, 1), (-1, 1), (1, 1), (4, 4), (64, MAX_SLOTS), (10**9, MAX_SLOTS)],
    )
    def test_a_slot_is_expected_for_each_sample(self, samples: int | None, expected: int) -> None:
        """As many as were asked for, at least one, and never more than we could bear."""
        asked = hearing(slots=(), params=GenerationParams(samples=samples))

        assert list(range(expected)) == [slot.index for slot in hear(asked).slots]

    def test_a_slot_nobody_asked_for_is_taken_all_the_same(self) -> None:
        """A provider that delivers a third picture of two loses none of them."""
        third = SlotObservation(index=2, url=PLAIN_URL)
        asked = hearing(slots=(third,), params=GenerationParams(samples=2))

        assert [(slot.index, slot.state) for slot in hear(asked).slots] == [
            (0, SlotState.EXPECTED),
            (1, SlotState.EXPECTED),
            (2, SlotState.LINKED),
        ]
        assert hear(asked).slot(3) is None

    @pytest.mark.parametrize("url", [None, ""])
    def test_no_url_is_no_link(self, url: str | None) -> None:
        """An empty URL is how some providers write a slot that failed."""
        assert only_slot(hear(hearing(url=url))).links == ()


# When a link dies: (what was heard, in order, the deadline).
DEADLINES: dict[str, tuple[tuple[Hearing, ...], datetime]] = {
    "the URL says": ((hearing(url=SIGNED_URL),), SIGNED_URL_DIES_AT),
    "the URL says, however long ago it was": (
        (hearing(url=SIGNED_URL, received_at=RECEIVED_AT + timedelta(days=9)),),
        SIGNED_URL_DIES_AT,
    ),
    "a lifetime after it was received": (
        (hearing(url=PLAIN_URL),),
        RECEIVED_AT + LINK_LIFETIME,
    ),
    "a lifetime after it was completed": (
        (hearing(url=PLAIN_URL, completed_at=RECEIVED_AT - timedelta(hours=5)),),
        RECEIVED_AT - timedelta(hours=5) + LINK_LIFETIME,
    ),
    "a provider's clock that runs ahead is not believed": (
        (hearing(url=PLAIN_URL, completed_at=RECEIVED_AT + timedelta(hours=5)),),
        RECEIVED_AT + LINK_LIFETIME,
    ),
    "the same link heard again lives no longer": (
        (
            hearing(url=PLAIN_URL),
            hearing(url=PLAIN_URL, position=2, received_at=RECEIVED_AT + timedelta(hours=5)),
        ),
        RECEIVED_AT + LINK_LIFETIME,
    ),
}


@pytest.mark.parametrize(("hearings", "deadline"), DEADLINES.values(), ids=DEADLINES)
def test_a_link_has_one_deadline(hearings: tuple[Hearing, ...], deadline: datetime) -> None:
    """What the URL says, else the provider's lifetime from the earliest sign of it; never none."""
    (link,) = only_slot(hear(*hearings)).links

    assert deadline == link.expires_at


def test_a_link_is_kept_where_it_was_heard_first() -> None:
    """One URL is one link, revealed by the earliest delivery that holds it."""
    links = only_slot(
        hear(hearing(url=PLAIN_URL, position=9), hearing(url=PLAIN_URL, position=3))
    ).links

    assert [DeliveryRef(inbox="inbox", position=3)] == [link.heard_in for link in links]
