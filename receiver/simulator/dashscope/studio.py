"""Where tasks live: taken in, drawn slot by slot, kept, forgotten, and told to EventBridge."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

from receiver.simulator.cdn import Cdn, Kept
from receiver.simulator.clock import now
from receiver.simulator.dashscope.eventbridge import EventBridge
from receiver.simulator.dashscope.links import OssLinks
from receiver.simulator.dashscope.submissions import Submission
from receiver.simulator.dashscope.tasks import Drawn, Failure, Task, slot_failure, task_failure
from receiver.simulator.pictures import draw
from receiver.simulator.premises import Premises
from receiver.simulator.reports import report_row


class Studio:
    """Every task of one DashScope, from the submission to the last event."""

    def __init__(
        self, premises: Premises, *, links: OssLinks, cdn: Cdn, events: EventBridge | None
    ) -> None:
        self._premises = premises
        self._pace = premises.pace
        self._links = links
        self._cdn = cdn
        self._events = events
        self._tasks: dict[str, Task] = {}

    def submit(self, account: str, submission: Submission, faults: frozenset[str]) -> Task:
        """Take one submission in and start on it."""
        chance = self._premises.randomness
        task = Task(
            task_id=self._new_id(),
            request_id=self._new_id(),
            account=account,
            submission=submission,
            seed=chance.randrange(2**31) if submission.seed is None else submission.seed,
            faults=faults,
            submitted_at=now(),
        )
        self._tasks[task.task_id] = task
        self._premises.work.begin(self._produce(task))
        return task

    def find(self, account: str, task_id: str) -> Task | None:
        """The task as it stands, if it is this account's and not forgotten."""
        task = self._tasks.get(task_id)
        return task if task and task.account == account and self._remembers(task) else None

    def tasks_of(self, account: str) -> list[Task]:
        """What this account has, oldest first."""
        tasks = self._tasks.values()
        return [task for task in tasks if task.account == account and self._remembers(task)]

    def cancel(self, task: Task) -> None:
        """End a task that is PENDING."""
        task.status, task.ended_at = "CANCELED", now()
        task.canceled.set()

    def refresh(self, task: Task) -> None:
        """Give fresh links and let the earlier ones die."""
        for index, slot in enumerate(task.slots):
            if isinstance(slot, Drawn):
                self._cdn.move(slot.kept, f"{task.task_id}-{index + 1}-{task.queries}.png")
                task.slots[index] = Drawn(slot.kept, self._link(slot.kept))

    def report(self) -> list[dict[str, Any]]:
        """What truly happened to each task, oldest first."""
        return [_reported(task) for task in self._tasks.values()]

    def _new_id(self) -> str:
        return str(UUID(int=self._premises.randomness.getrandbits(128), version=4))

    def _remembers(self, task: Task) -> bool:
        if task.ended_at is None:
            return True
        purged = "purged" in task.faults
        life_seconds = self._pace.purge_seconds if purged else self._pace.task_life_seconds
        return now() < task.ended_at + timedelta(seconds=life_seconds)

    async def _produce(self, task: Task) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(task.canceled.wait(), self._pace.drawing_seconds / 2)
            return
        task.status, task.scheduled_at = "RUNNING", now()
        if "stuck" in task.faults:
            return
        await asyncio.sleep(self._pace.drawing_seconds / 2)
        failure = task_failure(task.submission, task.faults)
        if failure is None:
            for index in range(task.submission.n):
                task.slots.append(await self._slot(task, index))
        task.end(now(), failure)
        if self._events is not None:
            await self._events.tell(task)

    async def _slot(self, task: Task, index: int) -> Drawn | Failure:
        asked = task.submission
        failure = slot_failure(index, asked.n, task.faults)
        if failure is not None:
            return failure
        picture = await asyncio.to_thread(draw, asked.prompt, *asked.size, task.seed + index)
        kept = self._cdn.keep(f"{task.task_id}-{index + 1}.png", picture, task.faults)
        return Drawn(kept, self._link(kept))

    def _link(self, kept: Kept) -> str:
        life_seconds = -60 if "dead_link" in kept.faults else self._pace.link_life_seconds
        expires = int(now().timestamp() + life_seconds)
        return self._cdn.url(kept, self._links.query(kept.path, expires=expires))


def _reported(task: Task) -> dict[str, Any]:
    slots = [slot.kept if isinstance(slot, Drawn) else None for slot in task.slots]
    return report_row(
        provider="dashscope",
        id=task.task_id,
        account=task.account,
        prompt=task.submission.prompt,
        faults=task.faults,
        state=task.status,
        pictures=slots + [None] * (task.submission.n - len(slots)),
        webhook_attempts=task.webhook_attempts,
    )
