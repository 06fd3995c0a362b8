"""The PostgreSQL that a catalog may be on: whether it can be reached, and keeps what it gets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from archiver.drivers import server_room
from receiver.doctor.finding import Judged, fail, ok, warn
from receiver.doctor.patient import Patient

# The oldest that the tests are made with.
_TESTED = 15
_SETTINGS = ("fsync", "full_page_writes", "synchronous_standby_names")


def server(patient: Patient) -> Iterator[Judged]:
    """Whether the server is there, durable, and has the tables of this version."""
    if not patient.config.catalog.is_on_server:
        return
    postgres = server_room("archiver.postgres")
    migrations = server_room("archiver.catalog.postgres_migrations")
    try:
        with postgres.opened(patient.config.catalog.where) as connection:
            version = connection.raw.info.server_version // 10_000
            asked = "SELECT name, setting FROM pg_settings WHERE name = ANY(?)"
            settings = dict(connection.execute(asked, ([*_SETTINGS],)).fetchall())
            done = migrations.steps_done(connection)
    except postgres.Error as error:
        yield fail(
            f"the PostgreSQL of catalog.url cannot be used ({postgres.said(error)})",
            "see that the server runs, that catalog.url and catalog.password are right, and that "
            "it takes writes; webhooks are refused with 503 meanwhile, and senders try again",
        )
        return
    yield judge_version(version)
    yield from judge_settings(settings)
    yield judge_steps(done, {name for name, _ in migrations.STEPS})


def judge_version(version: int) -> Judged:
    """The server's, by its first number."""
    if version < _TESTED:
        return warn(
            f"it is PostgreSQL {version}, and nothing before {_TESTED} was tried",
            "let a newer server have the catalog",
        )
    return ok(f"PostgreSQL {version} answers and takes writes")


def judge_settings(settings: Mapping[str, Any]) -> Iterator[Judged]:
    """What the server does before it says that something is committed."""
    careless = [name for name in ("fsync", "full_page_writes") if settings.get(name) == "off"]
    for name in careless:
        yield fail(
            f"{name} is off at the server, so a crash of it may lose acknowledged webhooks, or all",
            f"set {name} = on in its postgresql.conf",
        )
    if careless:
        return
    if settings.get("synchronous_standby_names"):
        yield ok("what is acknowledged is on two servers")
    else:
        yield ok("what is acknowledged is on one server's disk; with a synchronous standby on two")


def judge_steps(done: set[str], known: set[str]) -> Judged:
    """The steps that its tables have taken, and those that this version knows."""
    if newer := sorted(done - known):
        return fail(
            f"its tables are of a newer holdfast ({newer[-1]})", "install that version again"
        )
    if older := sorted(known - done):
        return warn(
            f"its tables are of an older holdfast (without {older[0]})",
            "start the service, which brings them up to date",
        )
    return ok("its tables are of this version")
