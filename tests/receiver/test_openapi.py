"""The description of the API is held against the API: its routes, and what they really answer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from queue import Queue
from typing import Any

import msgspec
import pytest
import requests
import schemathesis
from aiohttp import web
from openapi_spec_validator import validate
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema

from archiver.web.described import DOCUMENT
from receiver.roles import web as role
from tests.archiver.exporting.shelf import fill
from tests.receiver.roles_in_process import serving

DESCRIBED = msgspec.json.decode(DOCUMENT)
# For programs; all else is for browsers.
FOR_PROGRAMS = ("/api/", "/openapi.json", "/metrics", "/healthz", "/readyz")

# Hundreds of cases at every bound of every schema, the same each time.
CONFIG = {
    "generation": {"deterministic": True},
    "phases": {"fuzzing": {"enabled": False}, "stateful": {"enabled": False}},
    "checks": {
        # A picture of the archive is missing in its bucket, and told so.
        "not_a_server_error": {"expected-statuses": ["2xx", "3xx", "4xx", 503]},
        # What a query or a cursor means no schema says.
        "positive_data_acceptance": {"enabled": False},
    },
}


@dataclass(frozen=True, slots=True)
class Serving:
    """The role `web` as it runs, and what it has mounted."""

    url: str
    app: web.Application

    def json(self, path: str) -> Any:
        """What a GET is answered."""
        answer = requests.get(self.url + path, timeout=20)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """The role over a small archive, on a thread of its own."""
    folder = tmp_path_factory.mktemp("archive")
    ready: Queue[tuple[str, asyncio.AbstractEventLoop, asyncio.Event]] = Queue()
    mounted: list[web.Application] = []
    compose = role.private_app

    def composed(**parts: Any) -> web.Application:
        mounted.append(compose(**parts))
        return mounted[-1]

    async def serve() -> None:
        await fill(folder)
        async with serving(folder) as running:
            stop = asyncio.Event()
            ready.put((running.url, asyncio.get_running_loop(), stop))
            await stop.wait()

    (folder / "metrics").mkdir()
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PROMETHEUS_MULTIPROC_DIR", str(folder / "metrics"))
        patched.setattr(role, "private_app", composed)
        thread = threading.Thread(target=asyncio.run, args=(serve(),))
        thread.start()
        url, loop, stop = ready.get(timeout=30)
        yield Serving(url, mounted[0])
        loop.call_soon_threadsafe(stop.set)
        thread.join()


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


def test_whatever_is_asked_is_answered_as_described(served: Serving) -> None:
    """Right or wrong, by any method: a status, a type, headers and a document that are described,
    and no wrong question is taken for a right one."""
    schema = schemathesis.openapi.from_dict(DESCRIBED, config=SchemathesisConfig.from_dict(CONFIG))
    schema.config.update(base_url=served.url)
    asked, wrong = 0, []
    for event in from_schema(schema).execute():
        assert not isinstance(event, events.FatalError | events.NonFatalError), event
        if isinstance(event, events.ScenarioFinished):
            asked += len(event.recorder.cases)
            checks = (check for each in event.recorder.checks.values() for check in each)
            wrong += [(event.label, check.failure_info) for check in checks if check.failure_info]
    assert wrong == []
    assert asked > 500


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
