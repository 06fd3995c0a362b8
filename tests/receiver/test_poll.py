"""Asking what nobody tells: every generation comes to an end, and nobody is asked for ever."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archiver import worker as worker_room
from archiver.catalog import Tables
from archiver.errors import LeaseLostError
from archiver.lifecycle import MAX_LOST_LINKS, has_ended
from archiver.models import GenerationState, Heard
from archiver.work import JobKind, JobState, WantedJob
from archiver.worker import Bench, Settle, Settled, Worker
from receiver import asking as room
from receiver.asking import NOT_POLLABLE
from receiver.pace import interval_seconds
from receiver.provider_tables import DashScope
from tests.archiver.heard import DEAD, OPERATOR, asset
from tests.archiver.origin import answer
from tests.clocks import NOON
from tests.receiver.deliveries import delivery
from tests.receiver.polling import (
    KEY,
    OTHER_KEY,
    House,
    link,
    open_house,
    spoken,
    task,
)

DASHSCOPE = {"keys": {"main": KEY}}
TIMEOUT = {"code": "InternalError.Timeout", "message": "timed out"}
UNKNOWN_TASK = {"output": {"task_id": "1", "task_status": "UNKNOWN"}}
UNKNOWN = spoken(UNKNOWN_TASK)
RUNNING = task("1", "RUNNING")
# Nobody waits for a turn in a simulated time: whose turn it is not comes again.
NO_PATIENCE = 0.001


@pytest.fixture(autouse=True)
def _simulated_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_PATIENCE_SECONDS", NO_PATIENCE)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """One that has a key of DashScope's and may ask as often as it likes."""
    async with open_house(tmp_path, dashscope={**DASHSCOPE, "asks_per_second": 1e9}) as house:
        yield house


async def ended(house: House, *results: Any, **parameters: Any) -> None:
    """Task 1 has ended with these results, and everybody knows."""
    await house.submitted("1", **parameters)
    house.says("1", task("1", "SUCCEEDED", *results))
    house.clock.advance(seconds=6)
    assert await house.poll_due() == ["told"]
    house.provider.requests.clear()


# What is told -------------------------------------------------------------------------------------


async def test_what_is_told_is_a_delivery_like_any_other(house: House) -> None:
    """It is in the inbox with its account, absorbed from there, and the key is in no file."""
    await house.submitted("1")
    house.says("1", task("1", "SUCCEEDED", link("a"), echoed=KEY))
    house.clock.advance(seconds=4)
    assert await house.poll_due() == []
    house.clock.advance(seconds=1)
    assert await house.poll_due() == ["told"]

    generation = await house.generation("1")
    heard = await house.catalog.write(lambda tables: tables.deliveries.of(generation.key or 0))
    assert [one.heard for one in heard] == [Heard.OVERHEARD, Heard.POLLED]
    assert generation.account == house.accounts.fingerprint("dashscope", KEY)
    assert (generation.state, generation.slots[0].state) == ("succeeded", "linked")
    assert (await house.job("1")).state == JobState.CANCELLED
    assert house.inboxes.reveal(generation.slots[0].links[0]) == link("a")
    assert f"Authorization: Bearer {KEY}" in house.provider.requests[0]
    assert KEY.encode() not in house.everything_kept()


async def test_no_news_is_asked_about_again_the_older_the_later(house: House) -> None:
    """An answer that says nothing new leaves no trace but the next question's time."""
    await house.submitted("1")
    house.says("1", RUNNING)
    house.clock.advance(seconds=6)
    assert await house.poll_due() == ["told"]  # it has begun
    for _ in range(3):
        due_at = await house.next_at()
        assert due_at is not None
        house.clock.at = due_at
        assert await house.poll_due() == ["no news"]
        age_seconds = (house.clock() - NOON).total_seconds()
        wait = timedelta(seconds=interval_seconds(age_seconds, 0.5))
        assert (await house.job("1")).run_at == house.clock() + wait
    assert house.polled() == 1


@pytest.mark.parametrize("absorb_is_quicker", [True, False])
@pytest.mark.parametrize("age_hours", [0.1, 30])
async def test_absorb_may_be_quicker_than_the_settling(
    house: House, absorb_is_quicker: bool, age_hours: float
) -> None:
    """Either order ends the same, however late the answer comes: one row, one question."""
    await house.submitted("1")
    house.says("1", task("1", "SUCCEEDED", link("a")))
    house.clock.advance(hours=age_hours)
    settles = await house.ask()
    if absorb_is_quicker:
        await house.absorb()
    await house.settle(*settles)
    await house.absorb()
    house.clock.advance(days=3)
    assert await house.poll_due() == []

    generation = await house.generation("1")
    assert (generation.state, generation.failure) == ("succeeded", None)
    assert generation.slots[0].state == "linked"
    assert house.rows("SELECT count(*) FROM jobs WHERE kind='poll'") == [(1,)]
    assert (house.asked, house.waiting()) == (1, 0)


