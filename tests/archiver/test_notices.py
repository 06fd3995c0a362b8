"""What is told of a generation, and when: by the law, and in the tables."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.catalog import Tables
from archiver.catalog.leases import MAX_CRASHES
from archiver.ledger import keep
from archiver.lifecycle import SETTLED, archive, settle
from archiver.models import Generation, GenerationState, Origin, Slot, SlotState
from archiver.notices import Event, event_of, message_body, message_id
from archiver.orders import ORDERS
from archiver.tombstone import emptied
from archiver.work import JobKind, JobState
from tests.archiver.heard import (
    DELIVERED,
    HEARINGS,
    PLAIN_URL,
    REQUEST,
    asset,
    failed,
    hear,
    hearing,
    numbered,
)
from tests.clocks import NOON

ALL = tuple(Event)
SAFE = archive(DELIVERED, 0, asset())
LOST = hear(failed())


def with_states(*states: SlotState, state: GenerationState) -> Generation:
    """A generation whose outputs stand so."""
    slots = tuple(Slot(index=index, state=it) for index, it in enumerate(states))
    return replace(DELIVERED, state=state, slots=slots)


A, R, H, D, L, E = (
    SlotState.ARCHIVED,
    SlotState.RENDERED,
    SlotState.HELD,
    SlotState.DEAD,
    SlotState.LINKED,
    SlotState.EXPECTED,
)


class TestEvent:
    """How a generation stands, in one word."""

    @pytest.mark.parametrize(
        ("states", "event"),
        [
            ((A,), Event.SAFE),
            ((A, R), Event.SAFE),
            ((A, H), Event.HELD),
            ((H, D, A), Event.LOST),
            ((D,), Event.LOST),
            ((A, L), None),
            ((D, E), None),
            ((), None),
        ],
    )
    def test_is_the_worst_of_its_outputs(
        self, states: tuple[SlotState, ...], event: Event | None
    ) -> None:
        """And nothing at all while one of them may still change."""
        assert event_of(with_states(*states, state=GenerationState.SUCCEEDED)) is event

    @pytest.mark.parametrize("state", [GenerationState.QUEUED, GenerationState.RUNNING])
    def test_waits_for_the_provider(self, state: GenerationState) -> None:
        """Who is still at it may yet name more of them."""
        assert event_of(with_states(A, state=state)) is None

    def test_knows_nothing_of_pictures_that_were_sent(self) -> None:
        """A dead link of the client's own picture loses nothing of what was ordered."""
        sent = Slot(index=-5, role="init_image", state=D)
        assert event_of(replace(SAFE, slots=(sent, *SAFE.slots))) is Event.SAFE

    @pytest.mark.parametrize(
        ("states", "forgotten", "event"),
        [
            ((A, R), {1}, Event.SAFE),
            ((A, D), {1}, Event.SAFE),
            ((D, D), {0}, Event.LOST),
            ((A, H), {0}, Event.HELD),
            ((A, L), {1}, Event.SAFE),
            ((A, L), {0}, None),
            ((A, D), {0, 1}, None),
        ],
    )
    def test_knows_nothing_of_what_was_forgotten(
        self, states: tuple[SlotState, ...], forgotten: set[int], event: Event | None
    ) -> None:
        """Nothing was lost by it; the other outputs decide, and only they are named."""
        before = with_states(*states, state=GenerationState.SUCCEEDED)
        gone = emptied(before, forgotten).slots
        after = replace(
            before,
            slots=tuple(gone[it.index] if it.index in forgotten else it for it in before.slots),
        )
        assert event_of(after) is event
        message = json.loads(message_body(after, Event.SAFE, NOON, gallery_url=""))
        named = {slot["slot"] for slot in message["data"]["slots"]}
        assert named == {it.index for it in before.slots} - forgotten

    @given(st.lists(HEARINGS, min_size=1, max_size=4))
    def test_is_never_told_of_what_may_still_come(self, hearings: list) -> None:
        """Whatever is heard: whoever is told has no output that still waits."""
        generation = hear(*hearings)
        outputs = [slot for slot in generation.slots if not slot.role]
        if event_of(generation) is not None:
            assert {slot.state for slot in outputs} <= SETTLED
        if event_of(generation) is Event.SAFE:
            assert all(slot.assets for slot in outputs)


