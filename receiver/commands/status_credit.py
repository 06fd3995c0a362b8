"""What `holdfast status` says of credit: what was spent on which day, and what was left."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from archiver.catalog import Tables
from archiver.catalog.credits import Credit
from receiver.commands.status_line import Line, Urgency, lasting
from receiver.provider_tables import Limits, Providers

_DAYS = 7


def credit(tables: Tables, providers: Providers, now: datetime) -> dict[str, Any]:
    """`spend` of today (UTC) and the days before, and the last known `balances`."""
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    spend: dict[str, dict[str, float]] = {}
    by_day = tables.credits.spent_by_day(today - timedelta(days=_DAYS - 1))
    for (provider, day), spent in by_day.items():
        spend.setdefault(provider, {})[day.isoformat()] = spent
    balances = [_balance(known, providers, now) for known in tables.credits.known()]
    return {"spend": spend, "balances": balances}


def credit_lines(facts: Mapping[str, Any]) -> Iterator[Line]:
    """The same for people; nothing where nothing is known."""
    for provider, days in facts["spend"].items():
        spent = ", ".join(f"{_number(spent)} on {day}" for day, spent in days.items())
        yield Line(subject="spend", sentence=f"{provider}: {spent} (credits)")
    for one in facts["balances"]:
        account = f" of account {one['account']}" if one["account"] else ""
        ago = f"{lasting(one['heard_seconds_ago'])} ago"
        warning = f"; {one['warning']}" if one["warning"] else ""
        yield Line(
            subject="credit",
            sentence=f"{one['provider']}{account}: {_number(one['credits'])} {ago}{warning}",
            urgency=Urgency.AMISS if warning else Urgency.CALM,
        )


def _balance(known: Credit, providers: Providers, now: datetime) -> dict[str, Any]:
    balance = known.balance
    api = providers.of(balance.provider)
    return {
        "provider": balance.provider,
        "account": balance.account or None,
        "credits": balance.credits,
        "spent_since": known.spent,
        "heard_seconds_ago": round((now - balance.heard_at).total_seconds(), 1),
        "warning": _warning(known, api.limits if api else Limits()),
    }


def _warning(known: Credit, limits: Limits) -> str | None:
    balance = known.balance
    if not known.begun:
        required = _number(balance.required)
        return f"a request for {required} was refused, and none was accepted since: buy credits"
    left = balance.credits - known.spent
    # Who has spent more than there was has bought some.
    if limits.low_credits and 0 <= left <= limits.low_credits:
        return f"no more than low_credits = {limits.low_credits}: buy credits"
    return None


def _number(amount: float) -> str:
    return f"{amount:.10g}"
