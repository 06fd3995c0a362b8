"""`holdfast export` as an operator types it: what is written, and how it goes on."""

from __future__ import annotations

import asyncio
import csv
import fcntl
import json
import resource
import shutil
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from click.testing import CliRunner, Result
from rich.filesize import decimal

from archiver import clock
from archiver.errors import CatalogUnavailableError
from archiver.exporting import pages as paging
from archiver.exporting import pictures
from archiver.sqlite import open_writer
from receiver.cli import main
from tests.archiver.exporting.shelf import OTHER, WHOLE, fill
from tests.service import HOLDFAST


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an archive that nobody may touch."""
    folder = tmp_path_factory.mktemp("shelf")
    asyncio.run(fill(folder))
    return folder


@pytest.fixture
def place(filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the operator stands: a folder with a configuration, and the archive behind it."""
    shutil.copytree(filled, tmp_path / "archive")
    standing = tmp_path / "standing"
    standing.mkdir()
    (standing / "holdfast.toml").write_text(
        f'[catalog]\nurl = "sqlite:///{tmp_path}/archive/catalog.db"\n'
        f'[bucket]\nurl = "file://{tmp_path}/archive/bucket"\n'
    )
    monkeypatch.chdir(standing)
    return standing


def export(*arguments: str) -> Result:
    """The command, run to its end inside this process."""
    return CliRunner().invoke(main, ["export", *arguments])


def well(*arguments: str, code: int = 0) -> Result:
    """The command, which must end so."""
    done = export(*arguments)
    assert done.exit_code == code, (done.output, done.exception)
    return done


