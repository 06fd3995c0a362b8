"""The tables' promises are tested on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from archiver.catalog import Tables
from archiver.catalog.postgres_migrations import migrate
from archiver.catalog.postgres_store import ON_A_SERVER
from archiver.postgres import connect
from tests.archiver.catalog.scratch import scratch
from tests.archiver.postgres_server import PostgresServer, running


@pytest.fixture(scope="session")
def server() -> Iterator[PostgresServer]:
    """A server that nobody else uses."""
    with running() as server:
        yield server


@pytest.fixture(scope="session")
def migrated_url(server: PostgresServer) -> str:
    """An empty catalog of the newest schema; write in it through `scratch_on` alone."""
    url = server.new_database()
    migrate(url)
    return url


@pytest.fixture
def catalog_url(server: PostgresServer) -> str:
    """A catalog of this test's own."""
    url = server.new_database()
    migrate(url)
    return url


@contextmanager
def scratch_on(url: str) -> Iterator[Tables]:
    """The tables of an empty catalog, in one transaction that leaves it empty."""
    with closing(connect(url)) as connection:
        connection.execute("BEGIN")
        yield Tables(connection, ON_A_SERVER)
        connection.execute("ROLLBACK")


@pytest.fixture(params=["sqlite", "postgres"])
def tables(request: pytest.FixtureRequest, migrated: Path) -> Iterator[Tables]:
    """All tables of an empty catalog, in a transaction that is undone."""
    if request.param == "sqlite":
        with scratch(migrated) as tables:
            yield tables
    else:
        with scratch_on(request.getfixturevalue("migrated_url")) as tables:
            yield tables
