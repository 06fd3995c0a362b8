"""The providers that holdfast knows, in a table that anyone can read."""

from __future__ import annotations

from archiver.errors import UnreadableError
from archiver.models import Delivery, Observation
from receiver.decoding import decoded
from receiver.providers.base import Provider
from receiver.providers.doitong import DOITONG

PROVIDERS: dict[str, Provider] = {provider.name: provider for provider in (DOITONG,)}


def observations(delivery: Delivery) -> tuple[Observation, ...]:
    """What a delivery says, decoded and parsed; raises UnreadableError with the reason."""
    provider = PROVIDERS.get(delivery.source)
    if provider is None:
        raise UnreadableError(f"no provider is called {delivery.source!r}")
    if delivery.body is None:
        raise UnreadableError("the delivery's body has been pruned")
    body = decoded(delivery.headers, delivery.body)
    return provider.parse(delivery.heard, delivery.path_token, body)
