"""What the demo shows: a dozen prompts are submitted, and what becomes of each is watched."""

from __future__ import annotations

import asyncio
import shlex
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from archiver import clock
from archiver.errors import HoldfastError
from archiver.models import SlotState
from receiver.commands.demo_cases import Case
from receiver.commands.output import STATE_STYLES, console, one_line, table
from receiver.settings import Config
from receiver.simulator import Simulator

# Longer than any of the faults takes, and a drawing; a demo that needs more has failed.
PATIENCE_SECONDS = 120.0
LOOK_SECONDS = 0.1

Slot = Mapping[str, Any]


class DemoFailedError(HoldfastError):
    """A generation of the demo did not end as it should have."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Show:
    """One demo; `service` are the tasks without which nothing more will happen."""

    simulator: Simulator
    config: Config
    folder: Path
    cases: tuple[Case, ...]
    service: Collection[asyncio.Task[None]]

    @property
    def private(self) -> str:
        """The private listener's address."""
        return f"http://{self.config.listen.private}"

    async def run(self, *, afterword: str, once: bool) -> None:
        """From the first prompt to the last word; raises DemoFailedError."""
        out = console()
        out.print("A simulated Doitong is given a dozen prompts; its webhooks come to holdfast.\n")
        async with aiohttp.ClientSession() as session:
            submitted = {await self._submit(session, case): case for case in self.cases}
            slots = await self._watch(session, submitted)
            _print_outcomes(submitted, slots)
            out.print(afterword, soft_wrap=True)
            async with session.get(f"{self.private}/api/v1/assets", params={"q": "neon"}) as answer:
                found = (await answer.json())["hits"]
            words = [f"  {hit['number']}  {hit['prompt']}" for hit in found]
            out.print("\nsearching the archive for 'neon' finds", *words, sep="\n")
        wrong = [
            one_line(case.prompt, width=40)
            for generation_id, case in submitted.items()
            if not _as_it_should(case, slots.get(generation_id, {}))
        ]
        if wrong:
            log = self.folder / "holdfast.log"
            raise DemoFailedError(f"not all ended as they should: {'; '.join(wrong)} (see {log})")
        if not once:
            self._print_next(out, next(iter(submitted)), found)

    async def _submit(self, session: aiohttp.ClientSession, case: Case) -> str:
        """Submits to the provider as any client would, then tells holdfast what was asked for."""
        request = case.request(f"http://{self.config.listen.public}/webhooks/doitong")
        headers = {"Authorization": "Bearer practice", "X-Simulate": case.faults}
        url = f"{self.simulator.base_url}/graphql"
        async with session.post(url, json=request, headers=headers) as answer:
            answer.raise_for_status()
            generation_id: str = (await answer.json())["data"]["generate"]["id"]
        url = f"{self.private}/api/v1/generations/doitong/{generation_id}"
        async with session.put(url, json=request) as answer:
            answer.raise_for_status()
        return generation_id

    async def _watch(
        self, session: aiohttp.ClientSession, submitted: Mapping[str, Case]
    ) -> dict[str, Slot]:
        """Looks until every generation has ended as it should, or patience has."""
        slots: dict[str, Slot] = {}
        gives_up_at = clock.monotonic() + PATIENCE_SECONDS
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, TimeElapsedColumn(), console=console()) as progress:
            task = progress.add_task("webhooks", total=len(submitted))
            while clock.monotonic() < gives_up_at:
                for generation_id in submitted:
                    slots[generation_id] = await self._slot(session, generation_id)
                ended = sum(_as_it_should(case, slots[it]) for it, case in submitted.items())
                states = [slot.get("state", "unheard") for slot in slots.values()]
                counts = {state: states.count(state) for state in sorted(set(states))}
                said = ", ".join(f"{count} {state}" for state, count in counts.items())
                progress.update(task, completed=ended, description=said)
                if ended == len(submitted) and _all_answered(self.simulator):
                    break
                if any(needed.done() for needed in self.service):
                    break
                await asyncio.sleep(LOOK_SECONDS)
        return slots

    async def _slot(self, session: aiohttp.ClientSession, generation_id: str) -> Slot:
        url = f"{self.private}/api/v1/generations/doitong/{generation_id}"
        async with session.get(url) as answer:
            if answer.status != 200:
                return {}
            story = await answer.json()
            slot: Slot = story["slots"][0]
            return slot

    def _print_next(self, out: Any, generation_id: str, found: list[dict[str, Any]]) -> None:
        program, folder = shlex.quote(_short(Path(sys.argv[0]))), _short(self.folder)
        holdfast = f"{program} --config {folder}/holdfast.toml"
        number = found[0]["number"] if found else 1
        lines = (
            "\nholdfast goes on running; Ctrl-C stops it. Try next:",
            f"  {self.private}/    the gallery",
            f"  {self.private}/api/v1/assets/{number}/content    a picture, from the archive",
            f"  {self.private}/api/v1/assets?q=neon    the search",
            f"  {self.private}/metrics",
            "and from another terminal, in this folder:",
            f"  {holdfast} show doitong/{generation_id}",
            f"  {holdfast} search lighthouse",
            f"  {holdfast} status",
        )
        out.print(*lines, sep="\n", soft_wrap=True)


def _all_answered(simulator: Simulator) -> bool:
    """Whether every webhook was answered as it should: a forged one 401, any other 2xx."""
    return all(
        told["webhook_attempts"]
        and all(
            attempt["answered"] in ((401,) if "wrong_secret" in told["faults"] else (200, 202))
            for attempt in told["webhook_attempts"]
        )
        for told in simulator.report()
    )


def _as_it_should(case: Case, slot: Slot) -> bool:
    return bool(slot.get("state") == case.ends.value)


def _print_outcomes(submitted: Mapping[str, Case], slots: Mapping[str, Slot]) -> None:
    listing = table("prompt", "what the provider did", "ended", "because")
    for generation_id, case in submitted.items():
        slot = slots.get(generation_id, {})
        state, reason = slot.get("state", "unheard"), slot.get("reason", "")
        if case.ends is SlotState.EXPECTED:
            reason = "the forged webhook was answered 401 and quarantined; " + reason
        listing.add_row(
            one_line(case.prompt, width=34),
            case.story,
            state,
            reason,
            style=STATE_STYLES.get(state),
        )
    console().print(listing)


def _short(path: Path) -> str:
    """A path as it would be typed from here."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
