"""The certificates that EventBridge names: fetched through the guarded client, kept for a day.

Whoever sends a request chooses the URL, though only on hosts that were permitted before it comes
here; so what is kept and how often is fetched are bounded.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

from archiver.egress import Egress, EgressPolicy
from archiver.errors import FetchError
from archiver.log import Outage
from archiver.models import Fault
from receiver.eventbridge import Certificate, read_certificate

MAX_KEPT = 16
KEPT_SECONDS = 24 * 3600.0
# A certificate replaced under the same URL is noticed when a signature fails.
DOUBT_SECONDS = 60.0
MAX_FETCHES_PER_MINUTE = 12

_MAX_BYTES = 64 << 10
_FETCH_SECONDS = 4.0


@dataclass(frozen=True, kw_only=True, slots=True)
class _Kept:
    certificate: Certificate
    fetched_at_seconds: float


class Certificates:
    """The last few certificates by URL; `monotonic` tells the seconds."""

    def __init__(self, policy: EgressPolicy, monotonic: Callable[[], float]) -> None:
        self._policy = replace(
            policy,
            max_bytes=_MAX_BYTES,
            total_seconds=_FETCH_SECONDS,
            connect_seconds=_FETCH_SECONDS,
            read_seconds=_FETCH_SECONDS,
            max_redirects=0,
        )
        self._monotonic = monotonic
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._under_way: dict[str, asyncio.Task[Certificate | None]] = {}
        self._minute, self._fetches = 0, 0
        self._outage = Outage(
            "an EventBridge certificate cannot be had, and events wait for it",
            "EventBridge certificates can be had again",
        )

    def kept(self, url: str) -> Certificate | None:
        """The certificate of that URL if it was fetched within a day."""
        kept = self._kept.get(url)
        if kept is None or self._monotonic() - kept.fetched_at_seconds >= KEPT_SECONDS:
            return None
        self._kept.move_to_end(url)
        return kept.certificate

    def may_have_changed(self, url: str) -> bool:
        """Whether the copy is old enough to be doubted when a signature does not fit."""
        kept = self._kept.get(url)
        return kept is None or self._monotonic() - kept.fetched_at_seconds >= DOUBT_SECONDS

    async def fetch(self, url: str, host: str) -> Certificate | None:
        """The certificate as it is now, or None within seconds if it cannot be had; never raises.

        All that wait for the same URL wait for one answer.
        """
        task = self._under_way.get(url)
        if task is None:
            if not self._may_fetch():
                return None
            task = self._under_way[url] = asyncio.create_task(self._fetch(url, host))
            task.add_done_callback(lambda _: self._under_way.pop(url))
        return await asyncio.shield(task)

    def _may_fetch(self) -> bool:
        minute = int(self._monotonic()) // 60
        if minute != self._minute:
            self._minute, self._fetches = minute, 0
        self._fetches += 1
        return self._fetches <= MAX_FETCHES_PER_MINUTE

    async def _fetch(self, url: str, host: str) -> Certificate | None:
        try:
            certificate = read_certificate(await self._download(url, host))
            if certificate is None:
                raise FetchError(Fault.SERVER, f"what {host} sends is no certificate")
        except FetchError as error:
            self._outage.met(error)
            return None
        self._outage.over()
        self._kept[url] = _Kept(certificate=certificate, fetched_at_seconds=self._monotonic())
        self._kept.move_to_end(url)
        if len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)
        return certificate

    async def _download(self, url: str, host: str) -> bytes:
        # A session for each: once a day is not worth one that somebody would have to close.
        async with Egress(self._policy) as egress, egress.get(url, (host,)) as incoming:
            return b"".join([chunk async for chunk in incoming.chunks()])
