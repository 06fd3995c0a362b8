"""Two nodes on one PostgreSQL: what either has acknowledged is safe, whatever crashes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import psycopg
import pytest
from aiohttp import ClientSession

from archiver.clock import monotonic
from receiver.simulator import Simulator
from tests.archiver import postgres_server
from tests.archiver.postgres_server import PostgresServer
from tests.receiver.wire import ask, webhook
from tests.service import SECRET, Service, eventually, from_simulator, holdfast, running
from tests.torture.postman import Letter, Postman, working

PASSWORD = "never to be seen"
EACH = 12
ASK = "mutation ($input: GenerateInput!) { generate(input: $input) { id } }"


@dataclass(frozen=True, kw_only=True, slots=True)
class Lived:
    """What is left when all has settled: the second node, and what the provider was asked for.

    `helped` is how many pictures it has fetched while the first one led, `sealed` how many
    generations it has sealed by then.
    """

    node: Service
    logs: str
    helped: int
    sealed: int
    ids: list[str]
    database: str
    bucket: Path

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Straight from the database."""
        with closing(psycopg.connect(self.database)) as connection:
            return connection.execute(sql.encode()).fetchall()

    def told(self, *command: str) -> Any:
        """What a command says as JSON."""
        done = holdfast(self.node.config_file, *command, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lived]:
    """One run of everything; the second node lives on."""
    folder = tmp_path_factory.mktemp("nodes")
    with postgres_server.running() as server, asyncio.Runner() as runner:
        nodes = live(folder, server)
        yield runner.run(anext(nodes))
        runner.run(nodes.aclose())


async def live(folder: Path, server: PostgresServer) -> Any:
    """Both nodes hear; then the server crashes, and later the node whose archive role leads."""
    database = server.new_database()
    async with (
        working(Random(9), lambda: None) as postman,
        Simulator(
            SECRET.encode(), drawing_seconds=0, slow_link_seconds=0.3, random_seed=9
        ) as simulator,
        ClientSession() as session,
    ):
        one_node, other_node = (
            configured(folder / name, database, simulator) for name in ("a", "b")
        )
        with running(folder / "a", **one_node) as one, running(folder / "b", **other_node) as two:
            two.logged("this node's archive role stands by")
            ids = []
            for heard_by in (one, two):
                postman.port = heard_by.public
                ids += await submitted(session, simulator, postman)
            helped = await eventually(partial(fetched, two))
            await settled(two, len(ids))
            sealed = two.count("sealed")
            await asyncio.to_thread(server.stop)
            ids += await submitted(session, simulator, postman)
            await asyncio.to_thread(server.start)
            await postman.delivered()
            await settled(two, len(ids))  # or its leases would have to run out first
            one.process.kill()
            one.ended()
            two.logged("this node's archive role takes over")
            ids += await submitted(session, simulator, postman)
            await simulator.idle()
            await postman.delivered()
            await settled(two, len(ids))
            yield Lived(
                node=two,
                logs=one.log + two.log,
                helped=helped,
                sealed=sealed,
                ids=ids,
                database=database,
                bucket=folder / "bucket",
            )


def configured(
    folder: Path, database: str, simulator: Simulator
) -> dict[str, Mapping[str, object]]:
    """A node that is called as its folder, which is made."""
    folder.mkdir()
    return {
        "catalog": {
            "url": database,
            "password": PASSWORD,
            "data_folder": str(folder / "data"),
            "node": folder.name,
        },
        "bucket": {"url": (folder.parent / "bucket").as_uri()},
        "egress": from_simulator(simulator.base_url),
        "archive": {"fetches": 2},
    }


async def submitted(session: ClientSession, simulator: Simulator, postman: Postman) -> list[str]:
    """Some generations, by their ids; their webhooks go wherever the postman brings them."""
    given = {
        "provider": "flux-pro",
        "input": {"text": "a fox in the snow"},
        "options": {"width": 96, "height": 64, "webhookUrl": f"{postman.url}/webhooks/doitong"},
    }
    ids = []
    for _ in range(EACH):
        async with session.post(
            f"{simulator.base_url}/graphql",
            json={"query": ASK, "variables": {"input": given}},
            headers={"Authorization": "Bearer practice", "X-Simulate": "slow_link"},
        ) as answer:
            ids.append((await answer.json())["data"]["generate"]["id"])
    return ids


async def settled(service: Service, generations: int, *endless: str) -> None:
    """Returns once so many are known, and nothing is left to do but of these kinds."""

    async def nothing_left() -> bool | None:
        done = await asyncio.to_thread(holdfast, service.config_file, "status", "--json")
        facts = json.loads(done.stdout) if done.returncode == 0 else {}
        known = sum(facts.get("generations", {}).values())
        left = [job for job in facts.get("jobs", {}) if job.split()[0] not in ("render", *endless)]
        return True if (known, facts.get("backlog"), left) == (generations, 0, []) else None

    await eventually(nothing_left)


def test_every_picture_is_archived_exactly_once(lived: Lived) -> None:
    """One row and one object each, whoever heard of it and whoever fetched it."""
    rows = lived.rows(
        "SELECT generations.id, encode(assets.sha256, 'hex') FROM assets"
        " JOIN slots ON slots.number = assets.slot"
        " JOIN generations ON generations.key = slots.generation"
    )
    assert sorted(row[0] for row in rows) == sorted(lived.ids)
    objects = {path.stem for path in (lived.bucket / "blobs").rglob("*.*")}
    assert objects == {row[1] for row in rows}


