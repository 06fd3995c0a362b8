"""Performs a poll job: asks the provider how a generation stands, where nobody has told us.

What is new in an answer becomes a delivery like any other and is merged by absorb; here it is only
decided when to ask again, and when there is no sense in asking any more.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from archiver.catalog import CatalogReader, Tables
from archiver.errors import InboxUnavailableError
from archiver.inbox import InboxWriter, NewDelivery
from archiver.ledger import keep
from archiver.lifecycle import SILENT, has_ended, lose, stop_asking
from archiver.merging import merge
from archiver.models import DeliveryRef, Failure, FailureClass, Generation, Heard, SlotState
from archiver.planning import plan
from archiver.work import Job, JobKind, JobState
from archiver.worker import Settle, Settled
from receiver.asking import Asking, Told, UnansweredError, UnaskableError
from receiver.pace import interval_seconds
from receiver.providers import PROVIDERS

# A place in no inbox, later than any: what is heard there changes nothing that is known already.
_NOWHERE = DeliveryRef(inbox="\U0010ffff", position=2**62)
_UNKNOWN = "the provider knows no such generation"


@dataclass(frozen=True, kw_only=True, slots=True)
class Poll:
    """One question after another; `perform` is the worker's performer."""

    asking: Asking
    catalog: CatalogReader
    inbox: InboxWriter
    now: Callable[[], datetime]
    random: Callable[[], float]

    async def perform(self, job: Job) -> Settle:
        """Asks once; every ordinary trouble is an outcome, not an exception."""
        with self.catalog.view() as tables:
            generation = _load(tables, job)
        try:
            told = await self.asking.ask(generation, turn=job.attempts)
            after = self._joined(generation, told)
            if _is_news(generation, after):
                await self._record(generation, told)
                return partial(self._settle_told, job, after)
        except UnaskableError as error:
            return partial(self._settle_unaskable, job, str(error))
        except UnansweredError as error:
            return partial(self._settle_unanswered, job, str(error), error.wait_seconds)
        except InboxUnavailableError as error:
            return partial(self._settle_unrecorded, job, str(error))
        return partial(self._settle_no_news, job, generation, "" if told.says else _UNKNOWN)

    async def _record(self, generation: Generation, told: Told) -> None:
        delivery = NewDelivery(
            source=generation.provider,
            heard=Heard.POLLED,
            received_at=self.now(),
            verified_by="poll",
            body=told.body,
        )
        await self.inbox.append(delivery)

    def _joined(self, generation: Generation, told: Told) -> Generation:
        for observation in told.says:
            generation = merge(
                generation,
                observation,
                heard_in=_NOWHERE,
                received_at=self.now(),
                link_lifetime=_lifetime(generation),
            )
        return generation

    def _settle_told(self, job: Job, after: Generation, tables: Tables) -> Settled:
        # Absorb, which may have been quicker, takes the job back if that was all.
        before = _load(tables, job)
        since = job.first_attempt_at if has_ended(after) else _asked_since(job, before)
        ahead = has_ended(after) and not has_ended(before)
        return self._next(tables, job, before, "told", "", since=since, replan=not ahead)

    def _settle_no_news(self, job: Job, asked: Generation, reason: str, tables: Tables) -> Settled:
        before = _load(tables, job)
        # What was heard during the question is newer than its answer.
        if has_ended(before) and before.revision == asked.revision:
            return self._done(tables, job, before, stop_asking(before), reason or "no other link")
        since = _asked_since(job, before)
        return self._next(tables, job, before, "no news", reason, since=since)

    def _settle_unanswered(
        self, job: Job, reason: str, wait_seconds: float, tables: Tables
    ) -> Settled:
        before = _load(tables, job)
        since = job.first_attempt_at
        return self._next(
            tables, job, before, "unanswered", reason, since=since, wait_seconds=wait_seconds
        )

    def _settle_unrecorded(self, job: Job, reason: str, tables: Tables) -> Settled:
        # The trouble is ours, and what was told will be told again.
        return self._next(tables, job, _load(tables, job), "unrecorded", reason, since=None)

    def _settle_unaskable(self, job: Job, reason: str, tables: Tables) -> Settled:
        before = _load(tables, job)
        if has_ended(before):
            return self._done(tables, job, before, stop_asking(before), reason)
        since = before.first_heard_at
        rest = (since + _lifetime(before) - self.now()).total_seconds()
        return self._next(tables, job, before, "unaskable", reason, since=since, wait_seconds=rest)

    def _next(
        self,
        tables: Tables,
        job: Job,
        before: Generation,
        outcome: str,
        reason: str,
        *,
        since: datetime | None,
        wait_seconds: float = 0.0,
        replan: bool = True,
    ) -> Settled:
        """The next question, unless for as long as links live there was no end of it `since`."""
        now = self.now()
        if not any(wanted.kind is JobKind.POLL for wanted in plan(before)):
            return self._done(tables, job, before, before, "answered")
        if since is not None and now - since >= _lifetime(before):
            after = _given_up(before, now - since)
            return self._done(tables, job, before, after, reason or "nothing more was heard")
        age_seconds = (now - before.first_heard_at).total_seconds()
        wait_seconds = max(wait_seconds, interval_seconds(age_seconds, self.random()))
        run_at = now + timedelta(seconds=wait_seconds)
        tables.jobs.finish(job, JobState.SCHEDULED, reason=reason, run_at=run_at, now=now)
        if replan:
            # A hint, or another link, that came during the question wants the next one at once.
            keep(tables, before, before, now=now)
        return _settled(outcome, before, reason)

    def _done(
        self, tables: Tables, job: Job, before: Generation, after: Generation, reason: str
    ) -> Settled:
        now = self.now()
        tables.jobs.finish(job, JobState.COMPLETED, reason=reason, now=now)
        keep(tables, before, after, now=now)
        return _settled("settled", before, reason)


def _is_news(before: Generation, after: Generation) -> bool:
    """Whether an answer tells anything; of what has ended, a link counts where one is waited for.

    Some providers sign their links anew in every answer, so there would be no end of asking.
    """
    if not has_ended(before):
        return after != before
    served = {slot.index for slot in before.slots if slot.state is not SlotState.EXPECTED}
    return _without(after, served) != _without(before, served)


def _without(generation: Generation, indices: Collection[int]) -> Generation:
    slots = tuple(slot for slot in generation.slots if slot.index not in indices)
    return replace(generation, slots=slots)


def _given_up(generation: Generation, silence: timedelta) -> Generation:
    if has_ended(generation):
        return stop_asking(generation)
    message = f"no end was heard of in {silence.total_seconds() / 3600:.0f} hours"
    failure_class = FailureClass.RENDERABLE
    return lose(generation, Failure(failure_class=failure_class, code=SILENT, message=message))


def _asked_since(job: Job, generation: Generation) -> datetime:
    """Since when an end is waited for, or a link once that has come."""
    return job.first_attempt_at if has_ended(generation) else generation.first_heard_at


def _lifetime(generation: Generation) -> timedelta:
    return PROVIDERS[generation.provider].link_lifetime


def _load(tables: Tables, job: Job) -> Generation:
    generation = tables.generations.load_key(job.subject)
    assert generation is not None  # rows are never deleted under a claimed job
    return generation


def _settled(outcome: str, generation: Generation, reason: str) -> Settled:
    says = {"provider": generation.provider, "generation": generation.id, "reason": reason}
    return Settled(outcome=outcome, says=says)
