"""What was heard: how far each inbox is absorbed, and who said what."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from archiver.catalog import Tables
from archiver.models import Delivery, DeliveryRef, Heard
from tests.archiver.generated import linked
from tests.clocks import NOON, FrozenClock

REF = DeliveryRef(inbox="inbox-a", position=7)
DELIVERY = Delivery(
    ref=REF,
    source="doitong",
    heard=Heard.PUSHED,
    path_token="",
    received_at=NOON,
    peer="192.0.2.7",
    verified_by="2026-11",
    headers=(),
    body=b"{}",
)


@pytest.fixture
def generation(tables: Tables) -> int:
    """The key of a generation that can be spoken of."""
    key = tables.generations.save(None, linked("1")).key
    assert key is not None
    return key


def test_a_position_only_grows(tables: Tables) -> None:
    """Each inbox has one of its own, and absorbing something again does not turn it back."""
    steps = [("a", 3), ("a", 9), ("a", 5), ("b", 1)]
    reached = []
    for inbox, position in steps:
        tables.deliveries.advance(inbox, position)
        reached.append((tables.deliveries.position("a"), tables.deliveries.position("b")))
    assert reached == [(3, 0), (9, 0), (9, 0), (9, 1)]


def test_who_spoke_of_a_generation_is_told_oldest_first(tables: Tables, generation: int) -> None:
    """The story tells the deliveries in the order in which they were heard, each once."""
    other = tables.generations.save(None, linked("2")).key
    assert other is not None
    for position, seconds, state in ((1, 30, "running"), (2, 10, "queued"), (3, 10, "queued")):
        heard_at = NOON + timedelta(seconds=seconds)
        ref = DeliveryRef(inbox="inbox-a", position=position)
        told = replace(DELIVERY, ref=ref, received_at=heard_at)
        tables.deliveries.observed([(told, generation, state)])
        tables.deliveries.observed([(told, generation, "succeeded" if position == 1 else state)])
    tables.deliveries.observed([(DELIVERY, other, "failed")])
    story = [(it.ref.position, it.state, it.heard) for it in tables.deliveries.of(generation)]
    pushed = Heard.PUSHED
    assert story == [(2, "queued", pushed), (3, "queued", pushed), (1, "succeeded", pushed)]


def test_one_delivery_may_speak_of_several_generations(tables: Tables, generation: int) -> None:
    """Each of them tells it in its own story."""
    other = tables.generations.save(None, linked("2")).key
    assert other is not None
    for key in (generation, other):
        tables.deliveries.observed([(DELIVERY, key, "succeeded")])
    refs = [[it.ref for it in tables.deliveries.of(key)] for key in (generation, other)]
    assert refs == [[REF], [REF]]


def test_what_was_not_understood_is_counted_until_it_is(tables: Tables) -> None:
    """A delivery is set aside once, with its newest reason, until it is understood."""
    counts = [tables.deliveries.count_unparsed()]
    for reason in ("not JSON", "still not JSON"):
        tables.deliveries.unparsed(DELIVERY, reason)
        counts.append(tables.deliveries.count_unparsed())
    rows = tables.connection.execute("SELECT * FROM unparsed").fetchall()
    tables.deliveries.understood([DELIVERY.ref])
    counts.append(tables.deliveries.count_unparsed())
    assert counts == [0, 1, 1, 0]
    assert rows == [("inbox-a", 7, "doitong", "still not JSON", round(NOON.timestamp() * 1000))]


def test_replays_are_done_in_the_order_of_asking(tables: Tables) -> None:
    """Each is struck off by itself; the same delivery may be asked for twice."""
    refs = [DeliveryRef(inbox="inbox-a", position=position) for position in (9, 2, 2, 5)]
    tables.deliveries.ask_replay(refs, now=NOON)
    asked = tables.deliveries.replays(limit=9)
    assert refs == [replay.ref for replay in asked]
    assert asked[:2] == tables.deliveries.replays(limit=2)
    tables.deliveries.replayed(asked[1])
    assert [asked[0], *asked[2:]] == tables.deliveries.replays(limit=9)


def test_a_role_gives_signs_of_life(tables: Tables) -> None:
    """The newest sign counts, per role."""
    clock = FrozenClock()
    assert tables.deliveries.last_beat_at("archive") is None
    for role in ("archive", "web", "archive"):
        tables.deliveries.beat(role, now=clock.advance(seconds=5))
    beats = [tables.deliveries.last_beat_at(role) for role in ("archive", "web")]
    assert [NOON + timedelta(seconds=15), NOON + timedelta(seconds=10)] == beats
