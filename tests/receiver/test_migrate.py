"""`holdfast migrate sqlite-to-postgres` as an operator types it."""

from __future__ import annotations

import asyncio
import json
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from archiver.catalog import Catalog
from archiver.moving.move import Moved, Moving
from receiver.cli import main
from receiver.config import from_tree
from receiver.roles.premises import take
from receiver.roles.supervisor import ROLES
from tests.archiver.moving.outgrown import bytes_of, make
from tests.archiver.postgres_server import PostgresServer, running

PASSWORD = "never to be seen"


@dataclass(frozen=True, slots=True)
class Desk:
    """An archive, an empty database, and what is typed."""

    folder: Path
    url: str

    def type(self, *arguments: str) -> Result:
        command = ["--config", str(self.folder.parent / "holdfast.toml"), "migrate"]
        return CliRunner().invoke(main, [*command, "sqlite-to-postgres", *arguments])

    def move(self, *arguments: str) -> Result:
        return self.type("--to", self.url, *arguments)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with running() as server:
        yield server


@pytest.fixture
def desk(server: PostgresServer, tmp_path: Path) -> Desk:
    folder = tmp_path / "archive"
    asyncio.run(make(folder, generations=6))
    (tmp_path / "holdfast.toml").write_text(
        f'[catalog]\nurl = "sqlite:///{folder}/catalog.db"\nnode = "n1"\n'
    )
    (tmp_path / "password").write_text(PASSWORD)
    return Desk(folder, server.new_database())


def last(told: Result) -> Any:
    return json.loads(told.stdout)


def test_it_is_moved_and_says_what_to_configure(desk: Desk) -> None:
    """Lines that are a configuration, whose password is in the file that was named."""
    password = desk.folder.parent / "password"
    told = desk.move("--password-file", str(password))
    assert (told.exit_code, told.exception) == (0, None), told.output
    catalog = tomllib.loads(told.stdout)["catalog"]
    assert catalog == {
        "url": desk.url,
        "password_file": str(password),
        "data_folder": str(desk.folder),
        "node": "n1",
    }
    assert from_tree({"catalog": catalog}).catalog.password == PASSWORD
    assert PASSWORD not in told.output
    assert "rows compared" in told.stderr


def test_beside_a_service_it_copies_and_says_what_is_left(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever role runs; and it holds no lock that a service wants."""
    before, run, started = bytes_of(desk.folder), Moving.run, []

    def run_beside(moving: Moving, *, alone: bool) -> Moved:
        if not alone:
            take(desk.folder, ROLES[0]).close()
            started.append(ROLES[0])
        return run(moving, alone=alone)

    monkeypatch.setattr(Moving, "run", run_beside)
    with take(desk.folder, ROLES[-1]):
        told = desk.move()
        assert (told.exit_code, told.stdout) == (3, "")
        assert "Stop it, and type the same again" in told.stderr
    assert started == [ROLES[0]]
    assert last(desk.move("--json"))["state"] == "moved"
    assert bytes_of(desk.folder) == before


def test_a_command_at_work_keeps_it_from_being_handed_over(desk: Desk) -> None:
    """One that uses the catalog, as `holdfast jobs retry` does."""

    async def beside() -> Result:
        catalog = Catalog(desk.folder / "catalog.db")
        await catalog.start()
        told = await asyncio.to_thread(desk.move)
        await catalog.close()
        return told

    assert asyncio.run(beside()).exit_code == 3
    assert desk.move().exit_code == 0


def test_what_would_be_done(desk: Desk) -> None:
    """Counts, for people and machines, before and after."""
    told = desk.move("--dry-run")
    assert told.exit_code == 0
    assert "generations" in told.stdout
    assert "is empty" in told.stderr
    planned = last(desk.move("--dry-run", "--json"))
    assert (planned["begun"], planned["moved_at"]) == (False, None)
    assert planned["rows"]["generations"] == 6
    assert planned["rows"]["deliveries receive@n1"] > 6
    assert desk.move().exit_code == 0
    assert "already" in desk.move("--dry-run").stderr


def test_typed_once_more(desk: Desk) -> None:
    """The lines again; exit code 3 if the files have gone on meanwhile."""
    first = last(desk.move("--json"))
    assert sum(first["written"].values()) == first["rows"]
    again = last(desk.move("--json"))
    assert (again["state"], again["settings"]) == ("moved before", first["settings"])
    asyncio.run(make_more(desk.folder))
    told = desk.move()
    assert (told.exit_code, told.stdout) == (3, "")
    assert "its files have gone on since" in told.stderr


async def make_more(folder: Path) -> None:
    catalog = Catalog(folder / "catalog.db")
    await catalog.start()
    await catalog.write(lambda tables: tables.connection.execute("DELETE FROM heartbeats"))
    await catalog.close()


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://me:{PASSWORD}@db/archive",
        f"postgresql://me@db/archive?password={PASSWORD}",
        f"sqlite:///{PASSWORD}",
    ],
)
def test_a_url_that_will_not_do_is_refused_and_not_shown(desk: Desk, url: str) -> None:
    """As wrong usage; what has a password in it belongs into a file."""
    told = desk.type("--to", url)
    assert told.exit_code == 2
    assert PASSWORD not in told.output


def test_what_cannot_be_done_says_so(desk: Desk) -> None:
    """A server that is not there, a file without a password, an archive that is on a server."""
    nobody = desk.type("--to", "postgresql://me@127.0.0.1:1/archive")
    assert nobody.exit_code == 1
    assert "Connection refused" in nobody.stderr
    no_file = desk.move("--password-file", str(desk.folder / "nowhere"))
    assert no_file.exit_code == 1
    assert "--password-file" in no_file.stderr
    (desk.folder.parent / "holdfast.toml").write_text(f'[catalog]\nurl = "{desk.url}"\n')
    assert "catalog.url names a PostgreSQL" in desk.move().stderr