def test_who_stands_by_fetches_too(lived: Lived) -> None:
    """It seals nothing: of two that seal one generation the slower might write what it was."""
    assert lived.helped > 0
    assert lived.sealed == 0


def test_each_delivery_is_kept_and_absorbed_once(lived: Lived) -> None:
    """In the inbox of the node that heard it first; a redelivery to another is known there too."""
    assert lived.rows("SELECT count(*), count(DISTINCT sha256) FROM deliveries") == [
        (len(lived.ids), len(lived.ids))
    ]
    [(observed,)] = lived.rows("SELECT count(*) FROM observations")
    assert observed == len(lived.ids)
    told = lived.told("deliveries", "list")["deliveries"]
    assert len(told) == len(lived.ids)


def test_both_heard_and_either_shows(lived: Lived) -> None:
    """Search and list find all on the node that is left."""
    inboxes = {inbox for (inbox,) in lived.rows("SELECT name FROM inboxes")}
    assert {"receive@a", "receive@b"} <= inboxes
    found = lived.told("search", "provider:doitong", "--limit", "100")
    assert len(found["hits"]) == len(lived.ids)


def test_a_picture_can_be_forgotten(lived: Lived) -> None:
    """Object, rows and words; the bodies that spoke of it vanish by the inbox's owner."""
    name = f"doitong/{lived.ids[-1]}"
    done = holdfast(lived.node.config_file, "forget", name, "--yes")
    assert done.returncode == 0, done.stderr
    assert lived.rows(f"SELECT 1 FROM generations WHERE id = '{lived.ids[-1]}'") == []
    assert holdfast(lived.node.config_file, "show", name).returncode != 0


def test_the_doctor_finds_the_server_well(lived: Lived) -> None:
    """But for what the tests have switched off in it."""
    done = holdfast(lived.node.config_file, "doctor", "--json")
    found = {it["check"]: it for it in map(json.loads, done.stdout.splitlines())}
    assert found["server"]["sentence"] == "its tables are of this version"
    assert "fsync is off" in done.stdout


@pytest.mark.parametrize("command", ["backup", "rebuild", "restore"])
def test_what_is_for_files_says_so(lived: Lived, command: str) -> None:
    """And where it is said what takes its place."""
    done = holdfast(lived.node.config_file, command)
    assert done.returncode == 1
    assert "On PostgreSQL" in done.stderr


async def test_a_failover_to_a_synchronous_standby_loses_nothing(tmp_path: Path) -> None:
    """Webhooks come in all the while; whoever was told 202 is on the new primary, and once.

    Senders are served again within seconds of its promotion: `-s` shows within how many.
    """
    bodies = [body(number) for number in range(600)]
    with postgres_server.running() as primary, primary.synchronous_standby() as standby:
        name = primary.new_database_name()
        both = primary.url(name).replace(f"{primary.folder}", f"{primary.folder},{standby.folder}")
        catalog = {"url": both, "data_folder": str(tmp_path / "data"), "node": "a"}
        with running(tmp_path, roles=["archive", "receive", "web"], catalog=catalog) as service:
            async with working(Random(3), lambda: None) as postman:
                for one in bodies:
                    request = webhook(one, secret=SECRET)
                    postman.post(Letter(port=service.public, request=request, body=one))
                    if postman.taken() == 0:
                        await eventually(partial(taken, postman, 1))
                await asyncio.to_thread(primary.stop)
                before = postman.taken()
                await asyncio.to_thread(standby.promote)
                promoted_at = monotonic()
                await eventually(partial(taken, postman, before + 1))
                print(f"served again {monotonic() - promoted_at:.2f} s after the promotion")
                await postman.delivered()
            assert before < len(bodies) == postman.taken()
            await settled(service, len(bodies), "poll", "render")
        with closing(psycopg.connect(standby.url(name))) as connection:
            kept = connection.execute("SELECT body FROM deliveries").fetchall()
    assert sorted(one for (one,) in kept) == bodies


async def fetched(service: Service) -> int | None:
    """How many pictures it has fetched, once it has."""
    return service.count("archived") or None


async def test_a_receiver_that_starts_without_its_server_refuses_until_it_is_there(
    tmp_path: Path,
) -> None:
    """With 503, by which senders know to come again, and not by keeping them waiting."""
    with postgres_server.running() as server:
        url = server.new_database()
        server.stop()
        catalog = {"url": url, "data_folder": str(tmp_path / "data"), "node": "a"}
        with running(tmp_path, roles=["receive"], catalog=catalog) as service:
            request = webhook(body(1), secret=SECRET)
            assert (await ask(service.public, request)).status == 503
            server.start()
            await eventually(partial(taken_in, service.public, request))


async def taken_in(port: int, request: bytes) -> bool | None:
    """Whether it is by now."""
    return (await ask(port, request)).status == 202 or None


def body(number: int) -> bytes:
    """What a provider says of a generation that it is at work on."""
    return b'{"id": "f%04d", "status": "pending"}' % number


async def taken(postman: Postman, letters: int) -> bool | None:
    """Whether so many are."""
    return postman.taken() >= letters or None


def test_no_password_is_written_anywhere(lived: Lived) -> None:
    """Not in a log, nor by whoever shows the configuration."""
    shown = holdfast(lived.node.config_file, "config", "show").stdout
    assert "sha256:" in shown
    assert PASSWORD not in lived.logs + lived.node.log + shown
