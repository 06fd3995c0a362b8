"""The bad days on offer: what may be asked of each provider, and what the names mean."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

_IN_PROMPT = re.compile(r"\bsimulate:([a-z_]+(?:,[a-z_]+)*)")

# What the CDN does, whoever's picture it is.
_LINKS = {
    "missing": "the link answers 404",
    "html": "the link answers 200 with an HTML page instead of a picture",
    "cut": "the picture is cut short, and Content-Length agrees with what is sent",
    "truncated": "the connection closes in the middle of what Content-Length promised",
    "slow_link": "the link's bytes trickle",
}

_DOITONG = {
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
    **_LINKS,
}

_DASHSCOPE = {
    "no_credit": "the submission is refused: 400 Arrearage",
    "rate_limited": "the submission is refused: 429 Throttling.RateQuota",
    "server_error": "the submission is refused: 500 InternalError",
    "dropped": "the task is begun and the connection dies unanswered; asked again, it answers",
    "failed": "the task fails with InternalError.Timeout",
    "moderated": "the task fails with DataInspectionFailed",
    "partial": "a middle slot fails with InternalError.Timeout; of one slot, the task fails",
    "partly_moderated": "the first slot fails with DataInspectionFailed; of one, the task fails",
    "stuck": "the task stays RUNNING for ever",
    "throttled": "the first few status queries are refused: 429 Throttling.RateQuota",
    "html_status": "the first few status queries are answered with 502 and an HTML page",
    "purged": "soon after its end the task is forgotten: UNKNOWN in HTTP 200",
    "refreshed": "every status query gives fresh links, and the earlier ones are dead",
    "twice": "the event is delivered twice, byte for byte the same",
    "late": "the event comes long after the task ended",
    "never": "no event comes; only a status query finds the pictures",
    "wrong_secret": "the event is signed with another key than its certificate's",
    "dead_link": "the links have expired when they are given, and no others ever are",
    **_LINKS,
}

_MODELSLAB = {
    "no_credit": "the submission is refused: 402 and insufficient credits",
    "rate_limited": "the submission is refused: Rate limit exceeded, in HTTP 200",
    "server_error": "the submission is refused: 500, although nothing is wrong with it",
    "dropped": "the picture is begun and the connection dies unanswered; asked again, it answers",
    "instant": "the submission is answered when all is over: success, or a failure without an id",
    "failed": "the generation fails: Failed, Try Again",
    "moderated": "all pictures are blank, and nsfw_content_detected is true",
    "partial": "a middle slot has no link; of one slot, the generation fails",
    "partly_moderated": "the first picture is blank, and nsfw_content_detected is a list",
    "inline": "output holds the pictures themselves, in base64",
    "odd_status": "whatever says processing comes with HTTP 400",
    "misspelt": "whatever has a message calls it messege",
    "stuck": "the generation stays processing for ever",
    "throttled": "the first few fetches are refused: 429 with retry_after",
    "html_status": "the first few fetches are answered with 502 and an HTML page",
    "purged": "soon after its end the generation is forgotten: an error in HTTP 200",
    "refreshed": "every fetch gives fresh links, and the earlier ones are dead",
    "twice": "the webhook is delivered twice, byte for byte the same",
    "late": "the webhook comes long after the picture was ready",
    "never": "no webhook comes; only a fetch finds the picture",
    "forged_link": "the webhook names links on a host that is not the provider's",
    "dead_link": "the links are dead when they are given, and no others ever are",
    **_LINKS,
}

FAULTS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "doitong": MappingProxyType(_DOITONG),
        "dashscope": MappingProxyType(_DASHSCOPE),
        "modelslab": MappingProxyType(_MODELSLAB),
    }
)


class UnknownFaultError(ValueError):
    """Somebody asks for faults that this provider does not have; a misspelt one tests nothing."""


def read_faults(provider: str, *, headers: Iterable[str] = (), prompt: str = "") -> frozenset[str]:
    """The faults that `X-Simulate` headers and `simulate:one,another` in the prompt name.

    Raises UnknownFaultError, which lists the known ones.
    """
    sources = [*headers, *_IN_PROMPT.findall(prompt)]
    names = frozenset(name.strip() for source in sources for name in source.split(",")) - {""}
    known = FAULTS[provider]
    if unknown := sorted(names - known.keys()):
        raise UnknownFaultError(
            f"X-Simulate names {', '.join(unknown)}; known are {', '.join(known)}"
        )
    return names


def fault_table() -> str:
    """Every fault of every provider, a line each, for people to read."""
    return "\n\n".join(
        "\n".join([f"{provider}:", *(f"  {name:<16}  {what}" for name, what in faults.items())])
        for provider, faults in FAULTS.items()
    )
