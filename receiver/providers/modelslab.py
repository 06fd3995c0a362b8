"""ModelsLab, formerly stablediffusionapi.com, by its documents `modelslab-overview` and
`modelslab-enterprise-text2img`, and the vendor's pages `webhooks` and `error-codes`.

All its APIs (v3, v4, v6, v7, enterprise) speak alike, so what counts is how a path ends. Requests
are read in `modelslab_requests`, the slots of an answer in `modelslab_outputs`, both together in
`modelslab_exchange`; where requests go and what they carry is said in `modelslab_api`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from archiver.errors import UnreadableError
from archiver.models import (
    GenerationParams,
    GenerationState,
    Heard,
    Observation,
    SlotObservation,
)
from receiver import exchange
from receiver.providers import modelslab_api as api
from receiver.providers.modelslab_exchange import NAME, odd_status, read_exchange
from receiver.providers.modelslab_outputs import read_slots
from receiver.providers.modelslab_requests import (
    read_inputs,
    read_params,
    read_request,
    read_task,
)
from receiver.providers.values import as_id, as_mapping, read_document


class ModelsLab:
    """See `base.Provider`."""

    name = NAME
    # `temp: yes` and enterprise servers promise 24 hours, and nobody promises more.
    link_lifetime = timedelta(hours=24)

    concern = staticmethod(api.concern)
    api_key = staticmethod(api.api_key)
    with_webhook = staticmethod(api.with_webhook)
    ask = staticmethod(api.ask)
    is_senseless = staticmethod(api.is_senseless)

    def parse(self, heard: Heard, path_token: str, body: bytes) -> tuple[Observation, ...]:
        """See `base.Provider.parse`."""
        if heard is Heard.REMEMBERED:
            return (_remembered(path_token, body),)
        if heard is Heard.PUSHED:
            return _webhook(read_document(body))
        return read_exchange(exchange.decode(body))


MODELSLAB = ModelsLab()


def _webhook(document: Mapping[str, Any]) -> tuple[Observation, ...]:
    """`webhooks`, "Webhook payload".

    Nobody signs it, so it is a hint that something has happened, to be confirmed by a poll: its
    slots are counted without their links, for nothing that only a webhook named is ever
    downloaded, and neither its success nor its failure is more than a sign of life.
    """
    if "event" in document and "execution" in document:
        return ()  # "Workflow webhook payload": a workflow is no generation
    generation_id = as_id(document.get("id"))
    if generation_id is None and document.get("id") == "":
        return ()  # modelslab-overview: a failure may name nobody
    if generation_id is None:
        raise UnreadableError("the webhook names no generation: `id` is missing or not text")
    counted = {slot.index for slot in read_slots(document, final=False)}
    hint = Observation(
        provider=NAME,
        generation_id=generation_id,
        state=GenerationState.RUNNING,
        hint=True,
        odd_status=odd_status(document),
        slots=tuple(SlotObservation(index=index) for index in sorted(counted)),
        # The answer to a fetch has no `meta`, so this may be the only word on the seed.
        params=read_params({}, as_mapping(document.get("meta"))),
        track_id=as_id(document.get("track_id")),
    )
    return (hint,)


def _remembered(generation_id: str, body: bytes) -> Observation:
    request = read_request(body)
    params = read_params(request, {}, task=read_task(request))
    inputs = read_inputs(request)
    if params == GenerationParams() and not inputs:
        raise UnreadableError("the request has no prompt, nor anything else to draw from")
    return Observation(
        provider=NAME,
        generation_id=generation_id,
        state=GenerationState.QUEUED,
        inputs=inputs,
        params=params,
        track_id=as_id(request.get("track_id")),
    )
