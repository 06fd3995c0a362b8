"""What a provider remembers of one generation, and the documented shapes in which it says so."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from receiver.simulator.cdn import Kept
from receiver.simulator.reports import WebhookAttempt, report_row


@dataclass(frozen=True, kw_only=True, slots=True)
class Submission:
    """What a client asked for, whichever documented form said it; sizes in pixels."""

    service: str
    prompt: str
    width: int = 1024
    height: int = 1024
    version: str | None = None
    quality: str | None = None
    webhook_url: str | None = None

    @property
    def credit_cost(self) -> int:
        """The documented prices: 10–20 credits up to 1024×1024 pixels, 30–50 beyond."""
        bounds = {512 * 512: 10, 1024 * 1024: 20, 2048 * 2048: 30}
        pixels = self.width * self.height
        return next((cost for bound, cost in bounds.items() if pixels <= bound), 50)


@dataclass(frozen=True, kw_only=True, slots=True)
class Generation:
    """One generation as the provider knows it; `kept` is its picture on the CDN."""

    id: str
    submission: Submission
    faults: frozenset[str]
    created_at: datetime
    status: str = "processing"
    completed_at: datetime | None = None
    url: str | None = None
    error: Mapping[str, str] | None = None
    kept: Kept | None = None
    webhook_attempts: tuple[WebhookAttempt, ...] = ()

    def completed(self, *, kept: Kept, url: str, at: datetime) -> Generation:
        """The same generation once its picture exists."""
        return replace(self, status="completed", kept=kept, url=url, completed_at=at)

    def failed(self, *, error: Mapping[str, str], at: datetime) -> Generation:
        """The same generation once it is known that there will be no picture."""
        return replace(self, status="failed", error=error, completed_at=at)


# What a GraphQL selection may name, in the documented spelling, and how it is answered.
FIELDS: Mapping[str, Callable[[Generation], Any]] = {
    "__typename": lambda _: "Generation",
    "id": lambda generation: generation.id,
    "status": lambda generation: generation.status,
    "type": lambda _: "IMAGE",
    "provider": lambda generation: generation.submission.service,
    "service": lambda generation: generation.submission.service,
    "url": lambda generation: generation.url,
    "width": lambda generation: generation.submission.width,
    "height": lambda generation: generation.submission.height,
    "duration": lambda _: None,
    "metadata": lambda generation: _metadata(generation.submission),
    "creditCost": lambda generation: generation.submission.credit_cost,
    "webhookUrl": lambda generation: generation.submission.webhook_url,
    "createdAt": lambda generation: _written(generation.created_at),
    "completedAt": lambda generation: _written(generation.completed_at),
    "error": lambda generation: generation.error,
}


def rest_answer(generation: Generation) -> dict[str, Any]:
    """The documented "successful answer", key for key."""
    names = ("id", "status", "url", "webhookUrl", "createdAt")
    return {"data": {"generateimage": {name: FIELDS[name](generation) for name in names}}}


def webhook_body(generation: Generation) -> bytes:
    """The documented webhook payload; a failure, which is not documented, adds `error`."""
    payload: dict[str, Any] = {
        "id": generation.id,
        "status": generation.status,
        "url": generation.url,
        "service": generation.submission.service,
        "createdAt": _written(generation.created_at),
        "completedAt": _written(generation.completed_at),
        "metadata": _metadata(generation.submission),
    }
    if generation.error:
        payload["error"] = generation.error
    return json.dumps(payload).encode()


def reported(generation: Generation, *, account: str) -> dict[str, Any]:
    """What truly happened, for a test to compare with what its archive believes."""
    row = report_row(
        provider="doitong",
        id=generation.id,
        account=account,
        prompt=generation.submission.prompt,
        faults=generation.faults,
        state=generation.status,
        pictures=[generation.kept],
        webhook_attempts=generation.webhook_attempts,
    )
    # One picture each: its entry says the same at the top.
    return {**row, **row["pictures"][0]}


def _metadata(asked: Submission) -> dict[str, Any]:
    # The size that was asked for, not the picture's own: declared sizes are wrong in the wild too.
    return {"duration": None, "width": asked.width, "height": asked.height}


def _written(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def generation_error(faults: frozenset[str]) -> Mapping[str, str] | None:
    """Why the provider says it has no picture; None when it has one."""
    if "moderated" in faults:
        message = "The request was rejected by our content policy."
        return {"code": "CONTENT_POLICY_VIOLATION", "message": message}
    if "failed" in faults:
        return {"code": "GENERATION_FAILED", "message": "The picture could not be generated."}
    return None
