"""What the renderer and its child say to each other: JSON, a line each.

The renderer begins with `Setup`, the child answers `Ready` or `Unfit`. From then on there is one
`Order` at a time, and to each, also to one that is canceled, exactly one `Finished`, `Failed` or
`Unfit` after any number of `Progress`; so nothing needs a number to be told apart by. Pictures go
by file.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

import msgspec

from fallback_renderer.notes import Note
from fallback_renderer.request import RenderRequest
from fallback_renderer.settings import Render


class FailureKind(StrEnum):
    """What it means that there is no picture."""

    REFUSED = "refused"  # it cannot be drawn as things are
    POISON = "poison"  # it ends whoever draws it, or never ends
    TROUBLE = "trouble"  # ours: it may well be drawn another time


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawn:
    """A picture that lies in its file, and how it came about.

    Width and height are pixels of the file. `flagged`: the safety checker saw something. `notes`
    are the request's and the engine's; `drawn_with` is `Checkpoint.source`.
    """

    width: int
    height: int
    flagged: bool
    notes: tuple[Note, ...]
    seed: int
    drawn_with: str
    software: str
    device: str
    draw_seconds: float


class Message(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A line."""


class Setup(Message, frozen=True):
    """The first line to a child: the settings, and the module that has the `Engine`."""

    render: Render
    engine: str


class Order(Message, frozen=True):
    """Draw this into the file `png`; the names are what its provenance says of it."""

    request: RenderRequest
    provider: str
    generation_id: str
    index: int
    model: str
    png: str
    init_image: str | None = None
    mask_image: str | None = None


class Cancel(Message, frozen=True):
    """Draw no further; the answer may be either."""


class Ready(Message, frozen=True):
    """The child can draw, on this device, with these versions; both for people."""

    device: str
    software: str


class Unfit(Message, frozen=True):
    """No child can draw until the operator mends what the reason says."""

    reason: str


class Progress(Message, frozen=True):
    """So many of the drawing's steps are done; none, once the checkpoint is loaded."""

    step: int
    steps: int


class Finished(Message, frozen=True):
    """The picture is in its file."""

    drawn: Drawn


class Failed(Message, frozen=True):
    """There is no picture; `spent`: this child must not go on, but another may draw it yet."""

    kind: FailureKind
    reason: str
    spent: bool = False


FromParent: TypeAlias = Setup | Order | Cancel
FromChild: TypeAlias = Ready | Unfit | Progress | Finished | Failed

from_parent: msgspec.json.Decoder[FromParent] = msgspec.json.Decoder(FromParent)
from_child: msgspec.json.Decoder[FromChild] = msgspec.json.Decoder(FromChild)


def line(message: FromParent | FromChild) -> bytes:
    """The message as it goes over a pipe."""
    return msgspec.json.encode(message) + b"\n"
