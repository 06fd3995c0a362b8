"""What the role `archive` needs for telling the operator's own software what has become of what."""

from __future__ import annotations

from contextlib import AsyncExitStack
from random import SystemRandom
from urllib.parse import urlsplit

from archiver import clock
from archiver.catalog import CatalogReader, Tables
from archiver.egress import Egress, EgressPolicy
from archiver.log import logger
from archiver.notices import Event
from archiver.notify import Notify
from archiver.standard_webhooks import key_of
from archiver.work import JobKind
from archiver.worker import Bench
from receiver import settings

# Few at once: a receiver that is slow, or an outage that ends, must not crowd out what dies.
_AT_ONCE = 4
# A receiver is to take a message and to work later.
_ANSWER_SECONDS = 15.0


def begin(notify: settings.Notify, tables: Tables) -> None:
    """Has noted from now on what is to be told; what nobody wants to know any more is not told.

    What waits for its next try, or was held because its workers died, is tried now: a start may
    bring what it was waiting for.
    """
    now = clock.now()
    tables.notices.want([Event(event) for event in notify.events] if notify.url else [])
    taken_back = tables.notices.take_back(now=now)
    if taken_back:
        logger().warning("messages are not sent, for nobody wants them any more", count=taken_back)
    tables.notices.free()
    tables.jobs.hasten(JobKind.NOTIFY, "", now=now)


async def benches(
    notify: settings.Notify, reader: CatalogReader, stack: AsyncExitStack
) -> dict[JobKind, Bench]:
    """Who sends the messages; nobody, where nobody is to be told."""
    if not notify.url:
        return {}
    egress = await stack.enter_async_context(Egress(_policy(notify)))
    notifier = Notify(
        egress=egress,
        catalog=reader,
        url=notify.url,
        keys=tuple(map(key_of, notify.secrets.values())),
        gallery_url=notify.gallery_url,
        now=clock.now,
        random=SystemRandom().random,
    )
    bench = Bench(perform=notifier.perform, slots=_AT_ONCE, per_host=_AT_ONCE)
    return {JobKind.NOTIFY: bench}


def _policy(notify: settings.Notify) -> EgressPolicy:
    """The scheme and the port are the operator's own word; where a name leads is anybody's."""
    parts = urlsplit(notify.url)
    port = parts.port or (80 if parts.scheme == "http" else 443)
    return EgressPolicy(
        table="notify",
        allow_http=notify.allow_http,
        allow_ports=frozenset({port}),
        allow_networks=notify.networks,
        total_seconds=_ANSWER_SECONDS,
    )
