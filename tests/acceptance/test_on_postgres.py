"""Two nodes on one PostgreSQL: what either has acknowledged is safe, whatever crashes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import psycopg
import pytest
from aiohttp import ClientSession

from receiver.simulator import Simulator
from tests.archiver import postgres_server
from tests.archiver.postgres_server import PostgresServer
from tests.service import SECRET, Service, eventually, from_simulator, holdfast, running
from tests.torture.postman import Postman, working

PASSWORD = "never to be seen"
EACH = 12
ASK = "mutation ($input: GenerateInput!) { generate(input: $input) { id } }"


@dataclass(frozen=True, kw_only=True, slots=True)
class Lived:
    """What is left when all has settled: the second node, and what the provider was asked for."""

    node: Service
    logs: str
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
        Simulator(SECRET.encode(), drawing_seconds=0, random_seed=9) as simulator,
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
            await asyncio.to_thread(server.stop)
            ids += await submitted(session, simulator, postman)
            await asyncio.to_thread(server.start)
            await postman.delivered()
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
            headers={"Authorization": "Bearer practice"},
        ) as answer:
            ids.append((await answer.json())["data"]["generate"]["id"])
    return ids


async def settled(service: Service, generations: int) -> None:
    """Returns once so many are known, and nothing is left to do."""

    async def nothing_left() -> bool | None:
        done = await asyncio.to_thread(holdfast, service.config_file, "status", "--json")
        facts = json.loads(done.stdout) if done.returncode == 0 else {}
        known = sum(facts.get("generations", {}).values())
        left = [job for job in facts.get("jobs", {}) if not job.startswith("render")]
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


def test_each_delivery_is_kept_and_absorbed_once(lived: Lived) -> None:
    """In the inbox of the node that heard it first; a redelivery to another is known there too."""
    assert lived.rows("SELECT count(*), count(DISTINCT sha256) FROM deliveries") == [
        (len(lived.ids), len(lived.ids))
    ]
    [(observed,)] = lived.rows("SELECT count(*) FROM observations")
    assert observed == len(lived.ids)
    told = lived.told("deliveries")["deliveries"]
    assert len(told) == len(lived.ids)


async def test_both_heard_and_either_shows(lived: Lived) -> None:
    """Search and list find all on the node that is left."""
    inboxes = {inbox for (inbox,) in lived.rows("SELECT name FROM inboxes")}
    assert {"receive@a", "receive@b"} <= inboxes
    found = lived.told("search", "fox", "--limit", "100")
    assert len(found["assets"]) == len(lived.ids)


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
    found = {it["check"]: it for it in json.loads(done.stdout)["findings"]}
    assert found["server"]["sentence"] == "its tables are of this version"
    assert "fsync is off" in done.stdout


@pytest.mark.parametrize("command", ["backup", "rebuild", "restore"])
def test_what_is_for_files_says_so(lived: Lived, command: str) -> None:
    """And where it is said what takes its place."""
    done = holdfast(lived.node.config_file, command)
    assert done.returncode == 1
    assert "On PostgreSQL" in done.stderr


def test_no_password_is_written_anywhere(lived: Lived) -> None:
    """Not in a log, nor by whoever shows the configuration."""
    shown = holdfast(lived.node.config_file, "config", "show").stdout
    assert "sha256:" in shown
    assert PASSWORD not in lived.logs + lived.node.log + shown