# A lost link --------------------------------------------------------------------------------------


@pytest.mark.parametrize("absorb_is_quicker", [True, False])
async def test_a_fresh_link_is_asked_for_and_fetched(house: House, absorb_is_quicker: bool) -> None:
    """Whose links are lost is asked about at once, and another link rescues the slot."""
    await ended(house, link("a"))
    await house.lose("1")
    assert (await house.slot("1")).state == "expected"
    house.says("1", task("1", "SUCCEEDED", link("b")))
    settles = await house.ask()
    if absorb_is_quicker:
        await house.absorb()
    assert await house.settle(*settles) in (["told"], ["settled"])
    await house.absorb()

    assert (await house.slot("1")).state == "linked"
    assert house.rows("SELECT state FROM jobs WHERE kind='fetch'") == [("available",)]
    assert (house.asked, house.waiting()) == (1, 0)


async def test_a_link_lost_during_the_question_is_asked_for_at_once(house: House) -> None:
    """The answer under way was about another; both of one generation do not wait for seconds."""
    await ended(house, link("a"), link("b"))
    await house.lose("1", index=0)
    settles = await house.ask()
    await house.lose("1", index=1)
    assert await house.settle(*settles) == ["no news"]
    assert await house.poll_due() == ["settled"]
    assert {slot.state for slot in (await house.generation("1")).slots} == {"held"}


@pytest.mark.parametrize("prompted", [True, False])
async def test_the_same_link_again_is_no_other(house: House, prompted: bool) -> None:
    """Asked once, the provider has no other: the slot is drawable, or dead without a prompt."""
    if prompted:
        await ended(house, link("a"))
    else:
        said = {"task_id": "1", "task_status": "SUCCEEDED", "results": [{"url": link("a")}]}
        event = {
            "type": "dashscope:System:AsyncTaskFinish",
            "data": {**said, "contain_result": True, "output_result": {"output": said}},
        }
        await house.hear(delivery(json.dumps(event).encode(), source="dashscope"))
        house.says("1", task("1", "SUCCEEDED", link("a")))
    await house.lose("1")
    assert await house.poll_due() == ["settled"]

    slot = await house.slot("1")
    assert slot.state == ("held" if prompted else "dead")
    assert slot.reason.startswith("no renderer: 410 Gone" if prompted else "lost, and no prompt")
    job = await house.job("1")
    assert (job.state, job.reason) == (JobState.COMPLETED, "no other link")
    house.clock.advance(days=9)
    assert await house.poll_due() == []
    assert house.asked == 1


@pytest.mark.parametrize("failure", [DEAD, OPERATOR])
async def test_what_no_other_link_would_mend_is_not_asked_about(house: House, failure: Any) -> None:
    """Too large a picture, or one that the operator's setting forbids."""
    await ended(house, link("a"))
    await house.lose("1", failure)
    assert await house.poll_due() == []


async def test_links_signed_anew_in_every_answer_are_no_news(house: House) -> None:
    """What is archived or linked needs none, so what lacks one is asked for once, not for ever."""
    signatures = iter(range(10**6))

    def results() -> bytes:
        number = next(signatures)
        return task("1", "SUCCEEDED", link(f"a{number}"), link(f"b{number}"))

    await ended(house, link("a"), link("b"), n=4)  # and two that nobody speaks of
    await house.store("1", 0, asset())
    house.says("1", *[results() for _ in range(99)])
    await house.poll_for(days=3)

    states = [slot.state for slot in (await house.generation("1")).slots]
    assert states == ["archived", "linked", "held", "held"]
    assert (house.asked, house.waiting()) == (1, 0)


async def test_one_fresh_link_of_two_is_taken_and_the_other_given_up(house: House) -> None:
    """Each slot gets what the provider has for it."""
    await ended(house, link("a"), link("b"), n=2)
    await house.lose("1")
    house.says("1", task("1", "SUCCEEDED", link("a"), link("c")))
    await house.poll_for(days=3)

    states = [slot.state for slot in (await house.generation("1")).slots]
    assert states == ["held", "linked"]
    assert house.asked == 2


async def test_links_that_die_as_fast_as_they_are_given_come_to_an_end(house: House) -> None:
    """A provider that signs whatever it is asked for is believed a few times."""
    await ended(house, link("0"))
    house.says("1", *[task("1", "SUCCEEDED", link(str(number))) for number in range(1, 99)])
    await house.lose("1")
    await house.poll_for(days=3, meanwhile=lambda: house.lose("1"))

    slot = await house.slot("1")
    assert (slot.state, len(slot.links)) == ("held", MAX_LOST_LINKS)
    assert (house.asked, house.waiting()) == (MAX_LOST_LINKS - 1, 0)


# No end -------------------------------------------------------------------------------------------