def files(folder: Path) -> dict[str, bytes]:
    """What lies in a folder, by path."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.fixture
def breaking(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, BaseException], None]:
    """Makes pages of two slots, of which one, by number, brings this about."""
    monkeypatch.setattr(paging, "PAGE_SLOTS", 2)
    search = paging.search

    def broken(number: int, error: BaseException) -> None:
        pages: list[Any] = []

        def failing(*args: Any, **kwargs: Any) -> Any:
            pages.append(None)
            if len(pages) == number:
                raise error
            return search(*args, **kwargs)

        monkeypatch.setattr(paging, "search", failing)

    return broken


def test_a_folder_is_filled(place: Path) -> None:
    """Pictures and manifests by archive number, and an index; 3 tells that some are lost."""
    done = well("--out", "all/", code=3)
    written = files(place / "all")
    assert sorted(written) == [
        "index.ndjson", "manifests/1.json", "manifests/2.json", "pictures/1.jpg", "pictures/2.jpg",
    ]  # fmt: skip
    assert (written["pictures/1.jpg"], written["pictures/2.jpg"]) == (WHOLE, OTHER)
    rows = [json.loads(line) for line in written["index.ndjson"].splitlines()]
    assert [row["number"] for row in rows] == [6, 5, 4, 3, 2, 1]
    assert [row["file"] for row in rows] == [None] * 4 + ["pictures/2.jpg", "pictures/1.jpg"]
    size = decimal(len(WHOLE) + len(OTHER))
    told = f"6 slots, 2 pictures written ({size}), 2 lost in the bucket, in all\n"
    assert (done.stdout, done.stderr) == ("", told)
    some = well("whole OR other", "--out", "some", "--json")
    said = {"slots": 2, "pictures": 2, "size_bytes": len(WHOLE) + len(OTHER), "there": 0, "lost": 0}
    assert json.loads(some.stdout) == {"out": "some", **said}


def test_what_is_there_is_not_fetched_again(place: Path) -> None:
    """But what is damaged is, and what is new."""
    well("other", "--out", "all")
    (place / "all/pictures/2.jpg").write_bytes(bytes(len(OTHER)))
    well("other", "--out", "all")
    assert files(place / "all")["pictures/2.jpg"] == OTHER
    shutil.rmtree(place.parent / "archive/bucket")
    done = well("other", "--out", "all")
    assert "0 pictures written (0 bytes), 1 there already" in done.stderr
    (place / "all/pictures/2.jpg").unlink()
    assert "1 lost in the bucket" in well("other", "--out", "all", code=3).stderr


def test_a_folder_goes_on(place: Path, breaking: Callable[[int, BaseException], None]) -> None:
    """The same command finishes what was broken off, and the index is whole or not there."""
    breaking(3, CatalogUnavailableError("the disk is gone"))
    done = export("sort:oldest", "--out", "all")
    again = "holdfast export sort:oldest --out all"
    assert (done.exit_code, done.stderr) == (1, f"Error: the disk is gone\nto go on: {again}\n")
    assert "index.ndjson" not in files(place / "all")
    breaking(99, ValueError())
    assert (
        "0 pictures written (0 bytes), 2 there already" in well(*again.split()[2:], code=3).stderr
    )
    assert len(files(place / "all")["index.ndjson"].splitlines()) == 6


def test_nobodys_own_pictures_are_overwritten(place: Path) -> None:
    """A folder with anything else in it is refused."""
    (place / "mine/pictures").mkdir(parents=True)
    (place / "mine/pictures/1.jpg").write_bytes(b"mine")
    done = export("--out", "mine")
    assert (done.exit_code, "has other things in it" in done.stderr) == (1, True)
    assert files(place / "mine") == {"pictures/1.jpg": b"mine"}


@pytest.mark.parametrize("form", ["ndjson", "csv"])
def test_lines_go_into_a_file(place: Path, form: str) -> None:
    """Or to the standard output, the same; nothing else is left, and nothing but data is said."""
    done = well("--out", f"all.{form}")
    assert (done.stdout, done.stderr) == ("", f"6 slots, in all.{form}\n")
    printed = well("--out", "-", "--format", form)
    written = files(place)
    del written["holdfast.toml"]
    assert written == {f"all.{form}": printed.stdout_bytes}
    assert well("--out", "all", "--format", form).exit_code == 0
    assert (place / "all").read_bytes() == printed.stdout_bytes


def test_a_table_can_be_read(place: Path) -> None:
    """By whatever reads CSV; no cell is a formula."""
    well("state:held,dead,archived sort:oldest", "--out", "all.csv")
    with (place / "all.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == ["whole", "other", "gone", "spoilt", "flagged", "lost"]
    assert (rows[0]["prompt"], rows[5]["prompt"]) == ('a "whole" fox,\nin snow', "'=a fox")


@pytest.mark.parametrize("form", ["ndjson", "csv"])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_lines_go_on(
    place: Path, breaking: Callable[[int, BaseException], None], form: str, number: int
) -> None:
    """However it ended: what comes of it is what would have come of one go."""
    whole = well("--out", "-", "--format", form).stdout_bytes
    out = f"all.{form}"
    breaking(number, KeyboardInterrupt())
    done = export("--out", out)
    assert done.exit_code == 1
    assert done.stderr == f"stopped\nto go on: holdfast export --out {out} --format {form}\n"
    assert not (place / out).exists()
    with (place / f"{out}.part").open("ab") as part:
        part.write(b"half a li")  # as a crash may leave it
    breaking(99, ValueError())
    assert well("--out", out).stderr == f"6 slots, in {out}\n"
    assert (place / out).read_bytes() == whole
    assert sorted(path.name for path in place.iterdir()) == sorted(["holdfast.toml", out])


def test_a_crash_at_the_very_end_repeats_nothing(
    place: Path, breaking: Callable[[int, BaseException], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All lines were written, and only the name was not given yet."""
    breaking(99, ValueError())
    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", lambda *_, **__: interrupt())
        assert export("--out", "all.csv").exit_code == 1
    well("--out", "all.csv")
    assert (place / "all.csv").read_bytes() == well("--out", "-", "--format", "csv").stdout_bytes


def interrupt() -> None:
    """The end of the process, as far as it can tell."""
    raise KeyboardInterrupt


