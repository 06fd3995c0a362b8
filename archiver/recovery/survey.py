"""Looking for everything that is not safe, page by page, and holding a rescue's plan against it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from archiver.catalog import CatalogReader
from archiver.catalog.fixity import Fixity
from archiver.catalog.orders import JobFilter, is_held_by_operator
from archiver.catalog.renders import RENDERER
from archiver.catalog.unsafe import Unsafe
from archiver.models import SlotState
from archiver.recovery.rescue_plan import Outside, Step, plan
from archiver.story import RENDERER_PATIENCE
from archiver.work import JobKind, JobState

_PAGE = 2000
_NOT_IN_THE_BUCKET = tuple(state for state in SlotState if state is not SlotState.ARCHIVED)
# The archive role says so every five seconds that it lives.
_SERVICE_PATIENCE = timedelta(seconds=20)


def survey(archive: CatalogReader, outside: Outside, *, now: datetime) -> tuple[Step, ...]:
    """The steps that would bring everything to safety; `outside` says what no catalog knows."""
    with archive.view() as tables:
        amiss = tables.fixity.count_amiss()
        seen_at = tables.deliveries.last_beat_at(RENDERER)
        found = replace(
            outside,
            unparsed=tables.deliveries.count_unparsed(),
            damaged=amiss.get(Fixity.MISSING, 0) + amiss.get(Fixity.DAMAGED, 0),
            lapsed_leases=tables.unsafe.count_lapsed_leases(now=now),
            unsealed=tuple(
                job.number
                for job in tables.orders.after(
                    JobFilter(kinds=(JobKind.SEAL,), states=(JobState.HELD,)),
                    above=0,
                    limit=_PAGE,
                )
                if not is_held_by_operator(job)
            ),
        )
    is_drawing = seen_at is not None and now - seen_at < RENDERER_PATIENCE
    return plan(_slots(archive, now), found, is_drawing=is_drawing)


def count_safe(archive: CatalogReader) -> int:
    """How many slots have a picture in the bucket, whoever drew it."""
    with archive.view() as tables:
        counts = tables.generations.count_slots_by_state()
    return counts.get(SlotState.ARCHIVED, 0) + counts.get(SlotState.RENDERED, 0)


def is_served(archive: CatalogReader, now: Callable[[], datetime]) -> bool:
    """Whether a service works on this archive."""
    with archive.view() as tables:
        beat_at = tables.deliveries.last_beat_at("archive")
    return beat_at is not None and now() - beat_at < _SERVICE_PATIENCE


def _slots(archive: CatalogReader, now: datetime) -> Iterator[Unsafe]:
    for state in _NOT_IN_THE_BUCKET:
        above = 0
        while True:
            with archive.view() as tables:
                page = tables.unsafe.page(state, above=above, limit=_PAGE, now=now)
            yield from page
            if len(page) < _PAGE:
                break
            above = page[-1].number
