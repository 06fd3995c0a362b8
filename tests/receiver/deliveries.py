"""Deliveries by hand, and inbox files that hold them."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

from archiver.inbox import NewDelivery
from archiver.inbox.sqlite import SqliteInbox
from archiver.models import Heard
from tests.clocks import NOON

URL = "https://cdn.doitong.com/outputs/abc123xyz.png?Expires=1795280400&Signature=hush"
FRESH_URL = URL.replace("1795280400", "1795366800")


def delivery(body: bytes, **fields: Any) -> NewDelivery:
    """Something heard at noon from Doitong, pushed and verified, unless said otherwise."""
    given = {
        "source": "doitong",
        "heard": Heard.PUSHED,
        "path_token": "",
        "received_at": NOON,
        "peer": "192.0.2.7",
        "verified_by": "2026-11",
        "headers": (),
        **fields,
    }
    return NewDelivery(body=body, **given)


def webhook(generation_id: str, url: str | None = URL, **payload: Any) -> NewDelivery:
    """The documented webhook of a generation that is completed, unless said otherwise."""
    document = {"id": generation_id, "status": "completed", "url": url, "service": "flux-pro"}
    return delivery(json.dumps({**document, **payload}).encode())


def request(generation_id: str, prompt: str, received_at: datetime = NOON) -> NewDelivery:
    """A request that somebody asked us to remember."""
    return delivery(
        json.dumps({"input": {"prompt": prompt, "width": 512}}).encode(),
        heard=Heard.REMEMBERED,
        path_token=generation_id,
        received_at=received_at,
    )


async def record(path: Path, *deliveries: NewDelivery) -> None:
    """Appends to an inbox file, as its owner does, and lets it go."""
    async with AsyncExitStack() as stack:
        inbox = SqliteInbox(path)
        await inbox.start()
        stack.push_async_callback(inbox.close)
        for heard in deliveries:
            await inbox.append(heard)
