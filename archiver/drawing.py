"""What a slot would be drawn from, so that what was refused is tried again when more is known."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict

from archiver.models import Generation

# A collision costs one attempt; it has to be told apart from few others of the same slot.
_DIGITS = 16


def drawn_from(generation: Generation) -> str:
    """A short digest of all that a renderer would draw from: the request, and its own pictures."""
    asked = {name: value for name, value in asdict(generation.params).items() if value is not None}
    pictures = [
        (slot.index, slot.role, slot.leading_asset.blob_key if slot.leading_asset else None)
        for slot in generation.slots
        if slot.role
    ]
    known = json.dumps([asked, generation.service, sorted(pictures)], sort_keys=True)
    return hashlib.sha256(known.encode()).hexdigest()[:_DIGITS]
