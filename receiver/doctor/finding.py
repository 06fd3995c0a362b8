"""What a check of the doctor's comes to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How bad it is: `fail` loses something or keeps something from working, `warn` may one day."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What was looked at and how it stands, and the cure if the sentence does not say it."""

    check: str
    verdict: Verdict
    sentence: str
    cure: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """A finding that does not know yet which check it is of."""

    verdict: Verdict
    sentence: str
    cure: str = ""


def ok(sentence: str) -> Judged:
    """It is well."""
    return Judged(verdict=Verdict.OK, sentence=sentence)


def warn(sentence: str, cure: str = "") -> Judged:
    """It may do harm one day."""
    return Judged(verdict=Verdict.WARN, sentence=sentence, cure=cure)


def fail(sentence: str, cure: str = "") -> Judged:
    """It does harm."""
    return Judged(verdict=Verdict.FAIL, sentence=sentence, cure=cure)
