"""Doitong, by its documents `doitong-stable-diffusion` and `doitong-flux-pro` (one API).

The documents contradict themselves in places; the tolerant reading of each stands where it is
made: of a generation in `doitong_generation`, of a request in `doitong_request`, of both together
in `doitong_exchange`. Where requests go and what they carry is said in `doitong_api`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from archiver.errors import UnreadableError
from archiver.models import GenerationState, Heard, Observation
from receiver import exchange
from receiver.providers import doitong_api as api
from receiver.providers.doitong_exchange import read_exchange
from receiver.providers.doitong_generation import NAME, read_generation
from receiver.providers.doitong_request import read_asked
from receiver.providers.values import as_id, read_document


class Doitong:
    """See `base.Provider`."""

    name = NAME
    # No document says how long a link lives; a day is the bound its neighbours promise.
    link_lifetime = timedelta(hours=24)

    concern = staticmethod(api.concern)
    api_key = staticmethod(api.api_key)
    with_webhook = staticmethod(api.with_webhook)
    ask = staticmethod(api.ask)
    is_senseless = staticmethod(api.is_senseless)

    def parse(self, heard: Heard, path_token: str, body: bytes) -> tuple[Observation, ...]:
        """See `base.Provider.parse`."""
        if heard is Heard.PUSHED:
            return (_webhook(read_document(body)),)
        if heard is Heard.REMEMBERED:
            return (_remembered(path_token, read_document(body)),)
        return read_exchange(exchange.decode(body))


DOITONG = Doitong()


def _webhook(document: Mapping[str, Any]) -> Observation:
    """ "Webhook payload": the generation's id, status and url at the top level."""
    generation_id = as_id(document.get("id"))
    if generation_id is None:
        raise UnreadableError("the webhook names no generation: `id` is missing or not text")
    return read_generation(generation_id, document)


def _remembered(generation_id: str, document: Mapping[str, Any]) -> Observation:
    asked = read_asked(document)
    if asked is None:
        raise UnreadableError("the request has no prompt: neither `prompt` nor `input.text`")
    return Observation(
        provider=NAME,
        generation_id=generation_id,
        state=GenerationState.QUEUED,
        service=asked.service,
        params=asked.params,
    )
