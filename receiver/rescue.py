"""A rescue as a whole: what catalog, inboxes and quarantine say is not safe, and what is done about
it beside a running service."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

from archiver import clock
from archiver.catalog import Catalog, CatalogReader, Tables
from archiver.catalog.unsafe import Pending
from archiver.models import DeliveryRef
from archiver.recovery.bucket_check import NOT_LISTED, Compared
from archiver.recovery.rescue_plan import Outside, Step
from archiver.recovery.rescue_rules import Kind
from archiver.recovery.rescuing import Watch, carry_out
from archiver.recovery.survey import is_served, survey
from receiver.deliveries import DeliveryLog
from receiver.delivery_lines import DeliveryFilter, DeliveryState
from receiver.inboxes import Inboxes
from receiver.reverify import Findings, examine
from receiver.settings import Config

_LOOK_SECONDS = 0.25
_PORTION = 500
_ANY_GENERATION = 2**62


@dataclass(kw_only=True)
class Rescue:
    """One archive to be brought to safety; `log` and `inboxes` are its own.

    `compared` is what its bucket's listing has come to, if somebody listed it.
    """

    config: Config
    archive: CatalogReader
    log: DeliveryLog
    inboxes: Inboxes
    findings: Findings = field(default_factory=Findings)
    compared: Compared = NOT_LISTED

    async def look(self) -> tuple[Step, ...]:
        """Everything that is not safe at this moment, the most urgent first."""
        self.findings = Findings()
        if self.log.quarantined.newest():
            self.findings = await examine(
                self.config, self.log.quarantined, was_pushed_since=self.log.was_pushed_since
            )
        found = self.findings
        outside = Outside(
            backlog=self._backlog(),
            authentic=len(found.authentic) + found.waiting,
            unverified=found.forged.total() + found.undecided.total(),
            missing=len(self.compared.missing),
            orphans=self.compared.orphans,
        )
        return await asyncio.to_thread(survey, self.archive, outside, now=clock.now())

    def is_served(self) -> bool:
        """Whether a service does the work."""
        return is_served(self.archive, clock.now)

    async def order(
        self,
        catalog: Catalog,
        steps: Iterable[Step],
        *,
        stop: asyncio.Event,
        progress: Callable[[int], None],
    ) -> Counter[str]:
        """Orders what the steps say; why some could not be, with how often."""
        not_done = await carry_out(catalog, steps, now=clock.now, stop=stop, progress=progress)
        if self.findings.authentic and not stop.is_set():
            await asyncio.to_thread(self.log.quarantined.mark, self.findings.authentic)
            progress(len(self.findings.authentic))
        if not stop.is_set():
            progress(await self._replay_unparsed(catalog))
        return not_done

    async def follow(self, stop: asyncio.Event, tell: Callable[[int], None]) -> bool:
        """Returns once all that was heard is absorbed, and all that waits was tried once.

        `tell` is told how much is left. False: it was stopped, or nobody does the work any more.
        """
        watch, newest = Watch(), _ANY_GENERATION
        while not stop.is_set() and self.is_served():
            began = clock.monotonic()
            deliveries = self._deliveries_left()
            if not deliveries and newest == _ANY_GENERATION:
                # What is heard of from now on is a service's daily work.
                newest = await self.archive.read(lambda it: it.unsafe.newest_generation())
            jobs = await self.archive.read(partial(_pending, newest))
            left = deliveries + watch.untried(jobs)
            tell(left)
            if not left:
                return True
            # Where there is much to look at, most of the time belongs to the service.
            await asyncio.sleep(max(_LOOK_SECONDS, 4 * (clock.monotonic() - began)))
        return False

    async def _replay_unparsed(self, catalog: Catalog) -> int:
        which = DeliveryFilter(state=DeliveryState.UNPARSED)
        lines = [line for line in self.log.lines(which) if line.size_bytes is not None]
        waiting = await self.archive.read(lambda tables: tables.outcomes.asked_again())
        refs = [line.ref for line in reversed(lines) if line.ref not in waiting]
        for begin in range(0, len(refs), _PORTION):
            await catalog.write(partial(_ask_replay, refs[begin : begin + _PORTION]))
        return len(refs)

    def _deliveries_left(self) -> int:
        with self.archive.view() as tables:
            replays = len(tables.outcomes.asked_again())
        return replays + self._backlog() + self.log.quarantined.waiting()

    def _backlog(self) -> int:
        with self.archive.view() as tables:
            return self.inboxes.backlog(tables.deliveries.position)


def exit_code(steps: Iterable[Step]) -> int:
    """3 if something is gone for ever, 1 if something is not safe that may yet be, else 0.

    What only waits for a provider's end or for a renderer is as it should be.
    """
    kinds = {step.kind for step in steps}
    if Kind.GONE in kinds:
        return 3
    return 1 if kinds - {Kind.ASK, Kind.DRAW, Kind.HELD, Kind.UNWANTED} else 0


def _pending(newest: int, tables: Tables) -> Sequence[Pending]:
    return tables.unsafe.pending(newest=newest)


def _ask_replay(refs: list[DeliveryRef], tables: Tables) -> None:
    tables.deliveries.ask_replay(refs, now=clock.now())
