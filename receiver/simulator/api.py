"""The documented endpoints: what clients send, read, and answered in the documented shapes."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from receiver.simulator.clock import now
from receiver.simulator.faults import UnknownFaultError, read_faults
from receiver.simulator.forms import MUTATIONS, read_flat
from receiver.simulator.generations import FIELDS, Generation, Submission, rest_answer
from receiver.simulator.graphql import Field, Operation, read_operation
from receiver.simulator.refusals import (
    RefusalError,
    bad_input,
    insufficient_credits,
    invalid_graphql,
    no_such_generation,
    rate_limited,
    server_error,
    unauthenticated,
)
from receiver.simulator.studio import Studio

_Handler = Callable[[web.Request], Awaitable[web.Response]]

REQUESTS_PER_MINUTE = 6000  # an Enterprise plan's; counted, never enforced


class Api:
    """Reads what clients send, hands it to the studio, answers in the documented shapes."""

    def __init__(self, studio: Studio, *, api_key: str) -> None:
        self._studio = studio
        self._api_key = api_key
        self._window = 0
        self._requests_in_window = 0

    def routes(self) -> list[web.RouteDef]:
        """What this room answers for."""
        return [
            web.post("/graphql", self._documented(self._graphql)),
            web.post("/v1/text_to_image", self._documented(self._text_to_image)),
        ]

    async def _graphql(self, request: web.Request) -> web.Response:
        self._authenticate(request.headers.get("Authorization"), f"Bearer {self._api_key}")
        body = await _json_object(request)
        document, variables = body.get("query"), body.get("variables") or {}
        if not isinstance(document, str) or not isinstance(variables, dict):
            raise bad_input("query must be a string and variables an object")
        operation = read_operation(document, variables)
        if operation.kind == "query":
            return web.json_response(self._looked_up(operation))
        # Read everything before anything is begun: a refused request leaves nothing behind.
        asked = [(field, _submission(field)) for field in operation.fields]
        data = {
            field.key: _selected(field, self._submit(request, submission, field.key))
            for field, submission in asked
        }
        return web.json_response({"data": data})

    async def _text_to_image(self, request: web.Request) -> web.Response:
        self._authenticate(request.headers.get("X-API-Key"), self._api_key)
        submission = read_flat(await _json_object(request))
        return web.json_response(rest_answer(self._submit(request, submission, "")))

    def _authenticate(self, given: str | None, expected: str) -> None:
        if given != expected:
            raise unauthenticated()

    def _submit(self, request: web.Request, submission: Submission, key: str) -> Generation:
        faults = _faults(request, submission)
        if "server_error" in faults:
            raise server_error()
        if "rate_limited" in faults:
            raise rate_limited()
        if "no_credit" in faults:
            raise insufficient_credits(submission.credit_cost)
        idempotency_key = request.headers.get("Idempotency-Key")
        # One request may hold several mutations, each its own thing to repeat.
        return self._studio.submit(
            submission, faults, idempotency_key and f"{idempotency_key} {key}"
        )

    def _looked_up(self, operation: Operation) -> dict[str, Any]:
        answer: dict[str, Any] = {"data": {}}
        for field in operation.fields:
            if field.name != "generation":
                raise invalid_graphql(f'Cannot query field "{field.name}" on type "Query".')
            _check_selection(field)
            generation_id = str(field.arguments.get("id"))
            generation = self._studio.find(generation_id)
            answer["data"][field.key] = generation and _selected(field, generation)
            if generation is None:
                answer |= no_such_generation(generation_id).body()
        return answer

    def _documented(self, handler: _Handler) -> _Handler:
        async def answer(request: web.Request) -> web.Response:
            try:
                response = await handler(request)
            except RefusalError as refusal:
                response = web.json_response(refusal.body(), status=refusal.status)
            response.headers.update(self._rate_limit(exhausted=response.status == 429))
            return response

        return answer

    def _rate_limit(self, *, exhausted: bool) -> dict[str, str]:
        minute = int(now().timestamp()) // 60
        if minute != self._window:
            self._window, self._requests_in_window = minute, 0
        self._requests_in_window += 1
        remaining = 0 if exhausted else max(0, REQUESTS_PER_MINUTE - self._requests_in_window)
        return {
            "X-RateLimit-Limit": str(REQUESTS_PER_MINUTE),
            "X-RateLimit-Remaining": str(remaining),
            "X-RateLimit-Reset": str((minute + 1) * 60),
        }


async def _json_object(request: web.Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.read())
    except (ValueError, RecursionError) as error:
        raise bad_input("the body is not JSON") from error
    if not isinstance(body, dict):
        raise bad_input("the body must be a JSON object")
    return body


def _faults(request: web.Request, submission: Submission) -> frozenset[str]:
    asked = request.headers.getall("X-Simulate", ())
    try:
        return read_faults("doitong", headers=asked, prompt=submission.prompt)
    except UnknownFaultError as error:
        raise bad_input(str(error)) from error


def _submission(field: Field) -> Submission:
    if field.name not in MUTATIONS:
        raise invalid_graphql(f'Cannot query field "{field.name}" on type "Mutation".')
    _check_selection(field)
    return MUTATIONS[field.name](field.arguments)


def _check_selection(field: Field) -> None:
    if not field.selection:
        raise invalid_graphql(f'Field "{field.name}" must have a selection of subfields.')
    for selected in field.selection:
        if selected.name not in FIELDS:
            raise invalid_graphql(f'Cannot query field "{selected.name}" on type "Generation".')
        if selected.selection:
            raise invalid_graphql(f'Field "{selected.name}" has no subfields.')


def _selected(field: Field, generation: Generation) -> dict[str, Any]:
    return {selected.key: FIELDS[selected.name](generation) for selected in field.selection}
