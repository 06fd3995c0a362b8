"""Each test has an archive in files and an empty database to move it to."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.archiver.moving.outgrown import make
from tests.archiver.postgres_server import PostgresServer, running


@pytest.fixture(scope="session")
def server() -> Iterator[PostgresServer]:
    """A server that nobody else uses."""
    with running() as server:
        yield server


@pytest.fixture
def url(server: PostgresServer) -> str:
    """A database of this test's own."""
    return server.new_database()


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive that no test changes."""
    folder = tmp_path_factory.mktemp("outgrown")
    asyncio.run(make(folder))
    return folder


@pytest.fixture
def folder(tmp_path: Path, made: Path) -> Path:
    """The archive, its service stopped."""
    return Path(shutil.copytree(made, tmp_path / "archive"))
