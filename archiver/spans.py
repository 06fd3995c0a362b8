"""Spans, sent by OpenTelemetry's own library; `tracing` imports this where they are wanted."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from datetime import datetime

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    set_span_in_context,
)

from archiver.moments import to_millis
from archiver.redact import redact

_NANOSECONDS = 1_000_000  # in a millisecond
# Of a batch; a role that ends waits no longer for a collector that does not answer.
_PATIENCE_SECONDS = 2.0
# A collector that is down is its operator's affair, and no line of ours for each batch.
_SENDER = "opentelemetry"


class Collector:
    """Where the spans of one role go; what it cannot take in time is dropped."""

    def __init__(self, endpoint: str, role: str) -> None:
        logging.getLogger(_SENDER).setLevel(logging.CRITICAL)
        url = f"{endpoint.rstrip('/')}/v1/traces"
        exporter = OTLPSpanExporter(endpoint=url, timeout=_PATIENCE_SECONDS)
        resource = Resource.create({"service.name": "holdfast", "holdfast.role": role})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("holdfast")

    def span(
        self,
        name: str,
        of: tuple[str, str],
        began_at: datetime,
        ended_at: datetime,
        says: Mapping[str, object],
    ) -> None:
        """See `tracing.span`."""
        provider, generation = of
        told = {"provider": provider, "generation": generation, **says}
        self._tracer.start_span(
            name,
            context=set_span_in_context(NonRecordingSpan(_whole(of))),
            start_time=to_millis(began_at) * _NANOSECONDS,
            attributes={f"holdfast.{key}": redact(str(value)) for key, value in told.items()},
        ).end(to_millis(ended_at) * _NANOSECONDS)

    def close(self) -> None:
        """Sends what waits."""
        self._provider.shutdown()


def _whole(of: tuple[str, str]) -> SpanContext:
    """What all spans of a generation belong to, in whatever process they are made."""
    digest = hashlib.sha256("/".join(of).encode()).digest()
    return SpanContext(
        trace_id=int.from_bytes(digest[:16]),
        span_id=int.from_bytes(digest[16:24]),
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
    )
