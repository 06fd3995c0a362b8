"""Parameters as a submission to Doitong, by "Quick start" and "Parameters" of its documents.

The mutation `generate` is shown twice and in most detail. It nests the prompt, and has the rest of
the table of parameters in `options`.
"""

from __future__ import annotations

from dataclasses import replace

from archiver.models import Failure, GenerationParams
from archiver.redact import redact
from receiver.exchange import Request
from receiver.providers.doitong_generation import NAME, read_generation
from receiver.providers.failures import MAX_TEXT
from receiver.providers.requests import authorization, post
from receiver.providers.taken import NotTakenError, given
from receiver.providers.values import as_document, as_list, as_mapping

# The service that "Quick start" of the first document asks for.
DEFAULT_SERVICE = "stable-diffusion"

_QUERY = (
    "mutation Generate($input: GenerateInput!) { generate(input: $input) "
    "{ id status type provider url metadata creditCost } }"
)
_OPTIONS = ("width", "height", "version", "quality")
TAKES = dict.fromkeys(("prompt", "model", *_OPTIONS, "samples"))


def submission(
    params: GenerationParams, *, api_key: str, idempotency_key: str, webhook_url: str | None = None
) -> Request:
    """See `submitters.Submitter.submission`; `model` is what the documents call the service.

    Of webhookUrl only the table speaks, so it goes where the table's other parameters go.
    """
    said = given(NAME, params, TAKES)
    if said.get("samples", 1) != 1:
        raise NotTakenError(f"samples = {params.samples}: {NAME} draws one picture for a request")
    options = {name: said[name] for name in _OPTIONS if name in said}
    if webhook_url is not None:
        options["webhookUrl"] = webhook_url
    asked = {
        "type": "IMAGE",
        "provider": said.get("model", DEFAULT_SERVICE),
        "input": {"text": said["prompt"]},
        "options": options,
    }
    document = {"query": _QUERY, "variables": {"input": asked}}
    key = ("Idempotency-Key", idempotency_key)
    return post("/graphql", document, authorization(api_key), key)


def refusal(status: int, answer: bytes) -> Failure:
    """See `submitters.Submitter.refusal`: "Error response format", read as a generation's end."""
    document = as_document(answer)
    said = {"message": f"answered {status}", **document, "status": "failed"}
    # Where no error has a code of its own, the table of HTTP's has the last word.
    failure = read_generation("", {"errorCode": str(status), **said}).failure
    assert failure is not None
    first = as_mapping(next(iter(as_list(document.get("errors"))), None))
    told = as_mapping(first.get("extensions"))
    if "creditsRequired" not in told:
        return failure
    required, available = told["creditsRequired"], told.get("creditsAvailable")
    counted = f"{failure.message} ({required} required, {available} available)"
    return replace(failure, message=redact(counted)[:MAX_TEXT])
