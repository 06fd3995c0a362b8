"""Drawing in silence: the libraries talk to a terminal, and there is none. Errors still raise."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import diffusers
import transformers


def hush() -> None:
    """Turns progress bars and advice off, for good."""
    diffusers.utils.logging.set_verbosity(logging.CRITICAL)
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity(logging.CRITICAL)
    transformers.utils.logging.disable_progress_bar()


@contextmanager
def hushed() -> Iterator[None]:
    """As long as it lasts, nothing warns of what a later version will do differently."""
    hush()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
