"""Questions that were given up because the clock had run ahead, and are asked again."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from archiver.catalog.deliveries import ARCHIVE
from archiver.leaps import note_time
from archiver.models import GenerationState
from tests.receiver.polling import KEY, open_house, task


async def test_silence_is_not_measured_by_a_wrong_clock(tmp_path: Path) -> None:
    """What is lost after a year without a word is asked about again once the year never was."""
    async with open_house(tmp_path, dashscope={"keys": {"main": KEY}}) as house:
        await house.submitted("1")
        house.says("1", task("1", "RUNNING"))
        await house.catalog.write(lambda tables: note_time(tables, now=house.clock()))
        true_time = house.clock.advance(seconds=6)
        house.clock.advance(days=365)
        await house.catalog.write(lambda tables: note_time(tables, now=house.clock()))
        await house.poll_due()
        house.clock.advance(hours=1)
        await house.poll_due()
        assert (await house.generation("1")).state is GenerationState.LOST
        # Time was noted all that hour, so none of it was a leap.
        await house.catalog.write(lambda tables: tables.deliveries.beat(ARCHIVE, now=house.clock()))
        house.clock.at = true_time + timedelta(minutes=2)
        await house.catalog.write(lambda tables: note_time(tables, now=house.clock()))
        assert (await house.generation("1")).state is GenerationState.RUNNING
        assert house.waiting() == 1
