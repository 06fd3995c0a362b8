"""The manifest: everything known about one generation as JSON, to stand beside its bytes.

The index can be rebuilt from manifests alone, so what is not here is lost with the catalog. The
layout is a promise to archives that already exist: fields are added, never renamed. What is read
out of it again is `manifest_parser`'s.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from archiver.models import Asset, Failure, Generation, Link, Rendering, Slot, Undrawn
from archiver.moments import to_text

FORMAT = "holdfast-manifest-1"


def render(generation: Generation) -> bytes:
    """The manifest's bytes: UTF-8 JSON, keys in a fixed order, no link's query."""
    document = {"format": FORMAT, **describe(generation)}
    return json.dumps(document, ensure_ascii=False, indent=1).encode() + b"\n"


def describe(generation: Generation) -> dict[str, Any]:
    """All that is known of a generation, as plain values."""
    return {
        "provider": generation.provider,
        "id": generation.id,
        "account": generation.account,
        "revision": generation.revision,
        "state": generation.state.value,
        "failure": _failure(generation.failure),
        "moderated": generation.moderated,
        "canceled": generation.canceled,
        "service": generation.service,
        "params": _said(asdict(generation.params)),
        "track_id": generation.track_id,
        "cost": generation.cost,
        "created_at": to_text(generation.created_at),
        "completed_at": to_text(generation.completed_at),
        "first_heard_at": to_text(generation.first_heard_at),
        "slots": [_slot(slot) for slot in generation.slots],
    }


def _said(params: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if value is not None}


def _slot(slot: Slot) -> dict[str, Any]:
    return {
        "number": slot.number,
        "index": slot.index,
        "role": slot.role,
        "state": slot.state.value,
        "reason": slot.reason,
        "failure": _failure(slot.failure),
        "asked": slot.asked,
        "undrawn": _undrawn(slot.undrawn),
        "assets": [_asset(asset) for asset in slot.assets],
        "links": [_link(link) for link in slot.links],
    }


def _asset(asset: Asset) -> dict[str, Any]:
    return {
        "origin": asset.origin.value,
        "sha256": asset.sha256.hex(),
        "blob_key": asset.blob_key,
        "size_bytes": asset.size_bytes,
        "media_type": asset.media_type,
        "width": asset.width,
        "height": asset.height,
        "archived_at": to_text(asset.archived_at),
        "rendering": rendering(asset.rendering),
    }


def rendering(drawn: Rendering | None) -> dict[str, Any] | None:
    """How an asset was drawn, as plain values."""
    return None if drawn is None else {**asdict(drawn), "notes": [*drawn.notes]}


def _undrawn(undrawn: Undrawn | None) -> dict[str, Any] | None:
    return None if undrawn is None else asdict(undrawn)


def _link(link: Link) -> dict[str, Any]:
    return {
        "location": link.location,
        "url_sha256": link.url_sha256.hex(),
        "inbox": link.heard_in.inbox,
        "position": link.heard_in.position,
        "expires_at": to_text(link.expires_at),
        "failure": _failure(link.failure),
    }


def _failure(failure: Failure | None) -> dict[str, str] | None:
    if failure is None:
        return None
    return {
        "class": failure.failure_class.value,
        "code": failure.code,
        "message": failure.message,
    }
