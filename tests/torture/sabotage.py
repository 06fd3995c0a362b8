"""A service with safeguards taken away, for controls: an attack must see that they are gone.

The service under test is the installed one, and has no switch for any of this. Its processes find
a `sitecustomize` on their path, which Python imports at their start, and which calls `commit`.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from archiver import leaps, worker
from archiver.blobs.folder import FolderBlobs
from archiver.catalog.jobs import Jobs
from archiver.inbox import Recorded, sqlite
from archiver.inbox.sqlite import SqliteInbox
from archiver.work import JobKind
from receiver.roles import process
from receiver.webhook import Webhook

ROOT = Path(__file__).parents[2]
SLOW_START_SECONDS = 2.5
_DESCRIPTORS_EVERY = 10
_KEPT_BYTES = 64 << 10
_LATER_SECONDS = 0.05


def without(folder: Path, *safeguards: str) -> dict[str, str]:
    """The environment of a service without these; `folder` is for what it needs."""
    assert set(safeguards) <= _ACTS.keys(), safeguards
    folder.mkdir()
    lines = (
        "import sys",
        "if any(word.startswith('receiver.roles.') for word in sys.orig_argv):",
        "    from tests.torture.sabotage import commit",
        f"    commit({sorted(safeguards)!r})",
    )
    (folder / "sitecustomize.py").write_text("\n".join(lines))
    return {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}


def commit(safeguards: Collection[str]) -> None:
    """Takes safeguards away from this process, as far as they concern its role."""
    # Of the role itself, or of who stands by to be that role.
    roles = {word.removeprefix("receiver.roles.") for word in sys.orig_argv}
    for name in safeguards:
        concerned, act = _ACTS[name]
        if concerned in roles:
            act()


def _replace(owner: object, name: str, value: object) -> None:
    setattr(owner, name, value)


def _answer_early() -> None:
    """What is answered is not stored yet."""
    append, begun = SqliteInbox.append, set[asyncio.Task[None]]()

    async def later(self: SqliteInbox, delivery: Any) -> None:
        await asyncio.sleep(_LATER_SECONDS)
        await append(self, delivery)

    async def at_once(self: SqliteInbox, delivery: Any) -> Recorded:
        task = asyncio.create_task(later(self, delivery))
        begun.add(task)
        task.add_done_callback(begun.discard)
        return Recorded.STORED

    _replace(SqliteInbox, "append", at_once)


def _forget_what_came() -> None:
    """What comes twice is stored twice."""
    _replace(sqlite, "_SCHEMA", sqlite._SCHEMA.replace("CREATE UNIQUE INDEX", "CREATE INDEX"))


def _put_over() -> None:
    """What is in the bucket is put there again."""
    put = FolderBlobs.put

    async def over(self: FolderBlobs, key: str, body: Any, **given: Any) -> Any:
        return await put(self, key, body, **given | {"replace": True})

    _replace(FolderBlobs, "put", over)


def _never_take_back() -> None:
    """What a dead worker made small stays its own."""
    recover = Jobs.recover

    def but_derives(self: Jobs, **given: Any) -> int:
        return recover(self, **given | {"but": JobKind.DERIVE})

    _replace(Jobs, "recover", but_derives)


def _start_slowly() -> None:
    """Whoever has orders lets them lie."""
    main = process.main

    def slowly(*given: Any) -> None:
        time.sleep(SLOW_START_SECONDS)
        main(*given)

    _replace(process, "main", slowly)


def _keep_everything() -> None:
    """Each request is kept, and some leave a descriptor open."""
    handle, kept = Webhook.handle, list[Any]()

    async def keeping(self: Webhook, request: Any, source: str) -> Any:
        kept.append((request, bytearray(_KEPT_BYTES)))
        if len(kept) % _DESCRIPTORS_EVERY == 0:
            kept.append(os.dup(2))
        return await handle(self, request, source)

    _replace(Webhook, "handle", keeping)


def _never_seal() -> None:
    """What is archived waits for its manifest for ever."""
    claim = Jobs.claim

    def but_seals(self: Jobs, kind: Any, **given: Any) -> Any:
        return [] if kind is JobKind.SEAL else claim(self, kind, **given)

    _replace(Jobs, "claim", but_seals)


def _notice_no_leap() -> None:
    """What time it was a moment ago is not asked."""
    for room in (leaps, worker):
        _replace(room, "settle_leap", lambda tables, *, now: None)


# By the name of what is taken away: from which role, and how.
_ACTS: dict[str, tuple[str, Callable[[], None]]] = {
    "stored before answered": ("receive", _answer_early),
    "known deliveries": ("receive", _forget_what_came),
    "exclusive puts": ("archive", _put_over),
    "leases taken back": ("archive", _never_take_back),
    "a quick start": ("receive", _start_slowly),
    "memory let go": ("receive", _keep_everything),
    "seals": ("archive", _never_seal),
    "leaps of time": ("archive", _notice_no_leap),
}