class TestMessage:
    """What is sent."""

    def test_says_what_a_receiver_needs(self) -> None:
        """No link of the provider's, no prompt; where it stands in the gallery."""
        body = message_body(
            replace(numbered(SAFE), track_id="t1"),
            Event.SAFE,
            NOON,
            gallery_url="https://archive.example/",
        )
        assert json.loads(body) == {
            "type": "generation.safe",
            "timestamp": "2026-11-21T12:00:00.000Z",
            "data": {
                "provider": "doitong",
                "id": "abc",
                "track_id": "t1",
                "slots": [
                    {
                        "number": 100,
                        "slot": 0,
                        "state": "archived",
                        "reason": "the provider's picture is in the bucket",
                        "link": "https://archive.example/assets/100",
                    }
                ],
            },
        }
        assert b"https" not in message_body(numbered(SAFE), Event.SAFE, NOON, gallery_url="")

    def test_has_one_id_for_ever(self) -> None:
        """Whatever catalog it stands in, and another for every other event and generation."""
        ids = {
            message_id(generation, event)
            for generation in (SAFE, replace(SAFE, id="abd"), replace(SAFE, provider="d"))
            for event in Event
        }
        assert len(ids) == 9
        assert message_id(numbered(SAFE), Event.SAFE) == message_id(SAFE, Event.SAFE)
        assert message_id(SAFE, Event.SAFE) == "msg_f579be48782f9f8e178723f09aec8ae6"


def waiting(tables: Tables) -> list[tuple[str, str]]:
    """The notify jobs, by event, with their states."""
    return tables.connection.execute(
        "SELECT target, state FROM jobs WHERE kind = 'notify' ORDER BY id"
    ).fetchall()


def finish(tables: Tables, state: JobState) -> None:
    """Somebody has performed the one that waits."""
    (job,) = tables.jobs.claim(JobKind.NOTIFY, limit=9, worker="w", lease_seconds=9, now=NOON)
    tables.jobs.finish(job, state, now=NOON)


class TestNotes:
    """In the transaction in which a generation comes to stand so, and in no other."""

    def test_nothing_while_nobody_wants_to_know(self, tables: Tables) -> None:
        """No row at all."""
        keep(tables, None, SAFE, now=NOON)
        assert waiting(tables) == []
        assert tables.connection.execute("SELECT count(*) FROM notices").fetchone() == (0,)

    def test_each_event_once(self, tables: Tables) -> None:
        """However often the same is kept; another event is another message."""
        tables.notices.want(ALL)
        linked = keep(tables, None, DELIVERED, now=NOON)
        assert waiting(tables) == []
        safe = keep(tables, linked, archive(linked, 0, asset()), now=NOON)
        assert waiting(tables) == [("safe", "available")]
        finish(tables, JobState.COMPLETED)
        safe = keep(tables, safe, replace(safe, track_id="t"), now=NOON)
        keep(tables, safe, safe, now=NOON)
        more = hear(hearing(slots=(), failure=None), known=safe)
        assert more == safe
        assert waiting(tables) == [("safe", "completed")]

    def test_what_was_so_before_is_no_news(self, tables: Tables) -> None:
        """An archive of old pictures stays silent when somebody begins to listen."""
        safe = keep(tables, None, SAFE, now=NOON)
        tables.notices.want(ALL)
        keep(tables, safe, replace(safe, track_id="t"), now=NOON)
        assert waiting(tables) == []

    def test_only_what_is_wanted(self, tables: Tables) -> None:
        """As `notify.events` says."""
        tables.notices.want([Event.LOST])
        keep(tables, None, SAFE, now=NOON)
        assert waiting(tables) == []
        keep(tables, None, replace(LOST, id="other"), now=NOON)
        assert waiting(tables) == [("lost", "available")]

    def test_a_generation_that_goes_on_has_another_word_said_of_it(self, tables: Tables) -> None:
        """Lost, and then saved by a late link: both are told, and neither again."""
        tables.notices.want(ALL)
        lost = keep(tables, None, LOST, now=NOON)
        finish(tables, JobState.COMPLETED)
        linked = keep(tables, lost, hear(hearing(url=PLAIN_URL), known=lost), now=NOON)
        keep(tables, linked, archive(linked, 0, asset()), now=NOON)
        assert waiting(tables) == [("lost", "completed"), ("safe", "available")]

    @pytest.mark.parametrize(
        ("came_to", "then"),
        [
            (JobState.COMPLETED, "completed"),
            (JobState.DISCARDED, "discarded"),
            (JobState.CANCELLED, "available"),
        ],
    )
    def test_what_is_so_again_was_told_unless_it_was_not(
        self, tables: Tables, came_to: JobState, then: str
    ) -> None:
        """A message that was overtaken reached nobody, so it is sent when it is true again."""
        tables.notices.want(ALL)
        held = keep(tables, None, hear(REQUEST, failed()), now=NOON)
        assert event_of(held) is Event.HELD
        finish(tables, came_to)
        linked = keep(tables, held, hear(hearing(url=PLAIN_URL), known=held), now=NOON)
        assert event_of(linked) is None
        keep(tables, linked, settle(replace(held, revision=linked.revision)), now=NOON)
        assert waiting(tables) == [("held", then)]

    def test_what_nobody_wants_any_more_is_taken_back(self, tables: Tables) -> None:
        """Whoever switches this off, and on again a month later, is not told of that month."""
        tables.notices.want(ALL)
        keep(tables, None, SAFE, now=NOON)
        keep(tables, None, replace(LOST, id="other"), now=NOON)
        tables.notices.want([Event.LOST])
        assert tables.notices.take_back(now=NOON) == 1
        assert waiting(tables) == [("safe", "cancelled"), ("lost", "available")]