async def test_what_the_provider_does_not_know_yet_may_still_come(house: House) -> None:
    """UNKNOWN says nothing, not even that it runs or whose it is, until its time is over."""
    await house.submitted("1", key=None)
    house.says("1", UNKNOWN)
    await house.poll_for(hours=23)

    generation = await house.generation("1")
    assert (generation.state, generation.account) == ("queued", None)
    assert (await house.job("1")).reason == "the provider knows no such generation"
    house.says("1", task("1", "SUCCEEDED", link("a")))
    await house.poll_for(hours=1)
    assert (await house.slot("1")).state == "linked"
    assert house.polled() == 1


@pytest.mark.parametrize("said", [UNKNOWN, RUNNING])
async def test_what_never_ends_is_lost_after_a_day(house: House, said: bytes) -> None:
    """It could then be drawn, with all that is known of its parameters; and it is asked seldom."""
    await house.submitted("1", n=2, seed=7, size="512*768")
    house.says("1", said)
    await house.poll_for(hours=23.5)
    assert (await house.generation("1")).state in (GenerationState.QUEUED, GenerationState.RUNNING)
    await house.poll_for(hours=1)

    generation = await house.generation("1")
    assert generation.state == GenerationState.LOST
    slots = generation.slots
    assert [slot.state for slot in slots] == ["held"] * 2
    assert slots[0].reason == "no renderer: no end was heard of in 24 hours"
    params = generation.params
    assert (params.prompt, params.seed, params.width, params.height) == ("a fox", 7, 512, 768)
    assert house.rows("SELECT DISTINCT state, reason FROM jobs WHERE kind='render'") == [
        ("available", "")
    ]
    asked = house.asked
    assert 20 < asked < 200
    await house.poll_for(days=9)
    assert (house.asked, house.waiting()) == (asked, 0)
    assert house.polled() <= 1


async def test_a_late_word_revives_what_was_lost(house: House) -> None:
    """A client that asks later, through the gateway, brings the pictures all the same."""
    await house.submitted("1")
    house.says("1", RUNNING)
    await house.poll_for(hours=25)
    assert (await house.generation("1")).state == GenerationState.LOST
    said = {
        "task_id": "1",
        "task_status": "SUCCEEDED",
        "contain_result": True,
        "output_result": {
            "output": {
                "task_id": "1",
                "task_status": "SUCCEEDED",
                "results": [{"url": link("a")}],
            }
        },
    }
    event = {"type": "dashscope:System:AsyncTaskFinish", "data": said}
    await house.hear(delivery(json.dumps(event).encode(), source="dashscope"))

    assert (await house.slot("1")).state == "linked"


@pytest.mark.parametrize(
    ("final", "slots"),
    [
        (task("1", "FAILED", **TIMEOUT), ["held", "held"]),
        (task("1", "FAILED", code="DataInspectionFailed", message="inappropriate"), ["held"] * 2),
        (task("1", "CANCELED"), ["dead", "dead"]),
        (task("1", "SUCCEEDED", link("a"), TIMEOUT), ["linked", "held"]),
        (task("1", "SUCCEEDED", link("a")), ["linked", "held"]),
        (
            task("1", "SUCCEEDED", link("a"), {"code": "Throttling", "message": "busy"}),
            ["linked", "held"],
        ),
        (
            task(
                "1",
                "SUCCEEDED",
                link("a"),
                {"code": "DataInspectionFailed", "message": "inappropriate"},
            ),
            ["linked", "held"],
        ),
    ],
    ids=["failed", "moderated", "canceled", "partial", "one of two", "busy", "partly moderated"],
)
async def test_every_end_ends_the_asking(house: House, final: bytes, slots: list[str]) -> None:
    """Whatever a slot still lacks then, it is asked about once more at the most."""
    await house.submitted("1", n=2)
    house.says("1", final)
    await house.poll_for(days=3)
    await house.lose("1")
    await house.poll_for(days=3)

    generation = await house.generation("1")
    assert slots[1:] == [slot.state for slot in generation.slots[1:]]
    assert {slot.state for slot in generation.slots} <= {"held", "dead"}
    assert house.asked <= 3
    assert house.waiting() == 0


# No answer ----------------------------------------------------------------------------------------


async def _hang_up(_: asyncio.StreamWriter) -> None:
    """Not a word."""


async def _break_off(writer: asyncio.StreamWriter) -> None:
    """Half of an answer."""
    writer.write(RUNNING[:-9])
    await writer.drain()


async def _never_end(writer: asyncio.StreamWriter) -> None:
    """More than anybody would read."""
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while not writer.is_closing():
        writer.write(b" " * 65536)
        await writer.drain()


async def _say_nothing(writer: asyncio.StreamWriter) -> None:
    """A connection that stays open."""
    while not writer.is_closing():
        await asyncio.sleep(0.01)


