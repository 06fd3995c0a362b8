"""The providers that holdfast knows, in a table that anyone can read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from archiver.errors import UnreadableError
from archiver.models import NOTHING_ASKED, Delivery, GenerationState, Heard, Observation
from receiver import exchange
from receiver.decoding import decoded
from receiver.exchange import Exchange, Request
from receiver.providers.base import Concern, Provider
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
    if delivery.heard is Heard.REMEMBERED:
        require_id(delivery.path_token)
        if not body:
            return (_heard_of(provider.name, delivery.path_token),)
    said = provider.parse(delivery.heard, delivery.path_token, body)
    if delivery.heard not in (Heard.POLLED, Heard.OVERHEARD) or not said:
        return said
    told = exchange.decode(body)
    owns = _polled_owns if delivery.heard is Heard.POLLED else _overheard_owns(provider, told)
    account = told.account or None
    return tuple(replace(one, account=account) if owns(one) else one for one in said)


def require_id(generation_id: str) -> None:
    """Raises UnreadableError for an id that nobody could see or type."""
    if not generation_id.strip() or "\0" in generation_id:
        raise UnreadableError("a generation's id is more than white space, and has no U+0000")


def _polled_owns(said: Observation) -> bool:
    """Whether the account that we asked for has the generation: it would not know another's."""
    return not said.unknown


def _overheard_owns(provider: Provider, told: Exchange) -> Callable[[Observation], bool]:
    """Whether who was overheard has it: who asked for a picture, and not whoever asks after one.

    Anybody may ask after any id, and some providers answer whoever does.
    """
    request = Request(method=told.method, path=told.path, body=told.request)
    submits = provider.concern(request) is Concern.SUBMISSION
    return lambda said: submits and said.params != NOTHING_ASKED


def _heard_of(provider: str, generation_id: str) -> Observation:
    """Somebody knows that it exists, and no more; the provider may tell the rest."""
    return Observation(provider=provider, generation_id=generation_id, state=GenerationState.QUEUED)
