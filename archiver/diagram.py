"""Draws the README's diagram of a slot's states from the law itself, so that it cannot be wrong.

`python -m archiver.diagram` prints it; a test holds the README against it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product

from archiver.lifecycle import SLOT_LAW, Facts
from archiver.models import FailureClass, SlotState


def may_be_drawn(facts: Facts) -> bool:
    """Whether a picture that a renderer brings is taken in."""
    lost = facts.failure_class is FailureClass.RENDERABLE and not facts.askable
    return lost and facts.drawable and not (facts.drawn or facts.original or facts.live_link)


# What can happen to a slot: when it can, and what it does to the facts.
EVENTS: dict[str, tuple[Callable[[Facts], bool], Callable[[Facts], Facts]]] = {
    "a link is heard": (
        lambda facts: True,
        lambda facts: replace(facts, live_link=True, askable=False),
    ),
    "bytes stored": (
        lambda facts: facts.live_link,
        lambda facts: replace(facts, original=True, live_link=False),
    ),
    "link lost": (
        lambda facts: facts.live_link,
        lambda facts: replace(
            facts,
            live_link=False,
            askable=facts.failure_class is None,
            failure_class=facts.failure_class or FailureClass.RENDERABLE,
        ),
    ),
    "no other link": (
        lambda facts: facts.askable,
        lambda facts: replace(facts, askable=False),
    ),
    "generation lost": (
        lambda facts: facts.failure_class is None,
        lambda facts: replace(facts, failure_class=FailureClass.RENDERABLE),
    ),
    "moderation": (
        lambda facts: True,
        lambda facts: replace(facts, failure_class=FailureClass.POLICY, askable=False),
    ),
    "prompt remembered": (
        lambda facts: True,
        lambda facts: replace(facts, drawable=True, undrawn=False),
    ),
    "drawn here": (
        may_be_drawn,
        lambda facts: replace(facts, drawn=True),
    ),
    "drawn, and flagged": (
        may_be_drawn,
        lambda facts: replace(facts, drawn=True, flagged=True),
    ),
    "refused by a renderer": (
        may_be_drawn,
        lambda facts: replace(facts, undrawn=True),
    ),
}


def state(facts: Facts) -> SlotState:
    """The state that the law reads off the facts."""
    return next(rule.state for rule in SLOT_LAW if rule.when(facts))


def transitions() -> Iterator[tuple[SlotState, str, SlotState]]:
    """Every change of state that some event can cause, from any facts that can come about."""
    seen = set()
    for facts in reachable():
        for event, (possible, happen) in EVENTS.items():
            change = (state(facts), event, state(happen(facts)))
            if possible(facts) and change[0] is not change[2] and change not in seen:
                seen.add(change)
                yield change


def reachable() -> list[Facts]:
    """All facts that events can bring about, beginning with a slot of which nothing is known."""
    found = [Facts()]
    for facts in found:  # grows while it is walked
        for possible, happen in EVENTS.values():
            after = happen(facts)
            if possible(facts) and after not in found:
                found.append(after)
    return found


def mermaid() -> str:
    """The diagram as Mermaid's `stateDiagram-v2`."""
    order = list(SlotState)
    arrows: dict[tuple[SlotState, SlotState], list[str]] = {}
    for before, event, after in transitions():
        arrows.setdefault((before, after), []).append(event)
    lines = ["stateDiagram-v2", f"    [*] --> {SlotState.EXPECTED}"]
    for before, after in product(order, order):
        events = arrows.get((before, after))
        if events:
            lines.append(f"    {before} --> {after}: {', '.join(sorted(set(events)))}")
    return "\n".join(lines)


if __name__ == "__main__":
    print(mermaid())  # noqa: T201
