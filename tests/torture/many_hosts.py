"""The trial `hosts`: an archive on nine hosts that are killed, cut off, slowed and failed over."""

from __future__ import annotations

from tests.torture.suites import suite
from tests.torture.trial import Row, Run


def many_hosts(run: Run) -> list[Row]:
    """One row; network namespaces stand in for the hosts."""
    must = "0 lost, 0 twice, one leads, served again after each fall"
    return [suite(run, "hosts", must, ["tests/acceptance/test_hosts.py"])]
