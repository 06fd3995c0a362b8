"""Joins: ways of putting two pieces of knowledge together that do not care which came first.

Each is commutative, associative and idempotent, with None as "nothing known"; `merging.merge` is
built of these alone, which is why deliveries may come in any order, late, and twice.
"""

from dataclasses import fields, replace
from datetime import datetime
from typing import TypeVar

from archiver.models import Failure, FailureClass, GenerationParams, Link

Scalar = TypeVar("Scalar", str, int, float)

_SEVERITY = {failure_class: rank for rank, failure_class in enumerate(FailureClass)}


def earliest(one: datetime | None, other: datetime | None) -> datetime | None:
    """The earlier of two times."""
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


def latest(one: datetime | None, other: datetime | None) -> datetime | None:
    """The later of two times."""
    if one is None or other is None:
        return other if one is None else one
    return max(one, other)


def greatest(one: Scalar | None, other: Scalar | None) -> Scalar | None:
    """The known one; of two that contradict each other the greater, for want of a better judge."""
    if one is None or other is None:
        return other if one is None else one
    return max(one, other)


def worst(*failures: Failure | None) -> Failure | None:
    """The failure that permits the least: policy over operator over dead over renderable."""
    known = [failure for failure in failures if failure is not None]
    if not known:
        return None
    return max(known, key=lambda it: (_SEVERITY[it.failure_class], it.code, it.message))


def join_params(one: GenerationParams, other: GenerationParams) -> GenerationParams:
    """Field by field: a webhook may know the version where only the request knew the prompt."""
    if one == other:
        return one
    return GenerationParams(
        **{
            field.name: greatest(getattr(one, field.name), getattr(other, field.name))
            for field in fields(GenerationParams)
        }
    )


def join_links(one: Link, other: Link) -> Link:
    """Two hearings of one URL: the earlier death, and the first delivery to bring it."""
    return replace(
        one,
        expires_at=min(one.expires_at, other.expires_at),
        heard_in=min(one.heard_in, other.heard_in, key=lambda ref: (ref.inbox, ref.position)),
        failure=worst(one.failure, other.failure),
    )
