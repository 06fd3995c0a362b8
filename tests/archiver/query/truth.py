"""Queries beside what they mean: each is drawn with a plain predicate over a row.

Nothing here knows of tokens, trees or SQL: what a word is found by stands in `scripts`, and a
field is a comparison with what stands on the card.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from hypothesis import strategies as st

from archiver.cards import Card
from archiver.models import Origin, SlotState
from tests.archiver.query.made_up import AGES, DATES, DIGESTS, NUMBERS, TEXTS, Told
from tests.archiver.query.scripts import WORDS

Predicate = Callable[[Told], bool]

# How tightly a query holds together: a word or a field, an AND, an OR.
TIGHT, JOINED, LOOSE = range(3)


class Asked(NamedTuple):
    """A query, and whether it holds for a row."""

    written: str
    holds: Predicate
    looseness: int = TIGHT

    def within(self, looseness: int) -> str:
        """As it is written where nothing looser may stand without brackets."""
        return self.written if self.looseness <= looseness else f"({self.written})"


def any_of(tests: Sequence[Predicate]) -> Predicate:
    """Whether one of them holds."""
    return lambda told: any(test(told) for test in tests)


class Typed(NamedTuple):
    """What a person types to find words, and what it asks for."""

    written: str
    units: tuple[str, ...]
    prefix: bool = False

    def within(self, columns: Sequence[str]) -> Predicate:
        """Whether its units stand in one of the columns without a gap."""
        return lambda told: any(self._stands_in(getattr(told, column)) for column in columns)

    def _stands_in(self, units: tuple[str, ...]) -> bool:
        *whole, last = self.units
        for at in range(len(units) - len(whole)):
            *there, end = units[at : at + len(self.units)]
            if there == whole and (end.startswith(last) if self.prefix else end == last):
                return True
        return False


@st.composite
def typed(draw: st.DrawFn) -> Typed:
    """A word, a stretch of unspaced ones, a beginning, or a phrase; in any way of writing."""
    words = draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=3))
    word, units = words[0], sum((word.units for word in words), ())
    how = draw(st.sampled_from(["word", "stretch", "beginning", "phrase"]))
    if how == "phrase":
        shown = " ".join(draw(st.sampled_from(word.written)) for word in words)
        opening, closing = draw(st.sampled_from(['""', "“”", "「」", "«»", "„“"]))
        star = draw(st.sampled_from(["", "*"]))
        return Typed(f"{opening}{shown}{closing}{star}", units, bool(star) and len(units[-1]) > 1)
    if how == "stretch" and not any(word.spaced for word in words):
        begin = draw(st.integers(0, len(units) - 1))
        stretch = units[begin : draw(st.integers(begin + 1, len(units)))]
        return Typed("".join(stretch), stretch)
    if how == "beginning" and word.spaced:
        shown = word.units[0][: draw(st.integers(1, len(word.units[0])))]
        return Typed(f"{shown}*", (shown,), len(shown) > 1)
    return Typed(draw(st.sampled_from(word.written)), word.units)


@st.composite
def words(draw: st.DrawFn) -> Asked:
    """A word anywhere but in the negative prompt, or one of several in a text of their own."""
    field = draw(st.sampled_from(["", "", "prompt", "neg", "NEG"]))
    columns = [field.lower()] if field else ["prompt", "about"]
    alternatives = draw(st.lists(typed(), min_size=1, max_size=2 if field else 1))
    written = ",".join(each.written for each in alternatives)
    tests = [each.within(columns) for each in alternatives]
    return Asked(f"{field}:{written}" if field else written, any_of(tests))


FULL_WIDTH = {code: code + 0xFEE0 for code in map(ord, "abcdefghijklmnopqrstuvwxyz0123456789")}
ENUMERATED = {"state": SlotState, "origin": Origin}


@st.composite
def texts(draw: st.DrawFn) -> Asked:
    """A field of words: without regard to case or width, whole or by its beginning."""
    column = draw(st.sampled_from(sorted(TEXTS.keys() - {"media_type"})))
    field = {"generation_id": "job", "track_id": "track"}.get(column, column)
    written, tests = [], []
    values = st.sampled_from([value for value in TEXTS[column] if value])
    for value in draw(st.lists(values, min_size=1, max_size=2)):
        starred = field not in ENUMERATED and draw(st.booleans())
        shown = value[: draw(st.integers(0, len(value)))].strip() if starred else value
        ways = [shown, shown.upper(), shown.lower().translate(FULL_WIDTH)]
        needs_quotes = re.search(r"[\s,()]", shown) is not None
        quote = '"' if needs_quotes or (shown and draw(st.booleans())) else ""
        written.append(f"{quote}{draw(st.sampled_from(ways))}{quote}{'*' * starred}")
        tests.append(_reads(column, shown.lower(), starred=starred))
    return Asked(f"{field}:{','.join(written)}", any_of(tests))


def _reads(column: str, shown: str, *, starred: bool) -> Predicate:
    def test(told: Told) -> bool:
        value = (getattr(told.row.card, column) or "").lower()
        return bool(value) and (value.startswith(shown) if starred else value == shown)

    return test


RANGED = {
    "scale": "guidance_scale",
    "cost": "cost_micros",
    "bytes": "size_bytes",
    "id": "number",
    "created": "created_at",
    "completed": "completed_at",
    "archived": "archived_at",
}
COMPARISONS: dict[str, Callable[[Any, Any, Any], bool]] = {
    "{}": lambda value, low, high: low <= value <= high,
    "={}": lambda value, low, high: low <= value <= high,
    ">{}": lambda value, low, high: value > high,
    ">={}": lambda value, low, high: value >= low,
    "≥{}": lambda value, low, high: value >= low,
    "<{}": lambda value, low, high: value < low,
    "<={}": lambda value, low, high: value <= high,
    "≤{}": lambda value, low, high: value <= high,
    "{}..": lambda value, low, high: value >= low,
    "..{}": lambda value, low, high: value <= high,
    "*": lambda value, low, high: True,
}


@st.composite
def ranges(draw: st.DrawFn) -> Asked:
    """One or two numbers or dates, comparisons or ranges, of which any will do."""
    field = draw(
        st.sampled_from(["width", "height", "steps", "seed", *RANGED]),
    )
    column = RANGED.get(field, field)
    alternatives = draw(st.lists(_ranges(column), min_size=1, max_size=2))
    written = ",".join(written for written, _ in alternatives)
    return Asked(f"{field}:{written}", any_of([test for _, test in alternatives]))


@st.composite
def _ranges(draw: st.DrawFn, column: str) -> tuple[str, Predicate]:
    if column.endswith("_at"):
        spans = DATES + [(written, moment, moment) for written, moment in AGES.items()]
    else:
        numbers = NUMBERS.get(column, [(str(number), number) for number in (1, 5, 17, 40, 99)])
        spans = [(written, number, number) for written, number in numbers]
    (one, low, high), (other, *ends) = draw(st.sampled_from(spans)), draw(st.sampled_from(spans))
    if draw(st.booleans()):
        low, high = min(low, *ends), max(high, *ends)
        return f"{one}..{other}", _counts(column, COMPARISONS["{}"], low, high, exact=low == high)
    form = draw(st.sampled_from(sorted(COMPARISONS)))
    compare = COMPARISONS["{}.." if form == "{}" and one in AGES else form]
    return form.format(one), _counts(column, compare, low, high, exact=form in ("{}", "={}"))


def _counts(
    column: str, compare: Callable[..., bool], low: Any, high: Any, *, exact: bool
) -> Predicate:
    """A seed of 64 bits is found by itself alone."""

    def holds(told: Told) -> bool:
        value = getattr(told.row.card, column)
        if value is None or (column == "seed" and value >= 2**63 and not exact):
            return False
        return compare(value, low, high)

    return holds


def _card(written: str, test: Callable[[Card], bool]) -> Asked:
    return Asked(written, lambda told: test(told.row.card))


def _is_type(*names: str) -> Callable[[Card], bool]:
    return lambda card: bool({card.media_type, *(card.media_type or "").split("/")} & set(names))


def _is_shape(compare: Callable[[int, int], bool]) -> Callable[[Card], bool]:
    return lambda card: bool(card.width and card.height and compare(card.width, card.height))


def _sides(*sizes: tuple[int, int]) -> Callable[[Card], bool]:
    return lambda card: (card.width, card.height) in sizes


OTHERS = [
    _card("size:512x1024", _sides((512, 1024))),
    _card("size:１０２４×512,512X512", _sides((1024, 512), (512, 512))),
    _card("is:portrait", _is_shape(lambda width, height: width < height)),
    _card("is:landscape", _is_shape(lambda width, height: width > height)),
    _card("is:Square", _is_shape(lambda width, height: width == height)),
    _card("is:drawn,flagged", lambda card: card.drawn or card.flagged),
    _card("is:damaged", lambda card: card.damaged),
    _card("is:moderated", lambda card: card.moderated),
    _card("is:failed", lambda card: card.generation_state == "failed"),
    _card("is:canceled", lambda card: card.generation_state == "canceled"),
    _card("is:fallback", lambda card: card.origin == "fallback"),
    _card("is:provider", lambda card: card.origin == "provider"),
    _card("is:held", lambda card: card.state == "held"),
    _card("is:saved", lambda card: card.state in ("archived", "rendered")),
    _card("is:pending", lambda card: card.state in ("expected", "linked")),
    _card("is:lost", lambda card: card.state in ("rendered", "held", "dead")),
    _card("is:video", _is_type("video")),
    _card("is:image", _is_type("image")),
    _card("type:png", _is_type("png")),
    _card("type:JPG,video/mp4", _is_type("jpeg", "video/mp4")),
    _card("type:image/*", lambda card: (card.media_type or "").startswith("image/")),
    _card("sha256:9f86", lambda card: card.sha256 is not None),
    _card("sha256:9F86D", lambda card: card.sha256 in DIGESTS[1:]),
    _card(f"sha256:{DIGESTS[0].hex()},00000", lambda card: card.sha256 == DIGESTS[0]),
]


@st.composite
def _not(draw: st.DrawFn, one: Asked) -> Asked:
    sign = draw(st.sampled_from("--－−"))
    bare = one.within(TIGHT)
    written = f"({bare})" if bare[0] in "-－−" or draw(st.booleans()) else bare
    return Asked(sign + written, lambda told: not one.holds(told))


@st.composite
def _and(draw: st.DrawFn, parts: list[Asked]) -> Asked:
    joint = draw(st.sampled_from([" ", "\u3000", " AND "]))
    written = joint.join(part.within(JOINED) for part in parts)
    return Asked(written, lambda told: all(part.holds(told) for part in parts), JOINED)


@st.composite
def _or(draw: st.DrawFn, parts: list[Asked]) -> Asked:
    joint = draw(st.sampled_from([" OR ", " | ", "|", " ｜ ", " || "]))
    written = joint.join(part.written for part in parts)
    return Asked(written, any_of([part.holds for part in parts]), LOOSE)


def _combined(of: st.SearchStrategy[Asked]) -> st.SearchStrategy[Asked]:
    several = st.lists(of, min_size=2, max_size=3)
    return of.flatmap(_not) | several.flatmap(_and) | several.flatmap(_or)


LEAVES = st.one_of(words(), words(), texts(), ranges(), st.sampled_from(OTHERS))
QUERIES = LEAVES | _combined(LEAVES | _combined(LEAVES | _combined(LEAVES)))
