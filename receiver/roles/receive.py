"""The role `receive`: the public listener and its inbox. The one process that must never wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial

from archiver import clock
from archiver.inbox.pruning import Pruner
from archiver.inbox.quarantine import Quarantine
from archiver.inbox.quarantined import Quarantined
from archiver.inbox.readmission import Readmission
from archiver.sqlite import Error, require_safe_version
from receiver.answers import Answers
from receiver.listener import listening
from receiver.peers import FailureLimit
from receiver.public import public
from receiver.readiness import Readiness
from receiver.reading import Room
from receiver.roles.process import DRAIN_SECONDS, Orders, main
from receiver.sources import verifiers
from receiver.stores import inboxes_of, start_inbox
from receiver.webhook import Webhook

_AGE_SECONDS = 3600.0
# Of bodies that strangers have begun to send; a full listener's would come to a GiB.
_UNFINISHED_BYTES = 64 << 20


async def run(orders: Orders, stop: asyncio.Event, ready: Callable[[], None]) -> None:
    """Serves webhooks until told to stop, then answers those under way and closes the inbox."""
    config = orders.config
    require_safe_version(allow_unsafe=config.catalog.allow_unsafe_sqlite)
    folder, store = config.catalog.inbox_folder, inboxes_of(config.catalog)
    inbox = store.writer("receive")
    quarantine = Quarantine(folder / "quarantine.db")
    readmission = Readmission(
        quarantined=Quarantined(folder / "quarantine.db"), quarantine=quarantine, inbox=inbox
    )
    await start_inbox(inbox, config.catalog)
    await quarantine.start()
    readiness = Readiness(lambda: inbox.prove(clock.now()), monotonic=clock.monotonic)
    sources = verifiers(config)
    webhook = Webhook(
        sources=sources,
        inbox=inbox,
        quarantine=quarantine,
        failures=FailureLimit(config.listen.failures_per_minute),
        trusted_proxies=config.listen.proxies,
        max_body_bytes=config.listen.max_body_bytes,
        read_seconds=config.listen.read_seconds,
        room=Room(max(_UNFINISHED_BYTES, 2 * config.listen.max_body_bytes)),
        answers=Answers(clock.now, sources),
        now=clock.now,
        monotonic=clock.monotonic,
    )
    readmitting = asyncio.create_task(readmission.run(stop))
    pruner = Pruner(inbox=inbox, orders=partial(store.orders, "receive"))
    aging = asyncio.create_task(_age(quarantine, timedelta(days=config.quarantine.keep_days)))
    try:
        async with (
            pruner.at_work(),
            listening(
                public(webhook, readiness),
                orders.socket("public"),
                keepalive_seconds=config.listen.keepalive_seconds,
                max_connections=config.listen.max_connections,
                drain_seconds=DRAIN_SECONDS,
            ),
        ):
            ready()
            await stop.wait()
            readiness.drain()
            webhook.answers.drain()
    finally:
        webhook.answers.tell()
        for task in (readmitting, aging):
            task.cancel()  # what it has begun is done again without harm
        await asyncio.wait([readmitting, aging])
        await inbox.close()
        await quarantine.close()


async def _age(quarantine: Quarantine, age: timedelta) -> None:
    """Lets go of what was refused long ago; a file that fails now is asked an hour later."""
    while True:
        with suppress(Error):
            await quarantine.forget(clock.now() - age)
        await asyncio.sleep(_AGE_SECONDS)


if __name__ == "__main__":
    main("receive", run)
