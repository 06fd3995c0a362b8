"""The log: JSON lines that a machine reads and that open no door."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import structlog

from archiver import log
from archiver.log import Outage, logger
from archiver.work import JobKind


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


SECRETS = {
    "a webhook's secret": "{}",
    "a signature": "X-Doitong-Signature: sha256=" + "9f" * 32,
    "a signature of a body": "{{'X-Doitong-Signature': 'sha256={}'}}",
    "Doitong's key": "Authorization: Bearer {}",
    "DashScope's key": "https answered 401 to sk-{}",
    "ModelsLab's key in a body": '{{"key": "{}", "prompt": "a fox"}}',
    "the same in a message": r"{{\"key\": \"{}\"}}",
    "a bearer token": "got bearer {} of whom?",
    "a cookie": "Set-Cookie: pass={}; Path=/",
    "a header as it was received": "(b'X-Api-Key', b'{}')",
    "a presigned URL of S3": "https://s3.example/a.png?X-Amz-Algorithm=A&X-Amz-Signature={}",
    "a presigned URL of OSS": "https://a.oss.example/a.png?OSSAccessKeyId=a&Signature={}",
    "a presigned URL of GCS": "https://gcs.example/a.png?X-Goog-Credential=a&X-Goog-Signature={}",
    "an escaped URL": r"https:\/\/cdn.example\/a.png\u003fSignature={}",
    "a proxy's credentials": "cannot connect to http://me:{}@proxy.example:3128",
    "a path token": "POST /webhooks/modelslab/{}.AAAA",
    "a client's token": "GET /gateway/{}/dashscope/api/v1",
    "a cloud's key": "aws_secret_access_key = {}",
    "a setting": "HOLDFAST_NOTIFY__SECRET={}",
    "a signing key": "-----BEGIN PRIVATE KEY-----\nMC4{}\n-----END PRIVATE KEY-----\n",
    "a secret of Standard Webhooks": "signed with whsec_{}=",
    "a JSON web token": "eyJhbGci{}.eyJzdWIi.c2ln",
}
HUSH = "hush1hush2hush3hush4"
# The only one that looks like nothing: it has to be known.
KNOWN = "a webhook's secret"


class Odd:
    """An object that nobody has taught to be logged."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return f"<Odd {self._text}>"


def fail(text: str) -> None:
    """Somewhere deep."""
    try:
        raise ValueError(text)
    except ValueError as error:
        raise RuntimeError(f"because of {text}") from error


PLACES: dict[str, Callable[[str], None]] = {
    "event": lambda text: logger().info(text),
    "value": lambda text: logger().info("it is said", text=text),
    "name": lambda text: logger().info("it is said", **{text: 1}),
    "error": lambda text: logger().error("it failed", error=ValueError(text)),
    "dict": lambda text: logger().info("it is said", body={"of": {"all": [text]}}),
    "key": lambda text: logger().info("it is said", body={text: 1}),
    "list": lambda text: logger().warning("it is said", headers=[("a", text), (text, "b")]),
    "set": lambda text: logger().info("it is said", names={text}),
    "bytes": lambda text: logger().info("it is said", body=text.encode()),
    "bytes within": lambda text: logger().info("it is said", body=[bytearray(text.encode())]),
    "object": lambda text: logger().info("it is said", what=Odd(text)),
    "deep": lambda text: logger().info("it is said", x=[[[[[[[[[text]]]]]]]]]),
    "outage": lambda text: Outage("begun", "over").met(OSError(text)),
    "context": lambda text: bound(text),
    "traceback": lambda text: traced(text),
}


def bound(text: str) -> None:
    with structlog.contextvars.bound_contextvars(request=text):
        logger().info("it is said")


def traced(text: str) -> None:
    try:
        fail(text)
    except RuntimeError:
        logger().exception("a fault")


