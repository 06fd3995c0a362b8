"""The table `balances`, and what generations have cost: all that is known of credit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from archiver.catalog.overview import PROVIDERS, STATES
from archiver.database import Connection
from archiver.moments import from_millis, to_millis

_DAY_MILLIS = timedelta(days=1) // timedelta(milliseconds=1)

# Both read nothing but the index `generations_by_state`, and of each state only the times since.
_KNOWN = f"""
SELECT balances.*, count(key), coalesce(sum(cost), 0.0) FROM balances CROSS JOIN {STATES} AS states
LEFT JOIN generations INDEXED BY generations_by_state
ON generations.provider = balances.provider AND state = column1
    AND first_heard_at > heard_at AND ifnull(generations.account, '') = balances.account
GROUP BY balances.provider, balances.account ORDER BY balances.provider, balances.account
"""
_SPENT = f"""
{PROVIDERS}
SELECT providers.provider, first_heard_at / {_DAY_MILLIS}, sum(cost)
FROM providers CROSS JOIN {STATES} AS states
CROSS JOIN generations INDEXED BY generations_by_state
WHERE generations.provider = providers.provider AND state = column1
    AND first_heard_at >= ? AND cost IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class AccountBalance:
    """The credits that an account had when they were too few, and those that were required.

    `account` is the keyed fingerprint of the API key, empty where none was shown.
    """

    provider: str
    account: str
    credits: float
    required: float
    heard_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Credit:
    """An account's last known balance, and the generations first heard of since.

    `spent` is what they cost, as far as the provider has said.
    """

    balance: AccountBalance
    begun: int
    spent: float


class Credits:
    """Balances and costs, inside the caller's transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def put(self, balance: AccountBalance) -> None:
        """Notes a balance unless a later one is known; of one moment the lower counts."""
        self._connection.execute(
            "INSERT INTO balances VALUES (?,?,?,?,?) ON CONFLICT (provider, account) DO UPDATE"
            " SET credits = excluded.credits, required = excluded.required,"
            " heard_at = excluded.heard_at"
            " WHERE (excluded.heard_at, balances.credits, balances.required)"
            " > (balances.heard_at, excluded.credits, excluded.required)",
            (
                balance.provider,
                balance.account,
                balance.credits,
                balance.required,
                to_millis(balance.heard_at),
            ),
        )

    def known(self) -> list[Credit]:
        """How every account stands that a balance is known of."""
        rows = self._connection.execute(_KNOWN)
        return [
            Credit(
                balance=AccountBalance(
                    provider=provider,
                    account=account,
                    credits=credits_,
                    required=required,
                    heard_at=from_millis(heard_at),
                ),
                begun=begun,
                spent=spent,
            )
            for provider, account, credits_, required, heard_at, begun, spent in rows
        ]

    def spent_by_day(self, since: datetime) -> dict[tuple[str, date], float]:
        """What the generations of each (provider, day in UTC) cost that were first heard of then.

        Only those count of which the provider has said it.
        """
        rows = self._connection.execute(_SPENT, (to_millis(since),))
        return {
            (provider, from_millis(day * _DAY_MILLIS).date()): spent
            for provider, day, spent in rows
        }
