"""As much of a GraphQL document as tells what was asked for: the fields at its top.

By the grammar in section 2 of the GraphQL specification (October 2021), read with patience: what
cannot be read is passed over, for the provider's answer is what counts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from archiver.errors import UnreadableError
from receiver.providers.values import as_list, as_mapping, as_text, read_json

_TOKEN = re.compile(
    r'"""(?:[^"\\]|\\"""|\\(?!""")|"(?!""))*"""'
    r'|"(?:[^"\\\n\r]|\\.)*"'
    r"|\#[^\n\r]*"
    r"|\$?[_A-Za-z]\w*"
    r"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?"
    r"|\.\.\.|[()\[\]{}:=@]",
    re.ASCII,
)
_NAME = re.compile(r"[_A-Za-z]\w*", re.ASCII)
_END = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """A field at the top of an operation; `key` is its alias, or its name where there is none.

    `arguments` have the variables put in; `selects` are the names within its braces.
    """

    key: str
    name: str
    arguments: Mapping[str, Any]
    selects: frozenset[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Operation:
    """A `query` or a `mutation` of these fields, and the variables that came with it."""

    kind: str
    name: str
    variables: Mapping[str, Any]
    fields: tuple[Field, ...]


def read_batch(body: bytes) -> tuple[Mapping[str, Any], ...]:
    """The requests or answers in a body: one, or a list of them; none if it is not JSON."""
    try:
        value = read_json(body)
    except UnreadableError:
        return ()
    return tuple(map(as_mapping, as_list(value) or [value]))


def read_operation(
    request: Mapping[str, Any], variables: Mapping[str, Any] | None = None
) -> Operation | None:
    """The operation that a request has carried out; None if none can be read.

    `variables` stand in for the request's own.
    """
    given = as_mapping(request.get("variables")) if variables is None else variables
    try:
        operations = _Reader(as_text(request.get("query")) or "", given).operations()
    except RecursionError:
        return None
    wanted = request.get("operationName")
    named = (operation for operation in operations if operation.name == wanted)
    return next(named, operations[0] if operations else None)


class _Reader:
    def __init__(self, document: str, variables: Mapping[str, Any]) -> None:
        tokens = (found[0] for found in _TOKEN.finditer(document))
        self._tokens = (token for token in tokens if not token.startswith("#"))
        self._variables = dict(variables)
        self._next = next(self._tokens, _END)

    def operations(self) -> list[Operation]:
        operations = []
        while self._next != _END:
            operation = self._operation()
            if operation.kind in ("query", "mutation"):
                operations.append(operation)
        return operations

    def _operation(self) -> Operation:
        kind, name = "query", ""
        if self._next != "{":
            kind = self._take()
            if _NAME.fullmatch(self._next):
                name = self._take()
            self._skip_to_fields()
        fields = self._fields() if self._accept("{") else ()
        return Operation(kind=kind, name=name, variables=self._variables, fields=fields)

    def _skip_to_fields(self) -> None:
        """Over definitions of variables, of which only the defaults matter, and directives."""
        variable = ""
        while self._next not in ("{", _END):
            taken = self._take()
            if taken.startswith("$"):
                variable = taken[1:]
            elif taken == "=":
                self._variables.setdefault(variable, self._value())

    def _fields(self) -> tuple[Field, ...]:
        fields = []
        while not self._accept("}"):
            key = name = self._take()
            if self._accept(":"):
                name = self._take()
            arguments = self._pairs(")") if self._accept("(") else {}
            while self._accept("@"):
                self._take()
                if self._accept("("):
                    self._pairs(")")
            selects = self._selected() if self._accept("{") else frozenset()
            if _NAME.fullmatch(name):
                fields.append(Field(key=key, name=name, arguments=arguments, selects=selects))
        return tuple(fields)

    def _selected(self) -> frozenset[str]:
        names, depth = set(), 1
        while depth:
            taken = self._take()
            depth += (taken == "{") - (taken in ("}", _END))
            if depth == 1:
                names.add(taken)
        return frozenset(names)

    def _pairs(self, closing: str) -> dict[str, Any]:
        pairs = {}
        while not self._accept(closing):
            name = self._take()
            if self._accept(":"):
                pairs[name] = self._value()
        return pairs

    def _value(self) -> Any:
        if self._accept("{"):
            return self._pairs("}")
        if self._accept("["):
            items = []
            while not self._accept("]"):
                items.append(self._value())
            return items
        token = self._take()
        if token.startswith("$"):
            return self._variables.get(token[1:])
        if token.startswith('"""'):
            return token[3:-3].replace('\\"""', '"""')
        try:
            return msgspec.json.decode(token)  # numbers, words and texts are written as in JSON
        except msgspec.DecodeError:
            return token.strip('"')

    def _accept(self, wanted: str) -> bool:
        """Whether it was next and has been taken; the end closes whatever is open."""
        if self._next == _END:
            return wanted in (")", "]", "}")
        if self._next != wanted:
            return False
        self._take()
        return True

    def _take(self) -> str:
        token, self._next = self._next, next(self._tokens, _END)
        return token
