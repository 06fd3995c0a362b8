"""One question to a provider: by whose key, when, and what of its answer is kept."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from archiver.models import Generation, GenerationState
from receiver import exchange
from receiver.asking import Told, UnansweredError, UnaskableError
from tests.archiver.origin import answer
from tests.clocks import NOON
from tests.receiver.polling import KEY, OTHER_KEY, House, link, open_house, spoken, task

QUERY = "query ($id: ID!) { generation(id: $id) { id status url } }"
MODELSLAB = "/api/v6/images/fetch/7"


def generation(provider: str, generation_id: str = "7", **known: Any) -> Generation:
    return Generation(provider=provider, id=generation_id, first_heard_at=NOON, **known)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """All providers, each with two accounts, of which none need wait."""
    api = {"keys": {"main": KEY, "other": OTHER_KEY}, "asks_per_second": 1e9}
    async with open_house(
        tmp_path, doitong={**api, "status_query": QUERY}, modelslab=api, dashscope=api
    ) as house:
        yield house


async def ask(house: House, asked: Generation, *, turn: int = 1) -> Told:
    return await house.poll.asking.ask(asked, turn=turn)


# What is understood -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("provider", "path", "says"),
    [
        ("dashscope", "/api/v1/tasks/7", task("7", "SUCCEEDED", link("a"))),
        (
            "modelslab",
            MODELSLAB,
            spoken({"status": "success", "id": 7, "output": [link("a")], "key": KEY}),
        ),
        (
            "doitong",
            "/graphql",
            spoken({"data": {"generation": {"id": "7", "status": "done", "url": link("a")}}}),
        ),
    ],
)
async def test_an_answer_is_kept_as_an_exchange_without_the_key(
    house: House, provider: str, path: str, says: bytes
) -> None:
    """Whatever place the key has in the request, and even where the answer repeats it."""
    house.provider.answers[path] = says
    told = await ask(house, generation(provider))
    (observation,) = told.says
    kept = exchange.decode(told.body)

    assert observation.state == GenerationState.SUCCEEDED
    assert [slot.url for slot in observation.slots] == [link("a")]
    assert kept.account == house.accounts.fingerprint(provider, KEY)
    assert kept.path == path
    assert KEY in house.provider.requests[0] + house.provider.bodies[0].decode()
    assert KEY.encode() not in told.body


@pytest.mark.parametrize(
    ("provider", "path", "says"),
    [
        ("dashscope", "/api/v1/tasks/7", task("7", "UNKNOWN")),
        ("modelslab", MODELSLAB, answer(404, b'{"status":"error","message":"Request not found"}')),
        ("doitong", "/graphql", spoken({"data": {"generation": None}})),
    ],
)
async def test_a_provider_that_knows_nothing_says_nothing(
    house: House, provider: str, path: str, says: bytes
) -> None:
    """Not even that it runs, nor whose it is; of an account unknown the next key is tried first."""
    house.provider.answers[path] = says
    with pytest.raises(UnansweredError, match="the next may"):
        await ask(house, generation(provider), turn=1)

    assert (await ask(house, generation(provider), turn=2)).says == ()
    account = house.accounts.fingerprint(provider, OTHER_KEY)
    assert (await ask(house, generation(provider, account=account), turn=1)).says == ()
    shown = zip(house.provider.requests, house.provider.bodies, strict=True)
    keys = [KEY if KEY in head + body.decode() else OTHER_KEY for head, body in shown]
    assert keys == [KEY, OTHER_KEY, OTHER_KEY]


async def test_what_is_said_of_others_is_not_of_this_one(house: House) -> None:
    """An answer about another generation is no answer."""
    house.says("7", task("8", "SUCCEEDED", link("a")))
    with pytest.raises(UnansweredError, match=r"the answer \(200\) says nothing of it"):
        await ask(house, generation("dashscope"))


async def test_a_reason_repeats_no_key(house: House) -> None:
    """A provider that hurls the key back, in a status or a page, hurls it into no row."""
    house.says("7", answer(401, f"<html>{KEY}".encode()), answer(200, f'{{"{KEY}'.encode()))
    for _ in range(2):
        with pytest.raises(UnansweredError) as raised:
            await ask(house, generation("dashscope"))
        assert KEY not in str(raised.value)


# Whose turn it is ---------------------------------------------------------------------------------


async def test_an_account_is_one_by_whichever_way_it_is_known(tmp_path: Path) -> None:
    """A generation of an account unknown is asked about on behalf of the key's own."""
    async with open_house(
        tmp_path, dashscope={"keys": {"main": KEY}, "asks_per_second": 0.1}
    ) as house:
        house.says("7", task("7", "RUNNING"))
        account = house.accounts.fingerprint("dashscope", KEY)
        await ask(house, generation("dashscope", account=account))
        with pytest.raises(UnansweredError, match="turn") as raised:
            await ask(house, generation("dashscope"))

        assert raised.value.wait_seconds == pytest.approx(10)
        assert house.asked == 1
        house.clock.advance(seconds=10)
        await ask(house, generation("dashscope"))
        assert house.asked == 2


