"""As much of GraphQL as the documented requests need: one operation, arguments, aliases.

Fragments, directives and default values of variables are refused as syntax errors or ignored; the
grammar is section 2 of the GraphQL specification, October 2021.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from receiver.simulator.refusals import not_graphql

_TOKEN = re.compile(
    r"""[\s,\ufeff]+ | \#[^\n\r]*
    | (?P<token> [_A-Za-z][_0-9A-Za-z]* | -?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?
    | "(?:[^"\\\n\r]|\\.)*" | [!$()\[\]{}:=@|] )""",
    re.VERBOSE,
)
_WORDS = {"true": True, "false": False, "null": None}
_END = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """One selected field; `key` is its alias, or its name where there is none."""

    name: str
    key: str
    arguments: Mapping[str, Any]
    selection: tuple[Field, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Operation:
    """What a document asks to be done: a `query` or a `mutation` of these fields."""

    kind: str
    fields: tuple[Field, ...]


def read_operation(document: str, variables: Mapping[str, Any]) -> Operation:
    """The one operation in `document`, variables put in; raises RefusalError if it is not one."""
    try:
        return _Reader(document, variables).operation()
    except RecursionError as error:
        raise not_graphql("the document is nested too deeply.") from error


def _tokens(document: str) -> Iterator[str]:
    position = 0
    while position < len(document):
        match = _TOKEN.match(document, position)
        if match is None:
            raise not_graphql(f"Unexpected character {document[position]!r}.")
        if match["token"]:
            yield match["token"]
        position = match.end()


class _Reader:
    def __init__(self, document: str, variables: Mapping[str, Any]) -> None:
        self._tokens = _tokens(document)
        self._variables = variables
        self._next = next(self._tokens, _END)

    def operation(self) -> Operation:
        kind = "query"
        if self._next != "{":
            kind = self._name()
            if kind not in {"query", "mutation"}:
                raise not_graphql(f'Unexpected Name "{kind}".')
            if self._next not in {"{", "("}:
                self._name()
            self._skip_variable_definitions()
        fields = self._selection()
        self._expect(_END)
        return Operation(kind=kind, fields=fields)

    def _skip_variable_definitions(self) -> None:
        if self._next == "(":
            while self._take() != ")":
                pass

    def _selection(self) -> tuple[Field, ...]:
        self._expect("{")
        fields = [self._field()]
        while self._next != "}":
            fields.append(self._field())
        self._take()
        return tuple(fields)

    def _field(self) -> Field:
        key = name = self._name()
        if self._accept(":"):
            name = self._name()
        arguments = self._pairs(")") if self._accept("(") else {}
        selection = self._selection() if self._next == "{" else ()
        return Field(name=name, key=key, arguments=arguments, selection=selection)

    def _pairs(self, closing: str) -> dict[str, Any]:
        pairs = {}
        while not self._accept(closing):
            name = self._name()
            self._expect(":")
            pairs[name] = self._value()
        return pairs

    def _value(self) -> Any:
        if self._accept("$"):
            return self._variables.get(self._name())
        if self._accept("{"):
            return self._pairs("}")
        if self._accept("["):
            return self._items()
        token = self._take()
        if token[0].isalpha() or token[0] == "_":
            return _WORDS.get(token, token)
        try:
            # Numbers and strings are written as in JSON.
            return json.loads(token)
        except ValueError as error:
            raise not_graphql(f"Unexpected {token!r}.") from error

    def _items(self) -> list[Any]:
        items = []
        while not self._accept("]"):
            items.append(self._value())
        return items

    def _name(self) -> str:
        token = self._take()
        if not (token[0].isalpha() or token[0] == "_"):
            raise not_graphql(f"Expected Name, found {token!r}.")
        return token

    def _expect(self, wanted: str) -> None:
        if self._next != wanted:
            raise not_graphql(f"Expected {wanted or '<EOF>'!r}, found {self._next or '<EOF>'!r}.")
        self._next = next(self._tokens, _END)

    def _accept(self, wanted: str) -> bool:
        if self._next != wanted:
            return False
        self._take()
        return True

    def _take(self) -> str:
        token = self._next
        if token == _END:
            raise not_graphql("Unexpected <EOF>.")
        self._next = next(self._tokens, _END)
        return token
