"""What tests of the ground floor stand on: a catalog, a clock, and the log's lines.

The promises of the tables are tested on both databases.
"""

from __future__ import annotations

import io
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog

from archiver import log, sqlite
from archiver.catalog import Catalog, CatalogReader, Tables
from archiver.catalog.migrating import migrate
from tests.archiver.catalog.scratch import scratch, scratch_on
from tests.archiver.postgres_server import PostgresServer, running
from tests.clocks import FrozenClock


@pytest.fixture
def clock() -> FrozenClock:
    """A clock that stands still."""
    return FrozenClock()


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty catalog of the newest schema; write in it through `scratch` alone."""
    path = tmp_path_factory.mktemp("catalog") / "catalog.db"
    migrate(path)
    return path


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


@pytest.fixture(params=["sqlite", "postgres"])
def tables(request: pytest.FixtureRequest, migrated: Path) -> Iterator[Tables]:
    """All tables of an empty catalog, in a transaction that is undone."""
    if request.param == "sqlite":
        with scratch(migrated) as tables:
            yield tables
    else:
        with scratch_on(request.getfixturevalue("migrated_url")) as tables:
            yield tables


@pytest.fixture
def catalog_path(tmp_path: Path) -> Path:
    """A catalog file of this test's own."""
    path = tmp_path / "catalog.db"
    migrate(path)
    return path


@pytest.fixture
async def catalog(catalog_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Catalog]:
    """Its writer at work, that does not wait long for a lock."""
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.01)
    catalog = Catalog(catalog_path)
    await catalog.start()
    yield catalog
    await catalog.close()


@pytest.fixture
def reader(catalog_path: Path) -> Iterator[CatalogReader]:
    """Its reader."""
    reader = CatalogReader(catalog_path)
    yield reader
    reader.close()


@pytest.fixture
def log_file() -> Iterator[io.StringIO]:
    """Where the log's lines go, set up as a role's process does."""
    file = io.StringIO()
    level = logging.getLogger("aiohttp.server").level
    log.configure("tests", file=file)
    yield file
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    logging.getLogger("aiohttp.server").setLevel(level)