async def test_a_turn_that_is_near_is_waited_for(tmp_path: Path) -> None:
    """Whoever comes a moment too early need not come again."""
    async with open_house(
        tmp_path, dashscope={"keys": {"main": KEY}, "asks_per_second": 50.0}
    ) as house:
        house.says("7", task("7", "RUNNING"))
        for _ in range(3):
            await ask(house, generation("dashscope"))
        assert house.asked == 3


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 10),
        ({"Retry_After": "45"}, 45),
        ({"Retry_After": "nonsense"}, 10),
        ({"Retry_After": "999999"}, 3600),
        ({"X_RateLimit_Reset": "45"}, 45),
        ({"X_RateLimit_Reset": str(int(NOON.timestamp()) + 45)}, 45),
    ],
)
async def test_a_throttled_account_rests(
    house: House, headers: dict[str, str], seconds: float
) -> None:
    """As long as the answer wants, within reason; its body is not even waited for."""
    house.says("7", answer(429, **{**headers, "Content_Length": "99"}), task("7", "RUNNING"))
    with pytest.raises(UnansweredError, match="too often") as throttled:
        await ask(house, generation("dashscope"))
    with pytest.raises(UnansweredError, match="turn") as waits:
        await ask(house, generation("dashscope"))

    assert throttled.value.wait_seconds == waits.value.wait_seconds == seconds
    account = house.accounts.fingerprint("dashscope", OTHER_KEY)
    await ask(house, generation("dashscope", account=account))
    house.clock.advance(seconds=seconds)
    await ask(house, generation("dashscope"))
    assert house.asked == 3


# What cannot be asked -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("apis", "asked", "reason"),
    [
        ({}, generation("dashscope"), "there is no table [providers.dashscope]"),
        (
            {"dashscope": {"keys": {}}},
            generation("dashscope"),
            "providers.dashscope.keys holds no key at all",
        ),
        (
            {"dashscope": {"keys": {"main": KEY}}},
            generation("dashscope", account="7f"),
            "providers.dashscope.keys holds no key of the account 7f",
        ),
        (
            {"dashscope": {"keys": {"main": KEY}}},
            generation("dashscope", ".."),
            "dashscope has no question that it understands",
        ),
        (
            {"doitong": {"keys": {"main": KEY}}},
            generation("doitong"),
            "doitong has no question that it understands",
        ),
    ],
)
async def test_the_reason_says_what_is_missing(
    tmp_path: Path, apis: dict[str, dict[str, Any]], asked: Generation, reason: str
) -> None:
    """In the words of the configuration, and nobody is asked."""
    async with open_house(tmp_path, **apis) as house:
        with pytest.raises(UnaskableError) as raised:
            await ask(house, asked)

        assert str(raised.value) == f"not pollable: {reason}"
        assert house.asked == 0


async def test_a_senseless_question_is_remembered(house: House) -> None:
    """One provider's ignorance is nothing to another."""
    error = {"message": "no", "extensions": {"code": "GRAPHQL_VALIDATION_FAILED"}}
    house.provider.answers["/graphql"] = spoken({"errors": [error]})
    house.says("7", task("7", "RUNNING"))
    for _ in range(2):
        with pytest.raises(UnaskableError):
            await ask(house, generation("doitong"))
    await ask(house, generation("dashscope"))

    assert [request.split(" ")[1] for request in house.provider.requests] == [
        "/graphql",
        "/api/v1/tasks/7",
    ]
    assert json.loads(house.provider.bodies[0])["variables"] == {"id": "7"}