async def _trickle(writer: asyncio.StreamWriter) -> None:
    """A byte now and then, for ever."""
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while not writer.is_closing():
        writer.write(b" ")
        await asyncio.sleep(0.01)


NO_ANSWERS: dict[str, tuple[Any, str]] = {
    "500": (answer(500, b"oops"), "says nothing of it"),
    "500 in JSON": (spoken({"code": "InternalError", "message": "busy"}, 500), "says nothing"),
    "502 and a page": (answer(502, b"<html>Bad Gateway</html>"), "says nothing of it"),
    "200 and a page": (answer(200, b"<html>One moment</html>"), "says nothing of it"),
    "200 and no JSON": (answer(200, b"{"), "JSON"),
    "200 and nothing": (answer(200), ""),
    "302": (answer(302, b"", Location="http://169.254.169.254/"), ""),
    "another task's": (task("2", "SUCCEEDED", link("a")), "says nothing of it"),
    "the key is wrong": (spoken({"code": "InvalidApiKey", "message": "no"}, 401), "says nothing"),
    "an unknown encoding": (answer(200, b"x", Content_Encoding="br"), ""),
    "hung up": (_hang_up, "gave no answer"),
    "broken off": (_break_off, "broke off"),
    "endless": (_never_end, "is larger than"),
    "silent": (_say_nothing, "no answer"),
    "trickling": (_trickle, "broke off (TimeoutError)"),
}


@pytest.mark.parametrize("name", NO_ANSWERS)
async def test_no_answer_is_no_end(
    house: House, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked again, with the reason in the job's row, and the next answer counts."""
    monkeypatch.setattr(room, "_MAX_ANSWER_BYTES", 1 << 20)
    monkeypatch.setattr(room, "_SILENCE_SECONDS", 0.2)
    monkeypatch.setattr(room, "_ANSWER_SECONDS", 0.5)
    script, reason = NO_ANSWERS[name]
    await house.submitted("1")
    house.says("1", script)
    house.clock.advance(seconds=6)
    async with asyncio.timeout(20):
        assert await house.poll_due() == ["unanswered"]
    job = await house.job("1")
    assert reason in job.reason
    assert job.reason
    assert "tasks" not in job.reason
    monkeypatch.undo()
    house.says("1", task("1", "SUCCEEDED", link("a")))
    await house.poll_for(seconds=10)
    assert (await house.slot("1")).state == "linked"
    assert house.waiting() == 0


async def test_nobody_at_the_address(house: House) -> None:
    """A provider that cannot be reached at all is asked again, and given up after a day of it."""
    await house.submitted("1")
    nowhere = DashScope(base_url="http://127.0.0.1:1", keys={"main": KEY}, asks_per_second=1e9)
    house.poll = replace(house.poll, asking=replace(house.poll.asking, apis={"dashscope": nowhere}))
    await house.poll_for(hours=23.9)
    assert (await house.job("1")).reason.startswith("127.0.0.1 gave no answer")
    assert (await house.generation("1")).state == GenerationState.QUEUED
    await house.poll_for(hours=1)
    assert (await house.generation("1")).state == GenerationState.LOST
    assert house.waiting() == 0


async def test_an_outage_of_ours_is_not_held_against_a_generation(house: House) -> None:
    """Back after two days, the provider is asked in earnest before anything is given up."""
    await house.submitted("1", "2", "3")
    house.clock.advance(days=2)
    house.says("1", answer(500), task("1", "SUCCEEDED", link("a")))
    house.says("2", answer(429, Retry_After="60"), task("2", "SUCCEEDED", link("b")))
    house.says("3", task("3", "RUNNING"))
    await house.poll_for(hours=1)

    states = [(await house.generation(each)).state for each in "123"]
    assert states == ["succeeded", "succeeded", "lost"]


async def test_a_lost_link_is_asked_for_in_earnest_too(house: House) -> None:
    """However old the generation is, one bad answer is no answer; a day of them is."""
    await ended(house, link("a"))
    house.clock.advance(days=6)
    await house.lose("1")
    house.says("1", answer(503))
    await house.poll_for(hours=23)
    assert (await house.slot("1")).state == "expected"
    await house.poll_for(hours=2)
    assert (await house.slot("1")).state == "held"
    assert house.waiting() == 0


async def test_an_inbox_that_cannot_be_written_loses_nothing(tmp_path: Path) -> None:
    """What was told is told again once there is room, be it days later."""
    async with open_house(tmp_path, dashscope=DASHSCOPE) as house:
        await house.submitted("1")
        house.says("1", task("1", "SUCCEEDED", link("a")))
        house.inbox._min_free_bytes = 1 << 60
        await house.poll_for(days=3)
        job = await house.job("1")
        assert job.state == JobState.SCHEDULED
        assert "bytes left" in job.reason
        assert (await house.generation("1")).state == GenerationState.QUEUED
        house.inbox._min_free_bytes = 0
        await house.poll_for(hours=1)
        assert (await house.slot("1")).state == "linked"
        assert house.waiting() == 0


# How often ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"Retry_After": "120"},
        {"X_RateLimit_Reset": str(int(NOON.timestamp()) + 126)},
        {"X_RateLimit_Reset": str((int(NOON.timestamp()) + 126) * 1000)},
        {"Retry_After": "120", "X_RateLimit_Reset": "5"},
    ],
)
async def test_a_throttled_account_rests_and_others_go_on(
    tmp_path: Path, headers: dict[str, str]
) -> None:
    """As long as the answer asks, in any of its ways, even if the rest of it never comes."""
    keys = {"main": KEY, "other": OTHER_KEY}
    async with open_house(tmp_path, dashscope={"keys": keys, "asks_per_second": 1e9}) as house:
        await house.submitted("1", "2")
        await house.submitted("3", key=OTHER_KEY)
        house.says("1", answer(429, **{**headers, "Content_Length": "99"}), RUNNING)
        house.says("2", task("2", "RUNNING"))
        house.says("3", task("3", "RUNNING"))
        house.clock.advance(seconds=6)
        (job, *others) = await house.claim()
        await house.settle(await house.poll.perform(job))
        await house.settle(*[await house.poll.perform(other) for other in others])

        assert house.asked_about == {"1": 1, "3": 1}
        for waits in "12":
            run_at = (await house.job(waits)).run_at
            assert run_at is not None
            assert abs((run_at - NOON).total_seconds() - 126) < 1
        house.provider.requests.clear()
        await house.poll_for(seconds=119)
        assert set(house.asked_about) == {"3"}
        await house.poll_for(seconds=10)
        assert set(house.asked_about) == {"1", "2", "3"}


