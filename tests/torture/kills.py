"""Roles that are killed at random moments while all that they do goes on."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from random import Random
from typing import Any

from archiver.sqlite import open_reader
from archiver.worker import LEASE_SECONDS
from tests.receiver.wire import head, length, webhook
from tests.service import SECRET, Service, eventually
from tests.torture.births import births
from tests.torture.customers import Name, Wish, wishes
from tests.torture.house import House, inhabited
from tests.torture.postman import Letter, Postman
from tests.torture.sabotage import without

# Each as often as it stands here. The renderer needs a model, and is killed by a test of its own.
VICTIMS = ("receive", "receive", "archive", "gateway", "web")
SPOILT_SHARE = 0.15
REMEMBERED_SHARE = 0.3
PATIENCE_SECONDS = 2 * LEASE_SECONDS
_AT_ONCE = 8
_LOOK_SECONDS = 0.1

LEFT = """
SELECT count(*) FROM jobs WHERE state IN ('available', 'scheduled', 'running')
AND kind <> 'render' -- nobody draws here
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Dose:
    """How much is done: beside its end, `news` are told of each generation that a webhook may."""

    kills: int
    generations: int
    news: int
    patience_seconds: float = PATIENCE_SECONDS


@dataclass(frozen=True, kw_only=True, slots=True)
class Killed:
    """All that is left when the service, often killed, has come to rest and ended."""

    folder: Path
    kills: Counter[str]
    postman: Postman
    answered: dict[Name, Wish]
    created: Counter[str]
    report: list[dict[str, Any]]
    quiet: bool
    log: str


async def kill(folder: Path, dose: Dose, seed: int, *, away: Collection[str] = ()) -> Killed:
    """Kills roles while wishes come in; a share of them before each kill, which falls into it.

    `away` are safeguards (`sabotage`) that the service has to do without.
    """
    chance, news = Random(seed), asyncio.Event()
    victims = [VICTIMS[number % len(VICTIMS)] for number in range(dose.kills)]
    chance.shuffle(victims)
    wanted = wishes(chance, spoilt_share=SPOILT_SHARE)
    env = without(folder / "sabotage", *away) if away else {}
    with births(folder / "bucket", news.set) as created:
        async with inhabited(folder, seed=seed, heard=news.set, env=env) as house:
            done = {
                "archive": created.total,
                "gateway": lambda: len(house.customers.answered),
            }
            for size, victim in zip(
                _shares(dose.generations, dose.kills + 1), [*victims, None], strict=True
            ):
                asking = asyncio.create_task(_ask(house, islice(wanted, size), dose.news, chance))
                if victim is not None:
                    await _strike(
                        house, victim, done.get(victim, house.postman.taken), news, chance
                    )
                await asking
            await house.came_in()
            quiet = await came_to_rest(folder, dose.patience_seconds)
        return Killed(
            folder=folder,
            kills=Counter(victims),
            postman=house.postman,
            answered=house.customers.answered,
            created=created,
            report=house.simulator.report(),
            quiet=quiet,
            log=house.service.log,
        )


def _shares(count: int, shares: int) -> list[int]:
    """So many things in as many shares of nearly the same size."""
    ends = [count * number // shares for number in range(shares + 1)]
    return [end - start for start, end in pairwise(ends)]


async def _ask(house: House, wanted: Iterator[Wish], news: int, chance: Random) -> None:
    """Fulfils wishes, a few at a time; returns once all that was to be told of them is taken."""

    async def fulfil() -> None:
        for wish in wanted:
            name = await house.customers.submit(wish)
            if name is not None and wish.provider == "doitong":
                _tell(house, wish, name, news, chance)

    await asyncio.gather(*(fulfil() for _ in range(_AT_ONCE)))
    await house.postman.delivered()


def _tell(house: House, wish: Wish, name: str, news: int, chance: Random) -> None:
    """What else is heard of a generation: how far it is, and now and then what was asked."""
    for step in range(news):
        says = {"id": name, "status": "processing", "progress": step / news}
        body = json.dumps(says).encode()
        house.postman.post(
            Letter(port=house.postman.port, request=webhook(body, secret=SECRET), body=body)
        )
    if chance.random() < REMEMBERED_SHARE:
        body = json.dumps({"service": "flux-pro", "prompt": wish.prompt}).encode()
        path = f"/api/v1/generations/doitong/{name}".encode()
        asked = head(length(body), method=b"PUT", path=path) + body
        house.postman.post(Letter(port=house.service.private, request=asked, body=body))


async def _strike(
    house: House, role: str, done: Callable[[], int], news: asyncio.Event, chance: Random
) -> None:
    """Kills the process that a role has, at the news that so much more is done.

    There a role is most easily hurt: something has just been told or stored. The listener's next
    death waits until it serves again, or nobody could say how long that takes.
    """
    stopwatch = house.postman.stopwatch
    async with asyncio.timeout(PATIENCE_SECONDS):
        while role == "receive" and stopwatch.runs():
            await asyncio.sleep(_LOOK_SECONDS)
    pid = await _found(house.service, role)
    moment = done() + chance.randrange(1, 8)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while done() < moment:
            news.clear()
            await news.wait()
    os.kill(pid, signal.SIGKILL)
    if role == "receive":
        stopwatch.start()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while pid in house.service.roles():  # or it would be found, and killed, once more
            await asyncio.sleep(_LOOK_SECONDS)


async def _found(service: Service, role: str) -> int:
    """The process of a role, however new it is."""

    async def look() -> int | None:
        return next((pid for pid, name in service.roles().items() if name == role), None)

    return await eventually(look)


async def came_to_rest(folder: Path, patience_seconds: float) -> bool:
    """Waits until nothing is left to do; whether it came to that."""
    try:
        async with asyncio.timeout(patience_seconds):
            while not _quiet(folder):
                await asyncio.sleep(_LOOK_SECONDS)
    except TimeoutError:
        return False
    return True


def _quiet(folder: Path) -> bool:
    """Whether all that was heard is absorbed, nothing is left to do, and every manifest is new."""
    catalog = open_reader(folder / "catalog.db")
    try:
        left = catalog.execute(LEFT).fetchone()[0]
        stale = catalog.execute(
            "SELECT count(*) FROM generations WHERE sealed_revision < revision"
        ).fetchone()[0]
        reached = dict(catalog.execute("SELECT inbox, position FROM inbox_positions"))
    finally:
        catalog.close()
    ends = map(_end, inboxes(folder))
    return left == stale == 0 and all(reached.get(uuid, 0) == last for uuid, last in ends)


def inboxes(folder: Path) -> list[Path]:
    """The files of all inboxes; the quarantine is none."""
    return sorted(it for it in (folder / "inbox").glob("*.db") if it.stem != "quarantine")


def _end(inbox: Path) -> tuple[str, int]:
    connection = open_reader(inbox)
    try:
        row: tuple[str, int] = connection.execute(
            "SELECT uuid, (SELECT coalesce(max(position), 0) FROM deliveries) FROM inbox"
        ).fetchone()
    finally:
        connection.close()
    return row
