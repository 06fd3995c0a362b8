"""As much of a query as can be is one expression of the index; only ranges are left over."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from archiver.query import And, Matches, Not, Or, Plan, Range, Sort, parse, plan
from archiver.query.match import expression
from archiver.query.plan import MAX_ALTERNATIVES
from tests.clocks import NOON

CAT, DOG = ('{prompt about} : "cat"', '{prompt about} : "dog"')
FIVE = Range(column="number", low=5, high=5)
SEVEN_TO_NINE = Range(column="number", low=7, high=9)
STEPS = Range(column="steps", low=31)
BYTES = Range(column="size_bytes", low=2_000_001)

PLANS = {
    "": Plan(),
    "cat": Plan(match=CAT),
    "cat dog": Plan(match=f"({CAT} AND {DOG})"),
    "-cat": Plan(match=f'(facets : "all" NOT {CAT})'),
    "cat -dog -model:flux-pro": Plan(
        match=f'({CAT} NOT ({DOG} OR facets : "model_flux_2d_pro"))'
    ),
    "cat | -dog": Plan(match=f'({CAT} OR (facets : "all" NOT {DOG}))'),
    '"golden ho"* neg:8k': Plan(match='({prompt about} : "golden ho" * AND {neg} : "8k")'),
    "少女": Plan(match='{prompt about} : "少 女"'),
    "model:flux* seed:42": Plan(match='(facets : "model_flux" * AND facets : "seed_42")'),
    "is:saved": Plan(match='(facets : "state_archived" OR facets : "state_rendered")'),
    "?!": Plan(match='facets : "none"'),
    "cat sort:bytes": Plan(match=CAT, sort=Sort.BYTES),
    "cat steps:>30 bytes:>2MB": Plan(match=CAT, conditions=(STEPS, BYTES)),
    "cat -steps:>30": Plan(match=CAT, conditions=(Not(part=STEPS),)),
    "cat id:5": Plan(match=CAT, lowest=5, highest=5),
    "id:>5 id:..99": Plan(lowest=6, highest=99),
    "id:>5 id:<3": Plan(lowest=6, highest=2),
    "id:>5 id:>7 id:<99 id:<50": Plan(lowest=8, highest=49),
    "id:5,7..": Plan(
        lowest=5, conditions=(Or(parts=(FIVE, Range(column="number", low=7))),)
    ),
    "id:5,..7": Plan(
        highest=7, conditions=(Or(parts=(FIVE, Range(column="number", high=7))),)
    ),
    'model:"a–b"': Plan(match='facets : "model_a_2013_b"'),
    "model:“a－b”": Plan(match='facets : "model_a_2d_b"'),
    f"seed:-{2**70}..{2**70}": Plan(conditions=(Range(column="seed"),)),
    f"seed:{2**70}": Plan(match=f'facets : "seed_{2**70}"'),
    f"seed:>{2**63}": Plan(match='facets : "none"'),
    "-id:5": Plan(conditions=(Not(part=FIVE),)),
    "id:5,7..9": Plan(lowest=5, highest=9, conditions=(Or(parts=(FIVE, SEVEN_TO_NINE)),)),
    "(id:5 OR cat) dog": Plan(
        match=DOG,
        conditions=(
            Or(parts=(Matches(node=CAT), FIVE)),
        ),
    ),
    "dog (cat OR -cat OR steps:>30)": Plan(
        match=DOG,
        conditions=(
            Or(parts=(Matches(node=f'({CAT} OR (facets : "all" NOT {CAT}))'), STEPS)),
        ),
    ),
    "-(cat dog steps:>30)": Plan(
        conditions=(
            Not(part=And(parts=(Matches(node=f"({CAT} AND {DOG})"), STEPS))),
        ),
    ),
    "steps:>30 OR (bytes:>2MB cat)": Plan(
        conditions=(
            Or(parts=(STEPS, And(parts=(Matches(node=CAT), BYTES)))),
        ),
    ),
}  # fmt: skip

KNOWN = {"steps": [50, 20, 31], "guidance_scale": [7.5, 7.0], "cost_micros": range(1000)}
WITH_KNOWN = {
    "steps:>30": Plan(match='(facets : "steps_31" OR facets : "steps_50")'),
    "-steps:>30 cat": Plan(match=f'({CAT} NOT (facets : "steps_31" OR facets : "steps_50"))'),
    "steps:>40 | cat": Plan(match=f'(facets : "steps_50" OR {CAT})'),
    "steps:>50": Plan(match='facets : "none"'),
    "scale:7..8": Plan(match='(facets : "scale_7_2e_0" OR facets : "scale_7_2e_5")'),
    "cost:>=0.0001": Plan(conditions=(Range(column="cost_micros", low=100),)),
    f"cost:<0.{MAX_ALTERNATIVES:06}": Plan(
        match=f"({' OR '.join(f'facets : {chr(34)}cost_{n}{chr(34)}' for n in range(64))})"
    ),
    "bytes:>2MB": Plan(conditions=(BYTES,)),
}


def said(asked: Any) -> Any:
    """A plan or condition, with the FTS5 expression in place of every tree for the index."""
    match asked:
        case Plan():
            match = None if asked.match is None else expression(asked.match)
            return replace(asked, match=match, conditions=tuple(map(said, asked.conditions)))
        case Matches():
            return Matches(node=expression(asked.node))
        case And() | Or():
            return replace(asked, parts=tuple(map(said, asked.parts)))
        case Not():
            return Not(part=said(asked.part))
    return asked


@pytest.mark.parametrize(("text", "expected"), PLANS.items())
def test_what_the_index_is_asked(text: str, expected: Plan) -> None:
    """Words, fields, OR and NOT are one expression; a range beside them is a condition."""
    assert said(plan(parse(text, now=NOON))) == expected


@pytest.mark.parametrize(("text", "expected"), WITH_KNOWN.items())
def test_ranges_of_known_values_are_words_too(text: str, expected: Plan) -> None:
    """A range over few known values is asked of the index, one over many of each row."""
    assert said(plan(parse(text, now=NOON), known=KNOWN)) == expected
