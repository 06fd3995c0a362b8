"""What truly happened, in one shape for all providers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from receiver.simulator.cdn import Kept


@dataclass(frozen=True, kw_only=True, slots=True)
class WebhookAttempt:
    """One POST: the status that its body says and the HTTP answer, None if none came."""

    says: str
    answered: int | None


def report_row(
    *,
    provider: str,
    id: str,  # noqa: A002 (the report's own word)
    account: str,
    prompt: str,
    faults: Iterable[str],
    state: str,
    pictures: Iterable[Kept | None],
    webhook_attempts: Iterable[WebhookAttempt],
) -> dict[str, Any]:
    """One generation's row; a slot that has no picture (or none yet) is None in `pictures`."""
    return {
        "provider": provider,
        "id": id,
        "account": account,
        "prompt": prompt,
        "faults": sorted(faults),
        "state": state,
        "pictures": [_picture(kept) for kept in pictures],
        "webhook_attempts": [
            {"says": attempt.says, "answered": attempt.answered} for attempt in webhook_attempts
        ],
    }


def _picture(kept: Kept | None) -> dict[str, Any]:
    if kept is None:
        return {"sha256": None, "downloads": 0}
    return {"sha256": sha256(kept.picture).hexdigest(), "downloads": kept.downloads}
