"""A service under attack by strangers, in a dose that every change can bear."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.torture import attacks
from tests.torture.besieged import besieged

BOMB_BYTES = 32 << 20
GROWN_BYTES = 192 << 20


@pytest.mark.torture
async def test_no_stranger_hurts_the_service(tmp_path: Path) -> None:
    """Broken HTTP, hostile bodies, slow and idle senders: each is answered or closed, good ones are
    taken all the while, no role dies, none grows, and nobody's nonsense is a fault of ours."""
    async with besieged(tmp_path, 0.3) as siege:
        before = siege.forget_peaks()
        outcomes = [
            await attacks.broken_http(siege),
            await attacks.hostile_content(siege, BOMB_BYTES),
            await attacks.slowness(siege, 3),
            await attacks.unfinished_bodies(siege, 100),
            await attacks.idlers(siege, 1200),
        ]
        grown = {role: peak - before[role] for role, peak in siege.peaks().items()}
        assert [outcome.broken for outcome in outcomes] == [[]] * 5
        assert max(grown.values()) < GROWN_BYTES
        assert siege.unhurt(), siege.service.log