async def test_a_storm_is_asked_about_in_turns(tmp_path: Path) -> None:
    """Two hundred generations of a throttled account: no more than so many a second, none lost."""
    count, per_second = 200, 15.0
    async with open_house(tmp_path, dashscope=DASHSCOPE) as house:
        house.poll = replace(house.poll, random=Random(1).random)
        ids = [f"{number:03}" for number in range(count)]
        await house.submitted(*ids)
        for number, task_id in enumerate(ids):
            told = task(task_id, "SUCCEEDED", link(task_id))
            throttled = answer(429, Retry_After="7")
            house.says(task_id, *([throttled, told] if number % 40 == 20 else [told]))
        asked: Counter[int] = Counter()
        performed = 0
        while house.asked < count + 5:
            due_at = await house.next_at()
            assert due_at is not None
            house.clock.at = max(due_at, house.clock.advance(seconds=1 / per_second))
            before = house.asked
            while outcomes := await house.poll_due():
                performed += len(outcomes)
            asked[int(house.clock().timestamp())] += house.asked - before
            assert house.clock() < NOON + timedelta(seconds=120)

        assert max(asked.values()) <= per_second + 1
        assert house.rows("SELECT state, count(*) FROM generations GROUP BY 1") == [
            ("succeeded", count)
        ]
        assert house.waiting() == 0
        # Who finds no turn comes again seldom enough for nobody to notice.
        assert performed < 20 * count


async def test_hints_are_followed_at_once_and_no_faster_than_permitted(tmp_path: Path) -> None:
    """ModelsLab's webhook is nobody's word, so it is asked; three hundred of them are asked about
    few times."""
    api = {"keys": {"main": KEY}, "asks_per_second": 5.0}
    async with open_house(tmp_path, modelslab=api) as house:
        path = "/api/v6/images/fetch/302455"
        house.provider.answers[path] = spoken({"status": "processing", "id": 302455})

        async def hint(number: int) -> None:
            body = json.dumps({"status": "processing", "id": "302455", "eta": number}).encode()
            await house.hear(
                delivery(body, source="modelslab", received_at=house.clock.advance(seconds=0.01))
            )

        await hint(0)
        assert await house.poll_due() == ["no news"]
        house.clock.advance(seconds=1)
        assert await house.poll_due() == []
        await hint(1)
        assert await house.poll_due() == ["no news"]
        begun_at, asked = house.clock(), house.asked
        for number in range(2, 302):
            await hint(number)
            await house.poll_due()
        seconds = (house.clock() - begun_at).total_seconds()
        assert 2.9 < seconds < 3.1
        assert 3 < house.asked - asked <= seconds * 5 + 1

        success = {"status": "success", "id": 302455, "output": ["https://cdn.modelslab.com/1.png"]}
        house.provider.answers[path] = spoken(success)
        house.clock.advance(hours=2)
        await hint(2000)
        await house.poll_due()
        assert (await house.slot("302455", "modelslab")).state == "linked"
        assert house.waiting() == 0


