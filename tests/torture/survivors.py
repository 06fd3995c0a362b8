"""An archive as a power cut has left it: opened by the real parts, held against its promises."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping
from contextlib import closing, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from archiver import clock
from archiver.catalog import Catalog
from archiver.catalog.schema import migrate
from archiver.errors import HoldfastError
from archiver.inbox.sqlite import SqliteInbox
from archiver.keys import manifest_key
from archiver.sqlite import Connection, Error, open_reader
from receiver.absorb import Absorb
from receiver.inboxes import Inboxes
from tests.inboxes import inboxes_in

Promise = tuple[Any, ...]
Files = Mapping[Path, bytes]

_BUCKET = Path("bucket")


def lay_out(files: Files, folder: Path) -> None:
    """Writes the databases there; SQLite's shared memory is nothing that a disk keeps."""
    for path, content in files.items():
        if ".db" in path.name and not path.name.endswith("-shm"):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)


def read_promises(written: bytes) -> list[Promise]:
    """The promises, in the words of `short_life`."""
    return [tuple(json.loads(line)) for line in written.splitlines()]


async def faults(folder: Path, files: Files, promised: Collection[Promise]) -> Counter[str]:
    """How often each promise is broken once all has been opened as ever in `folder`, where the
    databases among the files are laid out."""
    inbox, catalog = folder / "inbox" / "receive.db", folder / "catalog.db"
    broken: Counter[str] = Counter()
    for path, start in ((inbox, _start_inbox), (catalog, _start_catalog)):
        with suppress(Error, HoldfastError):
            await start(path)
        broken["corrupt"] += not _is_whole(path)
    if broken["corrupt"]:
        broken["lost"] += sum(what == "heard" for what, *_ in promised)
        return broken
    with closing(open_reader(inbox)) as heard, closing(open_reader(catalog)) as known:
        broken += _lost(heard, known, promised)
        broken += _ahead(heard, known)
        broken += _without_bytes(files, known)
    await _go_on(folder)
    with closing(open_reader(inbox)) as heard, closing(open_reader(catalog)) as known:
        broken["never absorbed"] += _count(heard, "deliveries") - _count(known, "observations")
    return +broken


async def _start_inbox(path: Path) -> None:
    inbox = SqliteInbox(path)
    await inbox.start()
    await inbox.close()


async def _start_catalog(path: Path) -> None:
    migrate(path)


async def _go_on(folder: Path) -> None:
    """Absorbs whatever the inbox has and the catalog has not."""
    catalog, inboxes = Catalog(folder / "catalog.db"), Inboxes(inboxes_in(folder / "inbox"))
    absorb = Absorb(catalog, inboxes, now=clock.now, work_planned=lambda: None)
    await catalog.start()
    try:
        while await absorb.step():
            pass
    finally:
        inboxes.close()
        await catalog.close()


def _is_whole(path: Path) -> bool:
    try:
        with closing(open_reader(path)) as connection:
            return list(connection.execute("PRAGMA integrity_check")) == [("ok",)]
    except Error:
        return False


def _lost(heard: Connection, known: Connection, promised: Collection[Promise]) -> Counter[str]:
    """What was promised and is not there."""
    bodies = {sha256(body).hexdigest() for (body,) in heard.execute("SELECT body FROM deliveries")}
    positions = dict(known.execute("SELECT inbox, position FROM inbox_positions"))
    assets = {digest for (digest,) in known.execute("SELECT lower(hex(sha256)) FROM assets")}
    lost: Counter[str] = Counter()
    for what, *said in promised:
        match what, *said:
            case "heard", digest:
                lost["lost"] += digest not in bodies
            case "absorbed", inbox, position:
                lost["absorbed in vain"] += positions.get(inbox, 0) < position
            case "archived", digest:
                lost["archived in vain"] += digest not in assets
    return lost


def _ahead(heard: Connection, known: Connection) -> Counter[str]:
    """Where the catalog knows of deliveries that are not in the inbox, and would skip others."""
    ((name, last),) = heard.execute(
        "SELECT uuid, (SELECT ifnull(max(position), 0) FROM deliveries) FROM inbox"
    )
    positions = known.execute("SELECT inbox, position FROM inbox_positions").fetchall()
    return Counter(ahead=sum(inbox != name or position > last for inbox, position in positions))


def _without_bytes(files: Files, known: Connection) -> Counter[str]:
    """Rows of pictures and of manifests whose object is not there, or not whole."""
    assets = known.execute("SELECT blob_key, sha256 FROM assets").fetchall()
    sealed = known.execute("SELECT provider, id FROM generations WHERE sealed_revision > 0")
    pictures = [(files.get(_BUCKET / key, b""), digest) for key, digest in assets]
    manifests = [files.get(_BUCKET / manifest_key(*name), b"") for name in sealed]
    return Counter(
        {
            "pictures without bytes": sum(sha256(it).digest() != sha for it, sha in pictures),
            "manifests not whole": sum(not _is_json(it) for it in manifests),
        }
    )


def _is_json(content: bytes) -> bool:
    try:
        json.loads(content)
    except ValueError:
        return False
    return True


def _count(connection: Connection, table: str) -> int:
    ((count,),) = connection.execute(f"SELECT count(*) FROM {table}")
    return int(count)
