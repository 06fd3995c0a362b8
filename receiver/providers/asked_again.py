"""A generation worded as its provider would be asked for it once more, for a person to copy."""

from __future__ import annotations

import json
from dataclasses import replace

from archiver.models import Generation, GenerationParams
from receiver.providers.submitters import SUBMITTERS
from receiver.providers.taken import NotTakenError

# What these call a service is what a submission has as its model.
_MODEL_IS_SERVICE = frozenset({"doitong"})


def as_request(generation: Generation) -> str | None:
    """The request's body, JSON on several lines, without any key; None if it cannot be asked for.

    Only what the provider takes is in it: nobody knows how the rest was said.
    """
    submitter = SUBMITTERS.get(generation.provider)
    if submitter is None:
        return None
    asked = generation.params
    taken = {name: getattr(asked, name) for name in submitter.takes}
    params = replace(GenerationParams(**taken), task=asked.task)
    if generation.provider in _MODEL_IS_SERVICE:
        params = replace(params, model=generation.service)
    try:
        request = submitter.submission(params, api_key="", idempotency_key="")
    except NotTakenError:
        return None
    body = json.loads(request.body)
    said = {name: value for name, value in body.items() if value not in ("", None)}
    return json.dumps(said, ensure_ascii=False, indent=2)
