"""The description of the API is held against the API: its routes, and what they tell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import requests
from openapi_spec_validator import validate

from tests.receiver.by_schema import DESCRIBED, Serving, served_on_a_thread

# For programs; all else is for browsers.
FOR_PROGRAMS = ("/api/", "/openapi.json", "/metrics", "/healthz", "/readyz")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """The role over a small archive, on a thread of its own."""
    with served_on_a_thread(tmp_path_factory.mktemp("archive")) as serving:
        yield serving


def test_it_is_openapi() -> None:
    """By the specification's own schema."""
    validate(DESCRIBED)


def test_every_route_is_described_and_every_description_mounted(served: Serving) -> None:
    """Neither may be forgotten when the other changes."""
    described = {
        (method.upper(), path)
        for path, operations in DESCRIBED["paths"].items()
        for method in operations
        if method != "parameters"
    }
    mounted = {
        (route.method, route.resource.canonical)
        for route in served.app.router.routes()
        if route.method != "HEAD" and route.resource is not None
    }
    assert described == {it for it in mounted if it[1].startswith(FOR_PROGRAMS)}


def test_it_serves_its_description(served: Serving) -> None:
    """As it stands in the repository."""
    assert served.json("/openapi.json") == DESCRIBED


def test_nothing_is_told_that_is_not_described(served: Serving) -> None:
    """Every field of every slot has its place in a schema, and every field of a schema is told."""
    schemas = DESCRIBED["components"]["schemas"]
    page = served.json("/api/v1/assets?limit=200")
    assert len(page["hits"]) == 6
    assert strays(page, schemas["Page"]) == set()
    assert strays(served.json("/api/v1/facets"), schemas["Facets"]) == set()
    asset = schema_of("/api/v1/assets/{number}")
    for hit in page["hits"]:
        assert strays(served.json(f"/api/v1/assets/{hit['number']}"), asset) == set()
    exported = requests.get(f"{served.url}/api/v1/export", timeout=20).content.splitlines()
    for line in exported:
        assert strays(msgspec.json.decode(line), schemas["ExportRow"]) == {"file", "absent"}


def schema_of(path: str) -> dict[str, Any]:
    """The schema of a GET's good answer."""
    answer = DESCRIBED["paths"][path]["get"]["responses"]["200"]
    schema: dict[str, Any] = answer["content"]["application/json"]["schema"]
    return schema


def strays(value: Any, schema: dict[str, Any]) -> set[str]:
    """The names of fields that only one of the two has."""
    schema = _resolved(schema)
    if isinstance(value, list):
        return {name for item in value for name in strays(item, schema.get("items", {}))}
    described = schema.get("properties")
    if not isinstance(value, dict) or described is None:
        return set()
    within = {
        name for key in value.keys() & described for name in strays(value[key], described[key])
    }
    return within | (value.keys() ^ described.keys())


def _resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """Without references, and all parts in one."""
    if "$ref" in schema:
        schema = DESCRIBED["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    parts = [_resolved(part) for part in schema.get("allOf", ())]
    parts += [_resolved(part) for part in schema.get("anyOf", ()) if "$ref" in part]
    properties = [it["properties"] for it in (*parts, schema) if "properties" in it]
    merged = {name: told for it in properties for name, told in it.items()}
    return {**schema, "properties": merged} if merged else schema
