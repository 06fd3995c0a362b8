"""Every table of the catalog that is moved, in the order of what refers to what.

Their columns are what the file has: a column that a later step adds needs no word here.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A table by the columns of its primary key, and what else no two of its rows share."""

    name: str
    key: tuple[str, ...]
    unique: tuple[str, ...] = ()


TABLES = (
    Table(name="generations", key=("key",), unique=("provider", "id")),
    Table(name="slots", key=("number",), unique=("generation", "slot_index")),
    Table(name="links", key=("slot", "url_sha256")),
    Table(name="assets", key=("slot", "origin")),
    Table(name="jobs", key=("id",), unique=("kind", "subject")),
    Table(name="inbox_positions", key=("inbox",)),
    Table(name="observations", key=("inbox", "position", "generation")),
    Table(name="unparsed", key=("inbox", "position")),
    Table(name="replays", key=("id",)),
    Table(name="heartbeats", key=("role",)),
    Table(name="prunings", key=("inbox", "first", "last")),
    Table(name="balances", key=("provider", "account")),
    Table(name="cards", key=("number",)),
    Table(name="card_values", key=("name", "value")),
    Table(name="previews", key=("id",), unique=("sha256",)),
    Table(name="texts", key=("number",)),
    Table(name="tombstones", key=("key",)),
    Table(name="erasures", key=("key",)),
    Table(name="fixity", key=("sha256",)),
    Table(name="audits", key=("id",)),
    Table(name="wanted_events", key=("event",)),
    Table(name="notices", key=("number",), unique=("generation", "event")),
)
