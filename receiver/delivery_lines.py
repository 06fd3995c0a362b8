"""A delivery in a line, as an operator meets it: by a name that can be typed, with what became of
it.

Its name is `<inbox>:<position>`, where the inbox is the name of its file (`receive:17`), or its
UUID or the beginning of that; a request that was refused is `quarantine:<number>`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from archiver.catalog.outcomes import Outcome, Said
from archiver.inbox.leafing import Leaf
from archiver.inbox.quarantined import Kept
from archiver.models import DeliveryRef, Heard

QUARANTINE = "quarantine"

_NOTHING = Outcome()


class DeliveryState(StrEnum):
    """What became of a delivery."""

    ABSORBED = "absorbed"
    UNPARSED = "unparsed"
    BACKLOG = "backlog"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveryFilter:
    """Which deliveries; None says nothing. Refused requests are had by their state alone.

    `generation` is its key in the catalog.
    """

    source: str | None = None
    state: DeliveryState | None = None
    since: datetime | None = None
    generation: int | None = None

    def agrees(self, line: DeliveryLine) -> bool:
        """Whether a delivery is meant, as far as its line can tell."""
        return (
            self.source in (None, line.source)
            and self.state in (None, line.state)
            and (self.since is None or line.received_at >= self.since)
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveryLine:
    """A delivery without headers and body; `size_bytes` is None once that was pruned."""

    inbox: str
    ref: DeliveryRef
    source: str
    heard: Heard
    received_at: datetime
    peer: str
    verified_by: str
    size_bytes: int | None
    state: DeliveryState
    reason: str = ""
    said: tuple[Said, ...] = ()

    @property
    def name(self) -> str:
        """What to type for it."""
        return f"{self.inbox}:{self.ref.position}"


def heard_line(
    inbox: str, uuid: str, leaf: Leaf, *, reached: int, outcome: Outcome | None
) -> DeliveryLine:
    """What lies in an inbox, of which all up to the position `reached` is absorbed."""
    became = outcome or _NOTHING
    state = DeliveryState.ABSORBED if leaf.position <= reached else DeliveryState.BACKLOG
    return DeliveryLine(
        inbox=inbox,
        ref=DeliveryRef(inbox=uuid, position=leaf.position),
        source=leaf.source,
        heard=leaf.heard,
        received_at=leaf.received_at,
        peer=leaf.peer,
        verified_by=leaf.verified_by,
        size_bytes=leaf.size_bytes,
        state=state if became.unparsed is None else DeliveryState.UNPARSED,
        reason=became.unparsed or "",
        said=became.said,
    )


def refused_line(kept: Kept) -> DeliveryLine:
    """What lies in the quarantine."""
    rejected = kept.rejected
    return DeliveryLine(
        inbox=QUARANTINE,
        ref=DeliveryRef(inbox=QUARANTINE, position=kept.id),
        source=rejected.source,
        heard=Heard.PUSHED,
        received_at=rejected.received_at,
        peer=rejected.peer,
        verified_by=kept.verified_by or "",
        size_bytes=len(rejected.body),
        state=DeliveryState.QUARANTINED,
        reason=rejected.reason,
    )
