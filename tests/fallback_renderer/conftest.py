"""The zoo of tiny checkpoints, once for a session, and an engine that draws with them.

What needs torch is imported only where it is asked for.
"""

from __future__ import annotations

import os

import pytest

from tests.fallback_renderer.requests import drawn

# Nothing here is ever downloaded, and nobody is asked whether it could be.
os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture(scope="session")
def zoo(tmp_path_factory):
    """The folder of the zoo."""
    from fallback_renderer.engine.quiet import hushed
    from tests.fallback_renderer.zoo import build

    folder = tmp_path_factory.mktemp("zoo")
    with hushed():
        build(folder)
    return folder


@pytest.fixture(scope="session")
def ask(zoo):
    """Plans a small request of one of the zoo's checkpoints, which must be drawable."""
    from tests.fallback_renderer.zoo import table

    checkpoints = table(zoo)

    def plan(model="sd15", **asked):
        small = {"width": 64, "height": 64, "steps": 2, "seed": 7, "safety_checker": False}
        return drawn(provider="by hand", table=checkpoints, model=model, **{**small, **asked})

    return plan


@pytest.fixture(scope="session")
def engine():
    """One for all, as in life: whatever a drawing leaves behind, the next would show."""
    from fallback_renderer.engine import Engine
    from fallback_renderer.settings import Engine as Settings

    return Engine(Settings(device="cpu", threads=1))
