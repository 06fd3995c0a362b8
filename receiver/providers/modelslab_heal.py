"""ModelsLab's answer to a fetch of a generation of which we hold pictures.

By the vendor's OpenAPI files: `status`, `id` and `output`, where a missing picture keeps its place
with an empty text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from archiver.errors import UnreadableError
from archiver.models import Generation
from receiver.exchange import Request
from receiver.providers import modelslab_api as api
from receiver.providers.modelslab_requests import read_request
from receiver.providers.values import as_document, as_text

# Of an answer that was no success nothing is kept; of a success not what leads elsewhere.
_LINKS = {"output", "proxy_links", "future_links", "fetch_result"}


def asked_id(asked: Request) -> str | None:
    """The generation that a fetch names, in its path or its body; None if it is no fetch."""
    steps = api.steps_of(asked.path)
    if not api.is_fetch(steps):
        return None
    try:
        request = read_request(asked.body)
    except UnreadableError:
        request = {}
    return api.fetched_id(steps, request)


def healed(generation: Generation, urls: Mapping[int, str], asked: Request, answer: bytes) -> bytes:
    """The success that the answer would be if the pictures lay at `urls`, by slot."""
    said = _success(answer)
    count = max(slot.index for slot in generation.slots) + 1
    links = [urls.get(index, "") for index in range(count)]
    document = {
        **{name: told for name, told in said.items() if name not in _LINKS},
        "status": "success",
        "id": said.get("id") or _id(generation.id),
        "output": links,
        **({"proxy_links": links} if "proxy_links" in said else {}),
        **({"nsfw_content_detected": True} if generation.moderated else {}),
    }
    return msgspec.json.encode(document)


def _success(answer: bytes) -> Mapping[str, Any]:
    said = as_document(answer)
    return said if (as_text(said.get("status")) or "").lower() == "success" else {}


def _id(generation_id: str) -> int | str:
    """A number in answers, as long as it is one."""
    plain = generation_id.isascii() and generation_id.isdigit() and len(generation_id) <= 18
    return (
        int(generation_id) if plain and str(int(generation_id)) == generation_id else generation_id
    )
