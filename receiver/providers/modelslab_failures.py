"""Why ModelsLab did not draw, by `modelslab-overview` and the vendor's page `error-codes`.

They say it in prose, so the words are what decides; the HTTP status, where it is an error's, helps.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from archiver.models import Failure, FailureClass
from archiver.redact import MAX_CHARACTERS
from receiver.providers.failures import read_failure
from receiver.providers.values import as_text

VALIDATION = "validation"

# Against "code: message", the first that fits.
_CLASSES = tuple(
    (re.compile(pattern, re.IGNORECASE), failure_class)
    for pattern, failure_class in (
        # modelslab-overview: many attempts at child pornography suspend the account.
        (r"account\b.{0,80}\bsuspen", FailureClass.POLICY),
        (r"^(401|402|403):|invalid api key|insufficient credit", FailureClass.OPERATOR),
        (r"premium|subscription", FailureClass.OPERATOR),
        (rf"^{VALIDATION}:|is required|must be|invalid input", FailureClass.DEAD),
        (r"model (id )?not found|unable to fetch image", FailureClass.DEAD),
        (r"rate limit|try again|time[d -]?out|server error|unavailable", FailureClass.TRANSIENT),
        # An id is not found either when it is asked for at another product's address.
        (r"not found", FailureClass.TRANSIENT),
    )
)

# No page shows what is said of a request that does not exist: it was cleared away, is not there
# yet, or is asked for at another product's address. Of a model and the like it is said, too.
_UNKNOWN = re.compile(
    r"not (be )?found|(does not|doesn't) exist|no such|\bid is invalid|invalid (\w+[ _])?id\b",
    re.IGNORECASE,
)
_OF_SOMETHING_ELSE = re.compile(
    r"\b(model|lora|embedding|init|mask|route|endpoint|url|(api )?key|user|account|plan|subscri)",
    re.IGNORECASE,
)


def failure_of(answer: Mapping[str, Any], status: int) -> Failure:
    """What an answer of status `failed` or `error` gives as its reason.

    `message` is a text, or `{field: [texts]}` of a validation; the page admits to `messege`, too.
    """
    said = _said(answer)
    # Its 200 may be an error, and its 400 a generation that is processing.
    code = VALIDATION if isinstance(said, dict) else str(status) if status > 400 else ""
    message = _text(said)
    words = f"{code}: {message}"
    known = next((kind for pattern, kind in _CLASSES if pattern.search(words)), None)
    return read_failure(code, message, known)


def says_unknown(answer: Mapping[str, Any], *, is_missing: bool) -> bool:
    """Whether an answer says that there is no such request; `is_missing`, by its status alone."""
    message = _text(_said(answer))
    said = is_missing or _UNKNOWN.search(message) is not None
    return said and _OF_SOMETHING_ELSE.search(message) is None


def final(failure: Failure | None) -> Failure | None:
    """A passing trouble has passed once it has ended a generation: what is lost may be drawn."""
    if failure is not None and failure.failure_class is FailureClass.TRANSIENT:
        return replace(failure, failure_class=FailureClass.RENDERABLE)
    return failure


def _said(answer: Mapping[str, Any]) -> object:
    names = ("message", "messege", "error", "tips", "tip", "tip_1")
    return next((found for name in names if (found := answer.get(name))), None)


def _text(said: object) -> str:
    return " ".join(_sentences(said))[:MAX_CHARACTERS]


def _sentences(said: object) -> list[str]:
    fields = list(said.values()) if isinstance(said, dict) else [said]
    lists = (field if isinstance(field, list) else [field] for field in fields)
    texts = (as_text(reason) for reasons in lists for reason in reasons)
    return [text for text in texts if text is not None]
