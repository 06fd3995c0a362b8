"""Deliveries, repeated a few times as a real sender would."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

import aiohttp

CONNECTIONS = 32
BACKOFFS_SECONDS = (0.05, 0.2, 0.8)


def delivery_session() -> aiohttp.ClientSession:
    """The one client of all deliveries; its pool bounds how many are on the wire at once."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=CONNECTIONS),
        # No total: it would count the wait for a free connection against the receiver.
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=10),
    )


async def attempts(
    session: aiohttp.ClientSession, url: str, body: bytes, headers: Mapping[str, str]
) -> AsyncIterator[int | None]:
    """POST until an answer settles it or patience ends; yields each HTTP status, None for none."""
    for pause_seconds in (0.0, *BACKOFFS_SECONDS):
        await asyncio.sleep(pause_seconds)
        answer = await post(session, url, body, headers)
        yield answer
        if answer is not None and not _worth_repeating(answer):
            return


async def post(
    session: aiohttp.ClientSession, url: str, body: bytes, headers: Mapping[str, str]
) -> int | None:
    """POST once; the HTTP status, None where no answer came."""
    try:
        async with session.post(url, data=body, headers=headers, allow_redirects=False) as answer:
            await answer.read()
            return answer.status
    except (aiohttp.ClientError, TimeoutError):
        return None


def _worth_repeating(status: int) -> bool:
    return status >= 500 or status in {408, 429}
