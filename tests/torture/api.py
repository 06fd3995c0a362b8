"""The whole API with tokens, asked all that its description makes think of."""

from __future__ import annotations

import pytest

from tests.torture.suites import suite
from tests.torture.trial import Row, Run

_MUST = "answers as described for who may, 401 or 403 for all others"


def api(run: Run) -> list[Row]:
    """Right and wrong questions of every operation, as admin, with each scope, and with none."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("HOLDFAST_API_EXAMPLES", "300" if run.long else "5")
        return [suite(run, "api", _MUST, ["tests/receiver/test_openapi_access.py"])]
