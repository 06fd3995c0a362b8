"""What ModelsLab would say or be asked, as bytes, and what is made of them."""

from __future__ import annotations

import json

from archiver.models import Heard, Observation
from receiver.exchange import Exchange, encode
from receiver.providers.modelslab import MODELSLAB

URL = "https://d1okzptojspljx.cloudfront.net/generations/05c3260d-0.png"
SECOND = "https://d1okzptojspljx.cloudfront.net/generations/05c3260d-1.png"
MIRROR = "https://cdn2.stablediffusionapi.com/generations/05c3260d-0.png"
PRESIGNED = "https://customer.s3.amazonaws.com/a.png?X-Amz-Signature=secret"

SUBMIT = "/api/v6/images/text2img"
FETCH = "/api/v6/images/fetch/302455"


def as_bytes(document: object) -> bytes:
    """A document as JSON; bytes are taken as they are."""
    return document if isinstance(document, bytes) else json.dumps(document).encode()


def exchanged(
    path: str,
    answer: object,
    *,
    request: object = b"",
    status: int = 200,
    heard: Heard = Heard.OVERHEARD,
) -> tuple[Observation, ...]:
    """What a request to this path and its answer say."""
    exchange = Exchange(
        method="POST",
        path=path,
        request_type="application/json",
        request=as_bytes(request),
        status=status,
        answer=as_bytes(answer),
    )
    return MODELSLAB.parse(heard, "", encode(exchange))


def submitted(answer: object, request: object = b"", *, path: str = SUBMIT) -> Observation:
    """What a submission says."""
    (observation,) = exchanged(path, answer, request=request)
    return observation


def fetched(*, http: int = 200, **answer: object) -> tuple[Observation, ...]:
    """What the answer to a fetch of generation 302455 says."""
    return exchanged(FETCH, answer, status=http, heard=Heard.POLLED)


def answered(*, http: int = 200, **answer: object) -> Observation:
    """What such an answer says, that does speak of the generation."""
    (observation,) = fetched(http=http, **answer)
    return observation


def pushed(document: object) -> tuple[Observation, ...]:
    """What a webhook says."""
    return MODELSLAB.parse(Heard.PUSHED, "an unguessable token", as_bytes(document))


def remembered(request: object) -> Observation:
    """What a request says that became generation 302455."""
    (observation,) = MODELSLAB.parse(Heard.REMEMBERED, "302455", as_bytes(request))
    return observation
