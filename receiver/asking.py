"""Asking a provider how a generation stands: with whose key, when, and what the answer says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import aiohttp

from archiver.errors import UnreadableError
from archiver.models import Generation, GenerationState, Heard, Observation
from receiver.accounts import Accounts
from receiver.exchange import Request, encode
from receiver.overheard import overheard
from receiver.pace import Pace, wait_seconds
from receiver.provider_tables import Api
from receiver.providers import PROVIDERS
from receiver.reading import whole
from receiver.upstream import Upstream, UpstreamError

# The longest silence, and the longest answer.
_SILENCE_SECONDS = 20.0
_ANSWER_SECONDS = 60.0
_MAX_ANSWER_BYTES = 64 << 20
# Whose turn comes later than this gives up its place at the bench meanwhile.
_PATIENCE_SECONDS = 1.0
_THROTTLED_SECONDS = 10.0

# How the reason of a question begins that cannot be asked until the configuration changes.
NOT_POLLABLE = "not pollable"


class UnansweredError(Exception):
    """No answer this time; the sentence says why, and `wait_seconds` for how long not to ask."""

    def __init__(self, reason: str, wait_seconds: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_seconds = wait_seconds


class UnaskableError(Exception):
    """There is no way to ask, until the operator opens one; the sentence says which."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """What an answer says of the generation, and the exchange as the body of a delivery.

    It says nothing if the provider knows no such generation.
    """

    body: bytes
    says: tuple[Observation, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Asking:
    """One way to all providers; each account is asked no more often than its provider permits."""

    apis: Mapping[str, Api]
    upstream: Upstream
    accounts: Accounts
    now: Callable[[], datetime]
    monotonic: Callable[[], float]
    pace: Pace = field(default_factory=Pace)
    senseless: set[str] = field(default_factory=set)

    async def ask(self, generation: Generation, *, turn: int = 1) -> Told:
        """Asks once; raises UnansweredError or UnaskableError.

        The `turn` (1, 2, 3, …) decides whose key it is if the account is not known.
        """
        api, key, request = self._question(generation, turn)
        account = self.accounts.fingerprint(generation.provider, key)
        await self._turn(account, api)
        try:
            async with (
                asyncio.timeout(_ANSWER_SECONDS),
                self.upstream.send(api.base_url, request, seconds=_SILENCE_SECONDS) as response,
            ):
                self._heed(account, response)
                body = await whole(response.content, _MAX_ANSWER_BYTES)
        except UpstreamError as error:
            raise UnansweredError(str(error)) from None
        except (aiohttp.ClientError, OSError) as error:
            raise UnansweredError(f"the answer broke off ({type(error).__name__})") from None
        if body is None:
            raise UnansweredError(f"the answer is larger than {_MAX_ANSWER_BYTES} bytes")
        told = self._understood(generation, request, response, body)
        if not told.says and generation.account is None and turn < len(api.keys):
            raise UnansweredError("this account knows no such generation, the next may")
        return told

    def _question(self, generation: Generation, turn: int) -> tuple[Api, str, Request]:
        name = generation.provider
        api = self.apis.get(name)
        if api is None:
            raise UnaskableError(f"{NOT_POLLABLE}: there is no table [providers.{name}]")
        key = self._key(generation, api, turn)
        if key is None:
            whose = f"of the account {generation.account}" if generation.account else "at all"
            raise UnaskableError(f"{NOT_POLLABLE}: providers.{name}.keys holds no key {whose}")
        request = PROVIDERS[name].ask(generation, key, api)
        if request is None or name in self.senseless:
            raise UnaskableError(f"{NOT_POLLABLE}: {name} has no question that it understands")
        return api, key, request

    def _key(self, generation: Generation, api: Api, turn: int) -> str | None:
        if generation.account is None and api.keys:
            return [*api.keys.values()][(turn - 1) % len(api.keys)]
        return self.accounts.key_of(generation.provider, api.keys, generation.account)

    async def _turn(self, account: str, api: Api) -> None:
        delay_seconds = self.pace.delay_seconds(
            account,
            api.asks_per_second,
            self.monotonic(),
            patience_seconds=_PATIENCE_SECONDS,
        )
        if delay_seconds > _PATIENCE_SECONDS:
            raise UnansweredError("waits for its account's turn", delay_seconds)
        await asyncio.sleep(delay_seconds)

    def _heed(self, account: str, response: aiohttp.ClientResponse) -> None:
        """Leaves an account alone that has asked too often."""
        if response.status != 429:
            return
        seconds = wait_seconds(response.headers, self.now()) or _THROTTLED_SECONDS
        self.pace.rest(account, self.monotonic() + seconds)
        raise UnansweredError("its account asks too often", seconds)

    def _understood(
        self,
        generation: Generation,
        request: Request,
        response: aiohttp.ClientResponse,
        body: bytes,
    ) -> Told:
        provider = PROVIDERS[generation.provider]
        exchange = overheard(
            provider,
            self.accounts,
            request,
            status=response.status,
            headers=response.raw_headers,
            body=body,
        )
        if provider.is_senseless(exchange.answer):
            self.senseless.add(provider.name)
            raise UnaskableError(f"{NOT_POLLABLE}: {provider.name} has no such question")
        encoded = encode(exchange)
        try:
            said = provider.parse(Heard.POLLED, "", encoded)
        except UnreadableError as error:
            raise UnansweredError(f"the answer ({response.status}): {error}") from error
        own = tuple(one for one in said if one.generation_id == generation.id)
        if not own:
            raise UnansweredError(f"the answer ({response.status}) says nothing of it")
        says = tuple(one for one in own if not one.unknown or one.state is GenerationState.LOST)
        return Told(body=encoded, says=says)
