"""From a delivery to what it says, by the table of providers."""

from __future__ import annotations

import gzip

import msgspec
import pytest

from archiver.errors import UnreadableError
from archiver.models import Delivery, DeliveryRef, Heard
from receiver.exchange import Exchange, encode
from receiver.providers import PROVIDERS, observations
from receiver.providers.balances import balance
from receiver.providers.base import Balance
from tests.clocks import NOON
from tests.receiver.providers.samples import sample


def delivery(
    body: bytes | None,
    *,
    source: str = "doitong",
    heard: Heard = Heard.PUSHED,
    path_token: str = "",
    headers: tuple[tuple[bytes, bytes], ...] = (),
) -> Delivery:
    return Delivery(
        ref=DeliveryRef(inbox="inbox", position=1),
        source=source,
        heard=heard,
        path_token=path_token,
        received_at=NOON,
        peer="192.0.2.1",
        verified_by="2026-11",
        headers=headers,
        body=body,
    )


def test_each_provider_stands_under_its_own_name() -> None:
    """The name in the table is the one in its observations."""
    names = [provider.name for provider in PROVIDERS.values()]

    assert names == list(PROVIDERS) == ["doitong", "modelslab", "dashscope"]


def test_a_webhook_is_decoded_before_it_is_parsed() -> None:
    """The wire's bytes are what was signed; what was meant is inside them."""
    headers, body = sample("doitong/webhook-flux-pro")
    plain = delivery(body, headers=headers)
    squeezed = delivery(gzip.compress(body), headers=(*headers, (b"Content-Encoding", b"gzip")))
    (observation,) = observations(plain)

    assert observation.generation_id == "abc123xyz"
    assert observations(squeezed) == (observation,)


def test_a_remembered_request_is_of_the_generation_in_its_path() -> None:
    """The request itself was written before there was an id."""
    _, body = sample("doitong/rest-flux-pro")
    (observation,) = observations(delivery(body, heard=Heard.REMEMBERED, path_token="hello"))

    assert observation.generation_id == "hello"


@pytest.mark.parametrize(
    ("heard", "account", "expected"),
    [
        (Heard.POLLED, "5f2c", "5f2c"),
        (Heard.POLLED, "", None),
        (Heard.OVERHEARD, "5f2c", None),
    ],
)
def test_a_question_is_of_an_account(heard: Heard, account: str, expected: str | None) -> None:
    """Where we asked, it is whose key it was; but any client may ask after any id."""
    answer = b'{"data": [{"task_id": "a", "status": "RUNNING"}, {"task_id": "b"}]}'
    said = Exchange(method="GET", path="/tasks", status=200, answer=answer, account=account)
    heard_of = observations(delivery(encode(said), source="dashscope", heard=heard))

    assert [observation.account for observation in heard_of] == [expected, expected]


@pytest.mark.parametrize(("account", "expected"), [("5f2c", "5f2c"), ("", None)])
def test_a_submission_is_of_an_account(account: str, expected: str | None) -> None:
    """Who asked for a picture has it."""
    said = Exchange(
        method="POST",
        path="/api/v1/services/aigc/text2image/image-synthesis",
        request=b'{"model": "m", "input": {"prompt": "a fox"}}',
        status=200,
        answer=b'{"output": {"task_id": "a", "task_status": "PENDING"}}',
        account=account,
    )
    [seen] = observations(delivery(encode(said), source="dashscope", heard=Heard.OVERHEARD))

    assert seen.account == expected


def test_a_question_beside_a_submission_takes_nothing_over() -> None:
    """One request may hold both, and the question be after somebody else's generation."""
    asks = (
        'mutation { generate(input: {input: {text: "a fox"}}) { id } }',
        'query { generation(id: "7") { id status } }',
    )
    document = msgspec.json.encode([{"query": query} for query in asks])
    answer = b'[{"data": {"generate": {"id": "1"}}}, {"data": {"generation": {"id": "7"}}}]'
    said = Exchange(
        method="POST", path="/graphql", request=document, status=200, answer=answer, account="5f2c"
    )
    heard_of = observations(delivery(encode(said), source="doitong", heard=Heard.OVERHEARD))

    assert {seen.generation_id: seen.account for seen in heard_of} == {"1": "5f2c", "7": None}


@pytest.mark.parametrize(
    ("unreadable", "reason"),
    [
        (delivery(b"{}", source="midjourney"), "no provider is called 'midjourney'"),
        (delivery(None), "pruned"),
        (delivery(b"{}", headers=((b"content-encoding", b"br"),)), "content-encoding 'br'"),
        (delivery(b"[]"), "not an object"),
    ],
    ids=["an unknown source", "a pruned body", "an unknown encoding", "no object"],
)
def test_what_cannot_be_read_says_why(unreadable: Delivery, reason: str) -> None:
    """The delivery is set aside with this sentence."""
    with pytest.raises(UnreadableError, match=reason):
        observations(unreadable)


@pytest.mark.parametrize("heard", Heard)
@pytest.mark.parametrize("account", ["7f", ""])
def test_an_exchange_tells_of_credit(heard: Heard, account: str) -> None:
    """A balance is its account's; what came in any other way is not even looked at."""
    _, answer = sample("doitong/answer-insufficient-credits-flux-pro")
    refused = Exchange(method="POST", path="/graphql", status=402, answer=answer, account=account)
    told = Balance(required=100.0, available=50.0, account=account)
    is_exchange = heard in (Heard.POLLED, Heard.OVERHEARD)

    assert balance(delivery(encode(refused), heard=heard)) == (told if is_exchange else None)


@pytest.mark.parametrize("source", ["modelslab", "dashscope", "midjourney"])
def test_who_refuses_in_words_tells_of_no_credit(source: str) -> None:
    """Only Doitong says in numbers what is left."""
    assert balance(delivery(b"", source=source, heard=Heard.OVERHEARD)) is None


def test_an_answer_that_tells_the_request_takes_nothing_over() -> None:
    """Who asks after a generation may be told its prompt, and has not asked for it by that."""
    said = Exchange(
        method="POST",
        path="/api/v6/images/fetch/7",
        status=200,
        answer=b'{"status": "processing", "id": 7, "meta": {"prompt": "a fox", "seed": 5}}',
        account="5f2c",
    )
    [seen] = observations(delivery(encode(said), source="modelslab", heard=Heard.OVERHEARD))

    assert (seen.params.seed, seen.account) == (5, None)
