"""The whole way of many webhooks at once, by the installed service, on a provider's bad day."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest
from aiohttp import ClientSession
from click.testing import CliRunner

from archiver.sqlite import open_reader
from receiver.cli import main
from receiver.simulator import Simulator
from tests.service import SECRET, Service, eventually, from_simulator, running

GENERATIONS = 300
# How many of them the provider spoils in each way.
SPOILT = 8
BAD = ("dead_link", "html", "cut", "truncated", "missing", "failed", "moderated")
UNSETTLED = ("available", "scheduled", "running")
ASK = "mutation ($input: GenerateInput!) { generate(input: $input) { id } }"


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """One generation: what was asked of the provider, and whether holdfast was told so too."""

    prompt: str
    faults: frozenset[str]
    remembered: bool

    @property
    def deliveries(self) -> int:
        """How many different things holdfast hears of it."""
        return 1 + ("out_of_order" in self.faults) + self.remembered

    @property
    def bad(self) -> bool:
        return not self.faults.isdisjoint(BAD)


def plans(chance: Random) -> list[Told]:
    """Every webhook comes twice, some with a stale one after it; in no order."""
    bad = [fault for fault in BAD for _ in range(SPOILT)]
    told = [
        Told(
            prompt=f"fox number {number}",
            faults=frozenset({"twice"} | set(bad[number : number + 1])).union(
                ["out_of_order"] if chance.random() < 0.5 else []
            ),
            remembered=chance.random() < 0.5,
        )
        for number in range(GENERATIONS)
    ]
    chance.shuffle(told)
    return told


@dataclass(frozen=True, kw_only=True, slots=True)
class Day:
    """All that is left when everything has settled and the service has ended."""

    folder: Path
    service: Service
    told: dict[str, Told]
    report: dict[str, dict[str, Any]]

    def ids(self, *, bad: bool) -> list[str]:
        return [generation_id for generation_id, told in self.told.items() if told.bad is bad]

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        connection = open_reader(self.folder / "catalog.db")
        try:
            return list(connection.execute(sql))
        finally:
            connection.close()

    def show(self, generation_id: str) -> dict[str, Any]:
        """What `holdfast show --json` says of a generation."""
        config = ["--config", str(self.service.config_file)]
        done = CliRunner().invoke(main, [*config, "show", f"doitong/{generation_id}", "--json"])
        assert done.exit_code == 0, done.output
        story: dict[str, Any] = json.loads(done.stdout)
        return story


async def submit(session: ClientSession, simulator: Simulator, service: Service, it: Told) -> str:
    """Asks the provider for a picture as any client would; some clients tell holdfast as well."""
    webhook_url = f"http://127.0.0.1:{service.public}/webhooks/doitong"
    given = {
        "provider": "flux-pro",
        "input": {"text": it.prompt},
        "options": {"width": 96, "height": 64, "webhookUrl": webhook_url},
    }
    request = {"query": ASK, "variables": {"input": given}}
    headers = {"Authorization": "Bearer practice", "X-Simulate": ",".join(it.faults)}
    async with session.post(
        f"{simulator.base_url}/graphql", json=request, headers=headers
    ) as answer:
        generation_id: str = (await answer.json())["data"]["generate"]["id"]
    if it.remembered:
        url = f"http://127.0.0.1:{service.private}/api/v1/generations/doitong/{generation_id}"
        async with session.put(url, json=request) as answer:
            assert answer.status == 202
    return generation_id


async def settled(session: ClientSession, service: Service, deliveries: int) -> None:
    """Returns once all that was heard is absorbed and nothing is left to do."""

    async def nothing_left() -> bool | None:
        async with session.get(f"http://127.0.0.1:{service.private}/metrics") as answer:
            page = (await answer.text()).splitlines()
        absorbed = count(page, "holdfast_absorbed_total{")
        here = [line for line in page if 'kind="render"' not in line]  # nobody draws here
        jobs = sum(count(here, "holdfast_jobs{", f'state="{state}"') for state in UNSETTLED)
        return True if (absorbed, jobs) == (deliveries, 0) else None

    await eventually(nothing_left)


def count(page: list[str], *words: str) -> float:
    """The sum of the metrics whose line holds all these words."""
    lines = [line for line in page if all(word in line for word in words)]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Day:
    """One run of everything, for all the tests to look at."""
    return asyncio.run(live(tmp_path_factory.mktemp("spine")))


async def live(folder: Path) -> Day:
    """The provider and the service from their beginning to their end."""
    told = plans(Random(2026))
    async with Simulator(SECRET.encode(), drawing_seconds=0, random_seed=2026) as simulator:
        egress = from_simulator(simulator.base_url)
        with running(folder, egress=egress, archive={"patience_seconds": 0.5}) as service:
            async with ClientSession() as session:
                submissions = [submit(session, simulator, service, it) for it in told]
                ids = await asyncio.gather(*submissions)
                await simulator.idle()
                await settled(session, service, sum(it.deliveries for it in told))
            assert await asyncio.to_thread(service.stop) == 0
        return Day(
            folder=folder,
            service=service,
            told=dict(zip(ids, told, strict=True)),
            report={row["id"]: row for row in simulator.report()},
        )


def test_every_webhook_is_acknowledged_once_as_new(day: Day) -> None:
    """The first copy is stored, the second known, and a stale one is a delivery of its own."""
    for generation_id, told in day.told.items():
        attempts = day.report[generation_id]["webhook_attempts"]
        stale = [202] if "out_of_order" in told.faults else []
        assert [attempt["answered"] for attempt in attempts] == [202, 200, *stale]


def test_every_good_picture_is_archived_exactly_once(day: Day) -> None:
    """One row and one object each, the provider's very bytes, for one download each."""
    good = day.ids(bad=False)
    assert len(good) == GENERATIONS - SPOILT * len(BAD)
    rows = day.rows(
        "SELECT generations.id, lower(hex(assets.sha256)), blob_key, slots.state FROM assets"
        " JOIN slots ON slots.number = assets.slot"
        " JOIN generations ON generations.key = slots.generation"
    )
    assert sorted(row[0] for row in rows) == sorted(good)
    for generation_id, digest, blob_key, state in rows:
        truth = day.report[generation_id]
        stored = (day.folder / "bucket" / blob_key).read_bytes()
        assert hashlib.sha256(stored).hexdigest() == digest == truth["sha256"]
        assert (state, truth["downloads"]) == ("archived", 1)
    objects = {path.stem for path in (day.folder / "bucket" / "blobs").rglob("*.*")}
    assert objects == {row[1] for row in rows}


