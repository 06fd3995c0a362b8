"""What a batch will ask for, before any of it is sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta

from receiver.provider_tables import Limits
from receiver.submission.batch import Row
from receiver.submission.limits import least_seconds


def sentences(rows: Iterable[Row], limits: Mapping[str, Limits]) -> list[str]:
    """One sentence for each provider: rows, pictures, credits if a price is known, least time."""
    lanes: dict[str, list[Row]] = {}
    for row in rows:
        lanes.setdefault(row.provider, []).append(row)
    return [_sentence(provider, lane, limits[provider]) for provider, lane in lanes.items()]


def _sentence(provider: str, rows: list[Row], limits: Limits) -> str:
    pictures = sum(row.params.samples or 1 for row in rows)
    said = [f"{len(rows)} rows to {provider}", f"{pictures} pictures"]
    if limits.credits_per_picture:
        expected = pictures * limits.credits_per_picture
        beyond = bool(limits.warn_credits) and expected > limits.warn_credits
        warning = f", beyond warn_credits = {limits.warn_credits}" if beyond else ""
        said.append(f"some {expected} credits{warning}")
    least = timedelta(seconds=least_seconds(limits, len(rows)))
    if least:
        said.append(f"at least {least} at the rate of its limits")
    return ", ".join(said)
