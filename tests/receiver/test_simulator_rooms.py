"""The simulator's pure rooms: reading, drawing, signing; and the wall around the house."""

from __future__ import annotations

import ast
import hashlib
import hmac
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import receiver.simulator
from receiver.simulator.forms import MUTATIONS, read_flat
from receiver.simulator.generations import Submission
from receiver.simulator.graphql import Field, Operation, read_operation
from receiver.simulator.links import Links
from receiver.simulator.pictures import LONGEST_SIDE, draw
from receiver.simulator.refusals import RefusalError
from receiver.simulator.webhooks import signature

HOUSE = Path(receiver.simulator.__file__).parent
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def field(name: str, key: str = "", **more: Any) -> Field:
    return Field(name=name, key=key or name, **{"arguments": {}, "selection": (), **more})


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("{a}", Operation(kind="query", fields=(field("a"),))),
        ("query Q { a, b }", Operation(kind="query", fields=(field("a"), field("b")))),
        (
            "mutation M($x: [Int!]! = [1], $y: In) { k: do(x: $x, y: {z: $y}) { id } } # why",
            Operation(
                kind="mutation",
                fields=(
                    field(
                        "do",
                        "k",
                        arguments={"x": [7], "y": {"z": None}},
                        selection=(field("id"),),
                    ),
                ),
            ),
        ),
        (
            '{ a(s: "q\\"\\u00e9", e: IMAGE, n: -1.5e3, t: true, f: false, o: null, l: [1 2]) }',
            Operation(
                kind="query",
                fields=(
                    field(
                        "a",
                        arguments={
                            "s": 'q"é',
                            "e": "IMAGE",
                            "n": -1500.0,
                            "t": True,
                            "f": False,
                            "o": None,
                            "l": [1, 2],
                        },
                    ),
                ),
            ),
        ),
    ],
)
def test_graphql_is_read(document: str, expected: Operation) -> None:
    """Operations, aliases, arguments of every kind and variables are understood."""
    assert expected == read_operation(document, {"x": [7]})


@pytest.mark.parametrize(
    "document",
    [
        "",
        "{",
        "{}",
        "{a",
        "{a}}",
        "{a(",
        "{a(b)}",
        "{a(b: })}",
        '{a(b: "\\x")}',
        '{a(b: "c)}',
        "{a(b: 01)}",
        "{...f}",
        "{a @skip(if: true)}",
        "subscription {a}",
        "query (",
        "{a} {b}",
        "{" + "a{" * 5000,
    ],
)
def test_what_is_not_graphql_is_refused(document: str) -> None:
    """A syntax error is a 400 that says what was unexpected."""
    with pytest.raises(RefusalError, match="Syntax Error") as refused:
        read_operation(document, {})
    assert (refused.value.status, refused.value.code) == (400, "GRAPHQL_PARSE_FAILED")


@given(st.text() | st.text(alphabet='{}()[]:$!="a1-. \\', max_size=40))
def test_reading_graphql_is_total(document: str) -> None:
    """Any text is an operation or a refusal, never another error."""
    try:
        assert read_operation(document, {}).fields
    except RefusalError as refusal:
        assert refusal.status == 400  # noqa: PT017 (either ending is right)


FLAT = {"service": "flux-pro", "prompt": "A red fox"}
NESTED = {"type": "IMAGE", "provider": "flux-pro", "input": {"text": "A red fox"}}
PLAIN = Submission(service="flux-pro", prompt="A red fox")
HOOK = "https://hooks.example/doitong"
HOOKED = Submission(service="flux-pro", prompt="A red fox", webhook_url=HOOK)


@pytest.mark.parametrize(
    ("mutation", "asked", "expected"),
    [
        ("generateImage", FLAT, PLAIN),
        ("generateImage", {**FLAT, "webhookUrl": HOOK}, HOOKED),
        ("generate", NESTED, PLAIN),
        ("generate", {**NESTED, "options": None}, PLAIN),
        ("generate", {**NESTED, "webhookUrl": HOOK}, HOOKED),
        ("generate", {**NESTED, "input": {"text": "A red fox", "webhookUrl": HOOK}}, HOOKED),
        ("generate", {**NESTED, "options": {"webhookUrl": HOOK}}, HOOKED),
        (
            "generate",
            {**NESTED, "options": {"width": 512, "height": 64, "version": "v", "quality": "high"}},
            Submission(
                service="flux-pro",
                prompt="A red fox",
                width=512,
                height=64,
                version="v",
                quality="high",
            ),
        ),
    ],
)
def test_the_forms_say_the_same(mutation: str, asked: dict[str, Any], expected: Submission) -> None:
    """Every documented form, with the webhook's URL in every plausible place, is one Submission."""
    assert expected == MUTATIONS[mutation]({"input": asked})


@pytest.mark.parametrize(
    "fault",
    [
        {"prompt": None},
        {"prompt": "  "},
        {"prompt": 7},
        {"prompt": "\ud800"},
        {"service": ""},
        {"width": 0},
        {"width": 8193},
        {"width": 512.0},
        {"height": "512"},
        {"height": True},
        {"version": 2},
        {"webhookUrl": "ftp://hooks.example"},
        {"webhookUrl": "/doitong"},
        {"webhookUrl": "http://[oops"},
        {"webhookUrl": 7},
    ],
)
def test_bad_parameters_are_refused(fault: dict[str, Any]) -> None:
    """A value that the provider cannot use is a 400."""
    with pytest.raises(RefusalError) as refused:
        read_flat({**FLAT, **fault})
    assert (refused.value.status, refused.value.code) == (400, "BAD_USER_INPUT")


