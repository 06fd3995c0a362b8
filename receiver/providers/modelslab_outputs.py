"""What ModelsLab delivered: the slots of a generation, read off an answer's lists of links.

By `modelslab-enterprise-text2img` (`output`) and the vendor's OpenAPI files (`proxy_links`,
`future_links`, `nsfw_content_detected`). `output` is a list, "" where there is none, and sometimes
a map from index to link.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Mapping
from typing import Any

from archiver.merging import MAX_SLOTS
from archiver.models import Failure, FailureClass, SlotObservation
from receiver.providers.values import as_bool, as_integer, as_url

FLAGGED = Failure(
    failure_class=FailureClass.POLICY,
    code="nsfw_content_detected",
    message="flagged by the provider's safety checker",
)
_NO_PICTURE = Failure(
    failure_class=FailureClass.RENDERABLE, message="the provider delivered no link to this picture"
)

_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_SIGNATURES = {
    "image/png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "image/jpeg": re.compile(rb"\xff\xd8\xff"),
    "image/webp": re.compile(rb"RIFF....WEBP", re.DOTALL),
    "image/gif": re.compile(rb"GIF8[79]a"),
}


def read_slots(answer: Mapping[str, Any], *, final: bool) -> tuple[SlotObservation, ...]:
    """A slot for each entry of `output`; once more, with the mirror's link, for `proxy_links`.

    `final` says that no more is to come, so an entry without a picture has lost it. Before that
    `future_links` tell how many pictures to expect and nothing else: until then they answer 404.
    """
    flagged = _flagged(answer)
    urls = {index: _picture(entry) for index, entry in _entries(answer.get("output"))}
    final = final and any(urls.values())  # without any picture, a success is not over
    expected = set(urls) | flagged
    if not final:
        expected |= {index for index, _ in _entries(answer.get("future_links"))}
    slots = [
        SlotObservation(index=index, url=url, failure=_failure(url, index in flagged, final))
        for index in sorted(expected)
        for url in (urls.get(index),)
    ]
    mirrors = ((index, as_url(entry)) for index, entry in _entries(answer.get("proxy_links")))
    return (
        *slots,
        *(
            SlotObservation(index=index, url=url)
            for index, url in mirrors
            if url and urls.get(index)
        ),
    )


def is_flagged(answer: Mapping[str, Any]) -> bool:
    """Whether the whole generation is flagged: `nsfw_content_detected` is one word for all."""
    return as_bool(answer.get("nsfw_content_detected")) is True


def _flagged(answer: Mapping[str, Any]) -> set[int]:
    """The slots that are flagged one by one, where `nsfw_content_detected` is a list."""
    detected = answer.get("nsfw_content_detected")
    if not isinstance(detected, list | dict):
        return set()
    return {index for index, flag in _entries(detected) if as_bool(flag)}


def _failure(url: str | None, flagged: bool, final: bool) -> Failure | None:
    if flagged:
        return FLAGGED
    return _NO_PICTURE if final and url is None else None


def _entries(value: object) -> list[tuple[int, object]]:
    """What a list or a map holds, by index; a text alone is a list of one, a blank one of none."""
    if isinstance(value, str):
        value = [value] if value.strip() else []
    if isinstance(value, dict):
        places = (as_integer(key, least=0) for key in value)
        named = zip(places, value.values(), strict=True)
        pairs = [(at if i is None else i, entry) for at, (i, entry) in enumerate(named)]
    else:
        pairs = list(enumerate(value)) if isinstance(value, list) else []
    return [(index, entry) for index, entry in pairs if index < MAX_SLOTS]


def _picture(entry: object) -> str | None:
    """The link of a picture, or the picture itself, as `base64: yes` asks for it."""
    return as_url(entry) or (_data_url(entry) if isinstance(entry, str) else None)


def _data_url(text: str) -> str | None:
    """Base64 text, bare or after `data:…,`, as a URL (RFC 2397) of what its bytes begin with."""
    if text.lstrip()[:5].lower() == "data:":
        text = text.partition(",")[2]
    text = "".join(text.split())
    if _BASE64.fullmatch(text) is None:
        return None
    try:
        head = b64decode(text[:16])
    except ValueError:
        return None
    types = (name for name, signature in _SIGNATURES.items() if signature.match(head))
    return next((f"data:{media_type};base64,{text}" for media_type in types), None)
