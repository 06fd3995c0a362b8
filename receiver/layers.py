"""What was said of the configuration, and where: a file, under `HOLDFAST_…` variables, under flags.

It is not looked at here whether anything of it makes sense.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from archiver.errors import ConfigError

ENV_PREFIX = "HOLDFAST_"
DEFAULT_FILE = Path("holdfast.toml")
DEFAULT = "default"

# The names that lead to a setting, from the outermost table.
Place = tuple[str, ...]


@dataclass(kw_only=True, slots=True)
class Layered:
    """What was said as one tree of plain values, and who said each of them last."""

    tree: dict[str, Any] = field(default_factory=dict)
    sources: dict[Place, str] = field(default_factory=dict)

    def put(self, place: Place, value: Any, source: str) -> None:
        """Says something anew, in place of all that was said there; raises ConfigError."""
        tree = self.tree
        for name in place[:-1]:
            tree = tree.setdefault(name, {})
            if not isinstance(tree, dict):
                raise ConfigError(f"{'.'.join(place)}: {name} is not a table")
        tree[place[-1]] = value
        for known in [it for it in self.sources if it[: len(place)] == place]:
            del self.sources[known]
        self.sources |= {place + rest: source for rest in _leaves(value)}

    def source(self, place: Place) -> str:
        """Who said it, be it for a whole table; "default" if nobody did."""
        for length in range(len(place), 0, -1):
            if place[:length] in self.sources:
                return self.sources[place[:length]]
        return DEFAULT


def gather(
    file: Path | None, *, environ: Mapping[str, str], flags: Mapping[str, Any] = {}
) -> Layered:
    """Everything that is said; raises ConfigError with the place of what cannot be read.

    Without `file`, `holdfast.toml` in the working directory is read if it is there. `flags` maps
    dotted names to values and wins over everything; None says nothing.
    """
    said = Layered()
    for name, value in _read_toml(file).items():
        said.put((name,), value, str(file or DEFAULT_FILE))
    for name, text in environ.items():
        if name.startswith(ENV_PREFIX) and name != f"{ENV_PREFIX}CONFIG":
            if not _is_utf8(name + text):
                raise ConfigError(f"the variable {name!a} is not UTF-8")
            place = tuple(name.removeprefix(ENV_PREFIX).lower().split("__"))
            said.put(place, _from_env(text), name)
    for dotted, value in flags.items():
        if value is not None:
            said.put(tuple(dotted.split(".")), value, f"--{dotted.rpartition('.')[2]}")
    return said


def _leaves(value: Any) -> Iterator[Place]:
    if not isinstance(value, Mapping) or not value:
        yield ()
        return
    for name, inner in value.items():
        for rest in _leaves(inner):
            yield (name, *rest)


def _read_toml(file: Path | None) -> dict[str, Any]:
    path = file or DEFAULT_FILE
    if file is None and not path.exists():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"the configuration {path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"the configuration {path} is not TOML: {error}") from error


def _is_utf8(text: str) -> bool:
    """Whether the bytes of the environment were; Python makes lone surrogates of those that are
    not."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _from_env(value: str) -> Any:
    """A list or table is written as TOML; anything else is taken as it is."""
    if value[:1] in ("[", "{"):
        try:
            return tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            return value
    return value
