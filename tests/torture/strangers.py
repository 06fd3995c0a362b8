"""Trials of all that comes from outside: words, pictures, names, callers, packages and weights."""

from __future__ import annotations

from dataclasses import replace

from tests.torture.suites import suite
from tests.torture.trial import Row, Run

_RECEIVER = "tests/receiver"
_SEEN = "tests/acceptance"


def page(run: Run) -> list[Row]:
    """The gallery in a real browser, full of what strangers said, and with strangers beside it."""
    return [
        _row(run, "stored XSS", "no word of a stranger runs", f"{_SEEN}/test_stored_xss.py"),
        _row(run, "polyglots", "a picture is only shown", f"{_SEEN}/test_polyglots.py"),
        _row(run, "redirects, CSRF", "0 led elsewhere, 0 changed", f"{_SEEN}/test_led_astray.py"),
        _row(
            run,
            "cache leaks",
            "nobody keeps or is told what is another's",
            f"{_RECEIVER}/test_kept_answers.py",
        ),
    ]


def exports(run: Run) -> list[Row]:
    """What is taken out of the archive, opened by spreadsheets and unpacked into folders."""
    must = "no formula, no path and no header of a stranger's"
    paths = ("tests/archiver/test_export.py", "tests/archiver/exporting/test_hostile_names.py")
    return [_row(run, "exports", must, *paths)]


def access(run: Run) -> list[Row]:
    """Every route of every listener, and whoever guesses."""
    return [
        _row(run, "scopes", "each route to its scope alone", f"{_RECEIVER}/test_routes.py"),
        _row(
            run,
            "lock-out",
            "429 to who guesses, and to nobody else",
            f"{_RECEIVER}/test_lock_out.py",
            f"{_RECEIVER}/test_peers.py",
        ),
    ]


def supply_chain(run: Run) -> list[Row]:
    """What is installed, what is loaded, and that nothing comes in later."""
    demo = f"{_SEEN}/test_demo.py::test_"
    return [
        _row(run, "locks", "all pinned, all hashed, all there", "tests/deploy/test_locks.py"),
        _row(
            run,
            "weights",
            "0 unpickled, no code beside them run",
            "tests/fallback_renderer/engine/test_hostile_weights.py",
        ),
        _row(
            run,
            "run time",
            "start, archive, draw, search: nobody asked but this machine",
            f"{demo}the_demo_ends_well_and_names_every_outcome",
            f"{demo}who_would_download_is_found_out",
        ),
    ]


def _row(run: Run, test: str, must: str, *paths: str) -> Row:
    """One row of several of a trial, each with a folder of its own."""
    folder = run.folder / test.replace(" ", "-")
    folder.mkdir()
    return suite(replace(run, folder=folder), test, must, paths)
