"""What a failure's words permit, for all providers alike; their codes are read in their own files.

The order of evidence: an explicit code, a structured flag, the HTTP status, the words. But if
either code or words speak of moderation, policy wins.
"""

from __future__ import annotations

import re

from archiver.models import Failure, FailureClass
from archiver.redact import redact

MAX_TEXT = 500

_POLICY = re.compile(
    r"nsfw|safety|moderat|content[_ -]?policy|inappropriate|sensitive content|sexual|\bchild|csam"
    r"|ip ?infringement|copyright|data_?inspection_?failed|flagged|blocked by .*filter",
    re.IGNORECASE,
)

_OPERATOR = re.compile(
    r"insufficient credit|daily limit|quota|invalid api key|payment required", re.IGNORECASE
)


def read_failure(code: str, message: str, known: FailureClass | None) -> Failure:
    """The failure of this code and these words; `known` is what the provider's own table says."""
    return Failure(
        failure_class=_class_of(code, message, known),
        code=redact(code)[:MAX_TEXT],
        message=redact(message)[:MAX_TEXT] or "failed",
    )


def _class_of(code: str, message: str, known: FailureClass | None) -> FailureClass:
    if _POLICY.search(f"{code} {message}"):
        return FailureClass.POLICY
    by_words = FailureClass.OPERATOR if _OPERATOR.search(message) else FailureClass.RENDERABLE
    return known or by_words
