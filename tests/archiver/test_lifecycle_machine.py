"""Whatever befalls a generation, in whatever order: nothing that was had is lost."""

from __future__ import annotations

import pytest
from hypothesis import settings

from tests.archiver.life import Life
from tests.archiver.lives import BROKEN, live


class TestLife(Life.TestCase):
    """States move along the table, terminal news stays, pictures stay, revisions rise."""

    settings = settings(max_examples=15, stateful_step_count=30)


@pytest.mark.parametrize("name", BROKEN)
def test_the_machine_sees_a_law_that_is_broken(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it would prove nothing."""
    BROKEN[name](monkeypatch)
    lives = live(1, examples=100, shrunk=False)
    assert lives.broke, f"{lives.steps} steps broke nothing"
