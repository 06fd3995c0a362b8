"""The archive's own desk keeps the contract; what only it can be seen to do is tested beside it."""

from __future__ import annotations

import asyncio
import io
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from archiver.desk import Verdict
from archiver.errors import CatalogUnavailableError, FetchError, LeaseLostError
from archiver.models import Fault, GenerationState
from archiver.work import JobKind
from tests.contracts.desk import DRAWN, MODERATED, DeskContract, House, open_house, png


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(tmp_path) as house:
        yield house


class TestCatalogDesk(DeskContract):
    """Over a catalog and a bucket of its own."""


async def test_moderation_in_the_last_moment_wins(house: House) -> None:
    """It may come while the bytes are on their way: then they are in the bucket, and nobody's."""
    number = await house.lose()
    commission = await house.claim()
    pipe = house.folder / "pipe.png"
    os.mkfifo(pipe)
    completing = asyncio.create_task(house.desk.complete(commission, pipe, DRAWN))
    with await asyncio.to_thread(pipe.open, "wb") as writing:  # opened once the desk reads
        await house.hear(state=GenerationState.FAILED, failure=MODERATED)
        writing.write(png())
    with pytest.raises(LeaseLostError, match="no longer wanted"):
        await completing
    assert (await house.slot(number)).assets == ()
    assert (await house.slot(number)).reason.startswith("moderation, never drawn")


async def test_policy_is_asked_even_of_who_holds_a_lease(house: House) -> None:
    """However its row came to be running, what has become forbidden is not taken."""
    number = await house.lose()
    commission = await house.claim()
    await house.hear(state=GenerationState.FAILED, failure=MODERATED)
    await house.catalog.write(
        lambda tables: tables.connection.execute(
            "UPDATE jobs SET state='running', lease_until=1 << 60 WHERE kind='render'"
        )
    )
    with pytest.raises(LeaseLostError, match="no longer wanted"):
        await house.complete(commission)
    assert (await house.slot(number)).assets == ()


async def test_what_is_no_longer_wanted_is_not_given_out(house: House) -> None:
    """However its row came to be available, the law is asked once more."""
    number = await house.lose()
    await house.hear(state=GenerationState.FAILED, failure=MODERATED)
    await house.catalog.write(
        lambda tables: tables.connection.execute(
            "UPDATE jobs SET state='available' WHERE kind='render'"
        )
    )
    assert await house.desk.claim("one") is None
    assert (await house.job(number))[0] == "cancelled"


async def test_a_failing_bucket_is_our_trouble(house: House) -> None:
    """The lease is still held, so that the picture can be brought again."""
    await house.lose()
    commission = await house.claim()
    (house.folder / "bucket").write_text("a file where the bucket should be")
    with pytest.raises(FetchError) as failed:
        await house.complete(commission)
    assert failed.value.fault is Fault.OURS
    assert await house.desk.keep(commission)


async def test_a_wait_grows_with_each_attempt(house: House) -> None:
    """So that a trouble that lasts costs little."""
    number = await house.lose()
    waits = []
    for _ in range(4):
        await house.desk.fail(await house.claim(), Verdict.RETRY, "the disk is full")
        row = await house.reader.read(lambda tables: tables.jobs.of(JobKind.RENDER, number))
        assert row is not None
        assert (row.state, row.reason) == ("scheduled", "the disk is full")
        assert row.run_at is not None
        waits.append((row.run_at - house.clock()).total_seconds())
        house.clock.at = row.run_at
    assert waits == [0.5, 1.0, 2.0, 4.0]


async def test_what_became_of_it_is_logged_and_counted(house: House, log_file: io.StringIO) -> None:
    """A line when it is claimed and one when it is settled; each says which picture it was."""
    await house.lose()
    await house.desk.fail(await house.claim(), Verdict.RELEASED, "told to stop")
    await house.complete(await house.claim())
    lines = [json.loads(line) for line in log_file.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["claimed", "released", "claimed", "rendered"]
    assert {line["kind"] for line in lines} == {"render"}
    assert (lines[-1]["generation"], lines[-1]["slot"]) == ("fox", 0)


async def test_a_catalog_that_cannot_be_written_is_told(house: House) -> None:
    """Whoever asks may ask again; nothing was given out."""
    await house.catalog.write(lambda tables: tables.connection.execute("DROP TABLE jobs"))
    with pytest.raises(CatalogUnavailableError):
        await house.desk.claim("one")
