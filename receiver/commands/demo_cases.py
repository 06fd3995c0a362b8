"""What the demo submits, what the provider then does wrong, and how each must end all the same."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from archiver.models import SlotState

# The weights are small, but the processor that draws may be any.
_DRAWN_SIDE = 128


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One generation of the demo: its prompt, the faults asked for, and the end it must come to.

    What is `lost` can only be drawn again; `side` is the picture's, in pixels.
    """

    prompt: str
    story: str
    ends: SlotState
    faults: str = ""
    service: str = "stable-diffusion"
    lost: bool = False
    side: int = 1024

    def request(self, webhook_url: str) -> dict[str, Any]:
        """The submission, in the documented `generate` form."""
        options = {"width": self.side, "height": self.side, "webhookUrl": webhook_url}
        return {
            "query": (
                "mutation Generate($input: GenerateInput!) { generate(input: $input)"
                " { id status type provider url metadata creditCost } }"
            ),
            "variables": {
                "input": {
                    "type": "IMAGE",
                    "provider": self.service,
                    "input": {"text": self.prompt},
                    "options": options,
                }
            },
        }


CASES = (
    Case(
        prompt="A lighthouse in a storm, oil on canvas, heavy brush strokes",
        story="one signed webhook, as it should be",
        ends=SlotState.ARCHIVED,
    ),
    Case(
        prompt="赛博朋克少女，霓虹灯，雨夜的街道",
        story="one signed webhook, as it should be",
        ends=SlotState.ARCHIVED,
        service="flux-pro",
    ),
    Case(
        prompt="Teach solais ar charraig, maidin cheoch, dathanna boga",
        story="one signed webhook, as it should be",
        ends=SlotState.ARCHIVED,
    ),
    Case(
        prompt="ਮੀਂਹ ਵਿੱਚ ਪੁਰਾਣਾ ਸ਼ਹਿਰ, ਜਲ ਰੰਗ",
        story="one signed webhook, as it should be",
        ends=SlotState.ARCHIVED,
        service="flux-pro",
    ),
    Case(
        prompt="A futuristic city with flying cars and neon lights",
        story="the same webhook twice",
        faults="twice",
        ends=SlotState.ARCHIVED,
    ),
    Case(
        prompt="A red fox asleep in fresh snow, macro photograph",
        story="'completed' first, a stale 'processing' after it",
        faults="out_of_order",
        ends=SlotState.ARCHIVED,
    ),
    Case(
        prompt="Botanical plate of an imaginary orchid, ink and wash",
        story="the webhook comes late",
        faults="late",
        ends=SlotState.ARCHIVED,
    ),
    Case(
        prompt="A harbour at dawn, seen from a balloon",
        story="twice, and the picture's bytes trickle",
        faults="twice,slow_link",
        ends=SlotState.ARCHIVED,
        service="flux-pro",
    ),
    Case(
        prompt="A forged banknote",
        story="signed with a wrong secret",
        faults="wrong_secret",
        ends=SlotState.EXPECTED,
    ),
    Case(
        prompt="A glass whale above a wheat field",
        story="the link had died before the webhook came",
        faults="dead_link",
        ends=SlotState.HELD,
        lost=True,
        side=_DRAWN_SIDE,
    ),
    Case(
        prompt="A clockwork owl, cut-away drawing",
        story="the provider failed, for no stated reason",
        faults="failed",
        ends=SlotState.HELD,
        lost=True,
        side=_DRAWN_SIDE,
    ),
    Case(
        prompt="Something that the provider will not draw",
        story="the provider's moderation refused",
        faults="moderated",
        ends=SlotState.HELD,
        service="flux-pro",
    ),
)


def cases(*, drawn: bool) -> tuple[Case, ...]:
    """All of them, as they must end where what is lost is drawn again, or where it is not."""
    if not drawn:
        return CASES
    return tuple(replace(it, ends=SlotState.RENDERED) if it.lost else it for it in CASES)
