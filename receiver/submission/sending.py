"""A row as one request, and what came of it."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from receiver.exchange import Request
from receiver.providers.submitters import SUBMITTERS
from receiver.submission.batch import Row
from receiver.submission.journal import Journal
from receiver.submission.outcome import Outcome, Verdict, judge
from receiver.submission.posting import Posting
from receiver.upstream import UpstreamError

# More than any plan allows in a minute.
_REMEMBERED = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiKey:
    """An API key, and what the configuration calls it."""

    label: str
    secret: str = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sending:
    """Sends rows under the keys that the journal has for them; `keys` are API keys by provider.

    `webhook_url` is given the provider and the idempotency key; `requested_at` is by provider.
    """

    journal: Journal
    posting: Posting
    keys: Mapping[str, ApiKey]
    webhook_url: Callable[[str, str], str | None]
    requested_at: defaultdict[str, deque[datetime]] = field(
        default_factory=lambda: defaultdict(lambda: deque(maxlen=_REMEMBERED))
    )

    def request(self, row: Row) -> Request:
        """The row as its provider wants it."""
        key = self.journal.standing(row.number).key
        return SUBMITTERS[row.provider].submission(
            row.params,
            api_key=self.keys[row.provider].secret,
            idempotency_key=key,
            webhook_url=self.webhook_url(row.provider, key),
        )

    async def post(self, row: Row) -> Outcome:
        """Sends once; raises InboxUnavailableError, which leaves the row in doubt."""
        self.requested_at[row.provider].append(self.posting.now())
        try:
            answered = await self.posting.post(row.provider, self.request(row))
        except UpstreamError as error:
            verdict = Verdict.IN_DOUBT if error.sent else Verdict.UNREACHED
            return Outcome(verdict=verdict, why=str(error))
        return judge(
            SUBMITTERS[row.provider],
            answered.exchange.status,
            answered.exchange.answer,
            answered.observation,
            wait_seconds=answered.wait_seconds,
        )
