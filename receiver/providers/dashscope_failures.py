"""What DashScope's error codes permit, by its error-code page and `dashscope-stable-diffusion`."""

from __future__ import annotations

import re

from archiver.models import Failure, FailureClass
from receiver.providers.failures import read_failure

# Against "code: message", the first that fits. A code may have a suffix after a dot, and most come
# in pairs: DashScope's own and the one in OpenAI's style.
_CLASSES = tuple(
    (re.compile(pattern, re.IGNORECASE), failure_class)
    for pattern, failure_class in (
        (r"Data_?Inspection_?Failed|IPInfringement", FailureClass.POLICY),
        # InvalidParameter.DataInspection is no moderation in spite of its name: a picture of the
        # request could not be fetched for inspection, and drawing would miss it, too.
        (r"InvalidParameter|InvalidURL|InvalidImage|InvalidFile", FailureClass.DEAD),
        (r"BadRequest|invalid_request|UnsupportedOperation", FailureClass.DEAD),
        (r"InvalidApiKey|invalid_api_key|NOT AUTHORIZED", FailureClass.OPERATOR),
        (r"(Model\.|Workspace\.)?Access_?Denied", FailureClass.OPERATOR),
        (r"(Model|WorkSpace)_?NotFound|model_not_found", FailureClass.OPERATOR),
        # 429 by status, yet the account's trouble: waiting does not help.
        (r"CommodityNotPurchased|\w*BillOverdue|Arrearage", FailureClass.OPERATOR),
        (r"AllocationQuota", FailureClass.OPERATOR),
        (r"(Throttling|insufficient_quota).*\bfree (allocated|quota|tier)", FailureClass.OPERATOR),
        # A task that ended by these was accepted, so what is lost may be drawn.
        (r"Throttling|insufficient_quota|limit_", FailureClass.RENDERABLE),
        (r"Internal_?Error|RequestTimeOut|SystemError", FailureClass.RENDERABLE),
    )
)


def failure(code: str, message: str) -> Failure:
    """Why a task, or one picture of it, failed for good."""
    said = f"{code}: {message}"
    known = next((kind for pattern, kind in _CLASSES if pattern.match(said)), None)
    return read_failure(code, message, known)
