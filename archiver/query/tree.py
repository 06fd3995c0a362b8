"""What a query asks for, as a tree of conditions on one row."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, Literal, TypeAlias, TypeVar

TextColumn = Literal["prompt", "neg", "about"]

# A card's column of numbers, moments (in milliseconds UTC) or, last, digests.
Column = Literal[
    "number", "width", "height", "steps", "guidance_scale", "seed", "cost_micros", "size_bytes",
    "created_at", "completed_at", "archived_at", "sha256",
]  # fmt: skip
Bound = int | float | bytes | None

Part = TypeVar("Part")


@dataclass(frozen=True, kw_only=True, slots=True)
class Text:
    """These tokens stand together, in this order, in one of the columns.

    `prefix`: the last of them is only the beginning of a token.
    """

    columns: tuple[TextColumn, ...]
    tokens: tuple[str, ...]
    prefix: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Facet:
    """The row has this facet token, or one that begins so."""

    token: str
    prefix: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Range:
    """`low` <= the column's value <= `high`, None being no bound; never so where it has no value.

    Whole numbers fit SQLite's 64 bits; the bounds of a digest are 32 bytes.
    """

    column: Column
    low: Bound = None
    high: Bound = None


@dataclass(frozen=True, kw_only=True, slots=True)
class And(Generic[Part]):
    """All of the parts; of none, every row."""

    parts: tuple[Part, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Or(Generic[Part]):
    """Any of the parts; of none, no row."""

    parts: tuple[Part, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Not(Generic[Part]):
    """Every row for which the part is not so, be it for want of a value."""

    part: Part


Node: TypeAlias = "Text | Facet | Range | And[Node] | Or[Node] | Not[Node]"

EVERYTHING: Node = And()
NOTHING: Node = Or()


def conjunction(nodes: Iterable[Node]) -> Node:
    """All of the nodes, said once each and without brackets in brackets."""
    flat: dict[Node, None] = {}
    for node in nodes:
        flat |= dict.fromkeys(node.parts if isinstance(node, And) else (node,))
    return next(iter(flat)) if len(flat) == 1 else And(parts=tuple(flat))


def disjunction(nodes: Iterable[Node]) -> Node:
    """Any of the nodes, likewise."""
    flat: dict[Node, None] = {}
    for node in nodes:
        flat |= dict.fromkeys(node.parts if isinstance(node, Or) else (node,))
    return next(iter(flat)) if len(flat) == 1 else Or(parts=tuple(flat))


def negation(node: Node) -> Node:
    """All but the node; the denial of a denial is the thing itself."""
    return node.part if isinstance(node, Not) else Not(part=node)


def weight(node: Node) -> int:
    """How many tokens and ranges the index would be asked about."""
    match node:
        case Text():
            return len(node.tokens)
        case And() | Or():
            return sum(map(weight, node.parts))
        case Not():
            return weight(node.part)
    return 1
