"""`holdfast demo`: the whole service beside a simulated provider, and a dozen generations."""

from __future__ import annotations

import asyncio
import shlex
import socket
import sys
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from secrets import token_hex
from typing import Any

import aiohttp
import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from archiver import clock, log
from archiver.errors import ConfigError, HoldfastError
from archiver.models import SlotState
from receiver.commands.demo_cases import CASES, Case
from receiver.commands.output import STATE_STYLES, console, one_line, table
from receiver.config import load
from receiver.roles.supervisor import Supervisor, stop_on_signals, take
from receiver.settings import Config
from receiver.simulator import Simulator

FOLDER = Path("holdfast-data/demo")
# Longer than any of the faults takes; a demo that needs more has failed.
PATIENCE_SECONDS = 60.0
LOOK_SECONDS = 0.1

CONFIG = """\
# The configuration of `holdfast demo`, written anew by each run. A real one is in the README.
[listen]
public = "{public}"
private = "{private}"
[catalog]
url = "sqlite:///{folder}/catalog.db"
[bucket]
url = "{bucket}"
[providers.doitong]
secrets = {{ demo = "{secret}" }}
download_hosts = ["127.0.0.1"]
[egress]
# Only because the simulated provider lives on this machine.
allow_http = true
allow_ports = [{cdn_port}]
allow_cidrs = ["127.0.0.0/8"]
[archive]
patience_seconds = 3
"""


class DemoFailedError(HoldfastError):
    """A generation of the demo did not end as it should have."""


