"""What must be true of an archive whatever was done to the service, counted one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

from archiver.sqlite import Error, open_reader
from tests.torture.kills import LEFT, Killed, inboxes

# On these days a picture is not had, or is not what the provider drew.
_SPOILT = {"html", "cut", "truncated", "missing", "dead_link", "failed", "moderated"} | {
    "partial",
    "partly_moderated",
}
_DUPLICATES = {
    "deliveries": "sha256, source, heard, path_token",
    "generations": "provider, id",
    "slots": "generation, slot_index",
    "assets": "slot",
    "jobs": "kind, subject",
}
_SLOTS = """
SELECT provider, id, slot_index, slots.state, reason, lower(hex(assets.sha256)), blob_key
FROM slots JOIN generations ON generations.key = slots.generation
LEFT JOIN assets ON assets.slot = slots.number WHERE slots.role = ''
"""


def faults(it: Killed) -> dict[str, int]:
    """How often each promise was broken; all are to be 0."""
    catalog = it.folder / "catalog.db"
    return {
        **_of_what_was_heard(it),
        **{
            f"{table} twice": sum(_repeated(catalog, table, columns))
            for table, columns in _DUPLICATES.items()
            if table != "deliveries"
        },
        **_of_pictures(it),
        "objects created twice": sum(count - 1 for count in it.created.values()),
        "never came to rest": int(not it.quiet),
        "jobs left": count(catalog, LEFT),
        "jobs given up because workers died": count(
            catalog, "SELECT count(*) FROM jobs WHERE reason LIKE 'its worker died _ times'"
        ),
        "databases not whole": sum(map(is_broken, [catalog, *(it.folder / "inbox").glob("*.db")])),
        "tracebacks in the log": it.log.count("Traceback"),
    }


def facts(it: Killed) -> dict[str, object]:
    """What was done and met, for who reads the table."""
    tally = it.postman.tally
    return {
        "kills": ", ".join(f"{role} {count}" for role, count in sorted(it.kills.items())),
        "acknowledged": it.postman.taken(),
        "redelivered after that": it.postman.redelivered,
        "submitted": len(it.answered),
        "answers": dict(tally.answers),
        "cut off": tally.cut,
        "refused": tally.refused,
        "slowest answer, s": round(tally.slowest_seconds, 2),
        "first served again, s": [round(it, 2) for it in sorted(it.postman.stopwatch.took_seconds)],
        "objects": len(it.created),
        "claims of jobs": count(
            it.folder / "catalog.db", "SELECT coalesce(sum(fence), 0) FROM jobs"
        ),
        "left unfinished in the bucket": len(
            list((it.folder / "bucket" / ".holdfast" / "unfinished").glob("*"))
        ),
    }


def rows(path: Path, sql: str) -> Iterator[tuple[Any, ...]]:
    """The answer of one of the databases, row by row."""
    with closing(open_reader(path)) as connection:
        yield from connection.execute(sql)


def count(path: Path, sql: str) -> int:
    """The answer, where it is one number."""
    ((number,),) = rows(path, sql)
    return int(number)


def is_broken(path: Path) -> bool:
    """Whether SQLite finds anything wrong with a database."""
    try:
        return [*rows(path, "PRAGMA integrity_check")] != [("ok",)]
    except Error:
        return True


def lost(it: Killed) -> int:
    """How many acknowledged bodies are in no inbox."""
    stored = {
        sha256(body).digest()
        for path in inboxes(it.folder)
        for (body,) in rows(path, "SELECT body FROM deliveries")
    }
    return len(it.postman.acknowledged - stored)


def _of_what_was_heard(it: Killed) -> dict[str, int]:
    twice = (
        _repeated(path, "deliveries", _DUPLICATES["deliveries"]) for path in inboxes(it.folder)
    )
    known = {*rows(it.folder / "catalog.db", "SELECT provider, id FROM generations")}
    begun = {(row["provider"], row["id"]) for row in it.report}
    return {
        "acknowledged and lost": lost(it),
        "deliveries twice": sum(map(sum, twice)),
        "submitted, answered and lost": len(it.answered.keys() - known),
        "generations of nobody": len(known - begun),
    }


def _of_pictures(it: Killed) -> dict[str, int]:
    unsettled = unequal = 0
    truth = {(row["provider"], row["id"]): row for row in it.report}
    named = set[str]()
    seen = Counter[tuple[str, str]]()
    for provider, name, index, state, reason, digest, key in rows(it.folder / "catalog.db", _SLOTS):
        unsettled += state not in ("archived", "saved") and not reason
        seen[provider, name] += 1
        row = truth[provider, name]
        if digest:
            file = it.folder / "bucket" / key
            named.add(file.name)
            unequal += not file.is_file() or sha256(file.read_bytes()).hexdigest() != digest
        if not _SPOILT & set(row["faults"]):
            drawn = row["pictures"][index]["sha256"]
            # As text it is another picture, byte for byte, than what was sent.
            unequal += state != "archived" or ("inline" not in row["faults"] and digest != drawn)
    missing = sum(
        len(row["pictures"]) - seen[name]
        for name, row in truth.items()
        if name in it.answered and not _SPOILT & set(row["faults"])
    )
    return {
        "pictures without an end or a reason": unsettled,
        "good pictures missing": missing,
        "good pictures not archived or not equal": unequal,
        "objects that no row names": len(it.created.keys() ^ named),
    }


def _repeated(path: Path, table: str, columns: str) -> Iterator[int]:
    """How many rows too many each thing has that has more than one."""
    sql = f"SELECT count(*) - 1 FROM {table} NOT INDEXED GROUP BY {columns} HAVING count(*) > 1"
    return (more for (more,) in rows(path, sql))
