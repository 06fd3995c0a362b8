"""Trials of the listeners: broken HTTP, hostile bodies, slowness, crowds; a plain app beside."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass

from tests.receiver.hostile_bodies import hostile_bodies
from tests.receiver.wire import head, length, signature, webhook
from tests.service import SECRET
from tests.torture import attacks
from tests.torture.attacks import Outcome
from tests.torture.besieged import (
    Siege,
    all_closed,
    besieged,
    held_open,
    may_open,
    spoken,
    status_bytes,
)
from tests.torture.plain_app import Plain, plain_app
from tests.torture.trial import Row, Run

# Short, as a trial has no time to waste; a crowd meets what there is by default.
_HASTY_SECONDS = 0.5
_DEFAULT_SECONDS = 15.0
_MOST_GROWN_BYTES = 192 << 20
_PROMPT_SECONDS = 5.0
_BOMB_BYTES = 256 << 20
_CROWD = 10_000
_SENDERS = 900
_MIB = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Control:
    """What the same attack does to a plain app, and whether that is any harm."""

    said: str
    broke: bool


def receiver(run: Run) -> list[Row]:
    """All of it, with a control for each."""
    return asyncio.run(_all(run, each=200 if run.long else 40))


async def _all(run: Run, each: int) -> list[Row]:
    controls = await _controls(each)
    rows = []
    for name in ("hasty", "patient"):
        (run.folder / name).mkdir()
    async with besieged(run.folder / "hasty", _HASTY_SECONDS) as siege:
        for test, attack in {
            "broken HTTP": attacks.broken_http(siege),
            "signed bodies": attacks.hostile_content(siege, _BOMB_BYTES),
            "slowness": attacks.slowness(siege, each),
            "unfinished": attacks.unfinished_bodies(siege, _SENDERS),
        }.items():
            rows.append(await _row(siege, test, attack, controls[test]))
    async with besieged(run.folder / "patient", _DEFAULT_SECONDS) as siege:
        attack = attacks.idlers(siege, _CROWD)
        rows.append(await _row(siege, "idle crowd", attack, controls["idle crowd"]))
    return rows


async def _row(siege: Siege, test: str, attack: Awaitable[Outcome], control: Control) -> Row:
    before = siege.forget_peaks()
    outcome = await attack
    grown = {role: max(0, peak - before[role]) for role, peak in siege.peaks().items()}
    facts = ", ".join(f"{name} {said}" for name, said in outcome.facts.items())
    shown = ", ".join(f"{role} {size // _MIB}" for role, size in grown.items())
    return Row(
        test=f"receiver: {test}",
        dose=f"{outcome.sent}, {outcome.dose}",
        must="no 500, no traceback, no death, good requests taken meanwhile (a webhook within "
        f"{_PROMPT_SECONDS:.0f} s), no role larger by {_MOST_GROWN_BYTES // _MIB} MiB",
        result="; ".join(
            filter(None, (f"broken: {outcome.broken[:3] or 0}", facts, f"MiB more: {shown}"))
        ),
        kept=not outcome.broken
        and siege.unhurt()
        and max(grown.values()) < _MOST_GROWN_BYTES
        and outcome.slowest_seconds < _PROMPT_SECONDS,
        control=f"a plain app: {control.said}",
        control_broke=control.broke,
    )


async def _controls(each: int) -> dict[str, Control]:
    """An app for each, so that none suffers from what another has met."""
    controls = {}
    for test, attack in {
        "broken HTTP": _broken_http(),
        "signed bodies": _signed_bodies(),
        "slowness": _slowness(each),
        "unfinished": _unfinished(),
        "idle crowd": _idle(),
    }.items():
        controls[test] = await attack
    return controls


async def _broken_http() -> Control:
    """What two proxies on the way would sign differently, and what no signature is."""
    body = b'{"id": "a"}'
    right, wrong = signature(body, SECRET), (b"X-Doitong-Signature", b"sha256=0")
    packed = b"\x1f\x8b" + body
    with plain_app() as plain:
        twice = await _first(plain, head(right, wrong, length(body)) + body)
        beyond = await _first(plain, head((right[0], "é".encode()), length(body)) + body)
        unpacked = webhook(packed, (b"Content-Encoding", b"gzip"), secret=SECRET)
        encoded = await _first(plain, unpacked)
        await _first(plain, b"GARBAGE\r\n\r\n")
    tracebacks = sum("Traceback" in line for line in plain.log)
    return Control(
        said=f"a second signature: {twice}; one beyond ASCII: {beyond}; an encoded body signed as "
        f"it was sent: {encoded}; {tracebacks} tracebacks",
        broke=(twice, beyond) == (202, 500) and encoded != 202 and tracebacks > 0,
    )


async def _signed_bodies() -> Control:
    bodies = hostile_bodies("hostile").values()
    with plain_app() as plain:
        statuses = [await _first(plain, webhook(body, secret=SECRET)) for body in bodies]
    faults = statuses.count(500)
    return Control(said=f"{faults} of {len(statuses)} answered 500", broke=faults > 0)


async def _slowness(each: int) -> Control:
    half = head(length(b"x" * 100))
    with plain_app() as plain:
        async with held_open(plain.port, [half[:30], half + b"x"] * each) as readers:
            closed = await all_closed(readers, attacks.PATIENCES * _HASTY_SECONDS)
    still = len(readers) - closed
    return Control(said=f"{still} of {len(readers)} stay open", broke=still == len(readers))


async def _unfinished() -> Control:
    said = head((b"Content-Length", b"%d" % _MIB)) + bytes(_MIB - 1000)
    with plain_app() as plain:
        before = status_bytes(plain.pid, "VmRSS")
        async with held_open(plain.port, [said] * _SENDERS) as readers:
            closed = await all_closed(readers, attacks.PATIENCES * _HASTY_SECONDS)
            grown = status_bytes(plain.pid, "VmHWM") - before
    return Control(
        said=f"{grown // _MIB} MiB more, {closed} closed", broke=grown > _MOST_GROWN_BYTES
    )


async def _idle() -> Control:
    may_open(_CROWD + 500)
    with plain_app() as plain:
        before = status_bytes(plain.pid, "VmRSS")
        async with held_open(plain.port, [b""] * _CROWD) as readers:
            closed = await all_closed(readers, _DEFAULT_SECONDS)
            grown = status_bytes(plain.pid, "VmHWM") - before
    said = f"{closed} of {len(readers)} closed, {grown // _MIB} MiB more"
    return Control(said=said, broke=closed == 0)


async def _first(plain: Plain, wire: bytes) -> int:
    """The status of the first answer; 0 where there is none."""
    return next(iter(await spoken(plain.port, wire, hang_up=True)), 0)
