"""What somebody tells us of a generation that was submitted elsewhere, as a delivery."""

from __future__ import annotations

from datetime import datetime

from archiver.errors import UnreadableError
from archiver.inbox import NewDelivery
from archiver.models import Heard
from receiver.confidential import without_keys
from receiver.exchange import Request
from receiver.providers import PROVIDERS, require_id


def remembered(
    source: str,
    generation_id: str,
    request: bytes,
    *,
    request_type: str = "",
    by: str,
    peer: str = "",
    now: datetime,
) -> NewDelivery:
    """The request of a generation, less its API keys; an empty one says only that it exists.

    `source` must be a known provider's name. Raises UnreadableError if the id is blank, or the
    request makes no sense.
    """
    require_id(generation_id)
    provider = PROVIDERS[source]
    headers = (("Content-Type", request_type),)
    api_key = provider.api_key(Request(method="POST", path="/", headers=headers, body=request))
    kept = without_keys(request, request_type, (api_key,) if api_key else ())
    if request and not kept:
        raise UnreadableError("the body is neither JSON nor a form in UTF-8")
    if kept:
        provider.parse(Heard.REMEMBERED, generation_id, kept)
    return NewDelivery(
        source=source,
        heard=Heard.REMEMBERED,
        path_token=generation_id,
        received_at=now,
        peer=peer,
        verified_by=by,
        body=kept,
    )