async def test_a_hint_during_the_question_is_followed_after_it(tmp_path: Path) -> None:
    """The answer under way may be older than what is hinted at."""
    async with open_house(tmp_path, modelslab={"keys": {"main": KEY}}) as house:
        house.provider.answers["/api/v6/images/fetch/7"] = spoken({"status": "processing", "id": 7})
        first, second = (
            delivery(
                json.dumps({"id": "7", "eta": eta}).encode(), source="modelslab", received_at=at
            )
            for eta, at in ((1, NOON), (2, NOON + timedelta(seconds=1)))
        )
        await house.hear(first)
        settles = await house.ask()
        house.clock.advance(seconds=1)
        await house.hear(second)
        assert await house.settle(*settles) == ["no news"]
        assert await house.poll_due() == ["no news"]
        assert house.asked == 2


async def test_a_hint_at_what_was_just_told_is_no_reason_to_ask(house: House) -> None:
    """Some providers' links die by the next question, so none follows before absorb has looked."""
    await house.submitted("1")
    house.says("1", task("1", "SUCCEEDED", link("a")), task("1", "SUCCEEDED", link("b")))
    house.clock.advance(seconds=6)
    settles = await house.ask()
    hinted_at = house.clock.advance(seconds=1)
    await house.change("1", lambda generation: replace(generation, hinted_at=hinted_at))
    assert await house.settle(*settles) == ["told"]
    assert await house.ask() == []
    await house.absorb()

    assert (await house.slot("1")).state == "linked"
    assert (house.asked, house.waiting()) == (1, 0)


