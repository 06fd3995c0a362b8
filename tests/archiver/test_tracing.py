"""Spans, as a collector gets them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from archiver import tracing
from archiver.errors import ConfigError
from tests.clocks import NOON

FOX, HEN = ("doitong", "fox"), ("doitong", "hen")


class Collector:
    """Speaks OTLP over HTTP, and keeps what it is told."""

    def __init__(self) -> None:
        told: list[bytes] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                told.append(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200 if self.path == "/v1/traces" else 404)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._told = told
        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"

    def spans(self) -> list[Any]:
        """All that came, in its order."""
        found = []
        for body in self._told:
            request = ExportTraceServiceRequest.FromString(body)
            for resource in request.resource_spans:
                found += [span for scope in resource.scope_spans for span in scope.spans]
        return found


@pytest.fixture
def collector() -> Iterator[Collector]:
    """One that listens."""
    one = Collector()
    thread = Thread(target=one.server.serve_forever)
    thread.start()
    try:
        yield one
    finally:
        tracing.end()
        one.server.shutdown()
        thread.join()
        one.server.server_close()


def span(name: str, of: tuple[str, str], **says: object) -> None:
    """One of two seconds."""
    ended_at = NOON + timedelta(seconds=2)
    tracing.span(name, of, began_at=NOON, ended_at=ended_at, says=says)


def test_a_generation_is_one_trace(collector: Collector) -> None:
    """Whoever makes its spans, and however much later."""
    for role in ("archive", "elsewhere"):
        tracing.begin(collector.endpoint, role)
        assert tracing.is_on()
        span("delivery", FOX)
        span("fetch", FOX, outcome="archived", link="https://cdn.example/a?Signature=hush")
        span("fetch", HEN)
        tracing.end()
    found = collector.spans()
    assert [it.name for it in found] == ["delivery", "fetch", "fetch"] * 2
    traces = [it.trace_id for it in found]
    assert traces[:2] == traces[3:5] == [traces[0]] * 2
    assert traces[2] == traces[5] != traces[0]
    assert len({it.span_id for it in found}) == 6
    assert {it.end_time_unix_nano - it.start_time_unix_nano for it in found} == {2_000_000_000}
    told = {it.key: it.value.string_value for it in found[1].attributes}
    assert told == {
        "holdfast.provider": "doitong",
        "holdfast.generation": "fox",
        "holdfast.outcome": "archived",
        "holdfast.link": "https://cdn.example/a?…",
    }


def test_nobody_is_told_who_did_not_ask() -> None:
    """Without an endpoint nothing is begun, and nothing of OpenTelemetry's is loaded."""
    script = """
import sys
from archiver import tracing, worker
import receiver.roles.archive
tracing.begin("", "archive")
assert not tracing.is_on()
assert not [name for name in sys.modules if name.startswith("opentelemetry")]
"""
    subprocess.run([sys.executable, "-c", script], check=True)
    span("fetch", FOX)


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """And what to type."""
    monkeypatch.setattr(tracing, "_MODULE", "archiver.no_such_room")
    with pytest.raises(ConfigError, match=r"pip install 'holdfast\[tracing\]'"):
        tracing.begin("http://127.0.0.1:4318", "archive")


def test_a_collector_that_is_down_harms_nobody(collector: Collector) -> None:
    """What it cannot take is dropped."""
    collector.server.server_close()
    tracing.begin("http://127.0.0.1:9", "archive")
    span("fetch", FOX)
