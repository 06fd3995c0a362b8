"""Rows of an export: everything that is known, readable again, and harmless in a spreadsheet."""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver import manifest
from archiver.cards import card_of
from archiver.export import COLUMNS, Format, Row, beginning, cell, lines, row_of
from archiver.lifecycle import archive
from archiver.models import Generation, GenerationParams, Origin
from archiver.search import Hit
from archiver.story import hit_summary
from tests.archiver.heard import DELIVERED, DRAWN, POLICY, asset, failed, hear, hearing, numbered

ODD = 'a "red" fox,\r\nin snow\n'


def row(generation: Generation) -> Row:
    """What is exported of its first slot."""
    known = numbered(generation)
    return row_of(Hit(card=card_of(known, known.slots[0]), prompt=known.params.prompt), known)


def in_table(*rows: Row) -> list[dict[str, str]]:
    """A table as whoever reads it sees it."""
    table = beginning(Format.CSV) + lines(Format.CSV, rows)
    return list(csv.DictReader(io.StringIO(table.decode(), newline="")))


def test_a_row_says_what_the_manifest_says() -> None:
    """All of the hit, all of the slot, and all of the generation but its other slots."""
    generation = numbered(DELIVERED)
    told = row(DELIVERED)
    assert {"failure", "undrawn", "assets", "links", "prompt", "seed"} <= told.keys()
    described = manifest.describe(generation)
    [slot] = described.pop("slots")
    summary = hit_summary(Hit(card=card_of(generation, generation.slots[0]), prompt="A lighthouse"))
    assert told == {
        **summary,
        **{name: slot[name] for name in slot.keys() - {"number", "index", "role"} - summary.keys()},
        "generation": described,
    }


def test_lines_are_one_document_each() -> None:
    """Whatever stands in them, line breaks too."""
    rows = [
        row(hear(hearing(params=GenerationParams(prompt=text), url="x"))) for text in (ODD, "猫")
    ]
    told = lines(Format.NDJSON, rows)
    assert [json.loads(line) for line in told.decode().splitlines()] == json.loads(json.dumps(rows))
    assert (beginning(Format.NDJSON), lines(Format.NDJSON, [])) == (b"", b"")


def test_the_columns_are_a_promise() -> None:
    """Who reads them by name finds them; more may come."""
    header = beginning(Format.CSV).decode()
    assert header == ",".join(COLUMNS) + "\r\n"
    assert len(set(COLUMNS)) == len(COLUMNS)
    assert COLUMNS[:7] == ("number", "provider", "id", "slot", "state", "reason", "prompt")
    assert {"seed", "negative_prompt", "cost", "failure_message", "notes"} <= set(COLUMNS)


def test_a_table_says_it_in_cells() -> None:
    """Texts as they are, numbers as numbers, yes and no, and nothing for nothing."""
    drawn = replace(asset(Origin.FALLBACK), rendering=replace(DRAWN, notes=("one", "two")))
    params = GenerationParams(
        prompt=ODD, negative_prompt="", seed=2**64 - 1, guidance_scale=-1.5, upscale=False
    )
    lost = archive(hear(failed(params=params, cost=20.0)), 0, drawn)
    [told] = in_table(row(lost))
    expected = {
        "number": "100", "prompt": ODD, "negative_prompt": "", "seed": str(2**64 - 1),
        "guidance_scale": "-1.5", "upscale": "false", "safety_checker": "", "cost": "20.0",
        "origin": "fallback", "state": "rendered", "generation_state": "failed",
        "flagged": "false",
        "drawn_with": "owner/name@commit", "notes": "one; two", "width": "1", "steps": "",
        "archived_at": "2026-11-21T12:00:00.000Z",
    }  # fmt: skip
    assert {name: told[name] for name in expected} == expected


def test_a_failure_is_the_slots_or_else_the_generations() -> None:
    """So that a table of what was lost says why."""
    [told] = in_table(row(hear(failed(POLICY))))
    assert (told["failure_class"], told["failure_message"]) == ("policy", "nsfw")
    assert in_table(row(DELIVERED))[0]["failure_class"] == ""


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "\nx", "\0x", " =1", "\ufeff=1", "\u200b=1",
     "＝1", "＋1", "－1", "＠x", "﹣1", "\u3000=1", "- fox"],
)  # fmt: skip
def test_no_text_is_a_formula(text: str) -> None:
    """It begins with an apostrophe, which spreadsheets take for the sign of a text."""
    assert cell(text) == f"'{text}"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a;=1;b", "a;'=1;b"), ("x\n=1", "x\n'=1"), ("m\t +2", "m\t '+2"), ("a| ＝1", "a| '＝1"),
        ("a;\u200b=1", "a;\u200b'=1"), ("a; ;﹦1", "a; ;'﹦1"), ("a\n\0@b|c", "a\n\0'@b|c"),
    ],
)  # fmt: skip
def test_nor_is_it_behind_another_separator(text: str, shown: str) -> None:
    """Spreadsheets of many countries separate by something else, and then quotes do not help."""
    assert cell(text) == shown


@pytest.mark.parametrize(
    "text", ["", "fox", "1", "'=1", "(-1)", "猫", "a=b", "x@y", "🦊", "...", '"-"']
)
def test_other_text_is_as_it_was(text: str) -> None:
    """Nobody's prompt is changed without need."""
    assert cell(text) == text


@pytest.mark.parametrize(
    ("value", "shown"), [(-1, "-1"), (-0.5, "-0.5"), (1e22, "1e+22"), (True, "true"), (None, "")]
)
def test_numbers_are_no_texts(value: Any, shown: str) -> None:
    """A negative one stays a number."""
    assert cell(value) == shown


FORMULAS = st.text(st.sampled_from(";\t|\r\n \0\u200b\ufeff\u202e=+-@＝﹦x'"), max_size=12)


@given(FORMULAS)
def test_no_cell_of_any_country_is_a_formula(text: str) -> None:
    """However it is taken apart, no piece of it shows a sign first."""
    for piece in re.split(r"[;\t|\r\n]", cell(text)):
        seen = (it for it in piece if not it.isspace() and unicodedata.category(it)[0] != "C")
        assert unicodedata.normalize("NFKC", next(seen, "")) not in {"=", "+", "-", "@"}


@pytest.mark.parametrize("blank", ["\n", "\r\n", ";", "; ", "\t ", "| \u200b"])
def test_a_long_run_of_nothing_is_told_at_once(blank: str) -> None:
    """As much as a webhook holds, which pairs of its characters would take hours to look at."""
    text = blank * (1_000_000 // len(blank))
    assert cell(f"a{text}x") == f"a{text}x"
    assert cell(f"a{text}=x") == f"a{text}'=x"


@given(st.lists(st.text(st.characters(exclude_categories=("Cs",))), min_size=1, max_size=4))
def test_whatever_is_written_can_be_read(texts: list[str]) -> None:
    """Every cell comes back, and none begins as a formula does."""
    rows = [row(hear(hearing(params=GenerationParams(prompt=text), url="x"))) for text in texts]
    for told, text in zip(in_table(*rows), texts, strict=True):
        assert told["prompt"] == cell(text)
        assert told["prompt"].removeprefix("'") in (text, text.removeprefix("'"))
        assert not unicodedata.normalize("NFKC", told["prompt"][:1]).startswith(tuple("=+-@\t\r\n"))
