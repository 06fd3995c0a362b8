"""An inbox as a person leafs through it: what lies where, the newest first, without the bodies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from archiver.models import Heard


@dataclass(frozen=True, kw_only=True, slots=True)
class Leaf:
    """A delivery without its headers and body; `size_bytes` is None once that was pruned."""

    position: int
    source: str
    heard: Heard
    received_at: datetime
    peer: str
    verified_by: str
    size_bytes: int | None


class InboxLeaves(Protocol):
    """One inbox; every method raises InboxUnavailableError if it cannot be read."""

    @property
    def name(self) -> str:
        """What its store calls it."""
        ...

    @property
    def uuid(self) -> str:
        """See `InboxReader.uuid`."""
        ...

    def newest(self) -> int:
        """The last position that there is; 0 if there is none."""
        ...

    def before(self, position: int, *, limit: int) -> Sequence[Leaf]:
        """Those of a lower position, the newest first."""
        ...

    def at(self, positions: Sequence[int]) -> Sequence[Leaf]:
        """Those of these positions that are still there, the newest first."""
        ...

    def knows(self, source: str, path_token: str, body: bytes) -> bool:
        """Whether the same was pushed before, as `InboxWriter.append` would tell."""
        ...

    def close(self) -> None:
        """Lets the inbox go."""
        ...