async def test_polls_leave_the_fetches_alone(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many questions wait for a silent provider, each kind has benches of its own."""
    monkeypatch.setattr(worker_room, "IDLE_SECONDS", 0.01)
    ids = [str(number) for number in range(40)]
    await house.submitted(*ids)
    for task_id in ids:
        house.says(task_id, _say_nothing)
    house.clock.advance(seconds=6)
    fetched: asyncio.Queue[int] = asyncio.Queue()

    async def fetch(job: Any) -> Settle:
        def settle(tables: Tables) -> Settled:
            tables.jobs.finish(job, JobState.COMPLETED, now=house.clock())
            return Settled(outcome="archived", says={})

        fetched.put_nowait(job.subject)
        return settle

    benches = {
        JobKind.POLL: Bench(perform=house.poll.perform, slots=4, per_host=4),
        JobKind.FETCH: Bench(perform=fetch, slots=2, per_host=2),
    }
    worker = Worker(house.catalog, benches, name="w", now=house.clock)
    stop = asyncio.Event()
    running = asyncio.create_task(worker.run(stop, drain_seconds=0))
    async with asyncio.timeout(20):
        while house.asked < 4:
            await asyncio.sleep(0.01)
        jobs = [WantedJob(kind=JobKind.FETCH, subject=n, target="aa") for n in range(1000, 1030)]
        await house.catalog.write(lambda tables: tables.jobs.want(jobs, now=house.clock()))
        worker.wake()
        assert {await fetched.get() for _ in jobs} == set(range(1000, 1030))
        assert house.asked == 4
        stop.set()
        worker.wake()
        await running
    # What was not answered is given back, to be asked about again.
    assert house.waiting() == 40


# Whose key ----------------------------------------------------------------------------------------


async def test_without_a_key_nobody_is_asked_until_there_is_one(tmp_path: Path) -> None:
    """The reason says what to type, and a start with it asks at once."""
    async with open_house(tmp_path, dashscope={"keys": {"other": OTHER_KEY}}) as house:
        await house.submitted("1")
        await house.poll_for(hours=2)
        job = await house.job("1")
        whose = house.accounts.fingerprint("dashscope", KEY)
        assert job.reason == (
            f"not pollable: providers.dashscope.keys holds no key of the account {whose}"
        )
        assert job.state == JobState.SCHEDULED
        assert (house.asked, len(house.settled)) == (0, 1)

        house.poll.asking.apis["dashscope"].keys["main"] = KEY
        house.says("1", task("1", "SUCCEEDED", link("a")))
        await house.catalog.write(
            lambda tables: tables.jobs.hasten(JobKind.POLL, NOT_POLLABLE, now=house.clock())
        )
        assert await house.poll_due() == ["told"]
        assert (await house.slot("1")).state == "linked"


async def test_what_cannot_be_asked_is_lost_after_a_day(tmp_path: Path) -> None:
    """Nobody tells and nobody can be asked: then it counts as silent, after one look."""
    async with open_house(tmp_path) as house:
        await house.submitted("1")
        await house.poll_for(days=2)

        assert (await house.generation("1")).state == GenerationState.LOST
        assert (await house.slot("1")).state == "held"
        job = await house.job("1")
        assert job.reason == "not pollable: there is no table [providers.dashscope]"
        assert [one.outcome for one in house.settled] == ["unaskable", "settled"]


async def test_a_lost_link_of_a_provider_that_cannot_be_asked_is_given_up(tmp_path: Path) -> None:
    """There is no sense in waiting for an answer to a question that nobody can put."""
    async with open_house(tmp_path, dashscope=DASHSCOPE) as house:
        await ended(house, link("a"))
        house.poll.asking.apis["dashscope"].keys.clear()
        await house.lose("1")
        assert await house.poll_due() == ["settled"]
        assert (await house.slot("1")).state == "held"


DOITONG = {"keys": {"main": KEY}, "asks_per_second": 1e9}
QUERY = "query ($id: ID!) { generation(id: $id) { id status url } }"
SENSELESS = {"errors": [{"message": 'Cannot query field "generation" on type "Query".'}]}


async def _processing(house: House, *ids: str) -> None:
    documents = [{"id": one, "status": "processing", "url": None} for one in ids]
    await house.hear(*[delivery(json.dumps(document).encode()) for document in documents])
    house.clock.advance(seconds=6)


async def test_doitong_is_not_asked_without_a_query(tmp_path: Path) -> None:
    """No document describes one."""
    async with open_house(tmp_path, doitong=DOITONG) as house:
        await _processing(house, "abc")
        assert await house.poll_due() == ["unaskable"]
        job = await house.job("abc", "doitong")
        assert job.reason == "not pollable: doitong has no question that it understands"
        await house.poll_for(hours=23)
        assert house.asked == 0


async def test_a_question_that_the_provider_has_not_is_not_asked_again(tmp_path: Path) -> None:
    """It is turned off for all generations by itself, for as long as the process lives."""
    async with open_house(tmp_path, doitong={**DOITONG, "status_query": QUERY}) as house:
        house.provider.answers["/graphql"] = spoken(SENSELESS, 400)
        await _processing(house, "abc")
        assert await house.poll_due() == ["unaskable"]
        assert (await house.job("abc", "doitong")).reason == (
            "not pollable: doitong has no such question"
        )
        await _processing(house, "b", "c")
        assert await house.poll_due() == ["unaskable"] * 2
        assert house.asked == 1


async def test_doitong_is_asked_with_the_operators_query(tmp_path: Path) -> None:
    """What it answers is understood like its webhook."""
    async with open_house(tmp_path, doitong={**DOITONG, "status_query": QUERY}) as house:
        found = {"id": "abc", "status": "completed", "url": "https://cdn.doitong.com/1.png"}
        house.provider.answers["/graphql"] = spoken({"data": {"generation": found}})
        await _processing(house, "abc")
        assert await house.poll_due() == ["told"]
        assert (await house.slot("abc", "doitong")).state == "linked"


async def test_each_account_is_asked_by_its_own_key(tmp_path: Path) -> None:
    """Another's would be told that there is no such generation."""
    async with open_house(tmp_path, dashscope={"keys": {"main": KEY, "other": OTHER_KEY}}) as house:
        await house.submitted("1")
        await house.submitted("2", key=OTHER_KEY)
        for each in "12":
            house.says(each, task(each, "RUNNING"))
        await house.poll_for(hours=1)

        shown = {
            (request.split(" ")[1][-1], key)
            for request in house.provider.requests
            for key in (KEY, OTHER_KEY)
            if key in request
        }
        assert shown == {("1", KEY), ("2", OTHER_KEY)}


async def test_of_an_account_unknown_every_key_is_tried(tmp_path: Path) -> None:
    """The one whose account it is finds it, and no other's fingerprint sticks to it."""
    keys = {"a": "sk-a-0123456789", "b": "sk-b-0123456789", "c": KEY}
    async with open_house(tmp_path, dashscope={"keys": keys}) as house:
        await house.submitted("1", key=None)
        house.says("1", UNKNOWN, UNKNOWN, task("1", "SUCCEEDED", link("a")))
        await house.poll_for(minutes=1)

        generation = await house.generation("1")
        assert generation.state == GenerationState.SUCCEEDED
        assert generation.account == house.accounts.fingerprint("dashscope", KEY)
        assert [key for key in keys.values() for it in house.provider.requests if key in it] == [
            *keys.values()
        ]


async def test_who_was_told_of_nothing_is_not_its_account(tmp_path: Path) -> None:
    """Another client may ask for it through the gateway; its own account goes on being asked."""
    keys = {"main": KEY, "other": OTHER_KEY}
    async with open_house(tmp_path, dashscope={"keys": keys}) as house:
        # Of two accounts that are named the greater counts.
        own, strange = sorted(
            keys.values(), key=lambda key: house.accounts.fingerprint("dashscope", key)
        )
        await house.submitted("1", key=own)
        await house.hear(house.overheard("GET", "/api/v1/tasks/1", UNKNOWN_TASK, key=strange))
        house.says("1", task("1", "SUCCEEDED", link("a")))
        house.clock.advance(seconds=6)
        assert await house.poll_due() == ["told"]

        assert own in house.provider.requests[0]
        account = (await house.generation("1")).account
        assert account == house.accounts.fingerprint("dashscope", own)


# Meanwhile ----------------------------------------------------------------------------------------


async def test_a_lost_lease_changes_nothing(house: House) -> None:
    """Whoever was thought dead and wakes up has asked in vain; what it recorded counts once."""
    await house.submitted("1")
    house.says("1", task("1", "SUCCEEDED", link("a")))
    house.clock.advance(seconds=6)
    (stale,) = await house.ask()
    house.clock.advance(seconds=31)
    (fresh,) = await house.ask()
    with pytest.raises(LeaseLostError):
        await house.settle(stale)
    assert await house.settle(fresh) == ["told"]
    await house.absorb()

    assert (await house.slot("1")).state == "linked"
    assert (house.polled(), house.waiting()) == (1, 0)


async def test_an_end_heard_of_during_the_question_is_newer_than_its_answer(house: House) -> None:
    """No news of what was running is no word on the link that its end left out."""
    await house.submitted("1", n=2)
    house.says("1", RUNNING)
    house.clock.advance(seconds=6)
    assert await house.poll_due() == ["told"]
    due_at = await house.next_at()
    assert due_at is not None
    house.clock.at = due_at
    settles = await house.ask()
    await house.change("1", lambda generation: replace(generation, state=GenerationState.SUCCEEDED))
    assert await house.settle(*settles) == ["no news"]
    assert [slot.asked for slot in (await house.generation("1")).slots] == [0, 0]
    house.says("1", task("1", "SUCCEEDED", link("a"), link("b")))
    assert await house.poll_due() == ["told"]
    assert {slot.state for slot in (await house.generation("1")).slots} == {"linked"}


# Any history --------------------------------------------------------------------------------------

ANSWERS: dict[str, Callable[[int], Any]] = {
    "running": lambda _: RUNNING,
    "pending": lambda _: task("1", "PENDING"),
    "unknown": lambda _: UNKNOWN,
    "whole": lambda _: task("1", "SUCCEEDED", link("a"), link("b")),
    "signed anew": lambda n: task("1", "SUCCEEDED", link(f"a{n}"), link(f"b{n}")),
    "one": lambda n: task("1", "SUCCEEDED", link(f"a{n}")),
    "partial": lambda n: task("1", "SUCCEEDED", link(f"a{n}"), TIMEOUT),
    "no results": lambda _: task("1", "SUCCEEDED"),
    "failed": lambda _: task("1", "FAILED", **TIMEOUT),
    "moderated": lambda _: task("1", "FAILED", code="DataInspectionFailed", message="no"),
    "canceled": lambda _: task("1", "CANCELED"),
    "busy": lambda _: answer(500),
    "page": lambda _: answer(502, b"<html>"),
    "throttled": lambda _: answer(429, Retry_After="3"),
    "hung up": lambda _: _hang_up,
}
HISTORIES = st.lists(
    st.tuples(
        st.sampled_from(sorted(ANSWERS)),
        st.booleans(),  # absorb is quicker than the settling
        st.sampled_from(["nothing", "lose", "store"]),
        st.sampled_from([0.01, 1.0, 30.0]),  # hours
    ),
    min_size=1,
    max_size=5,
)


async def _play(folder: Path, history: list[tuple[str, bool, str, float]]) -> None:
    api = {**DASHSCOPE, "asks_per_second": 1e9}
    async with open_house(folder, dashscope=api) as house:
        await house.submitted("1", n=2)
        for number, (said, absorb_is_quicker, becomes, hours) in enumerate(history):
            house.says("1", ANSWERS[said](number))
            house.clock.advance(hours=hours)
            settles = await house.ask()
            if absorb_is_quicker:
                await house.absorb()
            await house.settle(*settles)
            await house.absorb()
            if becomes == "lose":
                await house.lose("1")
            elif becomes == "store":
                await house.store("1", 0, asset())
            _check(house, await house.generation("1"))
        last = ANSWERS[history[-1][0]]
        house.says("1", *[last(number) for number in range(100, 600)])
        house.provider.requests.clear()
        await house.poll_for(days=4, meanwhile=lambda: house.lose("1"))
        generation = await house.generation("1")
        _check(house, generation)
        assert has_ended(generation)
        assert not house.waiting()
        assert house.asked < 300


def _check(house: House, generation: Any) -> None:
    [(rows,)] = house.rows("SELECT count(*) FROM jobs WHERE kind='poll'")
    assert rows == 1
    if has_ended(generation) and not {slot.state for slot in generation.slots} & {"expected"}:
        assert not house.waiting()


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(HISTORIES)
def test_nobody_is_asked_for_ever(history: list[tuple[str, bool, str, float]]) -> None:
    """Whatever a provider answers: one row at the most, none waits once all is settled, and within
    days there is an end."""
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_play(Path(folder), history))
