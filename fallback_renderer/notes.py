"""What could not be honoured of a request, said in words that travel with the picture."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from archiver.redact import redact


class NoteKind(StrEnum):
    """How a picture differs from what was asked for."""

    SUBSTITUTED = "substituted"  # something else stands in for it
    IGNORED = "ignored"  # it has no effect on this picture
    CLAMPED = "clamped"  # it was brought within a limit
    MISSING = "missing"  # nobody told us, or a name stands for nothing here
    UNAVAILABLE = "unavailable"  # this machine lacks the part that it takes


@dataclass(frozen=True, kw_only=True, slots=True)
class Note:
    """One difference; `name` is the field of `GenerationParams` that it is about."""

    kind: NoteKind
    name: str
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.name}: {self.text}"


def substituted(name: str, text: str) -> Note:
    """A note that something else stands in for what was asked."""
    return _note(NoteKind.SUBSTITUTED, name, text)


def ignored(name: str, text: str) -> Note:
    """A note that what was asked has no effect."""
    return _note(NoteKind.IGNORED, name, text)


def clamped(name: str, text: str) -> Note:
    """A note that what was asked lies beyond a limit."""
    return _note(NoteKind.CLAMPED, name, text)


def missing(name: str, text: str) -> Note:
    """A note that something needed is not known or not here."""
    return _note(NoteKind.MISSING, name, text)


def unavailable(name: str, text: str) -> Note:
    """A note that this machine lacks the part that it takes."""
    return _note(NoteKind.UNAVAILABLE, name, text)


def _note(kind: NoteKind, name: str, text: str) -> Note:
    return Note(kind=kind, name=name, text=redact(text))
