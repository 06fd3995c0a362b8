"""Every answer that says no, in the documented form `errors[].extensions.code`."""

from __future__ import annotations

from typing import Any


class RefusalError(Exception):
    """A request is refused with `status`; whose fault it is and what helps, `code` tells."""

    def __init__(self, status: int, code: str, message: str, **extensions: int) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.extensions = extensions

    def body(self) -> dict[str, Any]:
        """The documented JSON body of this refusal."""
        return {
            "errors": [{"message": str(self), "extensions": {"code": self.code, **self.extensions}}]
        }


def bad_input(message: str) -> RefusalError:
    """400: the client's to mend; the same request never succeeds."""
    return RefusalError(400, "BAD_USER_INPUT", message)


def not_graphql(message: str) -> RefusalError:
    """400: the document is not GraphQL as far as a practice provider reads it."""
    return RefusalError(400, "GRAPHQL_PARSE_FAILED", f"Syntax Error: {message}")


def invalid_graphql(message: str) -> RefusalError:
    """400: a well-formed document asks for what the schema does not have."""
    return RefusalError(400, "GRAPHQL_VALIDATION_FAILED", message)


def no_such_generation(generation_id: str) -> RefusalError:
    """200 with data null, as GraphQL servers answer for what they cannot find."""
    return RefusalError(200, "NOT_FOUND", f"No generation has the id {generation_id!r}")


def unauthenticated() -> RefusalError:
    """401: the operator's to mend."""
    return RefusalError(401, "UNAUTHENTICATED", "Missing or invalid API key")


def insufficient_credits(required: int) -> RefusalError:
    """402: the operator's to mend; the documented body, half of the price at hand."""
    return RefusalError(
        402,
        "INSUFFICIENT_CREDITS",
        "Insufficient credits for this operation",
        creditsRequired=required,
        creditsAvailable=required // 2,
    )


def rate_limited() -> RefusalError:
    """429: helps to come back when `X-RateLimit-Reset` says so."""
    return RefusalError(429, "RATE_LIMITED", "Rate limit exceeded")


def server_error() -> RefusalError:
    """500: the provider's fault; trying again may help."""
    return RefusalError(500, "INTERNAL_SERVER_ERROR", "Server error, please retry")
