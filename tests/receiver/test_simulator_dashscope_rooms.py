"""The pure rooms of the practice DashScope: reading requests and lists, and OSS links."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.simulator.dashscope.links import OssLinks
from receiver.simulator.dashscope.listing import read_page
from receiver.simulator.dashscope.refusals import RefusalError
from receiver.simulator.dashscope.submissions import Submission, read_submission
from receiver.simulator.signing import hmac_sha1_base64
from tests.receiver.test_simulator_rooms import JSON

XL = {"model": "stable-diffusion-xl", "input": {"prompt": "a running cat"}}
LINKS = OssLinks(key=b"a key")
PATH = "/dashscope-result/abc-1.png"
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
SOON = int(NOON.timestamp()) + 60


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (XL, Submission(model="stable-diffusion-xl", prompt="a running cat", size=(1024, 1024))),
        (
            {**XL, "model": "stable-diffusion-v1.5", "parameters": None},
            Submission(model="stable-diffusion-v1.5", prompt="a running cat", size=(512, 512)),
        ),
        (
            {**XL, "parameters": {"size": "512*1024", "n": 4, "seed": 0, "steps": 500, "scale": 1}},
            Submission(
                model="stable-diffusion-xl", prompt="a running cat", size=(512, 1024), n=4, seed=0
            ),
        ),
    ],
)
def test_the_documented_parameters_are_read(body: object, expected: Submission) -> None:
    """With the defaults of the documented table of the HTTP interface."""
    assert expected == read_submission(body)


@given(JSON, JSON, JSON, st.sampled_from(["size", "n", "seed", "steps", "scale"]))
def test_reading_submissions_is_total(body: Any, source: Any, value: Any, name: str) -> None:
    """Any JSON is a submission or a refusal, never another error."""
    for asked in (body, {**XL, "input": source}, {**XL, "parameters": {name: value}}):
        try:
            assert read_submission(asked).prompt
        except RefusalError as refusal:
            assert refusal.status in {400, 404}  # noqa: PT017 (either ending is right)


@given(
    st.dictionaries(
        st.sampled_from(["start_time", "end_time", "page_no", "page_size", "status"]),
        st.text(max_size=20) | st.text(alphabet="0123456789", max_size=20),
    )
)
def test_reading_lists_is_total(query: dict[str, str]) -> None:
    """Any parameters are a page or a refusal, never another error."""
    try:
        assert read_page(query, NOON).page_no >= 1
    except RefusalError as refusal:
        assert refusal.status == 400  # noqa: PT017 (either ending is right)


def denial_code(query: str, verb: str = "GET", content_type: str = "") -> str | None:
    denial = LINKS.denial(PATH, query, verb=verb, content_type=content_type, now=NOON)
    return denial and denial.code


@given(st.integers(0, 10**12))
def test_a_link_opens_until_it_expires(expires: int) -> None:
    """A minted link is good before its moment and never from it on."""
    expected = "AccessDenied" if expires <= NOON.timestamp() else None
    assert expected == denial_code(LINKS.query(PATH, expires=expires))


def test_a_link_is_signed_as_oss_signs() -> None:
    """Verb, no MD5, no type, expiry and /bucket/key, line by line, under HMAC-SHA1."""
    query = parse_qs(LINKS.query(PATH, expires=SOON), strict_parsing=True)
    signed = f"GET\n\n\n{SOON}\n/dashscope-result-bj{PATH}"
    assert query == {
        "Expires": [str(SOON)],
        "OSSAccessKeyId": ["LTAIpractice"],
        "Signature": [hmac_sha1_base64(b"a key", signed.encode())],
    }
    # RFC 2202, test case 2, in base64.
    assert hmac_sha1_base64(b"Jefe", b"what do ya want for nothing?") == (
        "7/zfauXrL6LSdBbV8YTfnCWafHk="
    )


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", "AccessDenied"),
        ("Expires=tomorrow&OSSAccessKeyId=LTAIpractice&Signature=x", "AccessDenied"),
        (f"Expires={SOON}&OSSAccessKeyId=LTAIpractice", "SignatureDoesNotMatch"),
        (f"Expires={SOON}&OSSAccessKeyId=another&Signature=x", "InvalidAccessKeyId"),
        (LINKS.query(PATH + "2", expires=SOON), "SignatureDoesNotMatch"),
        (
            LINKS.query(PATH, expires=SOON).replace(str(SOON), str(SOON + 1)),
            "SignatureDoesNotMatch",
        ),
    ],
)
def test_other_links_do_not_open(query: str, code: str) -> None:
    """Refused in the storage service's own words."""
    assert code == denial_code(query)


@pytest.mark.parametrize(("verb", "content_type"), [("HEAD", ""), ("GET", "image/png")])
def test_a_link_covers_verb_and_content_type(verb: str, content_type: str) -> None:
    """A HEAD or a GET with a Content-Type does not match the signature."""
    assert denial_code(LINKS.query(PATH, expires=SOON), verb, content_type) == (
        "SignatureDoesNotMatch"
    )
