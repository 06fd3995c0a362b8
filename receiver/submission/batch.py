"""A batch read into rows: CSV with a line of names, or one JSON object a line."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from io import StringIO
from math import isfinite
from typing import Any

import msgspec

from archiver.errors import HoldfastError
from archiver.models import GenerationParams
from receiver.providers.submitters import SUBMITTERS
from receiver.providers.taken import NotTakenError
from receiver.providers.values import as_bool

PARAMS = tuple(field.name for field in fields(GenerationParams))
SWITCHES = frozenset(field.name for field in fields(GenerationParams) if "bool" in field.type)
SUFFIXES = (".csv", ".ndjson", ".jsonl")

_COLUMNS = (*PARAMS, "provider", "name")


class BatchError(HoldfastError):
    """The batch cannot be submitted as it is written; nothing of it was sent by this command."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One submission of a batch; `number` counts from 1, without the line of names."""

    number: int
    provider: str
    name: str
    params: GenerationParams

    @property
    def digest(self) -> str:
        """Changes with whatever is asked for, and not with the row's name."""
        return sha256(msgspec.json.encode([self.provider, asdict(self.params)])).hexdigest()


def read_batch(file_name: str, content: bytes, provider: str | None) -> tuple[Row, ...]:
    """The rows of a file; `provider` is for those that name none.

    Raises BatchError with the line, for a parameter too that the row's provider cannot take.
    """
    text = _text(file_name, content)
    if file_name.lower().endswith(".csv"):
        lines = _csv(file_name, text)
    elif file_name.lower().endswith(SUFFIXES):
        lines = _ndjson(file_name, text)
    else:
        raise BatchError(f"{file_name}: a batch is named {', '.join(SUFFIXES)} after what it is")
    rows = tuple(
        read_row(number, said, provider, where=f"{file_name}, line {line}")
        for number, (line, said) in enumerate(lines, start=1)
    )
    if not rows:
        raise BatchError(f"{file_name} has no rows")
    return rows


def read_row(number: int, said: Mapping[str, Any], provider: str | None, *, where: str) -> Row:
    """One row from names and values; raises BatchError, which begins with `where` it stands."""
    for name in said:
        if name not in _COLUMNS:
            raise BatchError(f"{where}: no column is called {name!r}; known: {', '.join(_COLUMNS)}")
    given = {name: _value(name, value) for name, value in said.items() if value not in (None, "")}
    named, label = given.pop("provider", provider), given.pop("name", "")
    if named not in SUBMITTERS:
        known = ", ".join(sorted(SUBMITTERS))
        raise BatchError(f"{where}: the provider is {named!r}, not one of {known}")
    if not isinstance(label, str):
        raise BatchError(f"{where}: name: expected text")
    row = Row(number=number, provider=named, name=label, params=_params(given, where))
    try:
        SUBMITTERS[named].submission(row.params, api_key="", idempotency_key="")
    except NotTakenError as error:
        raise BatchError(f"{where}: {error}") from error
    return row


def _text(file_name: str, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BatchError(f"{file_name}, line {line}: not UTF-8") from error


def _csv(file_name: str, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    reader = csv.reader(StringIO(text, newline=""), strict=True)
    names: list[str] = []
    try:
        for cells in reader:
            where = f"{file_name}, line {reader.line_num}"
            if not any(cell.strip() for cell in cells):
                continue
            if not names:
                names = [cell.strip() for cell in cells]
                if len(set(names)) < len(names):
                    raise BatchError(f"{where}: two columns have the same name")
                continue
            if len(cells) > len(names):
                raise BatchError(f"{where}: {len(cells)} cells under {len(names)} names")
            yield reader.line_num, dict(zip(names, cells, strict=False))
    except csv.Error as error:
        raise BatchError(f"{file_name}, line {reader.line_num}: {error}") from error


def _ndjson(file_name: str, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    # Not splitlines, which would also split at what JSON lets stand in a text.
    for line, written in enumerate(text.split("\n"), start=1):
        if not written.strip():
            continue
        try:
            yield line, msgspec.json.decode(written, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise BatchError(f"{file_name}, line {line}: {error}") from error


def _value(name: str, value: Any) -> Any:
    """A cell's spaces mean nothing but in a text, and `yes` is as good as `true`."""
    if not isinstance(value, str) or name in ("prompt", "negative_prompt"):
        return value
    word = value.strip()
    switched = as_bool(word) if name in SWITCHES else None
    return word if switched is None else switched


def _params(given: dict[str, Any], where: str) -> GenerationParams:
    try:
        params = msgspec.convert(given, GenerationParams, strict=False)
    except msgspec.ValidationError as error:
        what, _, place = str(error).partition(" - at `$.")
        column = place.rstrip("`")
        wanted = what.replace(" | null", "").replace("`", "")
        raise BatchError(f"{where}: {column}: {wanted[:1].lower()}{wanted[1:]}") from error
    for name in PARAMS:
        value = getattr(params, name)
        if isinstance(value, float) and not isfinite(value):
            raise BatchError(f"{where}: {name}: {value} is no number")
    return params
