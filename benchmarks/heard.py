"""Inboxes full of webhooks that nobody has absorbed yet."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence

from archiver.clock import now
from archiver.inbox import NewDelivery, OwnedInbox
from archiver.models import Heard

# As many as the writer takes into one commit.
_AT_ONCE = 256


async def fill(inbox: OwnedInbox, urls: Sequence[str]) -> None:
    """Puts one webhook of success for each link into an inbox that nobody else writes."""
    await inbox.start()
    deliveries = list(_deliveries(urls))
    for start in range(0, len(deliveries), _AT_ONCE):
        await asyncio.gather(*map(inbox.append, deliveries[start : start + _AT_ONCE]))
    await inbox.close()


def _deliveries(urls: Sequence[str]) -> Iterator[NewDelivery]:
    for number, url in enumerate(urls):
        body = {
            "id": f"gen{number:012d}",
            "status": "completed",
            "url": url,
            "service": "stable-diffusion",
            "createdAt": "2026-11-20T00:00:00Z",
            "completedAt": "2026-11-20T00:01:00Z",
            "metadata": {"duration": None, "width": 1024, "height": 1024, "note": "x" * 250},
        }
        yield NewDelivery(
            source="doitong",
            heard=Heard.PUSHED,
            path_token="",
            received_at=now(),
            peer="127.0.0.1",
            verified_by="bench",
            headers=((b"Content-Type", b"application/json"), (b"X-Doitong-Signature", b"0" * 71)),
            body=json.dumps(body).encode(),
        )
