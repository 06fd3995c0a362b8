"""What a target is, and where all of them and their corpora are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

_TARGETS = Path(__file__).with_name("targets")
CORPUS = Path(__file__).with_name("corpus")

# No reader, but a law with a bug in it, by which it is seen whether bugs are found.
PLANTED = "planted"


@dataclass(frozen=True, kw_only=True, slots=True)
class Sabotage:
    """One safeguard of a reader taken away: `owner.name` is `instead`, and the law must break."""

    says: str
    owner: Any
    name: str
    instead: Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """A reader of foreign bytes under its law.

    `law` raises for bytes that break it, whatever it raises, and returns for all others. `words`
    are what the fuzzer may put together, for what it could not guess letter by letter.
    """

    law: Callable[[bytes], None]
    sabotage: Sabotage
    words: tuple[bytes, ...] = ()


def names() -> list[str]:
    """Of all targets there are."""
    return sorted(path.stem for path in _TARGETS.glob("[a-z]*.py") if path.stem != PLANTED)


def load(name: str) -> Target:
    """The target of that name."""
    target: Target = import_module(f"tests.fuzz.targets.{name}").TARGET
    return target


def corpus(name: str) -> list[Path]:
    """The files that are kept for a target."""
    return sorted((CORPUS / name).glob("*"))


def breaks(name: str) -> bool:
    """Whether any file of its corpus breaks a target's law."""
    law = load(name).law
    for path in corpus(name):
        try:
            law(path.read_bytes())
        except Exception:
            return True
    return False
