"""Doitong's answers to status queries about generations of which we hold the picture."""

from __future__ import annotations

import json
from typing import Any

import pytest

from receiver.exchange import Request
from receiver.providers.doitong_heal import asked_id, healed
from tests.receiver.providers.holdings import asset, generation

OURS = "http://127.0.0.1:8082/gateway/pictures/1.png?expires=1&signature=s"
QUERY = 'query { job: generation(id: "abc") { id status url } }'


def request(query: Any, *, path: str = "/graphql", **more: Any) -> Request:
    """A request with this query, or this whole body."""
    body = query if isinstance(query, list) else {"query": query, **more}
    return Request(method="POST", path=path, body=json.dumps(body).encode())


def answered(query: str, answer: Any) -> Any:
    """The healed answer to a query."""
    known = generation("doitong", "abc", asset(), cost=20.0, service="flux-pro")
    said = healed(known, {0: OURS}, request(query), json.dumps(answer).encode())
    return None if said is None else json.loads(said)


@pytest.mark.parametrize(
    "answer",
    [
        {"data": {"job": None}},
        {"data": None, "errors": [{"message": "not found"}]},
        {"data": {"job": {"id": "abc", "status": "failed", "url": None}}},
        [],
    ],
)
def test_the_answer_mirrors_the_query(answer: Any) -> None:
    """Its alias, and the fields that it selects."""
    found = {"id": "abc", "status": "completed", "url": OURS}
    assert answered(QUERY, answer) == {"data": {"job": found}}


def test_every_documented_field_has_a_value() -> None:
    """Those that we do not know are null, as GraphQL has it; no error is left."""
    fields = "__typename type service provider creditCost createdAt completedAt metadata error"
    told = {"error": {"code": "GENERATION_FAILED"}, "metadata": {"width": 7}, "type": "PHOTO"}
    found = answered(f'{{ generation(id: "abc") {{ {fields} }} }}', {"data": {"generation": told}})
    assert found["data"]["generation"] == {
        "__typename": "Generation",
        "type": "PHOTO",
        "service": "flux-pro",
        "provider": "flux-pro",
        "creditCost": 20.0,
        "createdAt": "2026-11-20T01:02:03Z",
        "completedAt": None,
        "metadata": {"width": 7},
        "error": None,
    }


def test_a_list_is_not_healed() -> None:
    """Though it be of one."""
    answer = {"data": {"generations": [{"id": "abc"}]}}
    assert answered('{ generations(id: "abc") { id url } }', answer) is None


def test_after_which_generation_is_asked() -> None:
    """Wherever the query, or what came with it, names it."""
    assert asked_id(request(QUERY)) == "abc"
    variables = {"jobId": "abc"}
    query = "query($jobId: ID!) { checkJobStatus(jobId: $jobId) { status url } }"
    assert asked_id(request(query, variables=variables)) == "abc"
    assert asked_id(request("{ job { status url } }", variables=variables)) == "abc"


@pytest.mark.parametrize(
    "query",
    [
        'mutation { generate(id: "abc") { id url } }',
        '{ a: generation(id: "abc") { url } b: generation(id: "b") { url } }',
        "{ generations { id url } }",
        '{ generation(id: "abc") { link: url } }',
        '{ generation(id: "abc") { url author { name } } }',
        '{ generation(id: "abc") }',
        "no GraphQL at all",
        [{"query": QUERY}, {"query": QUERY}],
    ],
)
def test_after_none_is_asked(query: Any) -> None:
    """By mutations, several at once, and what could not be mirrored."""
    assert asked_id(request(query)) is None


def test_rest_asks_after_none() -> None:
    """It takes submissions alone."""
    assert asked_id(request(QUERY, path="/v1/text_to_image")) is None
