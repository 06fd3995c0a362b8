"""Taking bodies out of an inbox: done by the process that owns it, as the archive orders.

What is taken out stays known by its digest, so that the same delivery is still a duplicate.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from archiver.inbox import OwnedInbox
from archiver.log import Outage
from archiver.prunings import Pruning

LOOK_SECONDS = 5.0

# Deliveries to a commit, beside which others are appended.
_PORTION = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Pruner:
    """The owner's side: its inbox, and what is ordered to be taken out of that (blocking)."""

    inbox: OwnedInbox
    orders: Callable[[], set[Pruning]]
    done: set[Pruning] = field(default_factory=set)

    async def run(self) -> None:
        """Carries orders out until it is cancelled; no trouble with it is anybody else's."""
        outage = Outage("an inbox could not be pruned", "inboxes are pruned again")
        while True:
            try:
                await self.step()
            except Exception as error:
                outage.met(error)
            else:
                outage.over()
            await asyncio.sleep(LOOK_SECONDS)

    async def step(self) -> int:
        """Carries out what is ordered and not yet done; how many orders it was."""
        orders = await asyncio.to_thread(self.orders)
        fresh = [order for order in orders if order not in self.done]
        for order in fresh:
            for first in range(order.first, order.last + 1, _PORTION):
                await self.inbox.prune(first, min(first + _PORTION - 1, order.last))
        # An order is struck off once the archive sees that it was carried out.
        self.done.intersection_update(orders)
        self.done.update(fresh)
        return len(fresh)

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """Runs while inside."""
        task = asyncio.create_task(self.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])
