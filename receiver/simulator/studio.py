"""Where generations live: taken in, drawn, kept, and told to whoever asked to be told."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from string import ascii_lowercase, digits
from typing import Any

from receiver.simulator.cdn import Cdn
from receiver.simulator.clock import now
from receiver.simulator.deliveries import attempts
from receiver.simulator.generations import (
    Generation,
    Submission,
    generation_error,
    reported,
    webhook_body,
)
from receiver.simulator.links import Links
from receiver.simulator.pictures import draw
from receiver.simulator.premises import Premises
from receiver.simulator.reports import WebhookAttempt
from receiver.simulator.webhooks import headers


class Studio:
    """Every generation of one Doitong, from the submission to the last webhook attempt."""

    def __init__(
        self, premises: Premises, *, secret: bytes, links: Links, cdn: Cdn, account: str
    ) -> None:
        self._premises = premises
        self._pace = premises.pace
        self._secret = secret
        self._links = links
        self._cdn = cdn
        self._account = account
        self._generations: dict[str, Generation] = {}
        self._ids_by_idempotency_key: dict[str, str] = {}

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
        self._premises.work.begin(self._produce(generation))
        return generation

    def find(self, generation_id: str) -> Generation | None:
        """The generation as it stands now."""
        return self._generations.get(generation_id)

    def report(self) -> list[dict[str, Any]]:
        """What truly happened to each generation, oldest first."""
        return [
            reported(generation, account=self._account) for generation in self._generations.values()
        ]

    def _new_id(self) -> str:
        while True:
            generation_id = "".join(
                self._premises.randomness.choices(ascii_lowercase + digits, k=9)
            )
            if generation_id not in self._generations:
                return generation_id

    async def _produce(self, submitted: Generation) -> None:
        await asyncio.sleep(self._pace.drawing_seconds)
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
        life_seconds = -60 if dead else self._pace.link_life_seconds
        expires_at = completed_at + timedelta(seconds=life_seconds)
        kept = self._cdn.keep(f"{submitted.id}.jpg", picture, submitted.faults)
        query = self._links.query(kept.path, expires=int(expires_at.timestamp()))
        return submitted.completed(kept=kept, url=self._cdn.url(kept, query), at=completed_at)

    async def _tell(self, url: str, submitted: Generation, finished: Generation) -> None:
        faults = finished.faults
        if "late" in faults:
            await asyncio.sleep(self._pace.late_seconds)
        # Not a suffix of zero bytes or the like, which HMAC's own padding would undo.
        secret = b"not " + self._secret if "wrong_secret" in faults else self._secret
        tellings = [finished] * (2 if "twice" in faults else 1)
        if "out_of_order" in faults:
            tellings.append(submitted)
        for telling in tellings:
            body = webhook_body(telling)
            session = self._premises.session
            async for answer in attempts(session, url, body, headers(secret, body)):
                self._note(finished.id, WebhookAttempt(says=telling.status, answered=answer))

    def _note(self, generation_id: str, attempt: WebhookAttempt) -> None:
        generation = self._generations[generation_id]
        noted = (*generation.webhook_attempts, attempt)
        self._generations[generation_id] = replace(generation, webhook_attempts=noted)
