"""Adopting: reading an account's own list of tasks for what holdfast never heard of.

The way back after an outage: what the list tells becomes deliveries, and the reconciler asks for
the rest of each.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime

from archiver.errors import HoldfastError, UnreadableError
from archiver.inbox import NewDelivery
from archiver.models import Heard, Observation
from receiver.accounts import Accounts
from receiver.exchange import Request, encode
from receiver.overheard import overheard
from receiver.pace import wait_seconds
from receiver.provider_tables import Api
from receiver.providers import PROVIDERS, dashscope_list
from receiver.upstream import Answer, Upstream

# Who can be asked for a list, and by what; the other providers document none.
LISTS = {"dashscope": dashscope_list}

_ANSWER_SECONDS = 30.0
_TRIES = 8
_THROTTLED_SECONDS = 5.0


class NotListedError(HoldfastError):
    """The provider gave no list."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """What one page of a list says, and the delivery that would tell it to the archive."""

    says: tuple[Observation, ...]
    delivery: NewDelivery


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """The lists of one provider's accounts."""

    provider: str
    api: Api
    upstream: Upstream
    accounts: Accounts
    now: Callable[[], datetime]

    async def pages(self, api_key: str, *, since: datetime) -> AsyncIterator[Page]:
        """Every page of what was submitted since then; raises NotListedError or UpstreamError."""
        lister, end_at = LISTS[self.provider], self.now()
        begun_at = since
        while begun_at < end_at:
            ended_at = min(begun_at + lister.WINDOW, end_at)
            number, count = 1, 1
            while number <= count:
                asked = lister.page(api_key, number, begun_at=begun_at, ended_at=ended_at)
                page, answer = await self._page(asked)
                count = lister.count_pages(answer)
                yield page
                number += 1
            begun_at = ended_at

    async def _page(self, asked: Request) -> tuple[Page, bytes]:
        for _ in range(_TRIES):
            answer = await self.upstream.ask(self.api.base_url, asked, seconds=_ANSWER_SECONDS)
            if answer.status != 429:
                return self._read(asked, answer)
            wait = wait_seconds(answer.headers, self.now())
            await asyncio.sleep(_THROTTLED_SECONDS if wait is None else wait)
        raise NotListedError(f"{self.provider} says that its account asks too often: try later")

    def _read(self, asked: Request, answer: Answer) -> tuple[Page, bytes]:
        exchange = overheard(
            PROVIDERS[self.provider],
            self.accounts,
            asked,
            status=answer.status,
            headers=answer.raw_headers,
            body=answer.body,
        )
        if answer.status != 200:
            raise NotListedError(
                f"{self.provider} answered {answer.status}: see that its key in "
                f"providers.{self.provider}.keys is right and of the region of its base_url"
            )
        encoded = encode(exchange)
        try:
            said = PROVIDERS[self.provider].parse(Heard.POLLED, "", encoded)
            LISTS[self.provider].count_pages(exchange.answer)
        except UnreadableError as error:
            raise NotListedError(f"{self.provider}: {error}") from error
        delivery = NewDelivery(
            source=self.provider,
            heard=Heard.POLLED,
            received_at=self.now(),
            verified_by="adopt",
            body=encoded,
        )
        return Page(says=said, delivery=delivery), exchange.answer