@pytest.fixture
def _forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is concealed here is no secret to the other tests."""
    monkeypatch.setattr(log, "_concealed", type(log._concealed)())


@pytest.mark.usefixtures("_forgetful")
@pytest.mark.parametrize("style", ["json", "console"])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("secret", SECRETS)
def test_no_line_opens_a_door(secret: str, place: str, style: Any) -> None:
    """No secret of any kind reaches the log, from whatever place and in whatever style."""
    file = io.StringIO()
    log.configure("tests", log.Style(format=style), file=file)
    if secret == KNOWN:
        log.conceal([HUSH])
    PLACES[place](SECRETS[secret].format(HUSH))
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()
    said = file.getvalue()
    assert len(said) > 20
    assert "hush1" not in said
    assert "9f9f9f9f" not in said


@pytest.mark.usefixtures("_forgetful")
@pytest.mark.parametrize(
    "told",
    ['pass"word/1', "first line\nMC4CAQAwBQYDK2Vw\nlast", " in spaces 123 ", "日本語の秘密です"],
)
def test_what_is_known_is_cut_out_in_any_wrapping(log_file: io.StringIO, told: str) -> None:
    """As it is, escaped as in a URL, as in JSON; of several lines each; too short ones stay."""
    log.conceal([told, "short", ""])
    for line in (part.strip() for part in told.splitlines()):
        if len(line) >= log.MIN_SECRET_CHARACTERS:
            wrapped = f"<{line}> {quote(line, safe='')} {json.dumps({'a': line})}"
            logger().info("it is said, in short", wrapped=wrapped)
            assert lines(log_file)[-1]["wrapped"].count("…") >= 3
            assert line not in log_file.getvalue()
    logger().info("short")
    assert lines(log_file)[-1]["event"] == "short"


def test_what_is_no_secret_is_told(log_file: io.StringIO) -> None:
    """In values that JSON has, nested as they were."""
    moment, path = datetime(2026, 11, 21, tzinfo=UTC), Path("/data/inbox")
    said = {"at": moment, "where": path, "counts": {"fetch": 1, "none": None}, "ok": [True, 1.5]}
    logger().info("done", **said, kind=JobKind.FETCH, url="https://cdn.example/a.png?sig=x")
    (line,) = lines(log_file)
    assert (line["at"], line["where"]) == ("2026-11-21 00:00:00+00:00", "/data/inbox")
    assert (line["counts"], line["ok"]) == ({"fetch": 1, "none": None}, [True, 1.5])
    assert (line["kind"], line["url"]) == ("fetch", "https://cdn.example/a.png?…")


class _Terminal(io.StringIO):
    """Somebody looks on."""

    def isatty(self) -> bool:
        return True


@pytest.mark.usefixtures("log_file")
@pytest.mark.parametrize(
    ("style", "file", "is_json"),
    [
        ("auto", io.StringIO(), True),
        ("auto", _Terminal(), False),
        ("json", _Terminal(), True),
        ("console", io.StringIO(), False),
    ],
)
def test_machines_are_told_in_json_and_people_in_words(
    style: Any, file: io.StringIO, is_json: bool
) -> None:
    """Unless the setting says otherwise; colours only for who can see them."""
    log.configure("tests", log.Style(format=style), file=file)
    logger().warning("it is late", seconds=3)
    said = file.getvalue()
    assert said.startswith("{") is is_json
    assert "it is late" in said
    assert ("\x1b[" in said) is (file.isatty() and not is_json)


@pytest.mark.usefixtures("log_file")
def test_no_strangers_text_moves_a_terminals_cursor() -> None:
    """Control characters are shown as what they are."""
    file = io.StringIO()
    log.configure("tests", log.Style(format="console"), file=file)
    logger().info("a\x1b[2Jb", text="c\rd\x9b", nested=["e\x1b"])
    said = file.getvalue()
    assert said.count("\n") == 1
    assert set(said.rstrip("\n")).isdisjoint({*map(chr, range(32)), *map(chr, range(127, 160))})


@pytest.mark.usefixtures("log_file")
@pytest.mark.parametrize(
    ("level", "told"),
    [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)],
)
def test_what_matters_less_is_left_out(level: Any, told: int) -> None:
    """From the level that the setting names upwards."""
    file = io.StringIO()
    log.configure("tests", log.Style(level=level), file=file)
    for name in ("debug", "info", "warning", "error"):
        getattr(logger(), name)("it is said")
    assert len(lines(file)) == told


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


@pytest.mark.usefixtures("log_file")
def test_a_lost_server_is_told_of_in_our_own_words_alone() -> None:
    """The driver warns in a form that nobody reads, of what it raises as well."""
    assert not logging.getLogger("psycopg").isEnabledFor(logging.ERROR)


class _Full(io.StringIO):
    """A file on a disk that has no room."""

    def write(self, _: str) -> int:
        raise OSError(28, "No space left on device")


def test_a_line_that_cannot_be_written_fails_nobody(log_file: io.StringIO) -> None:
    """The log's full disk must not be the webhooks' trouble too."""
    log.configure("tests", file=_Full())

    logger().error("nobody reads this")
