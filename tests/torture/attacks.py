"""What strangers do to a service, and what it does about each; in any dose."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field

from tests.receiver.hostile_bodies import bombs, hostile_bodies
from tests.receiver.hostile_wires import SMUGGLED, hostile_wires
from tests.receiver.wire import ask, forged, head, length, signature, webhook
from tests.service import SECRET
from tests.torture.besieged import (
    Siege,
    all_closed,
    held_open,
    may_open,
    spoken,
    token_path,
    what_was_heard,
)

LISTENERS = ("public", "private", "gateway")
# A gateway says so of a provider that cannot be reached with what it was given.
_FAULTS = {status for status in range(500, 600) if status not in (502, 503)}
_PAUSE_SECONDS = 0.02
# Each request has two, one for its head or body and one for its end; and a machine may be busy.
PATIENCES = 10
# The gateway waits two minutes for a body of whoever may use it, as that may be large.
_WAITED_FOR = {
    "chunks cut short",
    "a body cut short",
    "an expectation, and no body",
    "a body without end",
}
# Most connections stay until patience ends.
_AT_ONCE = 200


@dataclass(kw_only=True, slots=True)
class Outcome:
    """How it went: what was sent, every promise that was broken, and facts for who reads them."""

    dose: str
    sent: int = 0
    slowest_seconds: float = 0.0
    broken: list[str] = field(default_factory=list)
    facts: dict[str, object] = field(default_factory=dict)


async def broken_http(siege: Siege) -> Outcome:
    """All that is no HTTP, or two things at once, to each listener; and good ones between."""
    outcome, answers = Outcome(dose="to all three listeners"), Counter[int]()

    async def say(listener: str, what: str, wire: bytes) -> None:
        outcome.sent += 1
        try:
            statuses = await spoken(siege.port(listener), wire)
        except TimeoutError:
            outcome.broken.append(f"{listener}: {what}: the connection stays open")
            return
        answers.update(statuses)
        if faults := _FAULTS.intersection(statuses):
            outcome.broken.append(f"{listener}: {what}: {faults}")

    wires = [
        (listener, what, wire)
        for listener in LISTENERS
        for what, wire in hostile_wires(siege.good(listener), secret=SECRET).items()
        if listener != "gateway" or what not in _WAITED_FOR
    ]
    for start in range(0, len(wires), _AT_ONCE):
        lot = wires[start : start + _AT_ONCE]
        await asyncio.gather(*(say(*one) for one in lot))
        for listener in LISTENERS:
            if not await siege.takes(listener):
                outcome.broken.append(f"{listener}: after {lot}: nothing is taken")
    if SMUGGLED in what_was_heard(siege.folder):
        outcome.broken.append("a request was smuggled")
    outcome.facts["answers"] = dict(sorted(answers.items()))
    return outcome


async def hostile_content(siege: Siege, bomb_bytes: int) -> Outcome:
    """Bodies and bombs, all authentic: by webhooks, by the API, and as a provider's answers."""
    outcome = Outcome(dose="bodies and bombs, as webhooks, requests and providers' answers")
    for number, (what, body) in enumerate(hostile_bodies("hostile").items()):
        told = webhook(body, secret=SECRET)
        path = f"/api/v1/generations/dashscope/h{number}".encode()
        question = f"/gateway/dashscope/api/v1/tasks/h{number}".encode()
        wires = {
            "public": [told, forged(body, path=token_path(number))],
            "private": [head(length(body), method=b"PUT", path=path) + body],
            "gateway": [head(length(body), path=question) + body],
        }
        for listener, wires_there in wires.items():
            for wire in wires_there:
                await _told(siege, outcome, listener, what, wire)
    for what, (encoding, body) in bombs(bomb_bytes).items():
        packed = (b"Content-Encoding", encoding)
        await _told(siege, outcome, "public", what, webhook(body, packed, secret=SECRET))
        await _told(siege, outcome, "public", what, forged(body, packed, path=token_path(1)))
        bomb = head(length(body), packed, path=b"/gateway/dashscope/api/v1/tasks/b") + body
        await _told(siege, outcome, "gateway", what, bomb)
    await siege.absorbed()
    return outcome


