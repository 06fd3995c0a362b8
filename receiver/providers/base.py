"""What every provider is to the rest of the house: a name, and a parser of its deliveries."""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol

from archiver.models import Heard, Observation


class Provider(Protocol):
    """One provider, complete in a file of its own beside the name of its document.

    Adding one is that file, a line in the table of `receiver.providers`, its settings in
    `receiver.config` and `receiver.sources`, and samples.
    """

    @property
    def name(self) -> str:
        """The provider's name in paths, keys and rows."""
        ...

    @property
    def link_lifetime(self) -> timedelta:
        """How long a result link lives when its URL does not say."""
        ...

    def parse(self, heard: Heard, path_token: str, body: bytes) -> tuple[Observation, ...]:
        """What a delivery says; empty if it is of no concern to us.

        `body` is decoded from its content-encoding; `path_token` is the generation's id for a
        remembered request. Raises UnreadableError and nothing else.
        """
        ...
