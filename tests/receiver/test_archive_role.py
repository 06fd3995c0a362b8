"""What the role `archive` does at its start, before it takes on anything."""

from __future__ import annotations

from pathlib import Path

from archiver.catalog import Catalog, CatalogReader, Tables
from archiver.catalog.schema import migrate
from archiver.clock import now
from archiver.ledger import keep
from archiver.work import JobKind
from tests.archiver.heard import REQUEST, failed, hear
from tests.service import eventually, running

KINDS = (JobKind.SEAL, JobKind.RENDER)


async def test_only_its_own_leases_are_taken_back(tmp_path: Path) -> None:
    """Its predecessor's workers are dead; a renderer on another host goes on with its drawing."""
    path = tmp_path / "catalog.db"
    migrate(path)
    catalog, reader = Catalog(path), CatalogReader(path)
    await catalog.start()

    def lose(tables: Tables) -> None:
        keep(tables, None, hear(failed(), REQUEST), now=now())
        for kind in KINDS:
            tables.jobs.claim(kind, limit=1, worker="before", lease_seconds=25, now=now())

    def states(tables: Tables) -> list[str]:
        rows = (tables.jobs.of(kind, 1) for kind in KINDS)
        return [row.state.value for row in rows if row]

    async def sealed() -> list[str] | None:
        stand = await reader.read(states)
        return stand if stand[0] == "completed" else None

    await catalog.write(lose)
    await catalog.close()
    assert await reader.read(states) == ["running", "running"]
    with running(tmp_path, roles=["archive"]):
        assert await eventually(sealed) == ["completed", "running"]
    reader.close()
