"""What a submission to Doitong asked for: nested for `generate`, flat for all others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from archiver.models import GenerationParams
from receiver.providers.doitong_generation import read_service
from receiver.providers.doitong_graphql import Field, read_operation
from receiver.providers.values import as_integer, as_mapping, as_text

_MUTATIONS = {"generate", "generateimage"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """The parameters of a submission, and the service they are for."""

    service: str | None
    params: GenerationParams


def is_submission(field: Field) -> bool:
    """Whether a field begins a generation; the answers spell its name without a capital."""
    return field.name.lower() in _MUTATIONS


def read_asked(document: Mapping[str, Any]) -> Asked | None:
    """What a document asks for that may be all of a request or a part; None without a prompt."""
    given = next((form for form in map(as_mapping, _forms(document)) if _prompt(form)), None)
    if given is None:
        return None
    flat = {**given, **as_mapping(given.get("options"))}
    return Asked(
        service=read_service(given),
        params=GenerationParams(
            prompt=_prompt(given),
            version=as_text(flat.get("version")),
            width=as_integer(flat.get("width")),
            height=as_integer(flat.get("height")),
            quality=as_text(flat.get("quality")),
        ),
    )


def _forms(document: Mapping[str, Any]) -> Iterator[object]:
    yield as_mapping(document.get("variables")).get("input")
    yield document
    yield document.get("input")
    # Variables by another name, or none, where everything is written into the query.
    operation = read_operation(document)
    for field in operation.fields if operation else ():
        yield field.arguments
        yield field.arguments.get("input")


def _prompt(form: Mapping[str, Any]) -> str | None:
    return as_text(form.get("prompt")) or as_text(as_mapping(form.get("input")).get("text"))
