"""The ways of Doitong's API, by `doitong-stable-diffusion` and `doitong-flux-pro`.

One address of GraphQL for everything, and one of REST for submissions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from archiver.models import Generation
from receiver.exchange import Request
from receiver.provider_tables import Api
from receiver.provider_tables import Doitong as Settings
from receiver.providers import requests
from receiver.providers.base import Concern
from receiver.providers.doitong_graphql import Operation, read_batch, read_operation
from receiver.providers.raw_json import RawObject, raw, read_raw, with_text, write
from receiver.providers.values import as_document, as_list, as_mapping

# "Unknown type" and the like have the code, too; without one the words are those of graphql-js.
_SENSELESS = re.compile(r"cannot query field|unknown argument|GRAPHQL_VALIDATION_FAILED", re.I)

# `generate` and `generateImage`, by "Quick start"; what asks how one stands asks for its status.
_GENERATES = re.compile(rb"\bgenerate(?:Image)?\b", re.I)
_STANDING = b"status"

_WEBHOOK = "webhookUrl"


def is_graphql(path: str) -> bool:
    """ "API endpoints": `/graphql`, whatever stands before it."""
    return path.partition("?")[0].rstrip("/").endswith("/graphql")


def is_rest(path: str) -> bool:
    """ "API endpoints": `/v1/text_to_image`, whatever stands before it."""
    return path.partition("?")[0].rstrip("/").endswith("/v1/text_to_image")


def concern(request: Request) -> Concern | None:
    """See `base.Provider.concern`: a path of GraphQL tells nothing, for all is said by the body.

    What speaks of no generation (a login, the making of a key) is none of ours and is not kept.
    """
    if request.method.upper() != "POST":
        return None
    if is_rest(request.path):
        return Concern.SUBMISSION
    if not is_graphql(request.path) or not requests.is_plain(request):
        return None
    if _GENERATES.search(request.body):
        return Concern.SUBMISSION
    return Concern.QUESTION if b"query" in request.body and _STANDING in request.body else None


def api_key(request: Request) -> str | None:
    """See `base.Provider.api_key`: "Authentication" shows one header for each of the APIs."""
    return requests.bearer(request) or requests.header_key(request)


def with_webhook(request: Request, url: str) -> Request | None:
    """See `base.Provider.with_webhook`: `webhookUrl` beside the prompt, by "Parameters".

    That table is of the flat form, so of `generateImage` and REST; in `generate`, which nests what
    it asks for, no place for it is known.
    """
    fields = read_raw(request.body) if requests.is_plain(request) else None
    if fields is None:
        return None
    if is_rest(request.path):
        asking = with_text(fields, _WEBHOOK, url)
    else:
        asking = _with_webhook_variable(fields, next(iter(read_batch(request.body)), {}), url)
    return None if asking is None else requests.with_body(request, write(asking))


def ask(generation: Generation, api_key: str, settings: Api) -> Request | None:
    """See `base.Provider.ask`: no document shows a status query, so the operator's is asked."""
    query = settings.status_query.strip() if isinstance(settings, Settings) else ""
    if not query:
        return None
    question = {"query": query, "variables": {"id": generation.id}}
    return requests.post("/graphql", question, requests.authorization(api_key))


def is_senseless(answer: bytes) -> bool:
    """See `base.Provider.is_senseless`."""
    errors = as_list(as_document(answer).get("errors"))
    said = (
        f"{error.get('message')} {as_mapping(error.get('extensions')).get('code')}"
        for error in map(as_mapping, errors)
    )
    return any(_SENSELESS.search(words) for words in said)


class _Variable(str):
    """A variable's name in the place of its value."""


def _with_webhook_variable(
    fields: RawObject, document: Mapping[str, Any], url: str
) -> RawObject | None:
    """By the variables alone, so that the query goes on as it was written."""
    variables = read_raw(fields.get("variables"))
    if variables is None:
        return None
    names = _image_inputs(read_operation(document, {name: _Variable(name) for name in variables}))
    for name in names:
        given = read_raw(variables.get(name))
        asking = None if given is None else with_text(given, _WEBHOOK, url)
        if asking is None:
            return None
        variables[name] = raw(asking)
    return {**fields, "variables": raw(variables)} if names else None


def _image_inputs(operation: Operation | None) -> set[_Variable]:
    """The variables that are the input of `generateImage`, if nothing else is to be done."""
    if operation is None or operation.kind != "mutation":
        return set()
    names = [field.arguments.get("input") for field in operation.fields]
    found = {name for name in names if isinstance(name, _Variable)}
    images = all(field.name == "generateImage" for field in operation.fields)
    return found if images and all(isinstance(name, _Variable) for name in names) else set()
