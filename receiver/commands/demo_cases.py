"""What the demo submits, what the provider then does wrong, and how each must end all the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from archiver.models import SlotState


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One generation of the demo: its prompt, the faults asked for, and the end it must come to."""

    prompt: str
    story: str
    ends: SlotState
    faults: str = ""
    service: str = "stable-diffusion"

    def request(self, webhook_url: str) -> dict[str, Any]:
        """The submission, in the documented `generate` form."""
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
                    "options": {"width": 1024, "height": 1024, "webhookUrl": webhook_url},
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
    ),
    Case(
        prompt="A clockwork owl, cut-away drawing",
        story="the provider failed, for no stated reason",
        faults="failed",
        ends=SlotState.HELD,
    ),
    Case(
        prompt="Something that the provider will not draw",
        story="the provider's moderation refused",
        faults="moderated",
        ends=SlotState.HELD,
        service="flux-pro",
    ),
)
