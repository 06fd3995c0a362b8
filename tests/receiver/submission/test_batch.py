"""Batches are read whole before anything is sent, and a mistake is named with its line."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.models import GenerationParams
from receiver.submission.batch import BatchError, Row, read_batch


def read(content: str | bytes, name: str = "prompts.csv") -> tuple[Row, ...]:
    written = content.encode() if isinstance(content, str) else content
    return read_batch(name, written, "doitong")


class TestCsv:
    """A line of names, then a row each."""

    def test_columns_are_parameters(self) -> None:
        """Numbers and switches are read as such, empty cells say nothing."""
        [cat, dog] = read(
            "name,provider,prompt,model,width,guidance_scale,tomesd\r\n"
            "first,modelslab,a cat,sdxl,512,7.5,yes\r\n"
            ",,a dog,flux-pro, 640 ,,\r\n"
        )

        assert (cat.number, cat.provider, cat.name) == (1, "modelslab", "first")
        assert cat.params == GenerationParams(
            prompt="a cat", model="sdxl", width=512, guidance_scale=7.5, tomesd=True
        )
        assert (dog.number, dog.provider, dog.name) == (2, "doitong", "")
        assert dog.params == GenerationParams(prompt="a dog", model="flux-pro", width=640)

    def test_as_spreadsheets_write_it(self) -> None:
        """A byte order mark, quotes, a comma and a line break within a cell, and blank lines."""
        rows = read('\ufeffprompt,width\r\n"a ""cat"",\nasleep",512\r\n\r\n,\r\nnull,\r\n'.encode())

        assert [row.params.prompt for row in rows] == ['a "cat",\nasleep', "null"]
        assert [row.number for row in rows] == [1, 2]

    @given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1), min_size=1))
    def test_any_prompt_survives(self, prompts: list[str]) -> None:
        """Whatever a CSV writer quotes is read back as it was, character for character."""
        prompts = [prompt for prompt in prompts if prompt.strip() and "\0" not in prompt]
        file = io.StringIO(newline="")
        csv.writer(file).writerows([["prompt"], *([prompt] for prompt in prompts), ["last"]])

        assert [row.params.prompt for row in read(file.getvalue())] == [*prompts, "last"]


class TestNdjson:
    """One object a line."""

    def test_objects_are_rows(self) -> None:
        """Both endings of the name will do, and a line separator within a text is no end."""
        said = [{"prompt": "a\u2028cat", "width": 512}, {"prompt": "a dog", "name": None}]
        content = "\n\n".join(json.dumps(one, ensure_ascii=False) for one in said)

        for name in ("prompts.ndjson", "prompts.JSONL"):
            [cat, dog] = read(content, name)
            assert cat.params == GenerationParams(prompt="a\u2028cat", width=512)
            assert (dog.number, dog.name) == (2, "")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("b.csv", "prompt,colour\na cat,red\n", r"b.csv, line 2: no column is called 'colour'"),
        ("b.csv", "prompt,prompt\na,b\n", "line 1: two columns have the same name"),
        ("b.csv", "prompt\na cat,512\n", "line 2: 2 cells under 1 names"),
        ("b.csv", "prompt,width\na cat,wide\n", r"line 2: width: expected int, got str"),
        ("b.csv", "prompt,guidance_scale,provider,model\na,nan,modelslab,m\n", "is no number"),
        ("b.csv", 'prompt\n"a cat\n', "line 2: unexpected end of data"),
        ("b.csv", b"prompt\na\n\xff\n", "line 3: not UTF-8"),
        ("b.csv", "prompt\n", "has no rows"),
        ("b.csv", "prompt,provider\na cat,midjourney\n", "the provider is 'midjourney', not one"),
        ("b.csv", "prompt,seed\na cat,\na dog,7\n", "line 3: seed = 7: doitong takes none"),
        ("b.csv", "prompt,width\n,512\n", "line 2: there is no prompt"),
        ("b.ndjson", '{"prompt": "a"}\n{"prompt": \n', "b.ndjson, line 2: "),
        ("b.ndjson", '["a cat"]', "line 1: expected `object`, got `array`"),
        ("b.ndjson", '{"prompt": 7}', "line 1: prompt: expected str, got int"),
        ("b.ndjson", '{"prompt": "a", "size": "1*1"}', "no column is called 'size'"),
        ("b.ndjson", '{"prompt": "a", "name": 7}', "name: expected text"),
        ("b.txt", "a cat", "a batch is named .csv, .ndjson, .jsonl"),
    ],
)
def test_mistakes_are_named(name: str, content: str | bytes, words: str) -> None:
    """Where it stands and what is wrong, before anything is sent."""
    with pytest.raises(BatchError, match="(?i)" + words):
        read(content, name)


@pytest.mark.parametrize(
    ("changed", "same"),
    [({"name": "other"}, True), ({"prompt": "a dog"}, False), ({"provider": "modelslab"}, False)],
)
def test_digest_is_of_what_is_asked_for(changed: dict[str, Any], same: bool) -> None:
    """A row may be called otherwise without being another."""
    said = {"prompt": "a cat", "model": "m", "name": "one", "provider": "doitong"}
    [before] = read(json.dumps(said), "b.ndjson")
    [after] = read(json.dumps(said | changed), "b.ndjson")

    assert (before.digest == after.digest) is same
