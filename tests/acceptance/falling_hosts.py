"""Hosts of an archive fall, one after the other, while webhooks come in: run by `test_hosts`.

`main` runs among hosts and says what it saw; the tests say what it should have seen.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, ClientTimeout

from archiver.clock import monotonic
from receiver.simulator import Simulator
from tests.acceptance.books import JOBS_LEFT, Books, stored
from tests.acceptance.hosted import (
    BALANCER_PORT,
    FIRST,
    HEAR,
    PUBLIC_PORT,
    SECOND,
    SHOW,
    Archive,
    hosted,
)
from tests.acceptance.traffic import Traffic, coming_in, seconds_until
from tests.hosts import OUTSIDE
from tests.service import SECRET, eventually, holdfast

STANDS_BY = "this node's archive role stands by"
TAKES_OVER = "this node's archive role takes over"
REFUSED = "deliveries are refused"
_SLOW_BYTES_PER_SECOND = 4000


def main(folder: Path, *, drill: str) -> dict[str, Any]:
    """Runs the drill of that name."""
    return asyncio.run({"falling": falling, "asynchronous": asynchronous}[drill](folder))


async def falling(folder: Path) -> dict[str, Any]:
    """Receivers, the leading worker and the database, each in its turn."""
    took: dict[str, Any] = {}
    async with Simulator(SECRET.encode(), OUTSIDE, drawing_seconds=0, random_seed=7) as simulator:
        with ExitStack() as stack:
            with _timed(took, "start"):
                archive = stack.enter_context(hosted(folder, simulator))
            async with coming_in(simulator, BALANCER_PORT) as traffic:
                await traffic.goes_on(1)
                with _timed(took, "receivers"):
                    await receivers_fall(archive, traffic, took)
                with _timed(took, "leader"):
                    await the_leader_is_cut_off(archive, traffic, took)
                with _timed(took, "database"):
                    await the_database_falls(archive, traffic, took)
                await traffic.settled()
                with _timed(took, "settling"):
                    await nothing_left(archive)
                return {"took": took, **_seen(archive, traffic)}


async def receivers_fall(archive: Archive, traffic: Traffic, took: dict[str, Any]) -> None:
    """One is killed, one is cut off and comes back, one is slow."""
    killed, cut_off, slow = (archive.hosts[name] for name in HEAR)
    killed.kill()
    took["taken without the killed"] = await traffic.goes_on()
    cut_off.cut_off()
    took["taken without the one cut off"] = await traffic.goes_on()
    cut_off.reconnect()
    async with _asking() as session:
        took["cut off is back"] = await seconds_until(session, [_ready(cut_off.address)])
    with slow.slowed(bytes_per_second=_SLOW_BYTES_PER_SECOND):
        took["taken beside the slow"] = await traffic.goes_on()


async def the_leader_is_cut_off(archive: Archive, traffic: Traffic, took: dict[str, Any]) -> None:
    """The other worker takes over; the old leader comes back, and stands by."""
    leader, other = _by_leadership(archive)
    archive.hosts[leader].cut_off()
    began = monotonic()
    said = asyncio.to_thread(archive.services[other].logged, TAKES_OVER)
    took["taken while nobody leads"] = await traffic.goes_on()
    await said
    took["other leads"] = monotonic() - began
    archive.hosts[leader].reconnect()
    began = monotonic()
    await asyncio.to_thread(archive.services[leader].logged, STANDS_BY)
    took["old leader stands by"] = monotonic() - began
    await traffic.goes_on()


async def the_database_falls(archive: Archive, traffic: Traffic, took: dict[str, Any]) -> None:
    """The primary is started again; then its host is cut off for good, and the standby leads."""
    await asyncio.to_thread(archive.primary.stop)
    await asyncio.to_thread(archive.primary.start)
    took["taken after the restart"] = await traffic.goes_on()
    services = [archive.services[name] for name in HEAR[1:]]
    before = [service.count(REFUSED) for service in services]
    archive.hosts[FIRST].cut_off()
    cut_off_at = monotonic()
    for service, times in zip(services, before, strict=True):
        # As late as whoever decides on a promotion is certain.
        await asyncio.to_thread(service.logged_again, REFUSED, times)
    took["receivers notice"] = monotonic() - cut_off_at
    await asyncio.to_thread(archive.standby.promote)
    traffic.postman.stopwatch.start()
    alive = [_ready(archive.hosts[name].address) for name in HEAR[1:]]
    async with _asking() as session:
        took["receivers ready after the promotion"] = await seconds_until(session, alive)
    took["taken after the promotion"] = await traffic.goes_on()
    took["served after the promotion"] = traffic.postman.stopwatch.took_seconds


async def nothing_left(archive: Archive) -> None:
    """Returns once all that was heard is absorbed, and nothing waits that can be done."""
    books = _books(archive)

    async def none() -> bool | None:
        left = await asyncio.to_thread(books.number, JOBS_LEFT)
        return (not left and not await asyncio.to_thread(books.unobserved)) or None

    await eventually(none)


async def asynchronous(folder: Path) -> dict[str, Any]:
    """The standby hears of nothing for a while, and is then all that is left: the control."""
    async with Simulator(SECRET.encode(), OUTSIDE, drawing_seconds=0, random_seed=7) as simulator:
        with hosted(folder, simulator, names=HEAR[:1], synchronous=False) as archive:
            async with coming_in(simulator, BALANCER_PORT) as traffic:
                await traffic.goes_on()
                archive.hosts[SECOND].cut_off()
                await traffic.goes_on()
                traffic.stop.set()
                await traffic.settled()
            archive.hosts[FIRST].cut_off()
            await asyncio.to_thread(archive.standby.promote)
            return _counts(archive, traffic)


def _seen(archive: Archive, traffic: Traffic) -> dict[str, Any]:
    books = _books(archive)
    assets = books.assets()
    shown = holdfast(
        archive.services[SHOW].config_file,
        *("search", "is:archived", "--limit", "1000", "--json"),
        inside=archive.hosts[SHOW].inside,
    )
    leaders = books.leaders()
    lines = [line for service in archive.services.values() for line in service.lines]
    names = {host.address: host.name for host in archive.hosts.values()}
    return {
        **_counts(archive, traffic),
        "pictures": len(traffic.ids),
        "pictures amiss": sorted(set(traffic.ids) ^ {id_ for id_, _ in assets}),
        "rows of pictures": len(assets),
        "objects amiss": sorted({digest for _, digest in assets} ^ set(stored(archive.endpoint))),
        "objects": len(stored(archive.endpoint)),
        "unobserved": books.unobserved(),
        "leaders": [names[it] for it in leaders],
        "shown": len(json.loads(shown.stdout)["hits"]),
        "observed twice": books.observed_twice(),
        "strange lines": [it for it in lines if not it.startswith("{")],
        "faults of ours": [it for it in lines if "fault of ours" in it],
    }


def _books(archive: Archive) -> Books:
    """As the promoted server keeps them."""
    return Books(server=archive.standby, database=archive.database)


def _counts(archive: Archive, traffic: Traffic) -> dict[str, Any]:
    kept = _books(archive).kept()
    acknowledged = traffic.postman.acknowledged
    return {
        "acknowledged": len(acknowledged),
        "redelivered": traffic.postman.redelivered,
        "lost": len(acknowledged - set(kept)),
        "duplicates": len(kept) - len(set(kept)),
        "letters": len({sha256(body).digest() for body in traffic.bodies}),
        "failed": traffic.postman.tally.failed,
        "slowest": traffic.postman.tally.slowest_seconds,
    }


def _by_leadership(archive: Archive) -> tuple[str, str]:
    [address] = Books(server=archive.primary, database=archive.database).leaders()
    first, second = ("work1", "work2")
    return (first, second) if archive.hosts[first].address == address else (second, first)


def _ready(address: str) -> str:
    return f"http://{address}:{PUBLIC_PORT}/readyz"


def _asking() -> ClientSession:
    return ClientSession(timeout=ClientTimeout(total=2))


@contextmanager
def _timed(took: dict[str, Any], what: str) -> Iterator[None]:
    began = monotonic()
    yield
    took[what] = monotonic() - began
    print(what, took, file=sys.stderr)
