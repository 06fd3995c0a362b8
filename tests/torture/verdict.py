"""What must be true of an archive whatever was done to the service, counted one by one."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from archiver.sqlite import open_reader
from tests.torture.kills import BAD, Killed

_DUPLICATES = {
    "deliveries": "sha256, source, heard, path_token",
    "generations": "provider, id",
    "slots": "generation, slot_index",
    "assets": "slot",
}
_GOOD = """
SELECT generations.id, lower(hex(assets.sha256)), blob_key, slots.state FROM assets
JOIN slots ON slots.number = assets.slot JOIN generations ON generations.key = slots.generation
"""


def faults(it: Killed) -> dict[str, int]:
    """How often each promise was broken; all are to be 0."""
    databases = [it.folder / "catalog.db", *sorted((it.folder / "inbox").glob("*.db"))]
    inboxes = [path for path in databases[1:] if path.stem != "quarantine"]
    heard = Counter(
        body for path in inboxes for (body,) in rows(path, "SELECT body FROM deliveries")
    )
    catalog = databases[0]
    return {
        "acknowledged and lost": len(set(it.postman.acknowledged) - set(heard)),
        "bodies stored twice": sum(heard.values()) - len(heard),
        **{
            f"{table} twice": sum(
                count - 1
                for path in (inboxes if table == "deliveries" else [catalog])
                for count in repeated(path, table, columns)
            )
            for table, columns in _DUPLICATES.items()
        },
        "generations of nobody": difference(
            (row["id"] for row in it.report),
            (name for (name,) in rows(catalog, "SELECT id FROM generations")),
        ),
        "objects created twice": sum(count - 1 for count in it.created.values()),
        "objects that no row names": difference(
            it.created, (key.rpartition("/")[2] for _, _, key, _ in rows(catalog, _GOOD))
        ),
        "good pictures not archived or not equal": unequal(it, rows(catalog, _GOOD)),
        "never came to rest": int(not it.quiet),
        "jobs left": rows(
            catalog,
            "SELECT count(*) FROM jobs WHERE state IN ('available', 'scheduled', 'running')"
            " AND kind != 'render'",
        )[0][0],
        "jobs given up because workers died": rows(
            catalog, "SELECT count(*) FROM jobs WHERE reason LIKE 'its worker died _ times'"
        )[0][0],
        "databases not whole": sum(
            rows(path, "PRAGMA integrity_check") != [("ok",)] for path in databases
        ),
        "tracebacks in the log": it.log.count("Traceback"),
    }


def facts(it: Killed) -> dict[str, object]:
    """What was done and met, for who reads the table."""
    tally = it.postman.tally
    downloads = sum(row["downloads"] for row in it.report if not set(row["faults"]) & set(BAD))
    return {
        "kills": ", ".join(f"{role} {count}" for role, count in sorted(it.kills.items())),
        "acknowledged": len(it.postman.acknowledged),
        "redelivered after that": it.postman.redelivered,
        "answers": dict(tally.answers),
        "cut off": tally.cut,
        "refused": tally.refused,
        "slowest answer, s": round(tally.slowest_seconds, 2),
        "objects": len(it.created),
        "jobs taken back from the dead": rows(
            it.folder / "catalog.db", "SELECT coalesce(sum(crashes), 0) FROM jobs"
        )[0][0],
        "downloaded more often than once": downloads - len(it.created),
        "left unfinished in the bucket": len(
            list((it.folder / "bucket" / ".holdfast" / "unfinished").glob("*"))
        ),
    }


def rows(path: Path, sql: str) -> list[tuple[Any, ...]]:
    """The answer of one of the databases."""
    connection = open_reader(path)
    try:
        return list(connection.execute(sql))
    finally:
        connection.close()


def repeated(path: Path, table: str, columns: str) -> list[int]:
    """How many rows each thing has that has more than one."""
    sql = f"SELECT count(*) FROM {table} NOT INDEXED GROUP BY {columns} HAVING count(*) > 1"
    return [count for (count,) in rows(path, sql)]


def difference(some: Iterable[str], others: Iterable[str]) -> int:
    """How many are in one of the two and not in both."""
    return len(set(some) ^ set(others))


def unequal(it: Killed, archived: list[tuple[Any, ...]]) -> int:
    """How many pictures the provider gave whole that are not in the bucket, byte for byte."""
    found = {name: (digest, key, state) for name, digest, key, state in archived}
    wrong = 0
    for row in it.report:
        if set(row["faults"]) & set(BAD):
            continue
        digest, key, state = found.get(row["id"], ("", "", ""))
        file = it.folder / "bucket" / key
        stored = hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else None
        wrong += not (stored == digest == row["sha256"] and state == "archived")
    return wrong
