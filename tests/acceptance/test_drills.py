"""Bad nights, rehearsed: what an operator types in the morning, and what it brings back."""

from __future__ import annotations

import asyncio
import datetime as real
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import pytest
from click.testing import CliRunner

from archiver.catalog import CatalogReader
from archiver.catalog.schema import migrate
from archiver.inbox import quarantine_file
from archiver.inbox.quarantined import Quarantined
from archiver.models import Slot, SlotState
from receiver.cli import main
from receiver.signatures import DOITONG_HEADER, sign
from receiver.simulator import Simulator
from receiver.simulator import clock as simulated
from tests.receiver.roles_in_process import Role, receiving
from tests.service import SECRET, from_simulator, holdfast, running, write_config

# Drill 2: the receiver was down ------------------------------------------------------------------

KEY = "sk-practice-0123456789"
LINK_LIFE_HOURS = 12
DOWN_HOURS = 20
SUBMIT = "/api/v1/services/aigc/text2image/image-synthesis"


class Earlier(real.datetime):
    """The clock of a provider whose day is told within a second."""

    hours = 0.0

    @classmethod
    def now(cls, tz: real.tzinfo | None = None) -> real.datetime:
        """So many hours ago."""
        return real.datetime.now(tz) - real.timedelta(hours=cls.hours)


@dataclass(frozen=True, kw_only=True, slots=True)
class Night:
    """What DashScope did meanwhile, by the hours ago at which it was asked to."""

    folder: Path
    simulator: Simulator
    config_file: Path
    tables: Mapping[str, Any]
    tasks: Mapping[str, tuple[float, str]]

    async def typed(self, *arguments: str) -> tuple[int, Any]:
        """A command's exit code, and what it prints with `--json`; in this process, for speed."""
        given = ["--config", str(self.config_file), *arguments, "--json"]
        done = await asyncio.to_thread(CliRunner().invoke, main, given)
        assert done.stdout, done.output
        return done.exit_code, json.loads(done.stdout)

    async def rescued(self) -> tuple[int, Any]:
        """The same of a rescue, which listens to signals and so has a process of its own."""
        done = await asyncio.to_thread(holdfast, self.config_file, "rescue", "--yes", "--json")
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)

    def ids(self, *, fault: str, lives: bool) -> set[str]:
        """Those that were asked for with that fault, and whose links live or not."""
        return {
            task_id
            for task_id, (hours, its_fault) in self.tasks.items()
            if its_fault == fault and (hours < LINK_LIFE_HOURS) is lives
        }


@pytest.fixture
async def night(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Night]:
    """Every hour two pictures, and some of what goes wrong; nobody was there to hear of it."""
    monkeypatch.setattr(simulated, "datetime", Earlier)
    migrate(tmp_path / "catalog.db")
    simulator = Simulator(
        secret=b"unused",
        api_keys=(KEY,),
        drawing_seconds=0.0,
        link_life_seconds=LINK_LIFE_HOURS * 3600,
    )
    async with simulator, aiohttp.ClientSession() as client:
        tasks: dict[str, tuple[float, str]] = {}
        for hour in range(DOWN_HOURS, 0, -2):
            Earlier.hours = hour
            for fault in ("", "partial" if hour in (16, 4) else "", *_trouble(hour)):
                tasks[await _submitted(client, simulator, hour, fault)] = (hour, fault)
            await simulator.idle() if hour != 2 else None
        Earlier.hours = 0.0
        tables = {
            "providers_dashscope": {
                "base_url": simulator.base_url,
                "download_hosts": ["127.0.0.1"],
            },
            "providers_dashscope_keys": {"main": KEY},
            "egress": from_simulator(simulator.base_url),
        }
        yield Night(
            folder=tmp_path,
            simulator=simulator,
            config_file=write_config(tmp_path, **tables),
            tables=tables,
            tasks=tasks,
        )