def test_only_pictures_are_drawn() -> None:
    """A request for a video is refused and not answered with a picture."""
    with pytest.raises(RefusalError, match="IMAGE"):
        MUTATIONS["generate"]({"input": {**NESTED, "type": "VIDEO"}})


@given(st.sampled_from(sorted(MUTATIONS)), JSON, JSON, JSON)
def test_reading_forms_is_total(mutation: str, source: Any, options: Any, prompt: Any) -> None:
    """Any JSON is a submission or a refusal, never another error."""
    asked = {**FLAT, "provider": "x", "input": source, "options": options, "prompt": prompt}
    try:
        assert MUTATIONS[mutation]({"input": asked}).prompt
    except RefusalError as refusal:
        assert refusal.status == 400  # noqa: PT017 (either ending is right)


@pytest.mark.parametrize(
    ("side", "credit_cost"), [(512, 10), (513, 20), (1024, 20), (1025, 30), (2048, 30), (2049, 50)]
)
def test_prices_are_the_documented_ones(side: int, credit_cost: int) -> None:
    """10–20 credits up to 1024×1024, 30–50 beyond."""
    asked = Submission(service="flux-pro", prompt="A red fox", width=side, height=side)
    assert credit_cost == asked.credit_cost


@given(st.binary(max_size=200), st.binary(max_size=500))
def test_the_signature_is_hmac_sha256(secret: bytes, body: bytes) -> None:
    """Two libraries agree on the documented header for every secret and body."""
    assert f"sha256={hmac.new(secret, body, hashlib.sha256).hexdigest()}" == signature(secret, body)


LINKS = Links(key=b"a key")
PATH = "/outputs/abc123xyz.jpg"
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def denial_code(query: str, verb: str = "GET", content_type: str = "") -> str | None:
    denial = LINKS.denial(PATH, query, verb=verb, content_type=content_type, now=NOON)
    return denial and denial.code


@given(st.integers(0, 10**12))
def test_a_link_opens_until_it_expires(expires: int) -> None:
    """A minted link is good before its moment and never from it on."""
    query = LINKS.query(PATH, expires=expires)
    expected = "AccessDenied" if expires <= NOON.timestamp() else None
    assert expected == denial_code(query)


@given(st.data())
def test_no_altered_link_opens(data: st.DataObject) -> None:
    """Whatever is changed in the query, and wherever, the link no longer opens."""
    query = LINKS.query(PATH, expires=int(NOON.timestamp()) + 60)
    at = data.draw(st.integers(0, len(query)))
    altered = (
        query[:at] + data.draw(st.text(max_size=3)) + query[at + data.draw(st.integers(0, 3)) :]
    )
    assert (None if altered == query else True) is (denial_code(altered) and True)


@pytest.mark.parametrize(("verb", "content_type"), [("HEAD", ""), ("GET", "image/jpeg")])
def test_a_link_covers_verb_and_content_type(verb: str, content_type: str) -> None:
    """As on OSS, a HEAD or a GET with a Content-Type does not match the signature."""
    query = LINKS.query(PATH, expires=int(NOON.timestamp()) + 60)
    assert denial_code(query, verb, content_type) == "SignatureDoesNotMatch"


@given(st.text(min_size=1), st.integers(1, 8192), st.integers(1, 8192))
def test_any_prompt_draws_a_picture(prompt: str, width: int, height: int) -> None:
    """Every prompt in every size becomes a picture, no side beyond 512 pixels."""
    with Image.open(BytesIO(draw(prompt, width, height))) as picture:
        picture.load()
        assert picture.format in {"JPEG", "PNG"}
        assert min(LONGEST_SIDE, max(width, height)) == max(picture.size)


def test_a_prompt_always_draws_the_same() -> None:
    """The same words and seed give the same bytes, other ones others."""
    assert draw("A red fox", 640, 480) == draw("A red fox", 640, 480)
    assert draw("A red fox", 640, 480) != draw("A grey fox", 640, 480)
    assert draw("A red fox", 640, 480) != draw("A red fox", 640, 480, 1)


def test_pictures_come_in_two_formats() -> None:
    """Behind the `.jpg` names lie PNG files too, so that nobody may trust a name."""
    pictures = [draw(f"fox {number}", 8, 8) for number in range(40)]
    formats = {"PNG" if picture.startswith(b"\x89PNG") else "JPEG" for picture in pictures}
    assert {"JPEG", "PNG"} == formats


@pytest.mark.parametrize(
    "room", sorted(HOUSE.rglob("*.py")), ids=lambda room: str(room.relative_to(HOUSE))
)
def test_the_house_stands_alone(room: Path) -> None:
    """No room imports holdfast, and none but the clock asks for the time."""
    imported = set()
    for node in ast.walk(ast.parse(room.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            imported.add(str(node.module))
        elif isinstance(node, ast.Attribute) and room.name != "clock.py":
            assert node.attr not in {"now", "utcnow", "monotonic", "perf_counter"}
    ours = {"receiver", "archiver", "fallback_renderer"}
    strangers = {
        name
        for name in imported
        if name.split(".")[0] in ours and not name.startswith("receiver.simulator")
    }
    assert set() == strangers