def test_every_good_picture_has_a_thumbnail(day: Day) -> None:
    """One object and one row each, by the digest of the picture."""
    digests = {digest for (digest,) in day.rows("SELECT lower(hex(sha256)) FROM assets")}
    previews = day.rows("SELECT lower(hex(sha256)), width, height, reason FROM previews")
    assert sorted(previews) == sorted((digest, 96, 64, "") for digest in digests)
    assert {path.stem for path in (day.folder / "bucket" / "thumbs").rglob("*.webp")} == digests
    assert [*(day.folder / "spool" / "derive").iterdir()] == []


def test_every_bad_one_has_a_reason(day: Day) -> None:
    """`holdfast show` says where it stands and why: held while a prompt is known to draw it from,
    lost without one, and never drawn after moderation."""
    for generation_id in day.ids(bad=True):
        told = day.told[generation_id]
        [fault] = told.faults & set(BAD)
        story = day.show(generation_id)
        [slot] = story["slots"]
        assert slot["assets"] == []
        expected = "no renderer: " if told.remembered else "lost, and no prompt is known"
        if fault == "moderated":
            expected = "moderation, never drawn: "
        assert slot["reason"].startswith(expected), (fault, slot["reason"])
        assert WHY[fault] in slot["reason"]
        held = told.remembered or fault == "moderated"
        assert slot["state"] == ("held" if held else "dead")


WHY = {
    "dead_link": "the link died at ",
    "html": "neither a picture nor a video but an HTML page",
    "cut": " end in ",  # the middle, or not in EOI
    "truncated": "127.0.0.1 broke off before the end of the body",
    "missing": "127.0.0.1 answered 404",
    "failed": "The picture could not be generated.",
    "moderated": "The request was rejected by our content policy.",
}


def test_every_manifest_says_what_the_catalog_says(day: Day) -> None:
    """The bucket alone tells the whole story, of what was lost too."""
    files = list((day.folder / "bucket" / "manifests").rglob("*.json"))
    assert len(files) == GENERATIONS
    for file in files:
        manifest = json.loads(file.read_bytes())
        story = day.show(manifest["id"])
        del manifest["format"]
        for slot in story["slots"]:
            del slot["jobs"], slot["drawing"], slot["fixity"]
        assert manifest == {name: story[name] for name in manifest}
        assert story["sealed_revision"] == story["revision"]


SECRETS = (SECRET.encode(), b"Signature=")


def test_no_secret_and_no_whole_link_is_written_anywhere(day: Day) -> None:
    """Not in a log line, a row, a manifest or any other file; only in the inbox, where a delivery
    is kept as it was heard."""
    log = day.service.log.encode()
    assert b'"event": "archived"' in log
    assert not leaks("the log", log)
    for place, value in values(day):
        assert not leaks(place, value)
    inbox = day.folder / "inbox"
    files = [path for path in day.folder.rglob("*") if path.is_file()]
    spared = [path for path in files if inbox in path.parents or path.suffix == ".toml"]
    for path in set(files) - set(spared):
        assert not leaks(str(path), path.read_bytes())
    # The search can find them: this is where they may be.
    assert leaks("the inbox", b"".join(path.read_bytes() for path in spared)) == list(SECRETS)


def leaks(place: str, written: bytes) -> list[bytes]:
    """Which of the secrets are to be read there."""
    found = [secret for secret in SECRETS if secret in written]
    if found:
        print(f"{place} holds {found}")
    return found


def values(day: Day) -> Iterator[tuple[str, bytes]]:
    """Every text and blob of every table of the catalog, the search index's own too."""
    for (table,) in day.rows("SELECT name FROM sqlite_master WHERE type = 'table'"):
        for row in day.rows(f'SELECT * FROM "{table}"'):
            for value in row:
                if isinstance(value, str | bytes):
                    yield table, value.encode() if isinstance(value, str) else value
