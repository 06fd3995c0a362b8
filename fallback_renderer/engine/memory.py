"""Memory: how running out of it is known, and how it is given back."""

from __future__ import annotations

import gc

import torch


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error, or what it came of, means that memory ran out: a GPU's or the machine's."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    text = str(error)
    if isinstance(error, RuntimeError) and ("allocate memory" in text or "out of memory" in text):
        return True
    came_of = error.__cause__ or error.__context__
    return came_of is not None and is_out_of_memory(came_of)


def give_back() -> None:
    """What nobody refers to any more goes back to the machine and to the GPU."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
