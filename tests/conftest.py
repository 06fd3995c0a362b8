"""What every test may rely on."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import settings

# A loaded machine is slow, and slowness is no defect that these laws are about.
# More of them, where there is the time: HOLDFAST_EXAMPLES=1000 make test.
EXAMPLES = int(os.environ.get("HOLDFAST_EXAMPLES", "50"))
settings.register_profile("house", deadline=None, max_examples=EXAMPLES)
settings.load_profile("house")

# Whoever runs the tests in the background may have them start deaf to Ctrl-C, and their children.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Continuous integration installs everything; a test that cannot run there is a failure.
NO_SKIPS = bool(os.environ.get("NO_SKIPS"))


@pytest.fixture(autouse=True)
def logging_as_ever() -> Iterator[None]:
    """A command that was typed in this process has set its logging up for itself alone."""
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if NO_SKIPS and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, and nothing may be: {report.longrepr}"
    return report
