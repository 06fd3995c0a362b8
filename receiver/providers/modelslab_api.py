"""The ways of ModelsLab's API, by `modelslab-overview`, `modelslab-enterprise-text2img` and the
vendor's pages on fetching.

The key stands in the body, and a generation is fetched beside the endpoint that began it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote_plus, unquote, unquote_to_bytes

from archiver.errors import UnreadableError
from archiver.models import Generation
from receiver.exchange import Request
from receiver.provider_tables import Api
from receiver.providers import requests
from receiver.providers.base import Concern
from receiver.providers.modelslab_requests import read_request
from receiver.providers.raw_json import read_raw, with_text, write
from receiver.providers.values import as_id, as_text

# Products whose results are neither pictures nor videos.
_OTHER_MEDIA = re.compile(r"voice|audio|llm|3d|gpt4?|.*chat")
# Steps at whose end nothing is drawn: models and their training, uploads, and the care of a server.
_DRAWS_NOTHING = re.compile(
    r"(.*_)?(models?|list|status|upload|train(ing|ings)?|fine_?tun\w*|to_url|delete|cancel|stop)"
    r"|(model|upload|train|get|load|reload|verify|encode|delete|cancel|stop)_.*"
    r"|(system|clear|restart|update)_.*"
)
_FORM = "application/x-www-form-urlencoded"
# One part of a multipart body (RFC 7578), its lines bounded, for nobody vouches for the bytes.
_KEY_PART = re.compile(
    rb'form-data; ?name="?key"?\r?\n(?:[^\r\n]{1,500}\r?\n){0,5}\r?\n([^\r\n]{1,500})\r?\n--',
    re.IGNORECASE,
)
_VERSION = re.compile(r"v[0-9]+")
_STEP = re.compile(r"[A-Za-z0-9_-]+")


def steps_of(path: str) -> list[str]:
    """The steps of a path without its query, as they are meant."""
    return [unquote(step) for step in path.partition("?")[0].split("/") if step]


def is_other_media(steps: list[str]) -> bool:
    """Whether it concerns neither pictures nor videos."""
    return any(_OTHER_MEDIA.fullmatch(step) for step in steps)


def is_fetch(steps: list[str]) -> bool:
    """`fetch/{id}`, or `fetch` alone with the id in the body."""
    return "fetch" in steps[-2:]


def fetched_id(steps: Sequence[str], request: Mapping[str, Any]) -> str | None:
    """The generation that a fetch names: in its last step, or in the body's `request_id`."""
    named = steps[-1] if steps[-1] != "fetch" else request.get("request_id", request.get("id"))
    return as_id(named)


def concern(request: Request) -> Concern | None:
    """See `base.Provider.concern`: endpoints come every month, so what is not known may draw."""
    method, path = request.method, request.path
    steps = steps_of(path)
    if not steps or is_other_media(steps):
        return None
    if is_fetch(steps):
        return Concern.QUESTION
    if method.upper() != "POST":
        return None
    ends = (step.lower().replace("-", "_") for step in steps[-2:])
    return None if any(map(_DRAWS_NOTHING.fullmatch, ends)) else Concern.SUBMISSION


def api_key(request: Request) -> str | None:
    """See `base.Provider.api_key`: in the body by all documents, elsewhere by some clients."""
    return (
        _body_key(request.body)
        or requests.bearer(request)
        or requests.header_key(request)
        or as_text(_fields(request.path.partition("?")[2].encode("utf-8", "replace")).get("key"))
    )


def with_webhook(request: Request, url: str) -> Request | None:
    """See `base.Provider.with_webhook`: `webhook` in the body, JSON or a form alike."""
    if not requests.is_plain(request):
        return None
    fields = read_raw(request.body)
    if fields is not None:
        asking = with_text(fields, "webhook", url)
        return None if asking is None else requests.with_body(request, write(asking))
    is_form = request.header("Content-Type").partition(";")[0].strip().lower() == _FORM
    if not is_form or not request.body or request.body.lstrip()[:1] in (b"{", b"["):
        return None
    return _with_form_webhook(request, url)


def ask(generation: Generation, api_key: str, settings: Api) -> Request | None:
    """See `base.Provider.ask`: the id in the body, and in the path where a document has it there.

    The answer to a submission names such a path, too, which for want of trust nobody follows.
    """
    id_step = requests.as_step(generation.id)
    if id_step is None:
        return None
    question = {"key": api_key, "request_id": generation.id}
    return requests.post(_fetch_path(generation.service, id_step), question)


def is_senseless(answer: bytes) -> bool:
    """See `base.Provider.is_senseless`: the question is documented."""
    return False


def _fetch_path(service: str | None, id_step: str) -> str:
    """Where the generations of an endpoint are fetched: in its folder, but for a few."""
    folder = service.split("/") if service else []
    known = len(folder) > 1 and _VERSION.fullmatch(folder[0]) and all(map(_STEP.fullmatch, folder))
    if not known:
        # Heard of by a webhook alone: the community API's, where all but enterprise plans draw.
        return f"/api/v6/images/fetch/{id_step}"
    if folder[-1] != "dreambooth":  # an endpoint and a folder at once
        del folder[-1]
    if folder == ["v5"]:
        folder = ["v3"]  # "ControlNet Main": what begins in v5 is fetched in v3
    fetch = "/".join(["/api", *folder, "fetch"])
    # "Fetch Queued Images" of these has the id in the body only.
    return fetch if folder in (["v4", "dreambooth"], ["v1", "enterprise"]) else f"{fetch}/{id_step}"


def _body_key(body: bytes) -> str | None:
    if body.lstrip().startswith(b"--"):
        found = _KEY_PART.search(body)
        return as_text(found[1].decode("utf-8", "replace")) if found else None
    return as_text(_fields(body).get("key"))


def _fields(form: bytes) -> Mapping[str, Any]:
    try:
        return read_request(form)
    except UnreadableError:
        return {}


def _with_form_webhook(request: Request, url: str) -> Request | None:
    """The form's other fields go on byte for byte."""
    fields = [(_form_text(field.partition(b"=")), field) for field in request.body.split(b"&")]
    if any(name == b"webhook" and value for (name, value), _ in fields):
        return None
    kept = [field for (name, _), field in fields if name != b"webhook"]
    return requests.with_body(request, b"&".join([*kept, b"webhook=" + quote_plus(url).encode()]))


def _form_text(field: tuple[bytes, bytes, bytes]) -> tuple[bytes, bytes]:
    name, _, value = (unquote_to_bytes(part.replace(b"+", b" ")).strip() for part in field)
    return name, value
