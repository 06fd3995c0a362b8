"""A clock that is set while the whole service works, and set back.

`python -m tests.torture --only clock_jumps` makes more jumps.
"""

from __future__ import annotations

from pathlib import Path

from tests.preloading import needs_compiler, preloaded
from tests.torture.clock_jumps import YEAR, jump


@needs_compiler
async def test_a_year_that_never_was_harms_nothing(tmp_path: Path) -> None:
    """Fetches under way are not begun again, webhooks are stored, and what failed meanwhile, with
    links that seemed to be dead, is archived when the clock is right again."""
    it = await jump(tmp_path / "archive", preloaded("shifted_clock", tmp_path), [YEAR], crowd=8)
    assert it.webhooks == 20
    assert it.is_well, it
