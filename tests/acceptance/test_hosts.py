"""An archive on nine hosts, which fall one after the other: nothing acknowledged is ever lost.

Three receivers stand behind nginx as `deploy/` has it, two workers lead in turn, one node shows;
the database has a synchronous standby, the bucket is an S3 server's. Webhooks come in all the
while. `-s` shows how long each of the fallen was missed. Workers that fetch on other machines and
renderers are not among them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests import hosts
from tests.acceptance.hosted import WORK
from tests.archiver import postgres_server

pytestmark = [
    pytest.mark.torture,
    pytest.mark.skipif(bool(hosts.missing()), reason=hosts.missing() or "nothing is"),
]

DRILLS = "tests.acceptance.falling_hosts"
# Far beyond what was ever seen, for a machine that has other things to do.
PATIENCE_SECONDS = 30


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One run of everything."""
    postgres_server.wanted()
    told = hosts.among_hosts(DRILLS, tmp_path_factory.mktemp("hosts"), drill="falling")
    print(json.dumps(told, indent=1))
    return told


def test_what_was_acknowledged_is_kept_once(
    seen: Any, record_property: Callable[[str, object], None]
) -> None:
    """Whichever receiver has taken it, and to whichever it came again."""
    took = seen["took"]
    record_property("dose", f"9 hosts, 6 falls, {seen['acknowledged']} acknowledged")
    record_property(
        "result",
        f"{seen['lost']} lost, {seen['duplicates']} twice; after its promotion a standby serves in"
        f" {max(took['served after the promotion']):.1f} s",
    )
    assert seen["acknowledged"] == seen["letters"] + seen["pictures"]
    assert seen["redelivered"] > 0
    assert (seen["lost"], seen["duplicates"]) == (0, 0)


def test_each_delivery_is_absorbed_once(seen: Any) -> None:
    """By one of the two workers, and by the other never again."""
    assert (seen["unobserved"], seen["observed twice"]) == (0, 0)


def test_each_picture_has_one_row_and_one_object(seen: Any) -> None:
    """A worker that was cut off with fetches under way has left nothing of them."""
    assert (seen["pictures amiss"], seen["objects amiss"]) == ([], [])
    assert seen["pictures"] == seen["rows of pictures"] == seen["objects"] == seen["shown"] > 0


def test_one_worker_leads(seen: Any) -> None:
    """The one that was cut off has come back, said that it stands by, and does."""
    assert len(seen["leaders"]) == 1
    assert set(seen["leaders"]) <= set(WORK)
    assert 0 < seen["took"]["old leader stands by"] < PATIENCE_SECONDS


def test_receivers_serve_soon_after_a_promotion(seen: Any) -> None:
    """Though the first server that their URL names is gone for good, and says nothing."""
    assert max(seen["took"]["receivers ready after the promotion"]) < PATIENCE_SECONDS
    assert max(seen["took"]["served after the promotion"]) < PATIENCE_SECONDS


def test_nobody_is_kept_from_being_heard_by_one_host_that_falls(seen: Any) -> None:
    """The balancer asks another node."""
    for fallen in ("killed", "one cut off"):
        assert seen["took"][f"taken without the {fallen}"] < PATIENCE_SECONDS


def test_logs_hold_nothing_but_lines_of_ours(seen: Any) -> None:
    """Not what a library says to nobody in particular, nor faults that are none."""
    assert (seen["strange lines"], seen["faults of ours"]) == ([], [])


def test_losses_would_be_seen(
    tmp_path_factory: pytest.TempPathFactory, record_property: Callable[[str, object], None]
) -> None:
    """The control: what an asynchronous standby had not heard of is lost with its primary."""
    postgres_server.wanted()
    told = hosts.among_hosts(DRILLS, tmp_path_factory.mktemp("hosts"), drill="asynchronous")
    assert told["acknowledged"] > told["lost"] > 0
    record_property("control", f"with an asynchronous standby {told['lost']} lost")
