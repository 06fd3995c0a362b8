"""Performs a fetch job: the link's bytes into the bucket, or a reason why not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from archiver.catalog import CatalogReader, Tables
from archiver.digests import Check, DamagedError, promised
from archiver.egress import ANY_HOST, Egress
from archiver.errors import FetchError, InboxUnavailableError
from archiver.inline import begun, decoded, is_inline, is_text, joined, unpacked
from archiver.ledger import keep
from archiver.lifecycle import archive, lose_link
from archiver.metrics import DEADLINE_SLACK_SECONDS, FETCHED_BYTES, LINKS_EXPIRED
from archiver.models import Asset, Failure, FailureClass, Fault, Generation, Link, Origin, Slot
from archiver.retries import FAULT_LAW, Retry, after_fault
from archiver.store import Store, provenance_of
from archiver.work import Job, JobState
from archiver.worker import Settle, Settled


@dataclass(frozen=True, kw_only=True, slots=True)
class Capture:
    """One fetch after another; `perform` is the worker's performer.

    `reveal` gives a link's full URL back, or None if the delivery that held it is gone;
    `download_hosts` says from where a provider's results may come.
    """

    egress: Egress
    store: Store
    catalog: CatalogReader
    reveal: Callable[[Link], str | None]
    download_hosts: Callable[[str], Collection[str]]
    patience_seconds: float
    now: Callable[[], datetime]
    random: Callable[[], float]

    async def perform(self, job: Job) -> Settle:
        """Fetches the job's link; every ordinary trouble is an outcome, not an exception."""
        with self.catalog.view() as tables:
            generation, slot = _load(tables, job)
        link = _link(slot, job.target)
        if link is None:
            return self._settle_void(job)
        try:
            asset, doubts = await self._fetch(job, generation, slot, link)
        except FetchError as error:
            return self._settle_failed(job, error)
        FETCHED_BYTES.inc(asset.size_bytes)
        if job.deadline_at is not None:
            slack_seconds = (job.deadline_at - self.now()).total_seconds()
            DEADLINE_SLACK_SECONDS.labels(generation.provider).observe(slack_seconds)
        return self._settle_archived(job, generation, asset, doubts)

    async def _fetch(
        self, job: Job, generation: Generation, slot: Slot, link: Link
    ) -> tuple[Asset, tuple[str, ...]]:
        """The asset, and the headers of the source whose digests it does not have.

        A source that is always wrong, such as one that converts pictures on the way and passes on
        the original's digest, loses no picture: two transfers are not damaged alike, and when the
        grace of a damaged one is over anything whole is better than nothing.
        """
        try:
            url = self.reveal(link)
        except InboxUnavailableError as error:
            raise FetchError(Fault.OURS, str(error)) from error
        if url is None:
            raise FetchError(Fault.GONE, "the delivery that held the link is no longer there")
        provenance = provenance_of(generation, slot.index)
        if is_inline(url):
            return await self._take_in(unpacked(url), None, provenance), ()
        # A client's own pictures lie wherever it pleases; what the guard refuses it refuses still.
        hosts = ANY_HOST if slot.role else self.download_hosts(generation.provider)
        transfer = partial(self._transfer, url, link.host, hosts, provenance)
        try:
            return await transfer(lambda _: not self._insists(job))
        except DamagedError as damaged:
            found = damaged.found
            return await transfer(lambda check: check.found() == found)

    async def _transfer(
        self,
        url: str,
        host: str,
        hosts: Collection[str],
        provenance: Mapping[str, str],
        forgiven: Callable[[Check], bool],
    ) -> tuple[Asset, tuple[str, ...]]:
        """One download into the bucket; DamagedError if it breaks a promise and is not forgiven."""
        async with self.egress.get(url, hosts) as incoming:
            chunks = incoming.chunks()
            promises = promised(incoming.headers.items())
            check = Check(promises)

            async def checked() -> AsyncIterator[bytes]:
                async for chunk in chunks:
                    check.feed(chunk)
                    yield chunk
                if check.broken() and not forgiven(check):
                    raise DamagedError(check, host)

            wire = checked() if promises else chunks
            first = await begun(wire)
            if is_text(first):
                asset = await self._take_in(decoded(first, wire), None, provenance)
            else:
                whole = joined(first, wire)
                asset = await self._take_in(whole, incoming.declared_bytes, provenance)
        return asset, check.broken()

    async def _take_in(
        self,
        chunks: AsyncIterator[bytes],
        declared_bytes: int | None,
        provenance: Mapping[str, str],
    ) -> Asset:
        return await self.store.take_in(
            chunks, declared_bytes, origin=Origin.PROVIDER, provenance=provenance, now=self.now
        )

    def _insists(self, job: Job) -> bool:
        """Whether a damaged transfer may be tried again, so that its digest matters."""
        verdict = after_fault(
            job,
            Fault.DAMAGED,
            now=self.now(),
            jitter=0.0,
            patience_seconds=self.patience_seconds,
        )
        return isinstance(verdict, Retry)

    def _settle_archived(
        self, job: Job, known: Generation, asset: Asset, doubts: tuple[str, ...]
    ) -> Settle:
        def settle(tables: Tables) -> Settled:
            now = self.now()
            tables.jobs.finish(job, JobState.COMPLETED, now=now)
            before = tables.generations.refresh(known)
            slot = _slot(before, job.subject)
            keep(tables, before, archive(before, slot.index, asset), now=now)
            says = {"other_digest_than_promised": doubts} if doubts else {}
            return _settled("archived", before, slot, size_bytes=asset.size_bytes, **says)

        return settle

    def _settle_failed(self, job: Job, error: FetchError) -> Settle:
        now = self.now()
        verdict = after_fault(
            job,
            error.fault,
            now=now,
            jitter=self.random(),
            patience_seconds=self.patience_seconds,
            retry_after_seconds=error.retry_after_seconds,
        )
        expired = job.deadline_at is not None and now >= job.deadline_at
        reason = f"the link died at {job.deadline_at:%F %T} UTC: {error}" if expired else str(error)

        def retry(tables: Tables, run_at: datetime) -> Settled:
            # An outage says nothing of the link, so its own grace has not begun.
            forgiven = FAULT_LAW[error.fault].patient != "grace"
            tables.jobs.finish(
                job, JobState.SCHEDULED, reason=reason, run_at=run_at, forgiven=forgiven, now=now
            )
            before, slot = _load(tables, job)
            keep(tables, before, before, now=now)
            return _settled("retry", before, slot, reason=reason, attempts=job.attempts)

        def give_up(tables: Tables, failure_class: FailureClass) -> Settled:
            held = failure_class is FailureClass.OPERATOR
            state = JobState.HELD if held else JobState.DISCARDED
            tables.jobs.finish(job, state, reason=reason, now=now)
            before, slot = _load(tables, job)
            failure = Failure(failure_class=failure_class, code=error.fault.value, message=reason)
            after = lose_link(before, slot.index, bytes.fromhex(job.target), failure)
            keep(tables, before, after, now=now)
            if not expired:
                return _settled("lost", before, slot, reason=reason)
            count = LINKS_EXPIRED.labels(before.provider).inc
            return replace(_settled("expired", before, slot, reason=reason), count=count)

        if isinstance(verdict, Retry):
            return lambda tables: retry(tables, verdict.run_at)
        return lambda tables: give_up(tables, verdict.failure_class)

    def _settle_void(self, job: Job) -> Settle:
        def settle(tables: Tables) -> Settled:
            now = self.now()
            tables.jobs.finish(job, JobState.CANCELLED, reason="no longer wanted", now=now)
            before, slot = _load(tables, job)
            keep(tables, before, before, now=now)
            return _settled("cancelled", before, slot)

        return settle


def _slot(generation: Generation, number: int) -> Slot:
    return next(slot for slot in generation.slots if slot.number == number)


def _link(slot: Slot, target: str) -> Link | None:
    """The link that the job means, unless the slot is archived or the link lost meanwhile."""
    if any(asset.origin is Origin.PROVIDER for asset in slot.assets):
        return None
    digest = bytes.fromhex(target)
    live = (link for link in slot.links if link.failure is None)
    return next((link for link in live if link.url_sha256 == digest), None)


def _load(tables: Tables, job: Job) -> tuple[Generation, Slot]:
    generation = tables.generations.load_slot(job.subject)
    assert generation is not None  # rows are never deleted under a claimed job
    return generation, _slot(generation, job.subject)


def _settled(outcome: str, generation: Generation, slot: Slot, **says: object) -> Settled:
    named = {"provider": generation.provider, "generation": generation.id, "slot": slot.index}
    return Settled(outcome=outcome, says={**named, **says})