class TestCrashes:
    """A message that killed whoever sent it."""

    def test_are_forgiven_when_the_service_starts(self, tables: Tables) -> None:
        """It is tried as if for the first time; what a person holds stays held."""
        tables.notices.want(ALL)
        for name in ("one", "other"):
            keep(tables, None, replace(SAFE, id=name), now=NOON)
        (held,) = tables.connection.execute("SELECT max(id) FROM jobs").fetchone()
        ORDERS["hold"](tables, held, now=NOON)
        for crash in range(MAX_CRASHES):
            now = NOON + timedelta(hours=crash)
            tables.jobs.promote(now=now)
            tables.jobs.claim(JobKind.NOTIFY, limit=9, worker="w", lease_seconds=9, now=now)
            tables.jobs.recover(now=now + timedelta(seconds=10))
        assert waiting(tables) == [("safe", "held"), ("safe", "held")]
        tables.notices.free()
        assert waiting(tables) == [("safe", "available"), ("safe", "held")]
        later = NOON + timedelta(days=9)
        (job,) = tables.jobs.claim(JobKind.NOTIFY, limit=9, worker="w", lease_seconds=9, now=later)
        assert (job.attempts, job.first_attempt_at) == (1, later)


class TestOrders:
    """A person's word about a message."""

    def order(self, tables: Tables, name: str) -> str:
        (number,) = tables.connection.execute(
            "SELECT id FROM jobs WHERE kind = 'notify'"
        ).fetchone()
        line = tables.orders.get(number)
        assert line is not None
        assert (line.provider, line.generation_id) == ("doitong", "abc")
        return ORDERS[name](tables, number, now=NOON)

    def test_a_dead_letter_is_sent_again(self, tables: Tables) -> None:
        """And so is one that had arrived."""
        tables.notices.want(ALL)
        keep(tables, None, SAFE, now=NOON)
        for state in (JobState.DISCARDED, JobState.COMPLETED):
            finish(tables, state)
            assert self.order(tables, "retry") == ""
            assert waiting(tables) == [("safe", "available")]

    def test_what_is_no_longer_so_is_not(self, tables: Tables) -> None:
        """Nor what nobody wants to know."""
        tables.notices.want(ALL)
        lost = keep(tables, None, LOST, now=NOON)
        finish(tables, JobState.DISCARDED)
        keep(tables, lost, hear(hearing(url=PLAIN_URL), known=lost), now=NOON)
        assert "not lost any more" in self.order(tables, "retry")
        tables.notices.want(())
        assert "notify.events does not name it" in self.order(tables, "retry")

    def test_one_may_be_held_released_and_cancelled(self, tables: Tables) -> None:
        """As any other job."""
        tables.notices.want(ALL)
        keep(tables, None, SAFE, now=NOON)
        for name, state in (("hold", "held"), ("release", "available"), ("cancel", "cancelled")):
            assert self.order(tables, name) == ""
            assert waiting(tables) == [("safe", state)]


# Only in a file do numbers begin at 1 for each test.
@pytest.mark.parametrize("tables", ["sqlite"], indirect=True)
def test_what_is_forgotten_is_told_to_nobody(tables: Tables) -> None:
    """Its notices and their jobs vanish; those do not whose numbers are other generations' keys."""
    tables.notices.want(ALL)
    quiet = keep(tables, None, replace(DELIVERED, id="quiet"), now=NOON)
    other = keep(tables, None, replace(LOST, id="other"), now=NOON)
    safe = keep(tables, None, SAFE, now=NOON)
    for generation in (quiet, safe):
        assert not tables.forgetting.is_worked_on(generation, now=NOON)
        tables.forgetting.generation(generation)
    assert waiting(tables) == [("lost", "available")]
    assert tables.notices.get(1) is not None
    assert tables.notices.get(2) is None
    assert not tables.forgetting.is_worked_on(other, now=NOON)
    (job,) = tables.jobs.claim(JobKind.NOTIFY, limit=9, worker="w", lease_seconds=9, now=NOON)
    assert job.subject == 1
    assert tables.forgetting.is_worked_on(other, now=NOON)


def test_what_was_drawn_counts_as_safe() -> None:
    """A picture is there, whoever drew it."""
    lost = hear(REQUEST, failed())
    assert event_of(archive(lost, 0, asset(Origin.FALLBACK))) is Event.SAFE
