"""`holdfast doctor` as an operator types it, and the table of its checks."""

from __future__ import annotations

import asyncio
import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from archiver.errors import BucketError
from archiver.keys import manifest_key
from receiver.cli import main
from receiver.doctor import CHECKS, Only, Row, performed
from receiver.doctor.finding import Judged, Verdict, ok
from receiver.doctor.patient import Patient
from tests.archiver.filled import filling
from tests.receiver.doctor.patients import archive, patient
from tests.service import write_config


def typed(folder: Path, *arguments: str, **tables: Any) -> Result:
    """The command run to its end."""
    (folder / "bucket").mkdir(exist_ok=True)
    config = write_config(folder, **tables)
    return CliRunner().invoke(main, ["--config", str(config), "doctor", *arguments])


def test_what_is_well_ends_well(tmp_path: Path) -> None:
    """A line for each finding, none a failure though some may warn; the sum goes to stderr."""
    archive(tmp_path)
    done = typed(tmp_path)
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert {line[:5] for line in lines} <= {"ok   ", "warn "}
    assert f"ok   integrity  {tmp_path}/catalog.db is whole, and its search index in step" in lines
    assert done.stderr.endswith(", 0 fail\n")


def test_what_is_damaged_ends_with_1_and_the_cure(tmp_path: Path) -> None:
    """The cure stands in the line that says what fails."""
    archive(
        tmp_path, "INSERT INTO texts_fts (texts_fts) VALUES ('delete-all')", "DROP TRIGGER texts_au"
    )
    done = typed(tmp_path)
    assert done.exit_code == 1
    [line] = [line for line in done.stdout.splitlines() if line.startswith("fail")]
    assert line.startswith("fail integrity  the triggers texts_au are gone")
    assert line.endswith("holdfast restore; what was heard since is in the inboxes")


def test_whole_files_are_not_read_in_a_hurry(tmp_path: Path) -> None:
    """`--quick` leaves out the checks that take long, and they are the last."""
    archive(tmp_path, "DROP TRIGGER texts_au")
    done = typed(tmp_path, "--quick")
    assert (done.exit_code, "integrity" in done.stdout) == (0, False)
    slow = [row.left_out is Only.QUICK for row in CHECKS]
    assert slow == sorted(slow)


def test_json_is_a_line_for_each_finding(tmp_path: Path) -> None:
    """Nothing else goes to stdout, and nothing to stderr."""
    done = typed(tmp_path, "--json")
    findings = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.stderr == ""
    assert {tuple(one) for one in findings} == {("check", "verdict", "sentence", "cure")}
    [missing] = [one for one in findings if one["check"] == "catalog"]
    assert (missing["verdict"], done.exit_code) == ("fail", 1)
    assert missing["sentence"].startswith(f"there is no archive at {tmp_path}/catalog.db")


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_a_configuration_that_cannot_be_read(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Is a finding like any other, though the only one."""
    missing = {"secrets_file.a": f"{tmp_path}/missing"}
    done = typed(tmp_path, *arguments, providers_doitong=missing)
    assert (done.exit_code, "Error:" in done.stderr) == (1, False)
    [line] = done.stdout.splitlines()
    sentence = f"providers.doitong.secrets_file.a: {tmp_path}/missing cannot be read: No such file"
    if arguments:
        told = json.loads(line)
        assert (told["check"], told["verdict"]) == ("config", "fail")
        assert told["sentence"].startswith(sentence)
    else:
        assert line.startswith(f"fail config     {sentence}")


async def test_an_index_that_is_gone(tmp_path: Path) -> None:
    """Fails by what cures it, whether the service was started anew or not; else nothing is told
    that would have somebody back up an empty index."""
    async with filling(tmp_path) as full:
        await full.hear("a", "a fox")
    (tmp_path / "inbox").mkdir(mode=0o700)
    manifest = tmp_path / "bucket" / manifest_key("doitong", "a")
    manifest.parent.mkdir(parents=True)
    manifest.write_bytes(b"{}")
    assert (await asyncio.to_thread(typed, tmp_path)).exit_code == 0
    for path in tmp_path.glob("catalog.*"):
        path.rename(tmp_path / f"away-{path.name}")
    for sentence in (f"there is no index at {tmp_path}/catalog.db", "the index is empty"):
        done = await asyncio.to_thread(typed, tmp_path)
        [line] = [line for line in done.stdout.splitlines() if line.startswith("fail")]
        assert line.startswith(f"fail catalog    {sentence}")
        assert "the bucket holds an archive" in line
        assert line.endswith("holdfast restore; without a backup holdfast rebuild")
        assert done.exit_code == 1
        assert "holdfast backup" not in done.stdout
        assert "start the service" not in done.stdout
        archive(tmp_path)


def test_a_catalog_that_cannot_be_read_is_told_once(tmp_path: Path) -> None:
    """Whoever else wanted it has nothing to add, but for who reads all of it."""
    archive(tmp_path).write_bytes(b"this is no database at all" * 400)
    done = typed(tmp_path)
    failed = [line for line in done.stdout.splitlines() if line.startswith("fail")]
    assert [line.split()[1] for line in failed] == ["catalog", "integrity"]
    assert all("holdfast restore" in line for line in failed)
    assert "by itself" not in done.stdout


def test_a_configuration_that_no_role_starts_with(tmp_path: Path) -> None:
    """Each mistake is a failure of its own."""
    archive(tmp_path)
    done = typed(tmp_path, "--quick", listen={"private": "192.0.2.1:8081"})
    [line] = [line for line in done.stdout.splitlines() if line.startswith("fail")]
    assert line.startswith("fail config     the private listener stands on 192.0.2.1")


def read_only(patient: Patient) -> Iterator[Judged]:
    """A disk that fails."""
    raise OSError(errno.EROFS, os.strerror(errno.EROFS), "/here")
    yield


def refused(patient: Patient) -> Iterator[Judged]:
    """Finds one thing, and then the bucket."""
    yield ok("so far")
    raise BucketError("the bucket says no")


def broken(patient: Patient) -> Iterator[Judged]:
    """A defect of ours, whose words hold a link."""
    raise ZeroDivisionError("https://cdn.example.org/a.png?Signature=hush")
    yield


@pytest.mark.parametrize(
    ("check", "sentences"),
    [
        (refused, ["so far", "the bucket says no"]),
        (read_only, ["/here could not be looked at (Read-only file system)"]),
        (
            broken,
            ["it could not be looked at: ZeroDivisionError: https://cdn.example.org/a.png?…"],
        ),
    ],
)
def test_a_check_that_raises_has_failed(tmp_path: Path, check: Any, sentences: list[str]) -> None:
    """Never with a traceback, and no link is told."""
    found = list(performed(Row("this", check), patient(tmp_path)))
    assert [one.sentence for one in found] == sentences
    assert (found[-1].check, found[-1].verdict) == ("this", Verdict.FAIL)


OF_NO_SERVER = [row for row in CHECKS if row.left_out is not Only.WITHOUT_S3]


@pytest.mark.parametrize("row", OF_NO_SERVER, ids=lambda row: row.name)
def test_every_check_bears_an_archive_that_is_not_there(tmp_path: Path, row: Row) -> None:
    """It finds something or nothing, and makes nothing."""
    folder = tmp_path / "nowhere"
    found = list(performed(row, patient(folder)))
    assert not [one for one in found if "could not be looked at" in one.sentence]
    assert not folder.exists()
