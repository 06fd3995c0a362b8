"""Secrets, keys and tokens, judged by what may be known of them."""

from __future__ import annotations

from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from receiver.config import from_tree
from receiver.doctor import secrets
from receiver.doctor.finding import Verdict
from receiver.doctor.secrets import (
    judge_keys,
    judge_networks,
    judge_public_url,
    judge_tokens,
    judge_use,
)
from receiver.hearing import SecretUse
from receiver.provider_tables import Api
from receiver.settings import Token
from tests.clocks import NOON
from tests.receiver.deliveries import delivery, record
from tests.receiver.doctor.patients import archive, patient, verdicts


def use(**said: Any) -> SecretUse:
    """A secret that is configured and was used at noon, unless said otherwise."""
    given = {"provider": "doitong", "label": "a", "configured": True, "last_at": NOON, **said}
    return SecretUse(**given)


@pytest.mark.parametrize(
    ("used", "verdict", "says"),
    [
        (use(), Verdict.OK, "verified a webhook at 2026-11-21 12:00 UTC"),
        (use(configured=False), Verdict.OK, "is configured no more"),
        (use(last_at=None), Verdict.WARN, "doitong's secret a has verified none"),
    ],
)
def test_secrets_that_are_not_used(used: SecretUse, verdict: Verdict, says: str) -> None:
    """One that has never verified anything may be the wrong one."""
    [judged] = judge_use([used])
    assert (judged.verdict, says in judged.sentence) == (verdict, True)


async def test_the_inboxes_tell_which_are_used(tmp_path: Path) -> None:
    """And one that is guessed in an evening is told as well."""
    archive(tmp_path)
    heard = (
        delivery(b"%d" % hours, received_at=NOON - timedelta(hours=hours), verified_by=label)
        for hours, label in ((50, "gone"), (1, "test"))
    )
    await record(tmp_path / "inbox" / "receive.db", *heard)
    weak = {"modelslab": {"secrets": {"own": "fifteen letters"}}}
    doitong = {"doitong": {"secrets": {"test": "x", "new": "y"}}}
    found = list(secrets.secrets(patient(tmp_path, providers=weak | doitong)))
    assert [(one.verdict, one.sentence.split(" ")[0:3]) for one in found] == [
        (Verdict.WARN, ["providers.modelslab.secrets.own", "is", "shorter"]),
        (Verdict.OK, ["doitong's", "secret", "gone"]),
        (Verdict.WARN, ["doitong's", "secret", "new"]),
        (Verdict.OK, ["doitong's", "secret", "test"]),
        (Verdict.WARN, ["modelslab's", "secret", "own"]),
    ]


@pytest.mark.parametrize(
    ("name", "api", "expected"),
    [
        ("dashscope", Api(keys={"main": "sk-0123456789abcdef"}), [Verdict.OK]),
        ("dashscope", Api(keys={"main": "sk-01234 56789"}), [Verdict.FAIL, Verdict.OK]),
        ("dashscope", Api(keys={"main": "sk-…"}), [Verdict.FAIL, Verdict.OK]),
        ("dashscope", Api(keys={"a": "", "b": "k"}), [Verdict.FAIL, Verdict.OK]),
        ("modelslab", Api(), [Verdict.WARN]),
        ("doitong", Api(), []),
        ("doitong", Api(gateway=True), [Verdict.WARN]),
    ],
)
def test_keys_by_their_looks(name: str, api: Api, expected: list[Verdict]) -> None:
    """What was copied wrongly shows; Doitong's are of use only where somebody asks with them."""
    found = list(judge_keys(name, api))
    assert verdicts(found) == expected
    assert "sk-" not in f"{found}"


GOOD = sha256(b"yW0p7tq3nUe2b").hexdigest()
TOKENS = {
    "none": ("", Verdict.OK, "no tokens"),
    "good": (GOOD, Verdict.OK, "tokens.a"),
    "nothing": (sha256(b"").hexdigest(), Verdict.FAIL, "''"),
    "a line's end": (sha256(b"\n").hexdigest(), Verdict.FAIL, "''"),
    "a word": (sha256(b"secret").hexdigest().upper(), Verdict.FAIL, "'secret'"),
    "an example": ("0" * 64, Verdict.WARN, "all zeros"),
}


@pytest.mark.parametrize(("digest", "verdict", "says"), TOKENS.values(), ids=TOKENS)
def test_tokens_that_anybody_guesses(digest: str, verdict: Verdict, says: str) -> None:
    """Of a token only its digest is known, which is enough to tell the commonest."""
    tokens = {"a": Token(sha256=digest)} if digest else {}
    [judged] = judge_tokens(tokens, {})
    assert (judged.verdict, says in judged.sentence) == (verdict, True)


def test_clients_of_the_gateway_have_tokens_too() -> None:
    """They are judged with the others, each by its own setting."""
    [judged] = judge_tokens({"a": Token(sha256=GOOD)}, {"lab": sha256(b"test").hexdigest()})
    assert judged.sentence.startswith("gateway.clients.lab is the digest of 'test'")


@pytest.mark.parametrize(
    ("cidrs", "verdict"),
    [
        (("10.0.0.0/8", "::1/128"), Verdict.OK),
        (("::/0",), Verdict.FAIL),
        (("0.0.0.0/0",), Verdict.FAIL),
    ],
)
def test_networks_of_everybody(cidrs: tuple[str, ...], verdict: Verdict) -> None:
    """Who is believed from anywhere may call himself anything."""
    assert verdicts(judge_networks({"listen.trusted_proxies": cidrs})) == [verdict]


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        ({}, []),
        ({"public_url": "https://hooks.example.org"}, [Verdict.OK]),
        ({"public_url": "http://hooks.example.org"}, [Verdict.WARN]),
        ({"listen": {"public": "0.0.0.0:8080"}}, [Verdict.WARN]),
        ({"listen": {"public": "[::1]:8080"}}, []),
        ({"listen": {"public": "localhost:8080"}}, []),
    ],
)
def test_webhooks_come_encrypted(tree: dict[str, Any], expected: list[Verdict]) -> None:
    """There are links in them, which open pictures."""
    assert verdicts(judge_public_url(from_tree(tree))) == expected


def test_the_doors_of_a_plain_configuration(tmp_path: Path) -> None:
    """Are shut."""
    assert set(verdicts(secrets.doors(patient(tmp_path)))) == {Verdict.OK}
