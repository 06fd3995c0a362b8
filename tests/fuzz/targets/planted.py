"""No reader of ours: a law with a bug behind three comparisons, for the fuzzer to find."""

from __future__ import annotations

import sys

from tests.fuzz.target import Sabotage, Target


def law(data: bytes) -> None:
    """Raises for what holds three given bytes, each looked at only where the one before was met."""
    body = data.partition(b":")[2]
    if len(body) > 3 and body[1] == 0xC3 and body[2] == 0x28 and body[3] == 0x7B:
        raise ValueError("the planted bug")


TARGET = Target(
    law=law,
    sabotage=Sabotage(says="nothing", owner=sys, name="argv", instead=[]),
    words=(b"not this one",),
)
