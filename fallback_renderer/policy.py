"""Whether a slot may be drawn here at all, whatever it was asked to be."""

from __future__ import annotations

from archiver.lifecycle import is_askable, leading_link, loss
from archiver.models import FailureClass, Generation, Slot

_WHY_NOT = {
    FailureClass.TRANSIENT: "the provider may still draw it",
    FailureClass.DEAD: "it can neither be fetched nor drawn",
    FailureClass.OPERATOR: "it needs the operator",
    FailureClass.POLICY: "moderation, never drawn",
}


def why_not(generation: Generation, slot: Slot) -> str | None:
    """The reason why this slot may not be drawn; None if it may.

    What any observation marked as moderated is never drawn, and neither is what the user canceled;
    then only what is lost, by nobody's fault, and whose prompt is known.
    """
    if slot.role:
        return "it is the client's own picture, not one that a provider drew"
    if generation.moderated:
        return _WHY_NOT[FailureClass.POLICY]
    if generation.canceled:
        return "canceled at the provider"
    if slot.assets:
        return "it is in the archive"
    if leading_link(slot) is not None or is_askable(generation, slot):
        return "its link is still being followed"
    failure = loss(generation, slot)
    if failure is None:
        return _WHY_NOT[FailureClass.TRANSIENT]
    if failure.failure_class is not FailureClass.RENDERABLE:
        return _WHY_NOT[failure.failure_class]
    if not (generation.params.prompt or "").strip():
        return "nobody has heard its prompt"
    return None