def test_it_goes_on_with_the_same_question(
    place: Path, breaking: Callable[[int, BaseException], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An age is counted from when it was first asked, and no other query is mixed with it."""
    breaking(2, KeyboardInterrupt())
    export("archived:7d", "--out", "all.ndjson")
    for other in (["archived:8d"], ["archived:7d", "--format", "csv"]):
        done = export(*other, "--out", "all.ndjson")
        assert (done.exit_code, "is of the query 'archived:7d', as ndjson" in done.stderr) == (
            1,
            True,
        )
    later = clock.now() + timedelta(days=30)
    monkeypatch.setattr(clock, "now", lambda: later)
    breaking(99, ValueError())
    assert well("archived:7d", "--out", "all.ndjson").stderr == "5 slots, in all.ndjson\n"
    assert well("archived:7d", "--out", "all.ndjson").stderr == "0 slots, in all.ndjson\n"


SPOILT = {
    "a bookmark that nobody can read": (".part.json", b"{"),
    "less than the bookmark says": (".part", b""),
}


@pytest.mark.parametrize(("ending", "content"), SPOILT.values(), ids=SPOILT)
def test_what_was_spoilt_is_said(
    place: Path,
    breaking: Callable[[int, BaseException], None],
    ending: str,
    content: bytes,
) -> None:
    """And what to remove."""
    breaking(2, KeyboardInterrupt())
    export("--out", "all.csv")
    (place / f"all.csv{ending}").write_bytes(content)
    done = export("--out", "all.csv")
    assert (done.exit_code, "remove it to begin anew" in done.stderr) == (1, True)


def test_two_at_once_are_one_too_many(place: Path) -> None:
    """Whoever comes second is told."""
    with (place / "all.csv.part").open("w") as part:
        fcntl.flock(part, fcntl.LOCK_EX)
        done = export("--out", "all.csv")
        assert (done.exit_code, "another command is at work" in done.stderr) == (1, True)
    well("--out", "all.csv")


def test_a_zip_is_whole_or_not_there(
    place: Path, breaking: Callable[[int, BaseException], None]
) -> None:
    """It begins anew, and replaces an older one only at its end."""
    (place / "all.zip").write_bytes(b"older")
    breaking(3, CatalogUnavailableError("gone"))
    assert "to go on" in export("sort:oldest", "--out", "all.zip").stderr
    assert (place / "all.zip").read_bytes() == b"older"
    breaking(99, ValueError())
    well("sort:oldest", "--out", "all.zip", code=3)
    with ZipFile(place / "all.zip") as packed:
        assert packed.testzip() is None
        assert packed.read("pictures/1.jpg") == WHOLE
    assert sorted(path.name for path in place.iterdir()) == ["all.zip", "holdfast.toml"]


WRONG = {
    "no place": [],
    "a ZIP to the terminal": ["--out", "-", "--format", "zip"],
    "JSON beside lines": ["--out", "-", "--json"],
    "no format": ["--out", "all.txt"],
    "a format for a folder": ["--out", ".", "--format", "csv"],
    "an unknown format": ["--out", "x", "--format", "xml"],
    "a wrong query": ["steps:many", "--out", "x.csv"],
}


@pytest.mark.parametrize("arguments", WRONG.values(), ids=WRONG)
def test_what_cannot_be_is_wrong_usage(place: Path, arguments: list[str]) -> None:
    """2, before anything is made."""
    assert export(*arguments).exit_code == 2
    assert [path.name for path in place.iterdir()] == ["holdfast.toml"]


def test_what_is_withheld_meanwhile_is_taken_away(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that is exported again keeps no picture that is not to be shown any more."""
    well("--out", "all", code=3)
    there = {path.name for path in (place / "all" / "pictures").iterdir()}
    assert there
    monkeypatch.setattr(pictures, "withheld", lambda *_: "flagged by the safety checker")
    well("--out", "all")
    assert [*(place / "all" / "pictures").iterdir()] == []
    assert [*(place / "all" / "manifests").iterdir()] == []


def test_a_word_to_leave_out_is_no_option(place: Path) -> None:
    """As it is in a search."""
    assert well("-whale", "-whole", "--out", "-").stderr == "5 slots\n"


@pytest.mark.parametrize("out", ["all", "all.ndjson", "all.zip"])
def test_a_full_disk_is_said_and_loses_nothing(place: Path, out: str) -> None:
    """And the same command goes on once there is room."""

    def no_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200, resource.RLIM_INFINITY))

    # As the service would: what a reader needs beside the file is there then.
    beside = open_writer(place.parent / "archive/catalog.db")
    beside.execute("SELECT * FROM cards").fetchall()
    done = subprocess.run(
        [HOLDFAST, "export", "--out", out],
        capture_output=True,
        text=True,
        preexec_fn=no_room,
        check=False,
    )
    beside.close()
    assert (done.returncode, "Traceback" in done.stderr) == (1, False), done.stderr
    assert "File too large; what is written stays" in done.stderr
    assert f"to go on: holdfast export --out {out}" in done.stderr
    assert export("--out", out).exit_code == (0 if out == "all.ndjson" else 3)
