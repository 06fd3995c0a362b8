"""One request to a provider with our own key, and its exchange recorded before anyone is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import aiohttp

from archiver.errors import UnreadableError
from archiver.inbox import InboxWriter, NewDelivery
from archiver.models import Heard, Observation
from receiver.accounts import Accounts
from receiver.exchange import Exchange, Request, encode
from receiver.overheard import overheard
from receiver.pace import wait_seconds
from receiver.providers import PROVIDERS
from receiver.settings import Api
from receiver.upstream import Upstream, UpstreamError

# ModelsLab may draw before it answers.
_ANSWER_SECONDS = 120.0
_MAX_ANSWER_BYTES = 64 << 20


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
        async with self.upstream.send(
            self.apis[provider].base_url, request, seconds=_ANSWER_SECONDS
        ) as response:
            body = await _whole(response)
        exchange = overheard(
            PROVIDERS[provider],
            self.accounts,
            request,
            status=response.status,
            headers=response.raw_headers,
            body=body,
        )
        encoded = encode(exchange)
        said = _understood(provider, encoded)
        # A refusal begins nothing, but may tell how much credit is left.
        if said or 400 <= response.status < 429:
            await self._record(provider, encoded)
        return Answered(
            exchange=exchange,
            observation=said[0] if said else None,
            wait_seconds=wait_seconds(response.headers, self.now()),
        )

    async def _record(self, provider: str, encoded: bytes) -> None:
        delivery = NewDelivery(
            source=provider,
            heard=Heard.OVERHEARD,
            path_token="",
            received_at=self.now(),
            peer="",
            verified_by="submit",
            headers=(),
            body=encoded,
        )
        await self.inbox.append(delivery)


def _understood(provider: str, encoded: bytes) -> tuple[Observation, ...]:
    try:
        return PROVIDERS[provider].parse(Heard.OVERHEARD, "", encoded)
    except UnreadableError:
        return ()


async def _whole(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    try:
        async for piece in response.content.iter_any():
            body += piece
            if len(body) > _MAX_ANSWER_BYTES:
                raise UpstreamError(f"an answer beyond {_MAX_ANSWER_BYTES} bytes", sent=True)
    except (aiohttp.ClientError, OSError) as error:
        said = f"the answer broke off ({type(error).__name__})"
        raise UpstreamError(said, sent=True) from None
    return bytes(body)
