"""What every provider is to the rest of the house: a name, a parser, and the ways of its API."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Protocol

from archiver.models import Generation, Heard, Observation
from receiver.exchange import Request
from receiver.provider_tables import Api


class Concern(StrEnum):
    """What a request to a provider is about, where it concerns us at all."""

    SUBMISSION = "submission"  # it may begin a generation, and cost money
    QUESTION = "question"  # its answer may tell how generations stand


@dataclass(frozen=True, kw_only=True, slots=True)
class Balance:
    """The credits that a refused request would have cost, and those that the account had.

    `account` is the exchange's.
    """

    required: float
    available: float
    account: str = ""


class Provider(Protocol):
    """One provider, complete in files of its own beside the name of its document.

    Adding one is said in the README, "A provider more".
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

        `body` is decoded from its content-encoding, and an encoded `Exchange` where it was polled
        or overheard; `path_token` is the generation's id for a remembered request. Raises
        UnreadableError and nothing else.
        """
        ...

    def concern(self, request: Request) -> Concern | None:
        """Whether a request may begin generations, or asks about them; None: it is none of ours."""
        ...

    def api_key(self, request: Request) -> str | None:
        """The API key that a request shows, wherever the provider has it; None if it shows none."""
        ...

    def with_webhook(self, request: Request, url: str) -> Request | None:
        """A submission that asks for a webhook to `url`.

        None where the client has named one of its own, or no document says where it goes.
        """
        ...

    def ask(self, generation: Generation, api_key: str, settings: Api) -> Request | None:
        """The question how a generation stands; None if it cannot be asked."""
        ...

    def is_senseless(self, answer: bytes) -> bool:
        """Whether an answer says that the provider has no such question at all."""
        ...
