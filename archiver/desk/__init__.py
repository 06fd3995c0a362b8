"""Where a renderer gets its work: one protocol, whether it stands beside the archive or far away.

The archive's own desk is `archiver.desk.catalog`; over HTTP the same calls reach it through
`archiver.web.jobs`. Both run the same contract suite.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from archiver.models import Generation, Rendering, Slot


class Verdict(StrEnum):
    """How a commission ended without a picture; what follows from it is the archive's law."""

    REFUSED = "refused"  # not as things are: held until a renderer starts anew, or more is known
    DISCARDED = "discarded"  # it killed its child again, or never ended: final
    RETRY = "retry"  # our trouble, not the picture's: again after a back-off
    RELEASED = "released"  # given back untried


@dataclass(frozen=True, kw_only=True, slots=True)
class Commission:
    """One slot to draw, for as long as the lease is kept; `fence` proves who holds it.

    `target` tells what it was to be drawn from when it was given out (`archiver.drawing`).
    """

    job_id: int
    target: str
    fence: int
    lease_seconds: float
    generation: Generation
    index: int

    @property
    def slot(self) -> Slot:
        """The slot of the generation that is to be drawn."""
        slot = self.generation.slot(self.index)
        assert slot is not None
        return slot


class Desk(Protocol):
    """Hands out what is to be drawn, and takes in what was.

    Each method raises CatalogUnavailableError while the archive cannot be reached or written:
    nothing was done then, and trying again helps.
    """

    async def claim(
        self, worker: str, *, fresh: bool = False, number: int | None = None
    ) -> Commission | None:
        """Leases the next slot to draw to `worker`, or None if none waits.

        `fresh`: this renderer has just started, so what others refused is offered again. With the
        archive `number` of a slot it is that one or none, by hand: also one that is held, or that
        was given up; NotOfferedError says why it may not be drawn.
        """

    async def keep(self, commission: Commission) -> bool:
        """Extends the lease; False: no longer wanted, stop. LeaseLostError: another has it."""

    def picture(self, commission: Commission, blob_key: str) -> AsyncIterator[bytes]:
        """The bytes of one of the pictures that the generation's own request named.

        Raises NotOfferedError for any other key, BucketError.
        """

    async def complete(self, commission: Commission, png: Path, rendering: Rendering) -> None:
        """Brings the picture into the bucket and its slot; durable before it returns.

        Doing so again after it was done changes nothing. Raises LeaseLostError, also when it is no
        longer wanted; FetchError: OURS when bucket, disk or way failed, else what arrived is no
        whole PNG.
        """

    async def fail(self, commission: Commission, verdict: Verdict, reason: str) -> None:
        """Ends the lease without a picture; raises LeaseLostError."""
