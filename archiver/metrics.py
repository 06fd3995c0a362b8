"""What is counted. The processes of one service share their counts through a folder.

Nothing that a stranger can choose (ids, URLs, hosts) is ever a label.
"""

from prometheus_client import Counter, Histogram

WEBHOOKS = Counter(
    "holdfast_webhooks_total", "Webhooks answered, by source and status", ["source", "status"]
)
INBOX_COMMIT_SECONDS = Histogram(
    "holdfast_inbox_commit_seconds",
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
FETCHED_BYTES = Counter("holdfast_fetched_bytes_total", "Bytes of results put into the bucket")
EXCHANGES = Counter(
    "holdfast_gateway_exchanges_total",
    "Requests that the gateway passed on, by provider and whether they were answered.",
    ["provider", "result"],
)
