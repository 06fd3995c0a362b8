"""The process that draws: what drawing may do to a process, it does to this one and no other.

`pool` starts it and speaks with it (`messages`). What draws is imported by name and only here, once
the process is prepared for it.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import queue
import resource
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from archiver import log
from archiver.clock import monotonic
from archiver.errors import ConfigError, HoldfastError
from archiver.log import logger
from archiver.redact import redact
from fallback_renderer.credentials import Signer
from fallback_renderer.messages import (
    Drawn,
    Failed,
    FailureKind,
    Finished,
    FromChild,
    Order,
    Progress,
    Ready,
    Setup,
    Unfit,
    from_parent,
    line,
)
from fallback_renderer.provenance import Provenance, parameters_of, stamp

PROGRESS_SECONDS = 0.2

_NICENESS = 10
_PR_SET_PDEATHSIG = 1  # prctl(2)


def main() -> None:
    """Draws one order after the other until the parent says or goes."""
    answers = _take_stdout()
    log.configure("child")
    setup = from_parent.decode(sys.stdin.buffer.readline())
    assert isinstance(setup, Setup)
    _prepare(setup)

    def say(message: FromChild) -> None:
        answers.write(line(message))
        answers.flush()

    try:
        easel = Easel(setup)
    except (ImportError, OSError) as error:
        say(Unfit(reason=f"what draws is not installed: pip install 'holdfast[render]' ({error})"))
        return
    except HoldfastError as error:
        say(Unfit(reason=str(error)))
        return
    say(easel.ready)
    orders = Orders()
    while True:
        order = orders.next()
        say(easel.fulfil(order, _stepping(orders, say)))


class CanceledError(Exception):
    """Raised into the engine, between two steps, to end a drawing."""


class Orders:
    """What the parent orders, heard by a thread of its own, so also while the engine draws."""

    def __init__(self) -> None:
        self.canceled = False
        self._waiting: queue.SimpleQueue[Order] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True, name="orders").start()

    def next(self) -> Order:
        """Waits for the next one."""
        return self._waiting.get()

    def _listen(self) -> None:
        for said in sys.stdin.buffer:
            message = from_parent.decode(said)
            self.canceled = not isinstance(message, Order)
            if isinstance(message, Order):
                self._waiting.put(message)
        os._exit(0)  # the parent has gone, or has no more orders


class Easel:
    """The engine with what belongs to every picture: its provenance and, if asked, a signature."""

    def __init__(self, setup: Setup) -> None:
        render = setup.render
        self._signer = Signer(render.credentials) if render.credentials else None
        # Any: whatever is named by the setup and is like `fallback_renderer.engine`.
        self._module: Any = importlib.import_module(setup.engine)
        self._engine = self._module.Engine(render.engine)

    @property
    def ready(self) -> Ready:
        """What the parent is told once there is an engine."""
        return Ready(device=self._engine.device, software=self._engine.software)

    def fulfil(self, order: Order, step: Callable[[int, int], None]) -> Finished | Failed | Unfit:
        """Draws, stamps, signs, writes; whatever comes in between becomes an answer."""
        try:
            return Finished(drawn=self._draw(order, step))
        except CanceledError:
            return Failed(kind=FailureKind.TROUBLE, reason="canceled")
        except (self._module.OutOfMemoryError, MemoryError, OSError) as error:
            return Failed(kind=FailureKind.TROUBLE, reason=_sentence(error), spent=True)
        except ConfigError as error:
            return Unfit(reason=_sentence(error))
        except HoldfastError as error:
            return Failed(kind=FailureKind.REFUSED, reason=_sentence(error))
        except Exception as error:
            logger().exception("a drawing failed by a fault of ours")
            return Failed(kind=FailureKind.REFUSED, reason=_sentence(error), spent=True)

    def _draw(self, order: Order, step: Callable[[int, int], None]) -> Drawn:
        request = order.request
        begun = monotonic()
        picture = self._engine.draw(
            request,
            init_image=_path(order.init_image),
            mask_image=_path(order.mask_image),
            step=step,
        )
        draw_seconds = monotonic() - begun
        drawn_with, notes = request.checkpoint.source, (*request.notes, *picture.notes)
        provenance = Provenance(
            provider=order.provider,
            generation_id=order.generation_id,
            index=order.index,
            model=order.model,
            drawn_with=drawn_with,
            software=self._engine.software,
            parameters=parameters_of(request),
            notes=notes,
        )
        png = stamp(picture.png, provenance)
        Path(order.png).write_bytes(self._signer.sign(png) if self._signer else png)
        return Drawn(
            width=picture.width,
            height=picture.height,
            flagged=picture.flagged,
            notes=notes,
            seed=request.seed,
            drawn_with=drawn_with,
            software=self._engine.software,
            device=self._engine.device,
            draw_seconds=draw_seconds,
        )


def _take_stdout() -> BinaryIO:
    """The pipe to the parent, put where no library's print can reach it."""
    pipe = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return pipe


def _prepare(setup: Setup) -> None:
    """Makes this the process that is harmed first, harms least and never outlives its parent."""
    # A service manager may tell every process to end; this one is ended by its parent.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    if sys.platform == "linux":
        # The end of stdin would do, if no library ever kept a thread from hearing of it.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        with suppress(OSError):  # no /proc, as in some containers
            Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    os.nice(_NICENESS)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # gigabytes, and nobody would read them
    memory_bytes = setup.render.child_memory_bytes
    if memory_bytes:
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    # Libraries read it while they are imported.
    os.environ["OMP_NUM_THREADS"] = str(setup.render.engine.thread_count)


def _stepping(orders: Orders, say: Callable[[FromChild], None]) -> Callable[[int, int], None]:
    """What the engine calls after each step of one drawing."""
    said = monotonic()

    def step(done: int, total: int) -> None:
        nonlocal said
        if orders.canceled:
            raise CanceledError
        if done in (0, total) or monotonic() - said >= PROGRESS_SECONDS:
            said = monotonic()
            say(Progress(step=done, steps=total))

    return step


def _sentence(error: Exception) -> str:
    if isinstance(error, HoldfastError):
        return redact(str(error))
    return redact(f"a fault of holdfast or its machine: {type(error).__name__}: {error}")


def _path(name: str | None) -> Path | None:
    return None if name is None else Path(name)


if __name__ == "__main__":
    main()
