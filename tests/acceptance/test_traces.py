"""One generation as a collector of traces sees it, from its webhook to its picture."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp

from receiver.simulator import Simulator
from tests.acceptance.test_spine import Told, submit
from tests.archiver.test_tracing import Collector, collector
from tests.service import SECRET, from_simulator, running

__all__ = ["collector"]


async def test_receipt_and_every_job_are_one_trace(tmp_path: Path, collector: Collector) -> None:
    """Though nothing is carried from the one to the other; what waits is sent at the end."""
    told = Told(prompt="a fox", faults=frozenset(), remembered=False)
    async with (
        Simulator(SECRET.encode(), drawing_seconds=0.1) as simulator,
        aiohttp.ClientSession() as client,
    ):
        tables = {
            "egress": from_simulator(simulator.base_url),
            "tracing": {"endpoint": collector.endpoint},
        }
        with running(tmp_path, roles=["receive", "archive"], **tables) as service:
            name = await submit(client, simulator, service, told)
            await asyncio.to_thread(service.logged, "sealed", generation=name)
            await asyncio.to_thread(service.stop)
    spans = collector.spans()
    assert {"delivery", "fetch", "seal"} <= {span.name for span in spans}
    assert len({span.trace_id for span in spans}) == 1
    for span in spans:
        said = {it.key: it.value.string_value for it in span.attributes}
        assert (said["holdfast.provider"], said["holdfast.generation"]) == ("doitong", name)
        assert span.start_time_unix_nano <= span.end_time_unix_nano
