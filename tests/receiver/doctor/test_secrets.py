"""Secrets, keys and tokens, judged by what may be known of them."""

from __future__ import annotations

from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from archiver.inbox.quarantine import Quarantine, Rejected
from receiver.config import from_tree
from receiver.doctor import secrets
from receiver.doctor.finding import Verdict
from receiver.doctor.secrets import (
    judge_keys,
    judge_networks,
    judge_public_url,
    judge_refusals,
    judge_tokens,
    judge_use,
)
from receiver.hearing import Disbelief, SecretUse
from receiver.provider_tables import Api
from receiver.settings import Token
from receiver.signatures import DOITONG_HEADER, Verifier, sign
from tests.clocks import NOON
from tests.receiver.deliveries import delivery, record
from tests.receiver.doctor.patients import archive, patient, verdicts

SIGNED_BY_ANOTHER = [(DOITONG_HEADER.encode(), sign("another", b"").encode())]


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
    [judged] = judge_use([used], heard_any=True)
    assert (judged.verdict, says in judged.sentence) == (verdict, True)


@pytest.mark.parametrize(
    ("provider", "tries"),
    [("doitong", "`holdfast send`"), ("modelslab", "`holdfast submit`"), ("dashscope", "rule")],
)
def test_what_tries_a_secret_that_nothing_has_come_for(provider: str, tries: str) -> None:
    """`holdfast send` signs as Doitong does, and as nobody else."""
    [judged] = judge_use([use(provider=provider, last_at=None)], heard_any=False)
    assert judged.verdict is Verdict.WARN
    assert judged.sentence.endswith("secret a is untried, as nothing has come yet")
    assert tries in judged.cure
    assert ("holdfast send" in judged.cure) is (provider == "doitong")


@pytest.mark.parametrize(
    ("minutes_ago", "verdict"), [(None, Verdict.FAIL), (90, Verdict.FAIL), (30, Verdict.WARN)]
)
async def test_webhooks_that_are_refused_since_one_was_verified(
    tmp_path: Path, minutes_ago: int | None, verdict: Verdict
) -> None:
    """A wrong secret shows beside one that verified something before; the cure is what to do."""
    archive(tmp_path)
    inbox = tmp_path / "inbox"
    if minutes_ago is not None:
        verified_at = NOON - timedelta(minutes=minutes_ago)
        await record(inbox / "receive.db", delivery(b"{}", received_at=verified_at))
    quarantine = Quarantine(inbox / "quarantine.db")
    await quarantine.start()
    quarantine.offer(
        Rejected(
            source="doitong",
            path_token="",
            received_at=NOON - timedelta(minutes=10),
            peer="192.0.2.7",
            reason=Verifier(DOITONG_HEADER, {"a": "b"}).verify(SIGNED_BY_ANOTHER, b"").reason,
            headers=(),
            body=b"{}",
        )
    )
    await quarantine.close()
    judged = list(secrets.secrets(patient(tmp_path)))[-1]
    assert judged.verdict is verdict
    assert "of doitong, until 2026-11-21 11:50 UTC, were answered 401" in judged.sentence
    for word in ("dashboard", "SIGHUP", "holdfast deliveries reverify"):
        assert word in judged.cure


def test_what_no_secret_could_verify_again() -> None:
    """Of a path's token nothing is kept, so nobody is told to verify it once more."""
    one = Disbelief(provider="modelslab", count=3, last_at=NOON, alone=False)
    [judged] = judge_refusals([one])
    assert (judged.verdict, "reverify" in judged.cure) == (Verdict.WARN, False)
    assert "providers.modelslab.keys" in judged.cure


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
