"""One request to a provider with our own key, and its exchange recorded before anyone is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from archiver.errors import UnreadableError
from archiver.inbox import InboxWriter, NewDelivery
from archiver.models import Heard, Observation
from receiver.accounts import Accounts
from receiver.exchange import Exchange, Request, encode
from receiver.overheard import overheard
from receiver.pace import wait_seconds
from receiver.provider_tables import Api
from receiver.providers import PROVIDERS
from receiver.providers.base import Concern
from receiver.upstream import Upstream

# ModelsLab may draw before it answers.
_ANSWER_SECONDS = 120.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Answered:
    """An answer less keys, what it says of a generation, and how long it asks us to wait."""

    exchange: Exchange
    observation: Observation | None
    wait_seconds: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Posting:
    """The way to every provider, and the inbox of what comes back."""

    apis: Mapping[str, Api]
    upstream: Upstream
    accounts: Accounts
    inbox: InboxWriter
    now: Callable[[], datetime]

    async def post(self, provider: str, request: Request) -> Answered:
        """Sends once, and returns once what was said is durable.

        Raises UpstreamError, and InboxUnavailableError: sent then, and not recorded.
        """
        base_url = self.apis[provider].base_url
        answer = await self.upstream.ask(base_url, request, seconds=_ANSWER_SECONDS)
        exchange = overheard(
            PROVIDERS[provider],
            self.accounts,
            request,
            status=answer.status,
            headers=answer.raw_headers,
            body=answer.body,
        )
        encoded = encode(exchange)
        said = _understood(provider, encoded)
        # A refusal begins nothing, but may tell how much credit is left.
        if said or 400 <= answer.status < 429:
            asks = PROVIDERS[provider].concern(request) is Concern.QUESTION
            await self._record(provider, encoded, Heard.POLLED if asks else Heard.OVERHEARD)
        return Answered(
            exchange=exchange,
            observation=said[0] if said else None,
            wait_seconds=wait_seconds(answer.headers, self.now()),
        )

    async def _record(self, provider: str, encoded: bytes, heard: Heard) -> None:
        delivery = NewDelivery(
            source=provider,
            heard=heard,
            received_at=self.now(),
            verified_by="submit",
            body=encoded,
        )
        await self.inbox.append(delivery)


def _understood(provider: str, encoded: bytes) -> tuple[Observation, ...]:
    try:
        return PROVIDERS[provider].parse(Heard.OVERHEARD, "", encoded)
    except UnreadableError:
        return ()
