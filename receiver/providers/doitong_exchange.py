"""What a request to Doitong and its answer say together, by "Response format" and "Quick start".

`doitong-stable-diffusion` and `doitong-flux-pro` show two mutations, both answered under a third
name, and an endpoint of REST without an answer; no status query at all. HTTP's status decides
nothing: by "Error handling" the errors are in the answer, and GraphQL sends them with 200.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from archiver.errors import UnreadableError
from archiver.models import GenerationState, Observation
from receiver.exchange import Exchange
from receiver.providers.doitong_api import is_graphql, is_rest
from receiver.providers.doitong_generation import NAME, read_generation
from receiver.providers.doitong_graphql import Field, Operation, read_batch, read_operation
from receiver.providers.doitong_request import Asked, is_submission, read_asked
from receiver.providers.values import as_id, as_list, as_mapping, as_text

# "Response format" and "Quick start": `generateimage` and `generate`, whichever was asked.
_ANSWER_NAMES = ("generate", "generateImage", "generateimage")
# `checkJobStatus(jobId)`, in "Handle asynchronous processing", is all that is said of asking.
_ID_NAMES = ("id", "jobId")
# What a query must ask for to be about how a generation stands.
_STANDING = {"status", "url"}
# Under another name any text of the provider's, even the client's own, could pass for an id.
_BLANK = r"(?:[\s,]|#[^\n]*\n)*"
_RENAMED = re.compile(rf"(?<![$\w])(?:id|jobId|status|url)\b{_BLANK}:{_BLANK}[_a-z]")


def read_exchange(said: Exchange) -> tuple[Observation, ...]:
    """What was said; raises UnreadableError."""
    if said.method.upper() != "POST":
        return ()
    if is_rest(said.path):
        return tuple(_rest(said))
    return tuple(_graphql(said)) if is_graphql(said.path) else ()


def _rest(said: Exchange) -> Iterator[Observation]:
    """No document shows this answer: it is flat, or in `data`, or in `data` under any name."""
    for answer in read_batch(said.answer)[:1]:
        data = as_mapping(answer.get("data"))
        found = (answer, data, *map(as_mapping, data.values()))
        request = next(iter(read_batch(said.request)), {})
        yield from _begun(next(filter(_id, found), {}), read_asked(request))


def _graphql(said: Exchange) -> Iterator[Observation]:
    """One request, or a list of them that is answered in the same order."""
    requests = read_batch(said.request) or ({},)
    answers = read_batch(said.answer)
    if not any(answers):
        _excuse(said, requests)
    for request, answer in zip(requests, answers, strict=False):
        if _RENAMED.search(as_text(request.get("query")) or ""):
            continue
        operation = read_operation(request)
        data = as_mapping(answer.get("data"))
        if operation is None:
            # What cannot be read here was read by the provider: its answer counts without it.
            yield from _begun(_under(_ANSWER_NAMES, data), read_asked(request))
        elif operation.kind == "mutation":
            yield from _mutation(request, operation, data)
        else:
            yield from _query(operation, answer, data)


def _mutation(
    request: Mapping[str, Any], operation: Operation, data: Mapping[str, Any]
) -> Iterator[Observation]:
    """Errors beside an id are warnings: the generation has been accepted."""
    alone = len(operation.fields) == 1
    for field in filter(is_submission, operation.fields):
        names = (field.key, field.key.lower())
        found = _under((*names, *_ANSWER_NAMES) if alone else names, data)
        if not found and alone:
            objects = [value for value in map(as_mapping, data.values()) if value]
            found = objects[0] if len(objects) == 1 else {}
        asked = read_asked(field.arguments) or (read_asked(request) if alone else None)
        yield from _begun(found, asked)


def _begun(found: Mapping[str, Any], asked: Asked | None) -> Iterator[Observation]:
    """Without an id there is nothing to keep it under."""
    generation_id = _id(found)
    if generation_id is None:
        return
    seen = read_generation(generation_id, found)
    if asked is not None:
        seen = replace(seen, params=asked.params, service=seen.service or asked.service)
    yield seen


def _query(
    operation: Operation, answer: Mapping[str, Any], data: Mapping[str, Any]
) -> Iterator[Observation]:
    """Any query for objects with a status or a link, for the document to ask with is settable."""
    for field in operation.fields:
        if _STANDING.isdisjoint(field.selects) or field.key not in data:
            continue
        named_id, found = asked_id(operation, field), data[field.key]
        if found is None and named_id is not None and not answer.get("errors"):
            yield Observation(
                provider=NAME,
                generation_id=named_id,
                state=GenerationState.RUNNING,
                unknown=True,
            )
        for one in map(as_mapping, as_list(found)):
            if (generation_id := _id(one)) is not None:
                yield read_generation(generation_id, one)
        one = as_mapping(found)
        if one and (generation_id := _id(one) or named_id) is not None:
            yield read_generation(generation_id, one)


def _excuse(said: Exchange, requests: tuple[Mapping[str, Any], ...]) -> None:
    """An answer that is none passes with the trouble that sent it, or else is unreadable.

    A submission's is neither, for it names nothing to keep it under.
    """
    passing = said.status == 429 or said.status >= 500 or said.answer.lstrip().startswith(b"<")
    operations = filter(None, map(read_operation, requests))
    queries = (operation for operation in operations if operation.kind == "query")
    asked = (asked_id(query, field) for query in queries for field in query.fields)
    if not passing and any(asked):
        raise UnreadableError("the answer to a status query is neither a JSON object nor a list")


def _under(names: tuple[str, ...], data: Mapping[str, Any]) -> Mapping[str, Any]:
    """The object under the first of these names that is there at all."""
    return as_mapping(next((data[name] for name in names if name in data), None))


def asked_id(operation: Operation, field: Field) -> str | None:
    """The generation that a field of a query is about, if it names one."""
    places = (field.arguments, operation.variables)
    ids = (as_id(place.get(name)) for place in places for name in _ID_NAMES)
    return next(filter(None, ids), None)


def _id(found: Mapping[str, Any]) -> str | None:
    return as_id(found.get("id"))
