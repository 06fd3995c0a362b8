"""What a table of the configuration is, and which of its settings are secrets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the configuration; an unknown name in it is a mistake, never ignored.

    A setting that has a twin `…_file` is a secret: it may lie in files, and is shown nowhere. It is
    one text, or several by label.
    """

    @classmethod
    def secret_names(cls) -> tuple[str, ...]:
        """Which settings of it are secrets."""
        names = cls.__struct_fields__
        return tuple(name for name in names if f"{name}_file" in names)

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.__rich_repr__())
        return f"{type(self).__name__}({shown})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """What may be shown: of secrets their labels. msgspec's own would hide nothing."""
        secret = self.secret_names()
        values = ((name, getattr(self, name)) for name in self.__struct_fields__)
        return [(name, _labels(it) if name in secret else it) for name, it in values]


def secrets_of(table: Section) -> Iterator[str]:
    """All the secrets of a table, and of those within it."""
    secret = table.secret_names()
    for name in table.__struct_fields__:
        value = getattr(table, name)
        if name in secret:
            yield from value.values() if isinstance(value, Mapping) else [value]
        elif isinstance(value, Section):
            yield from secrets_of(value)


def _labels(secret: str | Mapping[str, str]) -> Any:
    return sorted(secret) if isinstance(secret, Mapping) else "…" if secret else ""
