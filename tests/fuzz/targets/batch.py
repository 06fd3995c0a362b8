"""Batches to submit, which cost money: CSV, or a JSON object a line."""

from __future__ import annotations

import json
from dataclasses import asdict
from math import isfinite

from receiver.providers.submitters import SUBMITTERS
from receiver.submission import batch
from receiver.submission.batch import BatchError, read_batch
from tests.fuzz.target import Sabotage, Target


def law(data: bytes) -> None:
    """Refused with the line, or rows that can be sent, each saying nothing but what was written.

    The first line names the file.
    """
    name, _, content = data.partition(b"\n")
    file = "a.csv" if name.endswith(b"csv") else "a.ndjson"
    try:
        rows = read_batch(file, content, "doitong")
    except BatchError as error:
        assert str(error).startswith(file)
        return
    assert [row.number for row in rows] == [*range(1, len(rows) + 1)]
    assert rows == read_batch(file, content, "doitong")
    for row in rows:
        assert len(row.digest) == 64
        assert row.params.prompt
        submission = SUBMITTERS[row.provider].submission
        json.loads(submission(row.params, api_key="k", idempotency_key="i").body)
        for value in asdict(row.params).values():
            assert not isinstance(value, float) or isfinite(value)


TARGET = Target(
    law=law,
    sabotage=Sabotage(
        says="refusing what is no number", owner=batch, name="isfinite", instead=lambda _: True
    ),
    words=(
        *(b"a.csv\n", b"a.ndjson\n", b"prompt,width,steps\n", b'{"prompt":"a cat"', b'"provider":'),
        *(b"provider", b"modelslab", b"dashscope", b"model", b"guidance_scale", b"nan", b"inf"),
        *(b"1e400", b"\xef\xbb\xbf", b'""', b"\r", b"\\ud800", b"yes", b"18446744073709551616"),
    ),
)
