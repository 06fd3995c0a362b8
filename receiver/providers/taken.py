"""Which parameters a provider takes: what it cannot take is refused aloud, never dropped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from archiver.errors import HoldfastError
from archiver.models import GenerationParams

_PARAMS = tuple(field.name for field in fields(GenerationParams))


class NotTakenError(HoldfastError):
    """The provider cannot be asked for this; the row's to mend, trying again is useless."""


def given(provider: str, params: GenerationParams, names: Mapping[str, Any]) -> dict[str, Any]:
    """What was said of the parameters; raises NotTakenError for one that is not in `names`.

    `prompt` must be there, and `task`, if it is said, be text-to-image: nothing else is submitted.
    """
    said = {name: value for name in _PARAMS if (value := getattr(params, name)) is not None}
    if said.pop("task", "text-to-image") != "text-to-image":
        raise NotTakenError(f"task = {params.task!r}: only text-to-image can be submitted")
    if not (params.prompt or "").strip():
        raise NotTakenError("there is no prompt")
    for name, value in said.items():
        if name not in names:
            raise NotTakenError(
                f"{name} = {value!r}: {provider} takes none, only {', '.join(names)}"
            )
    return said
