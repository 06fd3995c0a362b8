"""Doitong's answer to a status query about a generation of which we hold the picture.

No document shows such a query, so the answer mirrors the one that was asked: the same alias, and of
the object in "Completed response" the fields that were selected.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from archiver.models import Generation
from receiver.exchange import Request
from receiver.providers import doitong_api as api
from receiver.providers import doitong_exchange
from receiver.providers.doitong_graphql import Field, Operation, read_batch, read_operation
from receiver.providers.values import as_mapping

_NAME = re.compile(r"[_A-Za-z]\w*", re.ASCII)

_FIELDS: Mapping[str, Callable[[Generation], Any]] = {
    "__typename": lambda _: "Generation",
    "id": lambda generation: generation.id,
    "type": lambda _: "IMAGE",
    "service": lambda generation: generation.service,
    "provider": lambda generation: generation.service,
    "width": lambda generation: generation.params.width,
    "height": lambda generation: generation.params.height,
    "creditCost": lambda generation: generation.cost,
    "createdAt": lambda generation: _written(generation.created_at),
    "completedAt": lambda generation: _written(generation.completed_at),
}
# What there was to say of a failure is over.
_REASONS = {"error", "errors", "errorCode", "errorMessage", "code", "message", "reason"}


def asked_id(asked: Request) -> str | None:
    """The generation that a query names; None if it is none for a single one.

    Nor is it one whose fields are renamed, for that could not be mirrored.
    """
    query = _query(asked)
    if query is None:
        return None
    return doitong_exchange.asked_id(*query)


def healed(
    generation: Generation, urls: Mapping[int, str], asked: Request, answer: bytes
) -> bytes | None:
    """The success that the answer would be if the picture lay at `urls[0]`.

    None if it was answered with a list.
    """
    query = _query(asked)
    if query is None or 0 not in urls:
        return None
    _, field = query
    answers = read_batch(answer)
    told = as_mapping(answers[0].get("data")).get(field.key) if answers else None
    if isinstance(told, list):
        return None
    told = as_mapping(told)
    now = {"id": generation.id, "status": "completed", "url": urls[0]}
    found = {name: _said(name, generation, now, told) for name in sorted(field.selects)}
    return msgspec.json.encode({"data": {field.key: found}})


def _query(asked: Request) -> tuple[Operation, Field] | None:
    """The only query, and its only field."""
    requests = read_batch(asked.body) if api.is_graphql(asked.path) else ()
    operation = read_operation(requests[0]) if len(requests) == 1 else None
    if operation is None or operation.kind != "query" or len(operation.fields) != 1:
        return None
    (field,) = operation.fields
    plain = field.selects and all(map(_NAME.fullmatch, field.selects))
    return (operation, field) if plain else None


def _said(
    name: str, generation: Generation, now: Mapping[str, Any], told: Mapping[str, Any]
) -> Any:
    """What was told stays, unless it is of a failure or a link that died."""
    if name in now:
        return now[name]
    if told.get(name) is not None and name not in _REASONS:
        return told[name]
    known = _FIELDS.get(name)
    return known(generation) if known else None


def _written(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment:%Y-%m-%dT%H:%M:%SZ}"
