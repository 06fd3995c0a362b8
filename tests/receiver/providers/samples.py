"""The samples of `tests/samples`: what providers send and are sent, byte for byte."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

SAMPLES = Path(__file__).parents[2] / "samples"
# The signed samples are signed with this secret.
SAMPLE_SECRET = "documented"


class Sample(NamedTuple):
    """One request as it is on the wire."""

    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


def sample(case: str) -> Sample:
    """The sample `<provider>/<case>`."""
    folder = SAMPLES / case
    pairs = json.loads((folder / "headers.json").read_text(encoding="utf-8"))
    headers = tuple((name.encode(), value.encode()) for name, value in pairs)
    return Sample(headers, (folder / "body").read_bytes())


def cases(provider: str) -> list[str]:
    """The names of all samples of a provider."""
    return sorted(str(folder.relative_to(SAMPLES)) for folder in (SAMPLES / provider).iterdir())
