"""The columns that several tables share, and how they become values."""

from typing import Any

from archiver.models import Failure, FailureClass

FAILURE_COLUMNS = "failure_class, failure_code, failure_message"


def failure_to_row(failure: Failure | None) -> tuple[str | None, str, str]:
    """A failure as its three columns."""
    if failure is None:
        return None, "", ""
    return failure.failure_class.value, failure.code, failure.message


def failure_from_row(failure_class: Any, code: str, message: str) -> Failure | None:
    """Three columns as a failure."""
    if failure_class is None:
        return None
    return Failure(failure_class=FailureClass(failure_class), code=code, message=message)
