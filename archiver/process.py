"""What every role's process does the same: take its orders, say when it is ready, end in order."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import ModuleType
from typing import TypeVar

import msgspec

from archiver import clock, log
from archiver.errors import ConfigError, HoldfastError
from archiver.metrics import ROLE_SEEN

loops: ModuleType
try:
    import uvloop

    loops = uvloop
except ImportError:  # no wheel for this platform: asyncio's own loop does the same, slower
    loops = asyncio

# sysexits.h: the configuration is wrong, so starting the role again would not help.
EXIT_CONFIG = 78
READY = b"ready\n"

# How long requests and jobs under way may take once a role is told to stop.
DRAIN_SECONDS = 20.0

# More connections than anybody permits, and no more than a loop over all of them can bear.
_FILES = 65536

# How often a process tells the metrics that it is not stuck.
_SEEN_SECONDS = 5.0

Orders = TypeVar("Orders")


class _Config(msgspec.Struct):
    log: log.Style = log.Style()


class _Orders(msgspec.Struct):
    """What every role's orders say alike, whatever else its wing knows of the configuration."""

    config: _Config


def main(
    role: str,
    kind: type[Orders],
    run: Callable[[Orders, asyncio.Event, Callable[[], None]], Awaitable[None]],
) -> None:
    """Runs a role until it is told to stop: by SIGTERM, or by the end of its parent.

    Its orders are a line of JSON on stdin, decoded as `kind`. `run(orders, stop, ready)` serves
    until `stop` is set; it calls `ready` once it does. A parent that ends while the role is
    stopping was told twice, so the role ends at once.
    """
    line = sys.stdin.buffer.readline()
    log.configure(role, msgspec.json.decode(line, type=_Orders).config.log)
    status = 0
    _may_open_many()
    gc.freeze()  # what was imported lives as long as the process, so nobody need look at it again
    orders = msgspec.json.decode(line, type=kind)
    try:
        with asyncio.Runner(loop_factory=loops.new_event_loop) as runner:
            runner.run(_until_told(role, run, orders))
    except* ConfigError as group:
        log.logger().error("the role cannot start", error=_sentences(group))
        status = EXIT_CONFIG
    except* HoldfastError as group:
        log.logger().error("the role ended", error=_sentences(group))
        status = 1
    except* Exception as group:
        log.logger().error("the role ended by a fault of ours", exc_info=group)
        status = 1
    sys.exit(status)


def _may_open_many() -> None:
    """Raises the usual limit of 1024 files, for every connection is one, as far as is permitted."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):  # a kernel may have a limit of its own
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def stop_on_signals(stop: asyncio.Event) -> None:
    """For whoever has no parent: SIGTERM and Ctrl-C stop in order, the second one at once."""

    def told() -> None:
        if stop.is_set():
            os._exit(1)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told)


def _sentences(group: BaseExceptionGroup[HoldfastError]) -> str:
    """What the errors say that tasks of the role have raised, alone or together."""
    return "; ".join(
        _sentences(error) if isinstance(error, BaseExceptionGroup) else str(error)
        for error in group.exceptions
    )


async def _until_told(
    role: str,
    run: Callable[[Orders, asyncio.Event, Callable[[], None]], Awaitable[None]],
    orders: Orders,
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def parent_gone() -> None:
        loop.remove_reader(sys.stdin.fileno())
        if stop.is_set():
            os._exit(1)
        stop.set()

    # Once or often: a service manager may tell every process, and then our parent tells us too.
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGINT, stop.set)
    # The parent never writes a second line; what becomes readable is its end.
    loop.add_reader(sys.stdin.fileno(), parent_gone)
    seen = asyncio.create_task(_tell_seen(role))
    try:
        await run(orders, stop, _say_ready)
    finally:
        seen.cancel()
    log.logger().info("stopped")


async def _tell_seen(role: str) -> None:
    while True:
        ROLE_SEEN.labels(role).set(clock.now().timestamp())
        await asyncio.sleep(_SEEN_SECONDS)


def _say_ready() -> None:
    sys.stdout.buffer.write(READY)
    sys.stdout.buffer.flush()
    log.logger().info("ready")


def worker_name() -> str:
    """Who holds the leases of this process."""
    return f"{socket.gethostname()}:{os.getpid()}"
