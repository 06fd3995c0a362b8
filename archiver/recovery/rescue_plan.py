"""What is to be done about everything that is not safe, in steps, the most urgent first.

Each slot without its picture is counted in the step of its rule (`rescue_rules`); what else is not
safe, such as deliveries and manifests, is a step of its own. The steps are carried out elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from archiver.catalog.unsafe import Standing, Unsafe
from archiver.recovery.rescue_rules import Kind, Rule, rule_for

_LATEST = datetime.max.replace(tzinfo=UTC)
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC")
# So many reasons of one kind are told apart, and so many generations named for each.
MAX_REASONS = 20
MAX_EXAMPLES = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Outside:
    """What is not safe beside slots, as far as it is known to whoever asks."""

    backlog: int = 0
    unparsed: int = 0
    authentic: int = 0
    unverified: int = 0
    lapsed_leases: int = 0
    unsealed: tuple[int, ...] = ()  # jobs
    missing: int = 0  # objects that the catalog knows of
    orphans: int = 0  # objects that it does not
    damaged: int = 0  # objects that could not be brought back


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """So many of one kind, because; `jobs` are to be tried now, the earliest death first.

    Of `generations` (by key) the job that is wanted is not even there.
    """

    kind: Kind
    because: str
    count: int
    first_deadline_at: datetime | None = None
    jobs: tuple[int, ...] = ()
    generations: tuple[int, ...] = ()
    examples: tuple[str, ...] = ()


@dataclass(kw_only=True)
class _Group:
    count: int = 0
    jobs: list[tuple[datetime, int]] = field(default_factory=list)
    generations: list[int] = field(default_factory=list)
    first_deadline_at: datetime = _LATEST
    examples: list[str] = field(default_factory=list)


def plan(slots: Iterable[Unsafe], outside: Outside, *, is_drawing: bool) -> tuple[Step, ...]:
    """All the steps, the most urgent first; each slot is counted in one, if it needs anything."""
    groups: dict[tuple[Kind, str], _Group] = {}
    for slot in slots:
        rule = rule_for(slot, is_drawing=is_drawing)
        if rule is not None:
            because = rule.because or _MOMENT.sub("…", slot.reason)
            _add(_group(groups, rule.kind, because), slot, rule)
    steps = [*(_step(*key, group) for key, group in groups.items()), *_beside(outside)]
    urgency = {kind: place for place, kind in enumerate(Kind)}
    return tuple(
        sorted(steps, key=lambda it: (urgency[it.kind], it.first_deadline_at or _LATEST, -it.count))
    )


def _group(groups: dict[tuple[Kind, str], _Group], kind: Kind, because: str) -> _Group:
    """The group of that reason, or that of all other reasons where there are too many."""
    if (kind, because) not in groups and sum(it is kind for it, _ in groups) >= MAX_REASONS:
        because = "for other reasons"
    return groups.setdefault((kind, because), _Group())


def _add(group: _Group, slot: Unsafe, rule: Rule) -> None:
    group.count += 1
    dies_at = slot.live_at or _LATEST
    group.first_deadline_at = min(group.first_deadline_at, dies_at)
    if len(group.examples) < MAX_EXAMPLES and slot.name not in group.examples:
        group.examples.append(slot.name)
    if rule.order:
        job: Standing | None = getattr(slot, rule.order)
        if job is None:
            group.generations.append(slot.generation)
        else:
            group.jobs.append((dies_at, job.number))


def _step(kind: Kind, because: str, group: _Group) -> Step:
    first = group.first_deadline_at
    return Step(
        kind=kind,
        because=because,
        count=group.count,
        first_deadline_at=None if first == _LATEST else first,
        jobs=tuple(dict.fromkeys(number for _, number in sorted(group.jobs))),
        generations=tuple(dict.fromkeys(group.generations)),
        examples=tuple(group.examples),
    )


def _beside(outside: Outside) -> Iterable[Step]:
    """What is not safe and no slot's, or not yet."""
    steps = (
        (Kind.ABSORB, outside.backlog, "heard, and absorbed as soon as the service runs"),
        (Kind.REPLAY, outside.unparsed, "authentic and not understood: absorbed once more"),
        (
            Kind.REVERIFY,
            outside.authentic,
            "refused, and authentic by the secrets of now: taken in",
        ),
        (Kind.LEASE, outside.lapsed_leases, "its worker died: given to another"),
        (Kind.RETRY, len(outside.unsealed), "its manifest was held: written once more"),
        (
            Kind.BLOB,
            outside.missing,
            "not in the bucket any more: fetched again while a link lives",
        ),
        (Kind.HELD, outside.unverified, "refused, and none of our secrets fits"),
        (Kind.HELD, outside.orphans, "in the bucket, and no slot refers to it: holdfast rebuild"),
        (Kind.GONE, outside.damaged, "the bucket has lost or damaged it: is:damaged finds it"),
    )
    for kind, count, because in steps:
        if count:
            jobs = outside.unsealed if kind is Kind.RETRY else ()
            yield Step(kind=kind, because=because, count=count, jobs=jobs)
