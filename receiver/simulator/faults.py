"""The bad days on offer: what `X-Simulate` may name, and what the names mean."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from receiver.simulator.refusals import bad_input

FAULTS: Mapping[str, str] = MappingProxyType(
    {
        "no_credit": "the submission is refused: 402 INSUFFICIENT_CREDITS",
        "rate_limited": "the submission is refused: 429 with nothing remaining in the window",
        "server_error": "the submission is refused: 500, although nothing is wrong with it",
        "failed": "the generation fails for no stated reason",
        "moderated": "the generation fails because of the content policy",
        "twice": "the webhook is delivered twice, byte for byte the same",
        "out_of_order": "a webhook that says processing follows the one that says completed",
        "late": "the webhook comes long after the picture was ready",
        "never": "no webhook comes; only a status query finds the picture",
        "wrong_secret": "the webhook is signed with a wrong secret, and never with the right one",
        "dead_link": "the link has expired when it is delivered, and no other is ever given",
        "missing": "the link answers 404",
        "html": "the link answers 200 with an HTML page instead of a picture",
        "cut": "the picture is cut short, and Content-Length agrees with what is sent",
        "truncated": "the connection closes in the middle of what Content-Length promised",
        "slow_link": "the link's bytes trickle",
    }
)


def read_faults(headers: Iterable[str]) -> frozenset[str]:
    """The faults that `X-Simulate` headers name; raises a 400 that lists the known ones."""
    names = frozenset(name.strip() for value in headers for name in value.split(",")) - {""}
    if unknown := sorted(names - FAULTS.keys()):
        raise bad_input(f"X-Simulate names {', '.join(unknown)}; known are {', '.join(FAULTS)}")
    return names


def generation_error(faults: frozenset[str]) -> Mapping[str, str] | None:
    """Why the provider says it has no picture; None when it has one."""
    if "moderated" in faults:
        message = "The request was rejected by our content policy."
        return {"code": "CONTENT_POLICY_VIOLATION", "message": message}
    if "failed" in faults:
        return {"code": "GENERATION_FAILED", "message": "The picture could not be generated."}
    return None
