"""The whole API with tokens: as described for who may, and closed to everybody else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any

import pytest

from receiver import access
from receiver.settings import Token
from tests.receiver.by_schema import BY_CHANCE, DESCRIBED, Serving, ask, served_on_a_thread

SCOPES = ("read", "write", "worker", "admin")
TOKENS = {
    scope: {"sha256": sha256(f"{scope}-secret".encode()).hexdigest(), "scopes": [scope]}
    for scope in SCOPES
}
# As it is where there are tokens: then one is needed, but for signs of life.
CLOSED = {**DESCRIBED, "security": [{"bearer": []}]}
OPEN = {"GET /healthz", "GET /readyz"}
# A picture that the safety checker flagged is refused to whoever asks.
SHOWN_TO_NOBODY = {f"GET /api/v1/assets/{{number}}/{part}" for part in ("content", "thumbnail")}
# The same token with every question, by the methods there are; its answers are looked at here.
AS_IT_IS = {**DESCRIBED, "security": []}
STATUSES_ALONE = {
    "checks": {"enabled": False},
    "phases": {
        "coverage": {"unexpected-methods": []},
        "fuzzing": {"enabled": BY_CHANCE > 0},
        "stateful": {"enabled": False},
    },
    **({} if BY_CHANCE else {"generation": {"mode": "positive", "deterministic": True}}),
}

Saying = Callable[[str, object], None]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """The role with a token of each scope, and patience with whoever tries others."""
    folder = tmp_path_factory.mktemp("guarded")
    listen = {"failures_per_minute": 10**6}
    with served_on_a_thread(folder, tokens=TOKENS, listen=listen) as serving:
        yield serving


def shown(secret: str) -> dict[str, Any]:
    """Has every question show a token."""
    return {"headers": {"Authorization": f"Bearer {secret}"}}


def test_with_a_token_for_all_it_answers_as_described(
    guarded: Serving, record_property: Saying
) -> None:
    """Right or wrong questions; and the same question without its token, or with another, is
    refused."""
    told = ask(guarded.url, CLOSED, **shown("admin-secret"))
    record_property("dose", f"{told.asked} questions as admin, {BY_CHANCE} by chance of each")
    record_property("result", f"{len(told.wrong)} answered otherwise")
    assert told.wrong == []
    assert told.asked > 500


@pytest.mark.parametrize("scope", ["", "nobody", "read", "write", "worker"])
def test_a_token_opens_what_its_scope_says_and_no_more(
    guarded: Serving, scope: str, record_property: Saying
) -> None:
    """Whatever is asked, of every operation there is; without any, or with a wrong one, nothing."""
    header = shown(f"{scope}-secret") if scope else {}
    told = ask(guarded.url, AS_IT_IS, **STATUSES_ALONE, **header)
    closed = {label: it for label, it in told.statuses.items() if not may(scope, label)}
    record_property("dose", f"{told.asked} as {scope or 'a stranger'}")
    refused = 403 if scope in SCOPES else 401
    assert {label: it for label, it in closed.items() if it != {refused}} == {}
    opened = {label: it for label, it in told.statuses.items() if label not in closed}
    refusals = {label: {401, 403} & it for label, it in opened.items()}
    assert {label for label, it in refusals.items() if it} <= SHOWN_TO_NOBODY
    assert len(told.statuses) == sum(len(of.keys() - {"parameters"}) for of in paths())


def test_a_guard_that_lets_all_pass_is_noticed(
    guarded: Serving, monkeypatch: pytest.MonkeyPatch, record_property: Saying
) -> None:
    """Else the questions would prove nothing."""
    found = access.Keyring.find
    everything = Token(sha256="0" * 64, scopes=("admin",))
    monkeypatch.setattr(access.Keyring, "find", lambda *told: found(*told) or everything)
    monkeypatch.setattr(access, "_bearer", lambda _: "any")
    told = ask(guarded.url, CLOSED, **shown("admin-secret"))
    ignored = {
        label for label, failure in told.wrong if "auth" in str(failure.failure.title).lower()
    }
    record_property("control", f"no guard: {len(ignored)} operations answer strangers")
    assert len(ignored) > 5


def may(scope: str, label: str) -> bool:
    """Whether a token of that scope opens the operation."""
    method, _, path = label.partition(" ")
    if label in OPEN:
        return True
    if path.startswith("/api/v1/jobs/"):
        return scope == "worker"
    return scope == ("read" if method == "GET" else "write")


def paths() -> list[dict[str, Any]]:
    """What is described of each path."""
    return list(DESCRIBED["paths"].values())
