"""The configuration as it takes effect, setting by setting: to be shown, and to be compared.

No secret leaves this room but as a fingerprint, by which two of them can be told apart:
`printf %s "$secret" | sha256sum` begins with the same.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from archiver.redact import SECRET_NAME, redact
from receiver.layers import Layered, Place
from receiver.sections import Section
from receiver.settings import Config

_BARE = re.compile(r"[A-Za-z0-9_-]+").fullmatch
_FINGERPRINT_DIGITS = 12
# The table of the wing that draws; which of its settings are secrets is not known here.
_UNKNOWN = "render"


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """One setting: the table it stands in, its name there, and a value that may be shown.

    `name` is more than one where labels or tables without a form of their own follow.
    """

    table: Place
    name: Place
    value: Any

    @property
    def place(self) -> Place:
        """The names that lead to it from the outermost table."""
        return self.table + self.name


def settings(config: Section, table: Place = ()) -> Iterator[Setting]:
    """All settings there are, those of a table before those of the tables within it."""
    inner: list[tuple[Place, Any]] = []
    secret = config.secret_names()
    for name in config.__struct_fields__:
        value = getattr(config, name)
        if isinstance(value, Section):
            inner.append(((*table, name), value))
        elif name in secret:
            yield from _plain(table, (name,), _fingerprints(value))
        elif isinstance(value, Mapping) and value and not table:
            inner += [((name, label), it) for label, it in value.items()]
        else:
            yield from _plain(table, (name,), value)
    for place, within in inner:
        if isinstance(within, Section):
            yield from settings(within, place)
        else:
            yield from _plain(place[:-1], place[-1:], within)


def changed(old: Config, new: Config) -> list[str]:
    """The dotted names of all settings that are not the same; of secrets their labels."""
    before = {it.place: it.value for it in settings(old)}
    after = {it.place: it.value for it in settings(new)}
    differing = (it for it in before.keys() | after.keys() if before.get(it) != after.get(it))
    return sorted(map(".".join, differing))


def as_toml(config: Config, said: Layered) -> str:
    """The whole configuration, with who said each setting as a comment."""
    lines: list[str] = []
    table: Place = ()
    for it in shown(config, said):
        if it.table != table:
            table = it.table
            lines += ["", f"[{_dotted(table)}]"]
        value = f"{_dotted(it.name)} = {_toml(it.value)}"
        if it.value is None:
            value = f"# {_dotted(it.name)} is not set"
        # Whoever named a variable or a file may have put a line break into the name.
        lines.append(f"{value}  # {_text(source(said, it))[1:-1]}")
    return "\n".join(lines)


def shown(config: Config, said: Layered) -> Iterator[Setting]:
    """All settings as they may be shown, and the files of secrets as they were named."""
    for it in settings(config):
        if it.name[0].endswith("_file") and not it.value:
            yield from _plain(it.table, it.name, _said(said, it.place) or it.value)
        else:
            yield it


def source(said: Layered, setting: Setting) -> str:
    """Who says it; of a secret that lies in a file, which file as well."""
    name, *labels = setting.name
    twin = (*setting.table, f"{name}_file", *labels)
    file = _said(said, twin)
    return f"{said.source(twin)}: {file}" if file else said.source(setting.place)


def _plain(table: Place, name: Place, value: Any) -> Iterator[Setting]:
    """One setting; of labels, and of tables without a form of their own, one for each."""
    if isinstance(value, Mapping) and value:
        for label, within in value.items():
            yield from _plain(table, (*name, str(label)), within)
        return
    unknown = (table + name)[0] == _UNKNOWN and SECRET_NAME.fullmatch(name[-1])
    yield Setting(table=table, name=name, value="…" if unknown and value else _discreet(value))


def _discreet(value: Any) -> Any:
    """A value with all cut out that looks like a secret, however deep, or is called one there."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {
            label: "…" if SECRET_NAME.fullmatch(str(label)) else _discreet(within)
            for label, within in value.items()
        }
    if isinstance(value, list | tuple):
        return [_discreet(within) for within in value]
    return value


def _fingerprints(secret: str | Mapping[str, str]) -> Any:
    if isinstance(secret, Mapping):
        return {label: _fingerprints(one) for label, one in secret.items()}
    if not secret:
        return ""
    return f"sha256:{hashlib.sha256(secret.encode()).hexdigest()[:_FINGERPRINT_DIGITS]}…"


def _said(said: Layered, place: Place) -> Any:
    tree: Any = said.tree
    for name in place:
        tree = tree.get(name) if isinstance(tree, Mapping) else None
    return tree


def _dotted(names: Place) -> str:
    return ".".join(name if _BARE(name) else _text(name) for name in names)


def _toml(value: Any) -> str:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, Mapping):
        inside = ", ".join(f"{_dotted((name,))} = {_toml(it)}" for name, it in value.items())
        return f"{{{inside}}}"
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _text(value: str) -> str:
    """As JSON has it, which TOML reads alike, but for one character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
