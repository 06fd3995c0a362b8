"""Roles that are killed at random moments while webhooks come in and pictures are fetched."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

from aiohttp import ClientSession

from archiver.sqlite import open_reader
from receiver.simulator import Simulator
from tests.receiver.wire import head, length
from tests.service import SECRET, Service, eventually, from_simulator, running
from tests.torture.births import births
from tests.torture.postman import Letter, Postman, working

ROLES = ("receive", "archive", "web")
# What the provider does to some of them; and how many have a link whose bytes trickle, come with a
# stale webhook after the true one, or with the request that was made of the provider.
BAD = ("failed", "html", "cut")
BAD_SHARE = 0.06
SLOW_SHARE = 0.3
STALE_SHARE = 0.3
REMEMBERED_SHARE = 0.3
SLOW_SECONDS = 0.5
ASK = "mutation ($input: GenerateInput!) { generate(input: $input) { id } }"
# A job may be taken back from several dead workers.
PATIENCE_SECONDS = 120
_LOOK_SECONDS = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class Killed:
    """All that is left when the service, often killed, has come to rest and ended."""

    folder: Path
    kills: Counter[str]
    postman: Postman
    created: Counter[str]
    report: list[dict[str, Any]]
    quiet: bool
    log: str


async def kill(folder: Path, *, generations: int, kills: int, seed: int) -> Killed:
    """Kills a role `kills` times, each as often as the others, between `generations` webhooks.

    The next share of the webhooks is sent before each kill, which falls somewhere into it.
    """
    chance = Random(seed)
    victims = [ROLES[number % len(ROLES)] for number in range(kills)]
    chance.shuffle(victims)
    shares = _shares(generations, kills + 1)
    news = asyncio.Event()  # so that a kill falls into the very moment that it waits for
    async with Simulator(
        SECRET.encode(), drawing_seconds=0, slow_link_seconds=SLOW_SECONDS, random_seed=seed
    ) as simulator:
        egress = from_simulator(simulator.base_url)
        with (
            births(folder / "bucket", news.set) as created,
            running(folder, egress=egress, archive={"patience_seconds": 0.5}) as service,
        ):
            async with (
                working(service.public, chance, news.set) as postman,
                ClientSession() as client,
            ):
                for share, victim in zip(shares, [*victims, None], strict=True):
                    asking = asyncio.create_task(
                        _ask_for(share, client, simulator, service, postman, chance)
                    )
                    if victim is not None:
                        # Where a role is most easily hurt: something has just been told or stored.
                        done = created.total if victim == "archive" else postman.taken
                        more = chance.randrange(1, max(2, len(share) // 2))
                        await _strike(service, victim, done, done() + more, news)
                    await asking
                await simulator.idle()
                await postman.delivered()
            quiet = await _came_to_rest(folder)
            assert await asyncio.to_thread(service.stop) == 0
        return Killed(
            folder=folder,
            kills=Counter(victims),
            postman=postman,
            created=created,
            report=simulator.report(),
            quiet=quiet,
            log=service.log,
        )


def _shares(count: int, shares: int) -> list[range]:
    """The numbers below `count` in as many shares of nearly the same size."""
    ends = [count * number // shares for number in range(shares + 1)]
    return [range(start, end) for start, end in pairwise(ends)]


async def _ask_for(
    share: range,
    client: ClientSession,
    simulator: Simulator,
    service: Service,
    postman: Postman,
    chance: Random,
) -> None:
    """Asks the provider for pictures, whose webhooks go to the postman; some requests go too."""
    for number in share:
        faults = [chance.choice(BAD)] if chance.random() < BAD_SHARE else []
        faults += ["slow_link"] if chance.random() < SLOW_SHARE else []
        faults += ["out_of_order"] if chance.random() < STALE_SHARE else []
        given = {
            "provider": "flux-pro",
            "input": {"text": f"fox number {number}"},
            "options": {"width": 96, "height": 64, "webhookUrl": postman.url},
        }
        request = {"query": ASK, "variables": {"input": given}}
        headers = {"Authorization": "Bearer practice", "X-Simulate": ",".join(faults)}
        url = f"{simulator.base_url}/graphql"
        async with client.post(url, json=request, headers=headers) as answer:
            generation_id = (await answer.json())["data"]["generate"]["id"]
        if chance.random() < REMEMBERED_SHARE:
            body = json.dumps(request).encode()
            path = f"/api/v1/generations/doitong/{generation_id}".encode()
            asked = head(length(body), method=b"PUT", path=path) + body
            postman.post(Letter(port=service.private, request=asked, body=body))


async def _strike(
    service: Service, role: str, done: Callable[[], int], moment: int, news: asyncio.Event
) -> None:
    """Kills the process that a role has, however new it is, at the news that so much is done."""

    async def found() -> int | None:
        return next((pid for pid, name in service.roles().items() if name == role), None)

    pid = await eventually(found)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while done() < moment:
            news.clear()
            await news.wait()
    os.kill(pid, signal.SIGKILL)


async def _came_to_rest(folder: Path) -> bool:
    """Waits until nothing is left to do; whether it came to that."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not _quiet(folder):
                await asyncio.sleep(_LOOK_SECONDS)
    except TimeoutError:
        return False
    return True


def _quiet(folder: Path) -> bool:
    """Whether all that was heard is absorbed, nothing is left to do, and every manifest is new."""
    catalog = open_reader(folder / "catalog.db")
    try:
        left = catalog.execute(
            "SELECT count(*) FROM jobs WHERE state IN ('available', 'scheduled', 'running')"
            " AND kind != 'render'"  # nobody draws here
        ).fetchone()[0]
        stale = catalog.execute(
            "SELECT count(*) FROM generations WHERE sealed_revision < revision"
        ).fetchone()[0]
        reached = dict(catalog.execute("SELECT inbox, position FROM inbox_positions"))
    finally:
        catalog.close()
    return left == stale == 0 and all(
        reached.get(uuid, 0) == last for uuid, last in map(_end, _inboxes(folder))
    )


def _inboxes(folder: Path) -> list[Path]:
    return [folder / "inbox" / f"{name}.db" for name in ("receive", "web")]


def _end(inbox: Path) -> tuple[str, int]:
    connection = open_reader(inbox)
    try:
        row: tuple[str, int] = connection.execute(
            "SELECT uuid, (SELECT coalesce(max(position), 0) FROM deliveries) FROM inbox"
        ).fetchone()
    finally:
        connection.close()
    return row
