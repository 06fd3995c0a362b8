"""The log: JSON lines that a machine reads and that open no door."""

from __future__ import annotations

import io
import json
import logging
from typing import Any

import pytest

from archiver import log
from archiver.log import Outage, logger


def lines(file: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.getvalue().splitlines()]


def test_a_line_is_one_json_object(log_file: io.StringIO) -> None:
    """It says what happened, when, how bad it is and in which role, in any script."""
    logger().warning("two\nlines", text="猫 🐱", count=2)
    (line,) = lines(log_file)
    assert line.pop("timestamp").endswith("Z")
    expected = {"event": "two\nlines", "level": "warning", "role": "tests"}
    assert {**expected, "text": "猫 🐱", "count": 2} == line
    assert "猫 🐱" in log_file.getvalue()  # for the eyes too, not as escapes


@pytest.mark.parametrize(
    "url", ["https://cdn.example/1.png?Signature=hush", "https://hush:hush@cdn.example/1.png"]
)
def test_no_line_opens_a_door(log_file: io.StringIO, url: str) -> None:
    """A URL loses its query and its user wherever it stands, in an exception too."""
    logger().info(f"got {url}", url=url, error=f"({url})")
    try:
        raise ValueError(url)
    except ValueError:
        logger().exception("a fault")
    assert "hush" not in log_file.getvalue()
    assert log_file.getvalue().count("cdn.example/1.png") >= 4


def test_an_outage_is_told_when_it_begins_and_when_it_is_over(log_file: io.StringIO) -> None:
    """Two lines, however often it is met, and none where there is none."""
    outage = Outage("refused", "taken in again")
    outage.over()
    for _ in range(2):
        for _ in range(3):
            outage.met(OSError("no room"))
        outage.over()
        outage.over()
    told = [(line["event"], line.get("error"), line.get("refused")) for line in lines(log_file)]
    assert told == [("refused", "no room", None), ("taken in again", None, 3)] * 2


def test_an_exception_is_told_with_its_traceback(log_file: io.StringIO) -> None:
    """A fault of ours says where it stands."""
    try:
        raise KeyError("mine")
    except KeyError:
        logger().exception("a fault")
    (line,) = lines(log_file)
    assert "KeyError: 'mine'" in line["exception"]
    assert "test_log.py" in line["exception"]


@pytest.mark.usefixtures("log_file")
def test_a_strangers_broken_request_fills_no_log() -> None:
    """aiohttp's server logs a traceback for any malformed request unless it is told not to."""
    assert not logging.getLogger("aiohttp.server").isEnabledFor(logging.ERROR)


class _Full(io.StringIO):
    """A file on a disk that has no room."""

    def write(self, _: str) -> int:
        raise OSError(28, "No space left on device")


def test_a_line_that_cannot_be_written_fails_nobody(log_file: io.StringIO) -> None:
    """The log's full disk must not be the webhooks' trouble too."""
    log.configure("tests", file=_Full())

    logger().error("nobody reads this")
