"""Out of the quarantine into the inbox: what was refused, and has been verified since.

A command says which requests those are (`quarantined`), and the receiving process takes them in,
for it alone writes its inbox, and the inbox alone knows what it has already: the same delivery
sent once more by its provider is a duplicate of this one, and the other way round. A request is
taken out only once it is safe, so whatever dies in between, it is done again without harm.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from archiver.inbox import InboxWriter, NewDelivery, Recorded
from archiver.inbox.quarantine import Quarantine
from archiver.inbox.quarantined import Kept, Quarantined
from archiver.log import Outage, logger
from archiver.models import Heard

# Added to the secret's label: the arrival was long before the position in the inbox.
OUT_OF_QUARANTINE = ", out of quarantine"

# So many are appended together, beside whatever is pushed meanwhile.
_PORTION = 50
_LOOK_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Readmission:
    """The receiving process's side: `quarantined` reads the file that its `quarantine` writes."""

    quarantined: Quarantined
    quarantine: Quarantine
    inbox: InboxWriter

    async def run(self, stop: asyncio.Event) -> None:
        """Takes in what is marked, until `stop`; no trouble with it is anybody else's."""
        outage = Outage(
            "what was verified waits in the quarantine", "what was verified is taken in again"
        )
        while not stop.is_set():
            taken = 0
            try:
                taken = await self.step()
            except Exception as error:
                outage.met(error)
            else:
                outage.over()
            if not taken:
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), _LOOK_SECONDS)

    async def step(self) -> int:
        """Takes in a portion; how many it was."""
        marked = await asyncio.to_thread(partial(self.quarantined.verified, limit=_PORTION))
        if not marked:
            return 0
        recorded = await asyncio.gather(*(self.inbox.append(_delivery(one)) for one in marked))
        await self.quarantine.let_go([one.id for one in marked])
        for source, count in Counter(one.rejected.source for one in marked).items():
            logger().info("taken in out of the quarantine", source=source, count=count)
        known = recorded.count(Recorded.DUPLICATE)
        if known:
            logger().info("known already", count=known)
        return len(marked)


def _delivery(kept: Kept) -> NewDelivery:
    """As it came, and when it came: what is assumed of its links' lives counts from then."""
    rejected = kept.rejected
    return NewDelivery(
        source=rejected.source,
        heard=Heard.PUSHED,
        path_token=rejected.path_token,
        received_at=rejected.received_at,
        peer=rejected.peer,
        verified_by=f"{kept.verified_by}{OUT_OF_QUARANTINE}",
        headers=rejected.headers,
        body=rejected.body,
    )
