"""A query → what the index is asked, what each row is asked besides, and in what order."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from archiver.facets import number_token
from archiver.query.fields import Sort
from archiver.query.parser import Query
from archiver.query.tree import (
    EVERYTHING,
    And,
    Facet,
    Node,
    Not,
    Or,
    Range,
    conjunction,
    disjunction,
    negation,
)

# Beyond so many alternatives looking at each row is no slower than asking the index.
MAX_ALTERNATIVES = 64

NOTHING_KNOWN: Mapping[str, Collection[float]] = {}


@dataclass(frozen=True, kw_only=True, slots=True)
class Matches:
    """The row is among those that the full-text index finds for a tree without ranges."""

    node: Node


Condition: TypeAlias = "Matches | Range | And[Condition] | Or[Condition] | Not[Condition]"


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """The rows that `match`, whose number is in the range, and for which all `conditions` hold.

    `match` is what the full-text index is asked, or None if every row will do; each driver says it
    in its own language (`match`, `tsquery`). `lowest` and `highest` are archive numbers, None being
    no bound. Words, fields, OR and NOT are all in `match`; what is left over are ranges, and any OR
    or NOT that has a range within.
    """

    match: Node | None = None
    lowest: int | None = None
    highest: int | None = None
    conditions: tuple[Condition, ...] = ()
    sort: Sort = Sort.NEWEST


def plan(query: Query, *, known: Mapping[str, Collection[float]] = NOTHING_KNOWN) -> Plan:
    """How to carry a query out.

    `known` has, of some columns in `facets.NUMBERS`, every value that any card has, so that a
    range of it can be asked of the index, too.
    """
    tree = _with_tokens(query.tree, known) if known else query.tree
    if tree == EVERYTHING:
        return Plan(sort=query.sort)
    if _in_index(tree):
        return Plan(match=tree, sort=query.sort)
    indexed, others = _divided(tree.parts if isinstance(tree, And) else (tree,))
    conditions = tuple(map(_condition, others))
    spans = [span for condition in conditions if (span := _numbers(condition))]
    return Plan(
        match=And(parts=indexed) if indexed else None,
        lowest=max((low for low, _ in spans if low is not None), default=None),
        highest=min((high for _, high in spans if high is not None), default=None),
        conditions=tuple(it for it in conditions if isinstance(it, Or) or not _numbers(it)),
        sort=query.sort,
    )


def _with_tokens(node: Node, known: Mapping[str, Collection[float]]) -> Node:
    """The same, with the tokens of all values in a range instead of the range where known."""
    match node:
        case Range():
            return _alternatives(node, known[node.column]) if node.column in known else node
        case And():
            return conjunction(_with_tokens(part, known) for part in node.parts)
        case Or():
            return disjunction(_with_tokens(part, known) for part in node.parts)
        case Not():
            return negation(_with_tokens(node.part, known))
    return node


def _alternatives(asked: Range, known: Collection[float]) -> Node:
    low, high = asked.low, asked.high
    assert not isinstance(low, bytes)  # digests are no tokens
    assert not isinstance(high, bytes)
    values = sorted(
        value
        for value in known
        if (low is None or low <= value) and (high is None or value <= high)
    )
    if len(values) > MAX_ALTERNATIVES:
        return asked
    return disjunction(Facet(token=number_token(asked.column, value)) for value in values)


def _condition(node: Node) -> Condition:
    """What each row is asked; as much of it as can be is asked of the index in one piece."""
    if _in_index(node):
        return Matches(node=node)
    match node:
        case And():
            together, others = _divided(node.parts)
            return And(parts=(*_together(And(parts=together)), *map(_condition, others)))
        case Or():
            together, others = _divided(node.parts)
            return Or(parts=(*_together(Or(parts=together)), *map(_condition, others)))
        case Not():
            return Not(part=_condition(node.part))
        case Range():
            return node
    raise TypeError("words and tokens are all in the index")


def _divided(parts: Sequence[Node]) -> tuple[tuple[Node, ...], tuple[Node, ...]]:
    """Those that the index can answer, and the others."""
    indexed = tuple(part for part in parts if _in_index(part))
    return indexed, tuple(part for part in parts if part not in indexed)


def _in_index(node: Node) -> bool:
    """Whether the full-text index knows all of it, which has no ranges."""
    match node:
        case Range():
            return False
        case And() | Or():
            return all(map(_in_index, node.parts))
        case Not():
            return _in_index(node.part)
    return True


def _together(node: And[Node] | Or[Node]) -> tuple[Condition, ...]:
    return (_condition(node),) if node.parts else ()


def _numbers(condition: Condition) -> tuple[int | None, int | None] | None:
    """Between which archive numbers all rows lie that a condition holds for, if it says so."""
    spans: list[tuple[int | None, int | None]] = []
    for each in condition.parts if isinstance(condition, Or) else (condition,):
        if not isinstance(each, Range) or each.column != "number":
            return None
        spans.append((each.low, each.high))  # type: ignore[arg-type]  # they are whole
    lows, highs = zip(*spans, strict=True)
    return (
        None if None in lows else min(lows),
        None if None in highs else max(highs),
    )
