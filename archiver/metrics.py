"""What is counted. The processes of one service share their counts through a folder.

Nothing that a stranger can choose (ids, URLs, hosts) is ever a label.
"""

import os
from pathlib import Path
from typing import Any

from prometheus_client import Counter, Gauge, Histogram, values

# Of a role there is one process at a time, and the next one goes on counting where it ended: were
# it a file for each process, every crash would leave some more to be read at each scrape.
PROCESS_NAME = "PROMETHEUS_MULTIPROC_NAME"
# Room for all that one role counts, in each of its files.
_ROOM_BYTES = 1 << 16
_FILES = ("counter", "gauge_max", "histogram")


def _shared(folder: Path, name: str) -> Any:
    """Counts that the processes share, or that this one keeps to itself, where no room is for them.

    They are mapped into memory: whoever then counts what finds no room on a full disk is ended by a
    signal (SIGBUS). So all the room is taken at the start.
    """
    try:
        for file in (folder / f"{kind}_{name}.db" for kind in _FILES):
            counts = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                os.posix_fallocate(counts, 0, _ROOM_BYTES)
            finally:
                os.close(counts)
    except OSError:
        return values.MutexValue
    return values.MultiProcessValue(lambda: name)  # type: ignore[no-untyped-call]


if PROCESS_NAME in os.environ:
    _folder = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
    values.ValueClass = _shared(_folder, os.environ[PROCESS_NAME])

_MINUTE, _HOUR = 60, 3600

DELIVERIES = Counter(
    "holdfast_deliveries_total",
    "Webhooks answered, by provider and by what became of them",
    ["provider", "result"],
)
LAST_VERIFIED = Gauge(
    "holdfast_last_verified_delivery_timestamp_seconds",
    "When an authentic webhook of the provider last came, since the service was started",
    ["provider"],
    multiprocess_mode="max",
)
INGEST_COMMIT_SECONDS = Histogram(
    "holdfast_ingest_commit_seconds",
    "One durable commit of an inbox, of all the deliveries that waited for it",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0),
)
ABSORBED = Counter("holdfast_absorbed_total", "Deliveries absorbed, by outcome", ["outcome"])
UNKNOWN_STATUSES = Counter(
    "holdfast_unknown_statuses_total",
    "Observations whose status no parser knows; they are read as running",
    ["provider"],
)
JOBS_SETTLED = Counter(
    "holdfast_jobs_settled_total", "Jobs performed, by kind and outcome", ["kind", "outcome"]
)
DEADLINE_SLACK_SECONDS = Histogram(
    "holdfast_deadline_slack_seconds",
    "What was left of a link's life when its bytes were in the bucket",
    ["provider"],
    buckets=(
        *(0, _MINUTE, 5 * _MINUTE, 15 * _MINUTE),
        *(_HOUR, 3 * _HOUR, 6 * _HOUR, 12 * _HOUR, 18 * _HOUR, 24 * _HOUR, 7 * 24 * _HOUR),
    ),
)
LINKS_EXPIRED = Counter(
    "holdfast_links_expired_total",
    "Links that died before their bytes were in the bucket",
    ["provider"],
)
FETCHED_BYTES = Counter("holdfast_fetched_bytes_total", "Bytes of results put into the bucket")
EXCHANGES = Counter(
    "holdfast_gateway_exchanges_total",
    "Requests that the gateway passed on, by provider and whether they were answered",
    ["provider", "result"],
)
ROLE_SEEN = Gauge(
    "holdfast_role_seen_timestamp_seconds",
    "When the role's process last said that it is not stuck",
    ["role"],
    multiprocess_mode="max",
)
