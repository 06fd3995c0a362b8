"""Notes on files that could not be put on; none names a path, for notes go where pictures go."""

from __future__ import annotations

from safetensors import SafetensorError

from fallback_renderer.engine.memory import is_out_of_memory
from fallback_renderer.notes import Note, ignored, missing


class NoEffectError(ValueError):
    """What is put on would do nothing."""


def left_off(field: str, name: str, error: Exception) -> Note:
    """Why the picture is drawn without it; raises the error if memory ran out."""
    if is_out_of_memory(error):
        raise error
    if isinstance(error, (OSError, SafetensorError)):
        return missing(field, f"{name} cannot be read on this machine")
    if isinstance(error, NoEffectError):
        return ignored(field, f"{name} changes nothing: it is all zeros")
    return ignored(field, f"{name} does not fit this checkpoint")
