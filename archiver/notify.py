"""Performs a notify job: tells the operator's own software what a generation has come to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from archiver.catalog import CatalogReader, Tables
from archiver.egress import Egress
from archiver.errors import FetchError
from archiver.models import Fault, Generation
from archiver.notices import Event, event_of, message_body, message_id
from archiver.retries import next_telling
from archiver.standard_webhooks import signed_headers
from archiver.work import Job, JobState
from archiver.worker import Settle, Settled


@dataclass(kw_only=True, slots=True)
class Notify:
    """One message after another; `perform` is the worker's performer.

    `keys` sign, each of them. A receiver that answers 410 is sent nothing more by this process but
    what a person orders afterwards; once it takes that, it is told of everything again.
    """

    egress: Egress
    catalog: CatalogReader
    url: str
    keys: tuple[bytes, ...]
    gallery_url: str
    now: Callable[[], datetime]
    random: Callable[[], float]
    _gone: str = ""
    _gone_at: datetime | None = None

    async def perform(self, job: Job) -> Settle:
        """Sends the message; whatever the receiver does becomes an outcome."""
        with self.catalog.view() as tables:
            notice = tables.notices.get(job.subject)
            assert notice is not None  # rows are never deleted under a claimed job
            generation = tables.generations.load_key(notice.generation)
            in_vain = self._gone_at is not None and not tables.notices.is_ordered_since(
                notice.number, self._gone_at
            )
        assert generation is not None
        if event_of(generation) is not notice.event:
            return self._settle_overtaken(job, notice.generation, notice.event)
        if in_vain:
            return self._settle(job, generation, JobState.DISCARDED, reason=self._gone)
        body = message_body(
            generation, notice.event, notice.happened_at, gallery_url=self.gallery_url
        )
        headers = signed_headers(
            self.keys, message_id=message_id(generation, notice.event), at=self.now(), body=body
        )
        try:
            await self.egress.post(self.url, body, {"Content-Type": "application/json", **headers})
        except FetchError as error:
            return self._settle_failed(job, generation, error)
        self._gone_at = None
        return self._settle(job, generation, JobState.COMPLETED)

    def _settle_failed(self, job: Job, generation: Generation, error: FetchError) -> Settle:
        if error.fault is Fault.GONE:
            self._gone_at = self.now()
            self._gone = f"{error}: it wants no more messages; see to notify.url"
            return self._settle(job, generation, JobState.DISCARDED, reason=self._gone)
        run_at = next_telling(
            job,
            now=self.now(),
            jitter=self.random(),
            retry_after_seconds=error.retry_after_seconds,
        )
        if run_at is None:
            reason = f"given up after {job.attempts} tries: {error}"
            return self._settle(job, generation, JobState.DISCARDED, reason=reason)
        return self._settle(job, generation, JobState.SCHEDULED, reason=str(error), run_at=run_at)

    def _settle(
        self,
        job: Job,
        generation: Generation,
        state: JobState,
        *,
        reason: str = "",
        run_at: datetime | None = None,
    ) -> Settle:
        outcomes = {JobState.COMPLETED: "told", JobState.SCHEDULED: "retry"}
        says = {"provider": generation.provider, "generation": generation.id, "notice": job.target}
        if reason:
            says["reason"] = reason

        def settle(tables: Tables) -> Settled:
            tables.jobs.finish(job, state, reason=reason, run_at=run_at, now=self.now())
            return Settled(outcome=outcomes.get(state, "not told"), says=says)

        return settle

    def _settle_overtaken(self, job: Job, key: int, event: Event) -> Settle:
        """Nobody is told what is no longer so; should it be so again, it is told then."""

        def settle(tables: Tables) -> Settled:
            generation = tables.generations.load_key(key)
            assert generation is not None
            if event_of(generation) is event:
                tables.jobs.finish(job, JobState.AVAILABLE, now=self.now())
                return Settled(outcome="retry", says={"notice": event.value})
            reason = f"the generation is not {event} any more"
            tables.jobs.finish(job, JobState.CANCELLED, reason=reason, now=self.now())
            return Settled(outcome="overtaken", says={"notice": event.value})

        return settle
