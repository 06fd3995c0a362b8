"""What ModelsLab remembers of one generation."""

from __future__ import annotations

from base64 import b64decode
from dataclasses import dataclass, field, replace
from datetime import datetime

from receiver.simulator.cdn import Kept
from receiver.simulator.modelslab.forms import Submission
from receiver.simulator.reports import WebhookAttempt


@dataclass(kw_only=True, slots=True, eq=False)
class Generation:
    """One generation as it stands; `steps` is the path it was asked at, from its version on.

    A slot of `pictures` is None until it is drawn, and for ever where the picture was lost.
    """

    id: int
    account: str
    steps: tuple[str, ...]
    submission: Submission
    faults: frozenset[str]
    seed: int
    file_prefix: str
    created_at: datetime
    state: str = "processing"
    ended_at: datetime | None = None
    pictures: list[Kept | None] = field(default_factory=list)
    queries: int = 0
    webhook_attempts: list[WebhookAttempt] = field(default_factory=list)

    @property
    def slots(self) -> range:
        """The places of its pictures."""
        return range(self.submission.samples)

    @property
    def lost_slots(self) -> set[int]:
        """Where there will never be a picture."""
        if "failed" in self.faults:
            return set(self.slots)
        return {self.submission.samples // 2} if "partial" in self.faults else set()

    @property
    def flagged_slots(self) -> set[int]:
        """Where the safety checker put a blank picture in place of what was drawn."""
        if "moderated" in self.faults:
            return set(self.slots)
        return {0} if "partly_moderated" in self.faults else set()

    @property
    def in_base64(self) -> bool:
        """Whether its pictures are kept as base64 text."""
        return self.submission.base64 or "inline" in self.faults

    def true_pictures(self) -> list[Kept | None]:
        """Its pictures as they were drawn, whatever is behind their links."""
        return [
            replace(kept, picture=b64decode(kept.picture)) if kept and self.in_base64 else kept
            for kept in self.pictures or [None] * self.submission.samples
        ]
