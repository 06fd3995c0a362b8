"""What was refused, held against the secrets of now: authentic, forged, or beyond telling."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from archiver.inbox.quarantine import Quarantine, Rejected
from archiver.inbox.quarantined import Quarantined
from receiver.eventbridge import TOKEN
from receiver.reverify import Judge, examine
from receiver.settings import Config
from receiver.signatures import DOITONG_HEADER, sign
from tests.archiver.origin import Origin, answer, serve_origin
from tests.clocks import NOON
from tests.receiver.roles_in_process import configuration
from tests.receiver.signed_events import Pairs, certificate, signed, with_header

BODY = b'{"id":"abc123"}'
RULE = "rule token"
URL = "https://hooks.example.org/webhooks/dashscope"
HEADER = DOITONG_HEADER.encode()


def refused(source: str = "doitong", body: bytes = BODY, *headers: tuple[bytes, bytes]) -> Rejected:
    """A request that was refused at noon."""
    return Rejected(
        source=source,
        path_token="",
        received_at=NOON,
        peer="192.0.2.7",
        reason="because",
        headers=headers,
        body=body,
    )


def by(secret: str, body: bytes = BODY) -> Rejected:
    """A webhook of Doitong's that was signed with this secret."""
    return refused("doitong", body, (HEADER, sign(secret, body).encode()))


def configured(folder: Path, **providers: Any) -> Config:
    """With those tables, beside Doitong's with two secrets."""
    doitong = {"secrets": {"new": "new secret", "old": "old secret"}}
    return configuration(
        folder,
        public_url="https://hooks.example.org",
        egress={"allow_http": True, "allow_cidrs": ["127.0.0.1/32"], **providers.pop("egress", {})},
        providers={"doitong": doitong, **providers},
    )


JUDGED: dict[str, tuple[Rejected, tuple[str | None, bool]]] = {
    "the new secret": (by("new secret"), ("new", False)),
    "the old secret": (by("old secret"), ("old", False)),
    "years ago": (replace(by("old secret"), received_at=NOON.replace(year=2020)), ("old", False)),
    "a forger's": (by("a guess"), (None, False)),
    "another body": (replace(by("new secret"), body=b"{}"), (None, False)),
    "no signature": (refused(), (None, False)),
    "whose path is not kept": (refused("modelslab"), (None, True)),
    "from nobody": (refused("dashscope"), (None, True)),
}


@pytest.mark.parametrize(("rejected", "expected"), JUDGED.values(), ids=JUDGED)
async def test_each_is_judged_by_the_secrets_of_now(
    tmp_path: Path, rejected: Rejected, expected: tuple[str | None, bool]
) -> None:
    """Its age does not matter; where nobody can tell, that is said."""
    config = configured(tmp_path, modelslab={"secrets": {"a": "b"}})
    verdict = await Judge(config).verdict(rejected)
    assert (verdict.verified_by, verdict.ask_again) == expected


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    """Where EventBridge's certificate is."""
    async with serve_origin() as origin:
        origin.answers["/a.pem"] = answer(body=certificate(NOON))
        yield origin


def event(origin: Origin, *, token: str | None = RULE, **how: Any) -> Rejected:
    """An event as it is kept: without the token by which it was signed."""
    given = {"certificate_url": origin.url("/a.pem"), "at": NOON - timedelta(hours=3), **how}
    headers: Pairs = signed(URL, BODY, token=token, **given)
    if token is not None:
        headers = with_header(headers, TOKEN, b"(cut out)")
    return refused("dashscope", BODY, *headers)


def with_events(folder: Path, origin: Origin, *tokens: str) -> Config:
    """A configuration that takes events in, with these tokens of rules."""
    dashscope = {
        "events": True,
        "certificate_hosts": ["127.0.0.1"],
        "secrets": {f"rule-{number}": token for number, token in enumerate(tokens)},
    }
    return configured(folder, dashscope=dashscope, egress={"allow_ports": [origin.port]})


async def test_an_event_is_judged_as_of_its_own_time(tmp_path: Path, origin: Origin) -> None:
    """With any of the tokens that are configured now, for its own was cut out."""
    judge = Judge(with_events(tmp_path, origin, "another", RULE))
    assert (await judge.verdict(event(origin))).verified_by == "eventbridge"


@pytest.mark.parametrize(
    ("how", "tokens"),
    [
        ({}, ["another"]),
        ({"token": "a stranger's rule"}, [RULE]),
        ({"token": None}, [RULE]),
        ({"end": b"more"}, [RULE]),
    ],
)
async def test_an_event_of_a_strangers_is_forged(
    tmp_path: Path, origin: Origin, how: dict[str, Any], tokens: list[str]
) -> None:
    """EventBridge signs for anybody, so the rule's token counts."""
    verdict = await Judge(with_events(tmp_path, origin, *tokens)).verdict(event(origin, **how))
    assert (verdict.verified_by, verdict.ask_again) == (None, False)


async def test_without_its_certificate_nobody_can_tell(tmp_path: Path, origin: Origin) -> None:
    """It is not called forged for that; another time it may be there."""
    origin.answers["/a.pem"] = answer(404)
    verdict = await Judge(with_events(tmp_path, origin, RULE)).verdict(event(origin))
    assert (verdict.verified_by, verdict.ask_again) == (None, True)


async def test_everything_in_the_quarantine_is_judged_once(tmp_path: Path) -> None:
    """Authentic by label, known, forged and undecided by reason, and none twice."""
    path = tmp_path / "quarantine.db"
    quarantine = Quarantine(path)
    await quarantine.start()
    requests = [by("new secret", b"%d" % number) for number in range(250)]
    requests += [by("a guess", b"%d" % number) for number in range(30)]
    requests += [refused("modelslab", b"%d" % number) for number in range(4)]
    for number, one in enumerate(requests):
        quarantine.offer(replace(one, peer=f"2001:db8::{number:x}"))
        if number % 200 == 199:
            await quarantine.let_go([])
    await quarantine.close()
    quarantined = Quarantined(path)
    quarantined.mark({1: "new"})
    judged: list[int] = []
    findings = await examine(
        configured(tmp_path, modelslab={"secrets": {"a": "b"}}),
        quarantined,
        was_pushed_since=lambda kept: kept.rejected.body == b"7",
        progress=judged.append,
    )
    assert sum(judged) == len(requests)
    assert findings.authentic == dict.fromkeys(range(2, 251), "new")
    assert (findings.waiting, findings.known) == (1, 1)
    assert findings.forged == Counter(
        {("doitong", "the signature matches none of our secrets"): 30}
    )
    assert sum(findings.undecided.values()) == 4
