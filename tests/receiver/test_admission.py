"""Who may go through the gateway, to whom, and by which path."""

from __future__ import annotations

from hashlib import sha256
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.admission import Admission, GuessingError
from receiver.peers import FailureLimit

PROVIDERS = {"dashscope", "modelslab"}
HOME, AWAY, ELSEWHERE = "10.1.2.3", "192.0.2.1", "192.0.2.2"
RIGHT, WRONG = "/gateway/s3cret%20token/dashscope/a", "/gateway/wrong/dashscope/a"


def admission(failures_per_minute: int = 0) -> Admission:
    """One network, and one client."""
    return Admission(
        (ip_network("10.0.0.0/8"), ip_network("::1/128")),
        {"studio": sha256(b"s3cret token").hexdigest().upper()},
        FailureLimit(failures_per_minute),
        monotonic=lambda: 75.0,
    )


ADMISSION = admission()


@pytest.mark.parametrize(
    ("peer", "path", "expected"),
    [
        (HOME, "/gateway/dashscope/api/v1/tasks/1", ("dashscope", "/api/v1/tasks/1")),
        ("::1", "/gateway/dashscope/a", ("dashscope", "/a")),
        (HOME, "/gateway/dashscope/a%2Fb//c?d=%20e", ("dashscope", "/a%2Fb//c?d=%20e")),
        (HOME, "/gateway/dashscope", ("dashscope", "/")),
        (HOME, "/gateway/dashscope?a=b/c", ("dashscope", "/?a=b/c")),
        (AWAY, "/gateway/s3cret%20token/modelslab/api", ("modelslab", "/api")),
        (HOME, "/gateway/s3cret%20token/modelslab/api", ("modelslab", "/api")),
        (AWAY, "/gateway/dashscope/a", None),
        (AWAY, "/gateway/wrong/dashscope/a", None),
        (HOME, "/gateway/wrong/dashscope/a", None),
        (HOME, "/gateway/doitong/graphql", None),
        (HOME, "/gateway//dashscope/a", None),
        (HOME, "/gateway/", None),
        (HOME, "/gateway/s3cret%20token", None),
        (HOME, "/gateway/s3cret%20token/", None),
        (HOME, "/elsewhere/dashscope/a", None),
        ("", "/gateway/dashscope/a", None),
    ],
)
def test_who_comes_through(peer: str, path: str, expected: tuple[str, str] | None) -> None:
    """By address to the provider named first, by token from anywhere; all else is nowhere."""
    assert ADMISSION.admit(peer, path, PROVIDERS) == expected


@given(st.text())
def test_no_path_is_a_fault(path: str) -> None:
    """Nor does any lead to a provider that is not there."""
    admitted = ADMISSION.admit(AWAY, f"/gateway/{path}", PROVIDERS)

    assert admitted is None or admitted[0] in PROVIDERS


def test_who_guesses_tokens_has_to_wait() -> None:
    """From then on none of theirs is looked at, and nobody else is kept out, nor who needs none."""
    guessed = admission(failures_per_minute=3)
    for path in (WRONG, "/gateway/wrong", "/nowhere", WRONG, "/gateway/dashscope/a", WRONG):
        assert guessed.admit(AWAY, path, PROVIDERS) is None
    for path in (WRONG, RIGHT):
        with pytest.raises(GuessingError) as refused:
            guessed.admit(AWAY, path, PROVIDERS)
        assert refused.value.wait_seconds == 45
    assert guessed.admit(ELSEWHERE, RIGHT, PROVIDERS) == ("dashscope", "/a")
    for _ in range(4):
        guessed.admit(HOME, "/gateway/wrong/doitong/a", PROVIDERS)
    assert guessed.admit(HOME, "/gateway/dashscope/a", PROVIDERS) == ("dashscope", "/a")