def _trouble(hour: int) -> tuple[str, ...]:
    return {14: ("failed",), 8: ("moderated",), 6: ("dead_link",)}.get(hour, ())


async def _submitted(
    client: aiohttp.ClientSession, simulator: Simulator, hour: int, fault: str
) -> str:
    """A client's own submission, past holdfast; the task's id."""
    prompt = f"a fox at {hour} simulate:{fault}" if fault else f"a fox at {hour}"
    body = {
        "model": "stable-diffusion-xl",
        "input": {"prompt": prompt},
        "parameters": {"size": "512*512", "n": 3 if fault == "partial" else 1},
    }
    headers = {"Authorization": f"Bearer {KEY}", "X-DashScope-Async": "enable"}
    async with client.post(simulator.base_url + SUBMIT, json=body, headers=headers) as answer:
        return str((await answer.json())["output"]["task_id"])


async def test_a_night_that_nobody_heard_of_is_saved_in_the_morning(night: Night) -> None:
    """Drill 2: `adopt` and `rescue` archive all whose links live; the rest is drawn or reported."""
    code, adopted = await night.typed("adopt", "--provider", "dashscope", "--since", "24h")
    assert (code, len(adopted["adopted"])) == (0, len(night.tasks))
    # Of one whose link is dead somebody still has the request, so it may be drawn again.
    drawable = sorted(night.ids(fault="", lives=False))[0]
    request = night.folder / "request.json"
    request.write_text(json.dumps({"model": "m", "input": {"prompt": "a fox"}, "parameters": {}}))
    await night.typed("watch", "dashscope", drawable, "--request", str(request))

    code, plan = await night.typed("rescue", "--dry-run")
    assert (code, {step["kind"] for step in plan["steps"]}) == (1, {"absorb"})

    with running(night.folder, roles=["archive"], **night.tables):
        code, course = await night.rescued()
        again = await night.typed("rescue", "--dry-run")
    assert (code, course["ended"], course["not_done"]) == (3, True, {})

    stories = _slots(night)
    alive = night.ids(fault="", lives=True)
    assert alive
    assert {stories[it][0].state for it in alive} == {"archived"}
    told = {row["id"]: row["pictures"] for row in night.simulator.report()}
    assert {picture["downloads"] for it in alive for picture in told[it]} == {1}
    (partly,) = night.ids(fault="partial", lives=True)
    assert Counter(slot.state for slot in stories[partly]) == {"archived": 2, "dead": 1}
    for task_id in night.tasks.keys() - alive - {partly}:
        assert "archived" not in {slot.state for slot in stories[task_id]}
    assert [slot.reason.partition(":")[0] for slot in stories[drawable]] == ["no renderer"]

    # Nothing goes unmentioned: what was saved and what is said of the rest is all there is.
    slots = [slot.state for story in stories.values() for slot in story]
    assert 0 <= course["saved"] <= slots.count(SlotState.ARCHIVED)  # the service had begun
    kinds = Counter({step["kind"]: 0 for step in course["steps"]})
    for step in course["steps"]:
        kinds[step["kind"]] += step["count"]
    assert kinds.total() == len(slots) - slots.count(SlotState.ARCHIVED)
    assert kinds == {"draw": 1, "held": 1, "gone": slots.count(SlotState.DEAD)}
    # Whoever looks once more finds the same, and nothing to do.
    assert again == (3, {"dry_run": True, "steps": course["steps"]})
    assert {step["ordered"] for step in course["steps"]} == {0}


def _slots(night: Night) -> dict[str, tuple[Slot, ...]]:
    """How the catalog says that each task's slots stand."""
    names = [("dashscope", task_id) for task_id in night.tasks]
    reader = CatalogReader(night.folder / "catalog.db")
    with reader.view() as tables:
        found = tables.generations.load_all(names)
    reader.close()
    return {task_id: generation.slots for (_, task_id), generation in found.items()}


