"""The vectors that stand for an embedding's word, for each of a checkpoint's text encoders.

They are handed to the encoding itself, and not taught to the tokenizers as diffusers does: there is
nothing to unlearn, and the networks' pooled states stay those of the last token.
"""

from __future__ import annotations

from typing import Any

import torch
from safetensors.torch import load_file

from fallback_renderer.engine.encoding import Vectors, text_encoders
from fallback_renderer.engine.remarks import left_off
from fallback_renderer.notes import Note
from fallback_renderer.request import RenderRequest

# What files for two text encoders call them, in the pipeline's order.
_TWO = ("clip_l", "clip_g")


def read_embeddings(pipe: Any, request: RenderRequest) -> tuple[Vectors, list[Note]]:
    """The vectors by the embeddings' names, and a note on each that cannot be had."""
    if request.checkpoint.family.flows:
        return (), []
    networks = [network for _, network in text_encoders(pipe)]
    widths = [network.get_input_embeddings().embedding_dim for network in networks]
    vectors: list[dict[str, Any]] = [{} for _ in networks]
    notes: list[Note] = []
    for part in request.embeddings:
        try:
            found = _fitting(load_file(part.path), widths)
        except Exception as error:
            notes.append(left_off("embeddings", part.name, error))
        else:
            for known, rows in zip(vectors, found, strict=True):
                known[part.name] = rows
    return vectors, notes


def _fitting(tensors: dict[str, Any], widths: list[int]) -> list[Any]:
    """One tensor (vectors, width) for each encoder; raises ValueError if that is not in the file.

    A file for one encoder has a single tensor, whatever it is called.
    """
    if len(widths) == len(_TWO):
        found = [tensors[name] for name in _TWO if name in tensors]
    else:
        found = list(tensors.values())
    rows = [torch.atleast_2d(tensor) for tensor in found]
    if [tensor.shape[-1] for tensor in rows] != widths:
        raise ValueError(f"vectors of {[tuple(one.shape) for one in rows]}, not {widths} wide")
    return rows
