"""The providers that holdfast knows, in a table that anyone can read."""

from __future__ import annotations

from dataclasses import replace

from archiver.errors import UnreadableError
from archiver.models import Delivery, GenerationState, Heard, Observation
from receiver import exchange
from receiver.decoding import decoded
from receiver.providers.base import Provider
from receiver.providers.dashscope import DASHSCOPE
from receiver.providers.doitong import DOITONG
from receiver.providers.modelslab import MODELSLAB

PROVIDERS: dict[str, Provider] = {
    provider.name: provider for provider in (DOITONG, MODELSLAB, DASHSCOPE)
}


def observations(delivery: Delivery) -> tuple[Observation, ...]:
    """What a delivery says, decoded and parsed; raises UnreadableError with the reason."""
    provider = PROVIDERS.get(delivery.source)
    if provider is None:
        raise UnreadableError(f"no provider is called {delivery.source!r}")
    if delivery.body is None:
        raise UnreadableError("the delivery's body has been pruned")
    body = decoded(delivery.headers, delivery.body)
    if delivery.heard is Heard.REMEMBERED and not body:
        return (_heard_of(provider.name, delivery.path_token),)
    said = provider.parse(delivery.heard, delivery.path_token, body)
    if delivery.heard not in (Heard.POLLED, Heard.OVERHEARD) or not said:
        return said
    account = exchange.decode(body).account or None
    return tuple(replace(observation, account=account) for observation in said)


def _heard_of(provider: str, generation_id: str) -> Observation:
    """Somebody knows that it exists, and no more; the provider may tell the rest."""
    return Observation(provider=provider, generation_id=generation_id, state=GenerationState.QUEUED)