@click.command()
@click.option("--once", is_flag=True, help="End after the table; exit 0 only if all ended well.")
@click.option(
    "--data",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=FOLDER,
    show_default=True,
    help="Where the demo keeps its archive.",
)
def command(once: bool, folder: Path) -> None:
    """Run the service with a simulated provider; watch a dozen webhooks become pictures."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--data {folder} cannot be made: {error.strerror}") from error
    asyncio.run(_demo(folder.absolute(), once=once))


async def _demo(folder: Path, *, once: bool) -> None:
    stop = asyncio.Event()
    stop_on_signals(stop)
    async with AsyncExitStack() as stack:
        stack.enter_context(take(folder, "demo"))
        logs = stack.enter_context((folder / "holdfast.log").open("a"))
        log.configure("supervisor", file=logs)
        secret = token_hex(16)
        simulator = await stack.enter_async_context(
            Simulator(secret.encode(), port=_port(8090), slow_link_seconds=2.0)
        )
        config = _configure(folder, secret, int(simulator.base_url.rpartition(":")[2]))
        supervisor = Supervisor(config, stderr=logs)
        supervisor.bind()
        ready = asyncio.Event()
        service = asyncio.create_task(supervisor.run(stop, ready=ready.set))
        try:
            await _until(ready, service, stop)
            if not stop.is_set():
                showing = asyncio.create_task(_show(simulator, config, folder, service, once=once))
                await _either(showing, stop)
                if not once:
                    await asyncio.wait(
                        [service, asyncio.create_task(stop.wait())],
                        return_when=asyncio.FIRST_COMPLETED,
                    )
        finally:
            stop.set()
            await service


async def _either(showing: asyncio.Task[None], stop: asyncio.Event) -> None:
    """Waits for the show to end, or ends it when told to stop."""
    told = asyncio.create_task(stop.wait())
    await asyncio.wait([showing, told], return_when=asyncio.FIRST_COMPLETED)
    told.cancel()
    if stop.is_set():
        showing.cancel()
    with suppress(asyncio.CancelledError):
        await showing


async def _until(ready: asyncio.Event, service: asyncio.Task[None], stop: asyncio.Event) -> None:
    waits = [asyncio.create_task(event.wait()) for event in (ready, stop)]
    await asyncio.wait([*waits, service], return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()


async def _show(
    simulator: Simulator,
    config: Config,
    folder: Path,
    service: asyncio.Task[None],
    *,
    once: bool,
) -> None:
    out = console()
    out.print("A simulated Doitong is given a dozen prompts; its webhooks come to holdfast.\n")
    private = f"http://{config.listen.private}"
    async with aiohttp.ClientSession() as session:
        ids = [await _submit(session, simulator, config, case) for case in CASES]
        slots = await _watch(session, simulator, private, ids, service)
        _print_outcomes(ids, slots)
        async with session.get(f"{private}/api/v1/assets", params={"q": "neon"}) as answer:
            found = (await answer.json())["hits"]
        words = [f"  {hit['number']}  {hit['prompt']}" for hit in found]
        out.print("\nsearching the archive for 'neon' finds", *words, sep="\n")
    wrong = [
        one_line(case.prompt, width=40) for case in CASES if not _as_it_should(case, ids, slots)
    ]
    if wrong:
        raise DemoFailedError(
            f"not all ended as they should: {'; '.join(wrong)} (see {folder / 'holdfast.log'})"
        )
    if not once:
        _print_next(out, private, folder, ids[0], found)


async def _submit(
    session: aiohttp.ClientSession, simulator: Simulator, config: Config, case: Case
) -> str:
    """Submits to the provider as any client would, then tells holdfast what was asked for."""
    request = case.request(f"http://{config.listen.public}/webhooks/doitong")
    headers = {"Authorization": "Bearer practice", "X-Simulate": case.faults}
    url = f"{simulator.base_url}/graphql"
    async with session.post(url, json=request, headers=headers) as answer:
        answer.raise_for_status()
        generation_id: str = (await answer.json())["data"]["generate"]["id"]
    url = f"http://{config.listen.private}/api/v1/generations/doitong/{generation_id}"
    async with session.put(url, json=request) as answer:
        answer.raise_for_status()
    return generation_id


async def _watch(
    session: aiohttp.ClientSession,
    simulator: Simulator,
    private: str,
    ids: list[str],
    service: asyncio.Task[None],
) -> dict[str, dict[str, Any]]:
    """Looks until every generation has ended as it should, or patience has."""
    slots: dict[str, dict[str, Any]] = {}
    gives_up_at = clock.monotonic() + PATIENCE_SECONDS
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console()) as progress:
        task = progress.add_task("webhooks", total=len(CASES))
        while clock.monotonic() < gives_up_at and not service.done():
            for generation_id in ids:
                slots[generation_id] = await _slot(session, private, generation_id)
            ended = sum(_as_it_should(case, ids, slots) for case in CASES)
            states = [slot.get("state", "unheard") for slot in slots.values()]
            counts = {state: states.count(state) for state in sorted(set(states))}
            said = ", ".join(f"{count} {state}" for state, count in counts.items())
            progress.update(task, completed=ended, description=said)
            if ended == len(CASES) and _all_answered(simulator):
                break
            await asyncio.sleep(LOOK_SECONDS)
    return slots


async def _slot(session: aiohttp.ClientSession, private: str, generation_id: str) -> dict[str, Any]:
    async with session.get(f"{private}/api/v1/generations/doitong/{generation_id}") as answer:
        if answer.status != 200:
            return {}
        story = await answer.json()
        slot: dict[str, Any] = story["slots"][0]
        return slot


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


def _as_it_should(case: Case, ids: list[str], slots: dict[str, dict[str, Any]]) -> bool:
    slot = slots.get(ids[CASES.index(case)], {})
    return bool(slot.get("state") == case.ends.value)


def _print_outcomes(ids: list[str], slots: dict[str, dict[str, Any]]) -> None:
    listing = table("prompt", "what the provider did", "ended", "because")
    for case, generation_id in zip(CASES, ids, strict=True):
        slot = slots[generation_id]
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


def _print_next(
    out: Any, private: str, folder: Path, generation_id: str, found: list[dict[str, Any]]
) -> None:
    holdfast = f"{shlex.quote(_short(Path(sys.argv[0])))} --config {_short(folder)}/holdfast.toml"
    number = found[0]["number"] if found else 1
    lines = (
        "\nholdfast goes on running; Ctrl-C stops it. Try next:",
        f"  {private}/api/v1/assets/{number}/content    a picture, from the archive",
        f"  {private}/api/v1/assets?q=neon    the search",
        f"  {private}/metrics",
        "and from another terminal, in this folder:",
        f"  {holdfast} show doitong/{generation_id}",
        f"  {holdfast} search lighthouse",
        f"  {holdfast} status",
    )
    out.print(*lines, sep="\n", soft_wrap=True)


def _short(path: Path) -> str:
    """A path as it would be typed from here."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _configure(folder: Path, secret: str, cdn_port: int) -> Config:
    """Writes the demo's configuration where the other commands can be pointed to it."""
    text = CONFIG.format(
        public=f"127.0.0.1:{_port(8080)}",
        private=f"127.0.0.1:{_port(8081)}",
        folder=folder,
        bucket=(folder / "bucket").as_uri(),
        secret=secret,
        cdn_port=cdn_port,
    )
    file = folder / "holdfast.toml"
    file.write_text(text)
    return load(file, environ={})


def _port(preferred: int) -> int:
    """The usual port if nobody has it, else any free one."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            bound: int = probe.getsockname()[1]
            return bound
    raise DemoFailedError("no port is free on 127.0.0.1")
