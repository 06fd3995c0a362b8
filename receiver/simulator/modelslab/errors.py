"""Every answer that says no: `status: error`, most of them in HTTP 200.

The words are those of `modelslab-overview`, "possible error responses", and where it has none those
of the vendor's page `error-codes`.
"""

from __future__ import annotations

from typing import Any

_KEY_TIP = (
    "1. Make sure you are passing Content-Type: application/json in header. "
    "2. Make sure you are doing POST request with valid JSON. "
    "3. Make sure your JSON does not have error, use jsonlint to validate json array. "
    "4. Make sure you have valid API key."
)
_RATE_TIPS = (
    "you are sending same request multiple times, spam filter is enabled, "
    "please wait for 30 seconds and try again"
)


class RefusalError(Exception):
    """A request is refused with this HTTP status; whose fault it is, only the words tell."""

    def __init__(self, message: str | dict[str, list[str]], status: int = 200, **more: Any) -> None:
        super().__init__(message)
        self.status = status
        self.document: dict[str, Any] = {"status": "error", "message": message, **more}


def invalid_key() -> RefusalError:
    """The operator's to mend; said of an unreadable body, too, since no key is found in it."""
    return RefusalError("Invalid Api Key", tip=_KEY_TIP)


def invalid_field(name: str, reason: str) -> RefusalError:
    """The client's to mend: `message` is a dict of the fields at fault."""
    return RefusalError({name: [f"The {name.replace('_', ' ')} {reason}."]})


def no_model() -> RefusalError:
    """The client's to mend: this endpoint needs a `model_id`."""
    return RefusalError("Model id not found")


def no_such_request() -> RefusalError:
    """Said of an id that is forgotten, of another account's, and of one that never was."""
    return RefusalError("Request not found")


def rate_limited() -> RefusalError:
    """A submission comes too soon; trying again later helps."""
    return RefusalError("Rate limit exceeded", tips=_RATE_TIPS)


def queue_full() -> RefusalError:
    """429: a status query comes too soon; helps to wait for `retry_after` seconds."""
    message = "Rate limit exceeded. Maximum 5 queued requests allowed."
    return RefusalError(message, 429, retry_after=30)


def no_credit() -> RefusalError:
    """402: the operator's to mend."""
    return RefusalError("Insufficient credits. Please add more credits to continue.", 402)


def server_error() -> RefusalError:
    """500: the provider's fault; trying again may help."""
    return RefusalError("Internal server error. Please try again.", 500)


def no_such_route(path: str) -> RefusalError:
    """404: the client's to mend."""
    return RefusalError(f"The route {path.lstrip('/')} could not be found.", 404)
