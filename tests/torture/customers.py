"""Who submits to all providers, through the gateway of a service that may die under them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Any

from aiohttp import ClientError, ClientSession

from receiver.simulator import FAULTS

# Two accounts: where one has asked too often, all that is asked on its behalf must wait.
KEYS = {"main": "sk-practice-0123456789", "throttled": "sk-practice-9876543210"}
# By their shares; what DashScope draws is at least of 512 pixels, and costs the most.
_PROVIDERS = ("doitong", "modelslab", "doitong", "modelslab", "doitong", "dashscope")
# What a provider never ends, so that nobody could wait for it.
_ENDLESS = frozenset({"stuck", "purged"})
_TIRING = frozenset({"throttled", "rate_limited"})
_GENERATE = "mutation ($input: ImageGenerationInput!) { generateImage(input: $input) { id } }"
_SIDE = 64  # of a picture, in pixels
_TRY_AGAIN = (502, 503)
_PAUSE_SECONDS = 0.05

Name = tuple[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """One picture that somebody wants of a provider, on what kind of day."""

    number: int
    provider: str
    faults: tuple[str, ...] = ()

    @property
    def prompt(self) -> str:
        """What is asked for, and the bad day in words that the simulator understands."""
        day = f" simulate:{','.join(self.faults)}" if self.faults else ""
        return f"fox number {self.number}{day}"


def wishes(chance: Random, *, spoilt_share: float) -> Iterator[Wish]:
    """Wishes without end, of all providers; a share of them meets one fault after another, each as
    often as the others."""
    days = [(name, fault) for name in FAULTS for fault in FAULTS[name] if fault not in _ENDLESS]
    chance.shuffle(days)
    spoilt = 0
    for number in count():
        if chance.random() < spoilt_share:
            provider, fault = days[spoilt % len(days)]
            spoilt += 1
            yield Wish(number=number, provider=provider, faults=(fault,))
        else:
            yield Wish(number=number, provider=_PROVIDERS[number % len(_PROVIDERS)])


@dataclass(frozen=True, kw_only=True, slots=True)
class Customers:
    """They submit until they are answered; `answered` are the generations they were told of."""

    gateway: str
    client: ClientSession
    heard: Callable[[], None]
    answered: dict[Name, Wish] = field(default_factory=dict)

    async def submit(self, wish: Wish) -> str | None:
        """The generation's id; None if the provider refuses it."""
        key = KEYS["throttled" if _TIRING & set(wish.faults) else "main"]
        path, body, headers = _REQUESTS[wish.provider](wish, key)
        url = f"{self.gateway}/{wish.provider}/{path}"
        while True:
            try:
                async with self.client.post(url, json=body, headers=headers) as answer:
                    status, said = answer.status, await answer.json(content_type=None)
            except (ClientError, OSError):
                status = 503  # whatever became of it, nobody has told them
            if status not in _TRY_AGAIN:
                break
            await asyncio.sleep(_PAUSE_SECONDS)
        name = _named(wish.provider, said)
        if name is not None:
            self.answered[wish.provider, name] = wish
            self.heard()
        return name


def _named(provider: str, said: Any) -> str | None:
    """Which generation an answer tells of."""
    if provider == "doitong":
        return ((said.get("data") or {}).get("generateImage") or {}).get("id")
    name = (said.get("output") or {}).get("task_id") if provider == "dashscope" else said.get("id")
    return None if name is None else str(name)


_Request = tuple[str, dict[str, Any], dict[str, str]]


def _doitong(wish: Wish, key: str) -> _Request:
    given = {"service": "flux-pro", "prompt": wish.prompt, "width": _SIDE, "height": _SIDE}
    body = {"query": _GENERATE, "variables": {"input": given}}
    return "graphql", body, {"Authorization": f"Bearer {KEYS['main']}"}


def _dashscope(wish: Wish, key: str) -> _Request:
    body = {
        "model": "stable-diffusion-xl",
        "input": {"prompt": wish.prompt},
        "parameters": {"size": "512*512", "n": 1 + wish.number % 2},
    }
    headers = {"Authorization": f"Bearer {key}", "X-DashScope-Async": "enable"}
    return "api/v1/services/aigc/text2image/image-synthesis", body, headers


def _modelslab(wish: Wish, key: str) -> _Request:
    size = {"width": _SIDE, "height": _SIDE, "samples": 1 + wish.number % 2}
    body = {"key": key, "prompt": wish.prompt, "model_id": "flux", **size}
    return "api/v6/images/text2img", body, {}


_REQUESTS: dict[str, Callable[[Wish, str], _Request]] = {
    "doitong": _doitong,
    "dashscope": _dashscope,
    "modelslab": _modelslab,
}
