"""What a person's word changes of the facts: what had been given up is tried again, or the reverse.

Law 1 of `lifecycle` holds here as well: only facts are changed, and the states read off them anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from archiver.drawing import drawn_from
from archiver.lifecycle import SILENT, refuse, settle
from archiver.models import (
    Failure,
    FailureClass,
    Generation,
    GenerationState,
    Link,
    Slot,
    Undrawn,
)


def revive_links(generation: Generation, index: int, *, now: datetime) -> Generation:
    """The generation with those links of a slot worth trying again that may still give something.

    That is all that live on paper, whatever has been said of them, and those that waited for the
    operator even beyond their death: only a try can tell what follows then.
    """

    def revived(known: Link) -> Link:
        failure = known.failure
        waits = failure is not None and failure.failure_class is FailureClass.OPERATOR
        return replace(known, failure=None) if waits or known.expires_at > now else known

    return _with_links(generation, index, revived)


def give_up_links(generation: Generation, index: int, reason: str) -> Generation:
    """The generation once nobody wants the links of a slot that were yet to be tried."""
    given_up = Failure(failure_class=FailureClass.DEAD, code="cancelled", message=reason)

    def without(known: Link) -> Link:
        failure = known.failure
        waits = failure is None or failure.failure_class is FailureClass.OPERATOR
        return replace(known, failure=given_up) if waits else known

    return _with_links(generation, index, without)


def offer_again(generation: Generation, index: int) -> Generation:
    """The generation once it is forgotten that a renderer has refused a slot."""
    return _with_slot(generation, index, lambda slot: replace(slot, undrawn=None))


def give_up_drawing(generation: Generation, index: int, reason: str) -> Generation:
    """The generation once a slot is not to be drawn from what is known now."""
    return refuse(
        generation, index, Undrawn(target=drawn_from(generation), reason=reason, final=True)
    )


def ask_again(generation: Generation) -> Generation:
    """The generation once it is forgotten that its provider was asked for other links in vain."""
    slots = (slot if slot.role else replace(slot, asked=0) for slot in generation.slots)
    return settle(generation, slots)


def wait_again(generation: Generation) -> Generation:
    """The generation once it is forgotten that it was given up because its provider was silent."""
    failure = generation.failure
    if generation.state is GenerationState.LOST and failure and failure.code == SILENT:
        generation = replace(generation, state=GenerationState.RUNNING, failure=None)
    return ask_again(settle(generation))


def _with_links(generation: Generation, index: int, change: Callable[[Link], Link]) -> Generation:
    return _with_slot(
        generation, index, lambda slot: replace(slot, links=tuple(map(change, slot.links)))
    )


def _with_slot(generation: Generation, index: int, change: Callable[[Slot], Slot]) -> Generation:
    slots = (change(slot) if slot.index == index else slot for slot in generation.slots)
    return settle(generation, slots)
