"""An archive outgrows its files: it is moved beside its service, and goes on where it stopped."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from random import Random
from typing import Any

from aiohttp import ClientSession

from receiver.simulator import Simulator
from tests.acceptance.test_on_postgres import settled
from tests.acceptance.test_spine import Told, submit
from tests.archiver import postgres_server
from tests.receiver.wire import ask, webhook
from tests.service import SECRET, Service, from_simulator, holdfast, running

EACH = 8
MOVE = ("migrate", "sqlite-to-postgres")
HEARD = b'{"id": "by-hand", "status": "pending"}'


async def test_an_archive_goes_on_where_it_was_moved_to(tmp_path: Path) -> None:
    """Search shows all, what was heard is known, what is new is archived: with the same bucket."""
    with postgres_server.running() as server:
        url = server.new_database()
        async with (
            Simulator(SECRET.encode(), drawing_seconds=0, random_seed=7) as simulator,
            ClientSession() as session,
        ):
            egress = from_simulator(simulator.base_url)
            with running(tmp_path, egress=egress) as service:
                await submitted(session, simulator, service, "before")
                assert await heard(service) == 202
                await settled(service, EACH + 1, "poll")
                before = found(service)
                beside = holdfast(service.config_file, *MOVE, "--to", url)
                assert beside.returncode == 3, beside.stderr
                assert "Stop it" in beside.stderr
                await submitted(session, simulator, service, "meanwhile")
                await settled(service, 2 * EACH + 1, "poll")
                after = found(service)
                assert len(after) == len(before) + EACH
                assert service.stop() == 0
            done = holdfast(service.config_file, *MOVE, "--to", url)
            assert done.returncode == 0, done.stderr
            catalog = tomllib.loads(done.stdout)["catalog"]
            with running(tmp_path, egress=egress, catalog=catalog) as moved:
                assert found(moved) == after
                assert await heard(moved) == 200
                await submitted(session, simulator, moved, "afterwards")
                await settled(moved, 3 * EACH + 1, "poll")
                everything = found(moved)
        assert everything.items() > after.items()
        assert min(everything.keys() - after.keys()) > max(after)
        assert len(set(everything.values())) == 3 * EACH
        objects = {path.stem for path in (tmp_path / "bucket" / "blobs").rglob("*.*")}
        assert set(everything.values()) == objects


async def submitted(
    session: ClientSession, simulator: Simulator, service: Service, words: str
) -> None:
    """Some generations, all of whose webhooks have come, and twice."""
    chance = Random(words)
    for number in range(EACH):
        told = Told(
            prompt=f"a fox {words} {number} {chance.random()}",
            faults=frozenset({"twice"}),
            remembered=number % 2 == 0,
        )
        await submit(session, simulator, service, told)
    await simulator.idle()


async def heard(service: Service) -> int:
    """The answer to one and the same webhook."""
    return (await ask(service.public, webhook(HEARD, secret=SECRET))).status


def found(service: Service) -> dict[int, str]:
    """Every archived picture by its number."""
    done = holdfast(service.config_file, "search", "is:saved", "--limit", "100", "--json")
    assert done.returncode == 0, done.stderr
    hits: list[dict[str, Any]] = json.loads(done.stdout)["hits"]
    return {hit["number"]: hit["sha256"] for hit in hits}
