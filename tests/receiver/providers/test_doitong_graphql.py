"""What is read of GraphQL documents, which nobody vouches for."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.providers.doitong_graphql import Operation, read_operation

VARIABLES = {"input": {"prompt": "a"}, "id": "abc"}


def read(query: object, **request: object) -> Operation | None:
    return read_operation({"query": query, "variables": VARIABLES, **request})


def fields(query: str, **request: object) -> list[tuple[str, str, dict[str, Any]]]:
    operation = read(query, **request)
    assert operation is not None
    return [(field.key, field.name, dict(field.arguments)) for field in operation.fields]


def value(literal: str) -> object:
    ((_, _, arguments),) = fields(f"{{ a(b: {literal}) }}")
    return arguments["b"]


class TestOperations:
    """What is to be done, and under which name the answer comes."""

    @pytest.mark.parametrize(
        ("query", "kind", "found"),
        [
            ("{ a }", "query", [("a", "a", {})]),
            ("query { a { id } b { c { d } } }", "query", [("a", "a", {}), ("b", "b", {})]),
            ("query Q { x: a(id: $id) { id } }", "query", [("x", "a", {"id": "abc"})]),
            ("mutation M($input: I!) { a(input: $input) }", "mutation", [("a", "a", VARIABLES)]),
            ("mutation($n: Int = 7) @live { a(n: $n) @skip(if: $x) { id } }", "mutation", None),
            ("# mutation { b }\nmutation{a(n:7){id}}#end", "mutation", [("a", "a", {"n": 7})]),
            ("fragment F on A { id } mutation { a { ...F } }", "mutation", [("a", "a", {})]),
            ('mutation { a(s: "}{)(", t: {u: [1 2, $id]}) }', "mutation", None),
        ],
    )
    def test_fields(self, query: str, kind: str, found: list[tuple[str, str, Any]] | None) -> None:
        """Aliases, arguments, comments, directives and fragments all have their place."""
        operation = read(query)

        assert operation is not None
        assert operation.kind == kind
        assert [field.name for field in operation.fields][:1] == ["a"]
        if found is not None:
            assert fields(query) == [
                (key, name, {"input": VARIABLES["input"]} if arguments is VARIABLES else arguments)
                for key, name, arguments in found
            ]

    def test_operation_by_its_name(self) -> None:
        """Of several the one that was asked for, else the first."""
        query = "mutation A { a } mutation B { b } subscription C { c }"

        assert fields(query, operationName="B") == [("b", "b", {})]
        assert fields(query, operationName="C") == fields(query) == [("a", "a", {})]

    def test_what_is_selected(self) -> None:
        """The names within a field's own braces, not those further in."""
        operation = read("{ a(id: 1) { id status: state meta { url } } }")

        assert operation is not None
        assert {"id", "status", "meta"} <= operation.fields[0].selects
        assert "url" not in operation.fields[0].selects

    @pytest.mark.parametrize("query", [None, 7, "", "  ", "id status", "subscription { a }", []])
    def test_none(self, query: object) -> None:
        """What is no operation is none."""
        assert read(query) is None


class TestValues:
    """Arguments written into the document."""

    @pytest.mark.parametrize(
        ("literal", "expected"),
        [
            ('"a fox"', "a fox"),
            (r'"\"A\" \u00e9\n"', '"A" é\n'),
            (r'"half \ud800"', r"half \ud800"),
            ('"""a "fox" \\""" and\nmore"""', 'a "fox" """ and\nmore'),
            ("1024", 1024),
            ("-7.5e0", -7.5),
            ("true", True),
            ("null", None),
            ("IMAGE", "IMAGE"),
            ("$id", "abc"),
            ("$nobody", None),
            ("[1, [2], {c: 3}]", [1, [2], {"c": 3}]),
            ("{type: IMAGE, input: {text: $id}}", {"type": "IMAGE", "input": {"text": "abc"}}),
        ],
    )
    def test_literals(self, literal: str, expected: object) -> None:
        """Written as in JSON, but for words and texts of several lines."""
        assert value(literal) == expected

    def test_a_default_counts_where_nothing_is_given(self) -> None:
        """What is given counts more."""
        query = (
            'mutation($w: Int! = 512, $id: ID = "z", $o: O = {a: [1]}) { a(w: $w, id: $id, o: $o) }'
        )

        assert fields(query) == [("a", "a", {"w": 512, "id": "abc", "o": {"a": [1]}})]


PIECES = st.sampled_from(
    [
        *"(){}[]:=@$!,#\n",
        "...",
        '"',
        '"""',
        "\\",
        "query",
        "mutation",
        "generate",
        "input",
        "$id",
        "7",
    ]
)


class TestHostile:
    """What cannot be read is passed over."""

    @given(st.text() | st.lists(PIECES).map(" ".join) | st.lists(PIECES).map("".join))
    def test_any_document(self, query: str) -> None:
        """No document raises anything, or takes for ever."""
        read(query)

    @pytest.mark.parametrize("opening", ["{", "(", "[", "{a(b:{", "{a(b:[", '"', '"""', "\\"])
    def test_no_depth_breaks_it(self, opening: str) -> None:
        """However much is opened and never closed."""
        for prefix in ("", "mutation ", "{a(b:", "{a{"):
            read(prefix + opening * 50_000)
