"""Every answer that says no, in the documented form {code, message, request_id}."""

from __future__ import annotations

from typing import Any


class RefusalError(Exception):
    """A request is refused with `status`; whose fault it is and what helps, `code` tells."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code

    def body(self, request_id: str) -> dict[str, Any]:
        """The documented JSON body of this refusal."""
        return {"code": self.code, "message": str(self), "request_id": request_id}


def invalid_parameter(message: str) -> RefusalError:
    """400: the client's to mend; the same request never succeeds."""
    return RefusalError(400, "InvalidParameter", message)


def arrearage() -> RefusalError:
    """400: the operator's to mend."""
    message = "Access denied, please make sure your account is in good standing."
    return RefusalError(400, "Arrearage", message)


def not_pending() -> RefusalError:
    """400: a task that is under way, over, or not known cannot be canceled."""
    message = "Failed to cancel the task, please confirm if the task is in PENDING status."
    return RefusalError(400, "UnsupportedOperation", message)


def invalid_api_key() -> RefusalError:
    """401: the operator's to mend."""
    return RefusalError(401, "InvalidApiKey", "Invalid API-key provided.")


def synchronous() -> RefusalError:
    """403: the header `X-DashScope-Async: enable` is missing."""
    message = "current user api does not support synchronous calls."
    return RefusalError(403, "AccessDenied", message)


def model_not_found() -> RefusalError:
    """404: the client's to mend."""
    return RefusalError(404, "ModelNotFound", "Model not exist.")


def throttled() -> RefusalError:
    """429: helps to come back later; nothing is wrong with the task."""
    message = "Requests rate limit exceeded, please try again later."
    return RefusalError(429, "Throttling.RateQuota", message)


def internal_error() -> RefusalError:
    """500: the provider's fault; trying again may help."""
    message = "An internal error has occured, please try again later or contact service support."
    return RefusalError(500, "InternalError", message)