async def _told(siege: Siege, outcome: Outcome, listener: str, what: str, wire: bytes) -> None:
    outcome.sent += 1
    status = (await ask(siege.port(listener), wire)).status
    if status >= 500 or (listener == "public" and status not in (200, 202)):
        outcome.broken.append(f"{listener}: {what}: {status}")


async def slowness(siege: Siege, each: int) -> Outcome:
    """Headers and bodies that stop or drip: so many of each to each listener, closed in time."""
    outcome = Outcome(dose="that stop or drip in head or body, to all three listeners")
    await asyncio.gather(*(_slowness(siege, outcome, listener, each) for listener in LISTENERS))
    return outcome


async def _slowness(siege: Siege, outcome: Outcome, listener: str, each: int) -> None:
    good = siege.good(listener)
    half = good.headed()[:-2]
    body = [good.headed((b"Content-Length", b"100")) + b"x"] if listener != "gateway" else []
    said = [words for words in (b"", half[:9], half, half + b"X-A: ", *body) for _ in range(each)]
    drips = [_drip(siege, listener, words) for words in (half, *body)]
    async with held_open(siege.port(listener), said) as readers:
        seconds = PATIENCES * siege.patience_seconds
        closed, *dripped = await asyncio.gather(all_closed(readers, seconds), *drips)
    outcome.sent += len(said) + len(drips)
    if closed < len(readers) or not all(dripped):
        outcome.broken.append(f"{listener}: {len(readers) - closed} and drips {dripped} stay open")


async def _drip(siege: Siege, listener: str, beginning: bytes) -> int:
    """A byte now and then buys no time: 1 if it was closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", siege.port(listener))
    writer.write(beginning)
    seconds = PATIENCES * siege.patience_seconds
    closing = asyncio.create_task(all_closed([reader], seconds))
    while not closing.done():
        with suppress(ConnectionError):
            writer.write(b"x")
        await asyncio.sleep(_PAUSE_SECONDS)
    writer.close()
    return await closing


async def idlers(siege: Siege, connections: int) -> Outcome:
    """So many connections that say nothing; webhooks come all the while, each answered at once."""
    sent = min(connections, may_open(connections + 500) - 300)
    outcome = Outcome(dose="connections that say nothing, where 1,000 may be", sent=sent)
    waits: list[float | None] = []
    stop = asyncio.Event()

    async def webhooks() -> None:
        while not stop.is_set():
            waits.append(await siege.webhook_seconds())
            await asyncio.sleep(_PAUSE_SECONDS)

    coming = asyncio.create_task(webhooks())
    async with held_open(siege.port("public"), [b""] * outcome.sent) as readers:
        waits += [await siege.webhook_seconds() for _ in range(10)]
        closed = await all_closed(readers, PATIENCES * siege.patience_seconds)
    stop.set()
    await coming
    answered = [seconds for seconds in waits if seconds is not None]
    outcome.facts = {
        "webhooks": len(waits),
        "answered": len(answered),
        "closed": closed,
    }
    outcome.slowest_seconds = max(answered, default=99.0)
    outcome.facts["slowest, s"] = round(outcome.slowest_seconds, 2)
    if closed < len(readers):
        outcome.broken.append(f"{len(readers) - closed} idle connections stay open")
    if len(answered) < len(waits):
        outcome.broken.append(f"{len(waits) - len(answered)} webhooks were not taken at once")
    return outcome


async def unfinished_bodies(siege: Siege, senders: int) -> Outcome:
    """So many bodies of a MiB that lack their last bytes; a webhook comes all the same."""
    most = (1 << 20) - 1000
    said = head((b"Content-Length", b"%d" % (1 << 20)), signature(b"x")) + bytes(most)
    async with held_open(siege.port("public"), [said] * senders) as readers:
        wait = await siege.webhook_seconds()
        closed = await all_closed(readers, PATIENCES * siege.patience_seconds)
    outcome = Outcome(dose="bodies of a MiB that lack their end", sent=senders)
    if wait is None:
        outcome.broken.append("a webhook is not taken meanwhile")
    if closed < len(readers):
        outcome.broken.append(f"{len(readers) - closed} stay open")
    outcome.slowest_seconds = wait or 0.0
    return outcome
