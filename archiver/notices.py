"""What the operator's own software is told of a generation, each once: it is safe, held or lost."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from archiver.lifecycle import SETTLED, has_ended
from archiver.models import Generation, Slot, SlotState
from archiver.moments import to_text
from archiver.tombstone import FORGOTTEN

# A message is to be small; the whole reason is with the slot.
_REASON_CHARACTERS = 300


class Event(StrEnum):
    """What a generation has come to; one that goes on from there may come to another."""

    SAFE = "safe"
    HELD = "held"
    LOST = "lost"


@dataclass(frozen=True, kw_only=True, slots=True)
class Notice:
    """That a generation, by its key, has come to this; `number` is what its job is about."""

    number: int
    generation: int
    event: Event
    happened_at: datetime


def event_of(generation: Generation) -> Event | None:
    """How a generation stands, by the worst of its outputs; None while any may still change.

    Pictures that its request named do not count, for they are the client's own, nor does what was
    forgotten on purpose.
    """
    states = {slot.state for slot in _outputs(generation)}
    if not (states and states <= SETTLED and has_ended(generation)):
        return None
    if SlotState.DEAD in states:
        return Event.LOST
    return Event.HELD if SlotState.HELD in states else Event.SAFE


def message_id(generation: Generation, event: Event) -> str:
    """The same for the same generation and event for ever, in whatever catalog they stand."""
    name = json.dumps([generation.provider, generation.id, event.value])
    return f"msg_{hashlib.sha256(name.encode()).hexdigest()[:32]}"


def message_body(
    generation: Generation, event: Event, happened_at: datetime, *, gallery_url: str
) -> bytes:
    """The message as JSON; `gallery_url` is what its links begin with, or ""."""
    message = {
        "type": f"generation.{event}",
        "timestamp": to_text(happened_at),
        "data": {
            "provider": generation.provider,
            "id": generation.id,
            "track_id": generation.track_id,
            "slots": [_slot(it, gallery_url) for it in _outputs(generation)],
        },
    }
    return json.dumps(message, separators=(",", ":")).encode()


def _outputs(generation: Generation) -> list[Slot]:
    return [it for it in generation.slots if not it.role and it.failure != FORGOTTEN]


def _slot(slot: Slot, gallery_url: str) -> dict[str, Any]:
    return {
        "number": slot.number,
        "slot": slot.index,
        "state": slot.state.value,
        "reason": slot.reason[:_REASON_CHARACTERS],
        "link": f"{gallery_url.rstrip('/')}/assets/{slot.number}",
    }
