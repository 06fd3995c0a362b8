"""Joins: ways of putting two pieces of knowledge together that do not care which came first.

Each is commutative, associative and idempotent, with None as "nothing known"; `lifecycle.merge` is
built of these alone, which is why deliveries may come in any order, late, and twice.
"""

from dataclasses import fields
from datetime import datetime
from typing import TypeVar

from archiver.models import Failure, FailureClass, GenerationParams

Scalar = TypeVar("Scalar", str, int, float)

_SEVERITY = {failure_class: rank for rank, failure_class in enumerate(FailureClass)}


def earliest(one: datetime | None, other: datetime | None) -> datetime | None:
    """The earlier of two times."""
    return min((time for time in (one, other) if time is not None), default=None)


def greatest(one: Scalar | None, other: Scalar | None) -> Scalar | None:
    """The known one; of two that contradict each other the greater, for want of a better judge."""
    return max((value for value in (one, other) if value is not None), default=None)


def worst(*failures: Failure | None) -> Failure | None:
    """The failure that permits the least: policy over operator over dead over renderable."""
    known = (failure for failure in failures if failure is not None)
    return max(
        known, key=lambda it: (_SEVERITY[it.failure_class], it.code, it.message), default=None
    )


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
