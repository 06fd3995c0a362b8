"""What became of a submission that was sent and never answered, as far as it can be known."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta

from archiver.catalog import CatalogReader
from archiver.errors import CatalogUnavailableError
from archiver.models import Generation, Observation
from receiver.adoption import Listing, NotListedError
from receiver.providers import PROVIDERS
from receiver.providers.submitters import SUBMITTERS, Silence
from receiver.remembered import remembered
from receiver.submission.batch import Row
from receiver.submission.lookout import rest
from receiver.submission.outcome import Outcome, Verdict
from receiver.submission.sending import Sending
from receiver.upstream import UpstreamError

# How far our clock and the provider's may differ, and how long it may take to begin.
_BEFORE, _AFTER = timedelta(seconds=30), timedelta(seconds=150)

# "Error recovery" of doitong-stable-diffusion: three tries, after 1, 2 and 4 seconds.
_REPEATS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Doubt:
    """Settles it in the provider's way, giving up when told to stop."""

    sending: Sending
    catalog: CatalogReader
    stop: asyncio.Event

    async def settle(self, row: Row, outcome: Outcome) -> Outcome:
        """SUBMITTED, or a final refusal, or IN_DOUBT still, with the reason.

        Raises InboxUnavailableError.
        """
        silence = SUBMITTERS[row.provider].silence
        if silence is Silence.REPEAT:
            return await self._repeat(row, outcome)
        if silence is Silence.LIST:
            return await self._look_up(row)
        return outcome

    async def _repeat(self, row: Row, outcome: Outcome) -> Outcome:
        """The same again under the same key, for the provider then answers as the first time.

        Being told to come later, to pay or to show another key says nothing of the first time.
        """
        for attempt in range(_REPEATS):
            if await rest(self.stop, outcome.wait_seconds or 2.0**attempt):
                break
            outcome = await self.sending.post(row)
            if outcome.verdict in (Verdict.SUBMITTED, Verdict.HELD, Verdict.DEAD):
                return outcome
        return _in_doubt(outcome.why)

    async def _look_up(self, row: Row) -> Outcome:
        """Adopts the task of the account's that must be the row's, if there is one and no other."""
        sent_at = self.sending.journal.standing(row.number).sent_at
        assert sent_at is not None  # it was sent
        try:
            listed = await self._listed(row.provider, sent_at)
            fitting = await self._unclaimed(row, sent_at, listed)
            if len(fitting) == 1:
                return await self._adopt(row, fitting[0])
        except (NotListedError, UpstreamError) as error:
            return _in_doubt(str(error))
        return _in_doubt(f"{len(fitting) or 'no'} tasks of the account fit")

    async def _listed(self, provider: str, sent_at: datetime) -> list[Observation]:
        posting = self.sending.posting
        listing = Listing(
            provider=provider,
            api=posting.apis[provider],
            upstream=posting.upstream,
            accounts=posting.accounts,
            now=posting.now,
        )
        pages = listing.pages(self.sending.keys[provider].secret, since=sent_at - _BEFORE)
        return [said async for page in pages for said in page.says]

    async def _unclaimed(
        self, row: Row, sent_at: datetime, listed: list[Observation]
    ) -> list[Observation]:
        """Those of the row's time and model that no row has, nor anyone whose request we know."""
        taken = {standing.generation_id for standing in self.sending.journal.standings.values()}
        fitting = [
            said
            for said in listed
            if said.generation_id not in taken
            and said.params.model == row.params.model
            and said.created_at is not None
            and sent_at - _BEFORE <= said.created_at <= sent_at + _AFTER
        ]
        names = [(row.provider, said.generation_id) for said in fitting]
        try:
            known = await self.catalog.read(lambda tables: tables.generations.load_all(names))
        except CatalogUnavailableError:
            known = {}
        claimed = {name[1] for name, generation in known.items() if generation.params.prompt}
        return [said for said in fitting if said.generation_id not in claimed]

    async def _adopt(self, row: Row, task: Observation) -> Outcome:
        """Records what was asked for, and by an answer of its own whose it is and how it stands."""
        posting, name = self.sending.posting, row.provider
        now, asked = posting.now(), self.sending.request(row).body
        await posting.inbox.append(
            remembered(name, task.generation_id, asked, by="submit", now=now)
        )
        generation = Generation(provider=name, id=task.generation_id, first_heard_at=now)
        api_key = self.sending.keys[name].secret
        question = PROVIDERS[name].ask(generation, api_key, posting.apis[name])
        if question is not None:
            await posting.post(name, question)
        return Outcome(verdict=Verdict.SUBMITTED, generation_id=task.generation_id)


def _in_doubt(why: str) -> Outcome:
    return Outcome(verdict=Verdict.IN_DOUBT, why=why)