# Drill 3: a wrong secret was deployed -------------------------------------------------------------

AUTHENTIC, FORGED, FLOOD = 80, 30, 600
ROOM = 200
ADDRESSES = ("203.0.113.7", "203.0.113.8")


def _webhook(number: int) -> bytes:
    document = {"id": f"lost-{number}", "status": "completed", "url": None, "service": "flux-pro"}
    return json.dumps(document).encode()


@asynccontextmanager
async def _hearing(
    folder: Path, **secrets: str
) -> AsyncIterator[tuple[Role, aiohttp.ClientSession]]:
    """The receiving process with these secrets, and somebody to post to it."""
    tables = {"providers": {"doitong": {"secrets": secrets}}}
    async with (
        receiving(folder, tables, failures_per_minute=0) as role,
        aiohttp.ClientSession() as client,
    ):
        yield role, client


async def _post(
    role: Role, client: aiohttp.ClientSession, body: bytes, *, address: str, secret: str | None
) -> int:
    headers = {"X-Forwarded-For": address}
    if secret is not None:
        headers[DOITONG_HEADER] = sign(secret, body)
    async with client.post(f"{role.url}/webhooks/doitong", data=body, headers=headers) as answer:
        return answer.status


async def test_what_a_wrong_secret_refused_is_taken_in_once_it_is_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drill 3: every authentic delivery, none of the forged, beside a flood without signatures."""
    monkeypatch.setattr(quarantine_file, "MAX_ROWS", ROOM)
    chance = Random(7)
    posts = [(_webhook(number), SECRET) for number in range(AUTHENTIC)]
    posts += [(_webhook(1000 + number), "a guess") for number in range(FORGED)]
    posts += [(b'{"flood": %d}' % number, None) for number in range(FLOOD)]
    chance.shuffle(posts)

    async with _hearing(tmp_path, mistyped="whsec servise") as (role, client):
        for begin in range(0, len(posts), 50):
            some = posts[begin : begin + 50]
            answers = await asyncio.gather(
                *(
                    _post(role, client, body, address=_address(chance, secret), secret=secret)
                    for body, secret in some
                )
            )
            assert {*answers} == {401}

    config_file = write_config(tmp_path)
    migrate(tmp_path / "catalog.db")
    async with _hearing(tmp_path, mended=SECRET) as (role, client):
        flood = asyncio.create_task(_flood(role, client))
        done = await asyncio.to_thread(
            holdfast, config_file, "deliveries", "reverify", "--yes", "--json"
        )
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        assert (told["authentic"], told["known"], told["waiting"]) == (AUTHENTIC, 0, 0)
        assert told["forged"] >= FORGED
        assert sum(it["count"] for it in told["dropped"]) >= FLOOD - ROOM
        flood.cancel()
        with suppress(asyncio.CancelledError):
            await flood

        bodies = {body for body, secret in posts if secret == SECRET}
        assert {it.body for it in role.stored()} == bodies
        assert len(role.stored()) == AUTHENTIC
        # The provider sends them all once more, and each is known.
        again = [
            await _post(role, client, body, address=ADDRESSES[0], secret=SECRET) for body in bodies
        ]
        assert {*again} == {200}
        left = Quarantined(tmp_path / "inbox" / "quarantine.db").after(0, limit=9999)
        signed = [it for it in left if not it.rejected.hopeless]
        assert len(signed) == FORGED


def _address(chance: Random, secret: str | None) -> str:
    """A provider has few; whoever floods has many."""
    if secret == SECRET:
        return chance.choice(ADDRESSES)
    return f"2001:db8::{chance.randrange(1 << 16):x}"


async def _flood(role: Role, client: aiohttp.ClientSession) -> None:
    number = 0
    while True:
        number += 1
        body = b'{"more": %d}' % number
        await _post(role, client, body, address=f"2001:db8:1::{number:x}", secret=None)
