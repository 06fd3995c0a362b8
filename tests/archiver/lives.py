"""Many lives of generations, the same for the same seed, by the law or by one that is broken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from archiver import lifecycle, merging
from archiver.models import GenerationState
from tests.archiver.life import Life


@dataclass(frozen=True, kw_only=True, slots=True)
class Lives:
    """How many were lived, of how many steps in all, and what broke, if anything did."""

    examples: int
    steps: int
    broke: str


def live(number: int, *, examples: int, steps: int = 30, shrunk: bool = True) -> Lives:
    """Lives so many; what broke is made as short as it can be if it is to be `shrunk`."""
    life = type("Life", (Life,), {})
    broke = ""
    try:
        run_state_machine_as_test(
            seed(number)(life),
            settings=settings(
                max_examples=examples,
                stateful_step_count=steps,
                deadline=None,
                database=None,
                phases=[Phase.generate, *([Phase.shrink] if shrunk else [])],
                suppress_health_check=list(HealthCheck),
            ),
        )
    except Exception as error:
        notes = getattr(error, "__notes__", ())
        broke = "\n".join([f"{type(error).__name__}: {error}", *notes])
    return Lives(examples=life.examples, steps=life.steps, broke=broke)


def _without_rule(because: str) -> Callable[[pytest.MonkeyPatch], None]:
    """The law of slots less one row."""
    law = tuple(rule for rule in lifecycle.SLOT_LAW if not rule.because.startswith(because))
    return lambda patched: patched.setattr(lifecycle, "SLOT_LAW", law)


# One thing of each that keeps a promise, and what takes it away.
BROKEN: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "that a picture is archived": _without_rule("the provider's picture"),
    "that a link is fetched": _without_rule("a link is known"),
    "what outranks what": lambda patched: patched.setitem(
        lifecycle.GENERATION_RANK, GenerationState.SUCCEEDED, 0
    ),
    "the worst that was heard": lambda patched: patched.setattr(
        merging, "worst", lambda *failures: failures[-1]
    ),
}
