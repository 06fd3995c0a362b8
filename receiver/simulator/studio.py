"""Where generations live: taken in, drawn, kept, and told to whoever asked to be told."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from random import Random
from string import ascii_lowercase, digits
from typing import Any

import aiohttp

from receiver.simulator.clock import now
from receiver.simulator.faults import generation_error
from receiver.simulator.generations import (
    Generation,
    Submission,
    WebhookAttempt,
    reported,
    webhook_body,
)
from receiver.simulator.links import Links
from receiver.simulator.pictures import draw
from receiver.simulator.webhooks import attempts


class Studio:
    """Every generation of one simulator, from the submission to the last webhook attempt."""

    def __init__(
        self,
        *,
        base_url: str,
        secret: bytes,
        session: aiohttp.ClientSession,
        links: Links,
        randomness: Random,
        drawing_seconds: float,
        late_seconds: float,
        link_life_seconds: float,
    ) -> None:
        self._base_url = base_url
        self._secret = secret
        self._session = session
        self._links = links
        self._randomness = randomness
        self._drawing_seconds = drawing_seconds
        self._late_seconds = late_seconds
        self._link_life = timedelta(seconds=link_life_seconds)
        self._generations: dict[str, Generation] = {}
        self._ids_by_idempotency_key: dict[str, str] = {}
        self._work: set[asyncio.Task[None]] = set()

    def submit(
        self, submission: Submission, faults: frozenset[str], idempotency_key: str | None = None
    ) -> Generation:
        """Take one submission in and start on it.

        An idempotency key that was heard before gets the generation it got then.
        """
        known = self._ids_by_idempotency_key.get(idempotency_key or "")
        if known is not None:
            return self._generations[known]
        generation = Generation(
            id=self._new_id(), submission=submission, faults=faults, created_at=now()
        )
        self._generations[generation.id] = generation
        if idempotency_key:
            self._ids_by_idempotency_key[idempotency_key] = generation.id
        task = asyncio.create_task(self._produce(generation))
        self._work.add(task)
        task.add_done_callback(self._work.discard)
        return generation

    def find(self, generation_id: str) -> Generation | None:
        """The generation as it stands now."""
        return self._generations.get(generation_id)

    def count_download(self, generation_id: str) -> None:
        """Remember that the CDN served a whole body for this generation."""
        generation = self._generations[generation_id]
        self._generations[generation_id] = replace(generation, downloads=generation.downloads + 1)

    def report(self) -> list[dict[str, Any]]:
        """What truly happened to each generation, oldest first."""
        return [reported(generation) for generation in self._generations.values()]

    async def idle(self) -> None:
        """Return once every picture is drawn and every webhook is delivered or given up."""
        while unfinished := [task for task in self._work if not task.done()]:
            await asyncio.wait(unfinished)

    async def close(self) -> None:
        """Drop what is unfinished."""
        work = list(self._work)
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)

    def _new_id(self) -> str:
        while True:
            generation_id = "".join(self._randomness.choices(ascii_lowercase + digits, k=9))
            if generation_id not in self._generations:
                return generation_id

    async def _produce(self, submitted: Generation) -> None:
        await asyncio.sleep(self._drawing_seconds)
        asked = submitted.submission
        error = generation_error(submitted.faults)
        if error is not None:
            finished = submitted.failed(error=error, at=now())
        else:
            picture = await asyncio.to_thread(draw, asked.prompt, asked.width, asked.height)
            finished = self._completed(submitted, picture)
        self._generations[finished.id] = finished
        if asked.webhook_url is not None and "never" not in finished.faults:
            await self._tell(asked.webhook_url, submitted, finished)

    def _completed(self, submitted: Generation, picture: bytes) -> Generation:
        completed_at = now()
        dead = "dead_link" in submitted.faults
        expires_at = completed_at - timedelta(minutes=1) if dead else completed_at + self._link_life
        path = f"/outputs/{submitted.id}.jpg"
        query = self._links.query(path, expires=int(expires_at.timestamp()))
        url = f"{self._base_url}{path}?{query}"
        return submitted.completed(picture=picture, url=url, at=completed_at)

    async def _tell(self, url: str, submitted: Generation, finished: Generation) -> None:
        faults = finished.faults
        if "late" in faults:
            await asyncio.sleep(self._late_seconds)
        # Not a suffix of zero bytes or the like, which HMAC's own padding would undo.
        secret = b"not " + self._secret if "wrong_secret" in faults else self._secret
        tellings = [finished] * (2 if "twice" in faults else 1)
        if "out_of_order" in faults:
            tellings.append(submitted)
        for telling in tellings:
            async for answer in attempts(self._session, url, webhook_body(telling), secret):
                self._note(finished.id, WebhookAttempt(says=telling.status, answered=answer))

    def _note(self, generation_id: str, attempt: WebhookAttempt) -> None:
        generation = self._generations[generation_id]
        noted = (*generation.webhook_attempts, attempt)
        self._generations[generation_id] = replace(generation, webhook_attempts=noted)
