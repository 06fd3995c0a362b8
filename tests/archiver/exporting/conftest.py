"""One shelf, filled once and copied for each test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.archiver.exporting.shelf import Shelf, fill, opened


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one that nobody may touch."""
    folder = tmp_path_factory.mktemp("shelf")
    asyncio.run(fill(folder))
    return folder


@pytest.fixture
async def shelf(filled: Path, tmp_path: Path) -> AsyncIterator[Shelf]:
    """A slot of every kind."""
    async with opened(filled, tmp_path) as shelf:
        yield shelf
