"""Where ModelsLab's generations live: taken in, drawn, kept, and told to who asked to be told."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from datetime import timedelta
from io import BytesIO
from typing import Any
from uuid import UUID

from PIL import Image

from receiver.simulator.cdn import Cdn, Kept
from receiver.simulator.clock import now
from receiver.simulator.deliveries import post
from receiver.simulator.links import OpenGate
from receiver.simulator.modelslab.answers import to_bytes, webhook
from receiver.simulator.modelslab.forms import Submission
from receiver.simulator.modelslab.generations import Generation
from receiver.simulator.pictures import draw
from receiver.simulator.premises import Premises
from receiver.simulator.reports import WebhookAttempt, report_row

PREFIX = "/modelslab/"
FORGED_HOST = "https://forged.invalid"  # reserved by RFC 2606: it is nobody's
_HEADERS = {"Content-Type": "application/json", "User-Agent": "ModelsLab-Practice/1"}


class Studio:
    """Every generation of ModelsLab, from the submission to the one webhook attempt."""

    def __init__(self, premises: Premises) -> None:
        self._premises = premises
        self._generations: dict[str, Generation] = {}
        self.cdn = Cdn(
            PREFIX,
            OpenGate(),
            base_url=premises.base_url,
            slow_link_seconds=premises.pace.slow_link_seconds,
        )

    async def submit(
        self, steps: tuple[str, ...], account: str, submission: Submission, faults: frozenset[str]
    ) -> Generation:
        """Take one submission in; under `instant` it has ended when this returns."""
        chance = self._premises.randomness
        seed = chance.randrange(2**32) if submission.seed is None else submission.seed
        generation = Generation(
            id=self._new_id(),
            account=account,
            steps=steps,
            submission=submission,
            faults=faults,
            seed=seed,
            file_prefix=str(UUID(bytes=chance.randbytes(16), version=4)),
            created_at=now(),
        )
        self._generations[str(generation.id)] = generation
        if "stuck" in faults:
            return generation
        if "instant" in faults:
            await self._finish(generation)
            self._premises.work.begin(self._tell(generation))
        else:
            self._premises.work.begin(self._produce(generation))
        return generation

    def find(self, generation_id: str, account: str) -> Generation | None:
        """The account's generation of this id, unless it is forgotten."""
        generation = self._generations.get(generation_id)
        if generation is None or generation.account != account:
            return None
        if "purged" in generation.faults and generation.ended_at is not None:
            life = timedelta(seconds=self._premises.pace.purge_seconds)
            return None if now() >= generation.ended_at + life else generation
        return generation

    def output(self, generation: Generation) -> list[str]:
        """What `output` says: a link for each slot, or the picture itself, or nothing."""
        if "inline" in generation.faults:
            return [kept.picture.decode() if kept else "" for kept in generation.pictures]
        return [self.cdn.url(kept) if kept else "" for kept in generation.pictures]

    def future_links(self, generation: Generation) -> list[str]:
        """The links that its pictures will have."""
        return [
            f"{self._premises.base_url}{PREFIX}{_name(generation, slot)}"
            for slot in generation.slots
        ]

    def refresh(self, generation: Generation) -> None:
        """Give its pictures new links, so that those given before are dead."""
        for slot, kept in enumerate(generation.pictures):
            if kept is not None:
                self.cdn.move(kept, _name(generation, slot, again=generation.queries))

    def eta_seconds(self, generation: Generation) -> float:
        """How long it will take from now, as far as anybody knows."""
        elapsed_seconds = (now() - generation.created_at).total_seconds()
        return max(0.1, self._premises.pace.drawing_seconds - elapsed_seconds)

    def report(self) -> list[dict[str, Any]]:
        """What truly happened to each generation, oldest first."""
        return [
            report_row(
                provider="modelslab",
                id=str(generation.id),
                account=generation.account,
                prompt=generation.submission.prompt,
                faults=generation.faults,
                state=generation.state,
                pictures=generation.true_pictures(),
                webhook_attempts=generation.webhook_attempts,
            )
            for generation in self._generations.values()
        ]

    def _new_id(self) -> int:
        while True:
            generation_id = self._premises.randomness.randrange(10**8, 10**9)
            if str(generation_id) not in self._generations:
                return generation_id

    async def _produce(self, generation: Generation) -> None:
        await asyncio.sleep(self._premises.pace.drawing_seconds)
        await self._finish(generation)
        await self._tell(generation)

    async def _finish(self, generation: Generation) -> None:
        pictures = [await self._drawn(generation, slot) for slot in generation.slots]
        if any(pictures):
            generation.pictures = pictures
        generation.state = "success" if any(pictures) else "failed"
        generation.ended_at = now()

    async def _drawn(self, generation: Generation, slot: int) -> Kept | None:
        if slot in generation.lost_slots:
            return None
        picture = await asyncio.to_thread(_picture, generation, slot)
        if generation.in_base64:
            picture = b64encode(picture)
        is_dead = "dead_link" in generation.faults
        life_seconds = -60 if is_dead else self._premises.pace.link_life_seconds
        gone_at = now() + timedelta(seconds=life_seconds)
        return self.cdn.keep(_name(generation, slot), picture, generation.faults, gone_at=gone_at)

    async def _tell(self, generation: Generation) -> None:
        url, faults = generation.submission.webhook_url, generation.faults
        if url is None or "never" in faults:
            return
        if "late" in faults:
            await asyncio.sleep(self._premises.pace.late_seconds)
        output = self.output(generation)
        if "forged_link" in faults:
            output = [f"{FORGED_HOST}/{_name(generation, slot)}" for slot in generation.slots]
        body = to_bytes(webhook(generation, output))
        for _ in range(2 if "twice" in faults else 1):
            answered = await post(self._premises.session, url, body, _HEADERS)
            attempt = WebhookAttempt(says=generation.state, answered=answered)
            generation.webhook_attempts.append(attempt)


def _name(generation: Generation, slot: int, *, again: int = 0) -> str:
    kind = "base64" if generation.in_base64 else "png"
    repeated = f"-{again}" if again else ""
    return f"generations/{generation.file_prefix}-{slot}{repeated}.{kind}"


def _picture(generation: Generation, slot: int) -> bytes:
    asked = generation.submission
    if slot in generation.flagged_slots:
        file = BytesIO()
        Image.new("RGB", (asked.width, asked.height)).save(file, "PNG")
        return file.getvalue()
    return draw(asked.subject, asked.width, asked.height, generation.seed + slot)
