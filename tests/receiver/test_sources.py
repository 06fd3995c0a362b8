"""Which doors a configuration opens; and DashScope's, over real sockets on both sides."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archiver import clock
from archiver.egress import EgressPolicy
from archiver.errors import ConfigError
from archiver.inbox.quarantine import refused
from receiver.certificates import DOUBT_SECONDS, Certificates
from receiver.config import from_tree
from receiver.eventbridge import TOKEN, Terms
from receiver.signatures import Verdict
from receiver.sources import EventBridge, verifiers
from tests.archiver.disks import everything_on_disk
from tests.archiver.origin import Origin, answer, serve_origin
from tests.clocks import NOON, FrozenClock
from tests.receiver.roles_in_process import Role, receiving
from tests.receiver.signed_events import ANOTHER, OURS, Pairs, certificate, signed, with_header
from tests.receiver.test_certificates import Seconds
from tests.receiver.wire import SECRET, Answer, ask, forged, webhook

PUBLIC_URL = "https://hooks.example.org/"
ADDRESS = "https://hooks.example.org/webhooks/dashscope"
BODY = b'{"id":"1","type":"dashscope:System:AsyncTaskFinish","data":{"task_id":"7"}}'
HERE = "/webhooks/dashscope"
CANNOT_BE_HAD = "the certificate cannot be had, try again"
WRONG = "the signature does not fit"

DOITONG = {"secrets": {"a": "secret"}}
EVENTS = {"events": True, "secrets": {"rule": "token"}}
DOORS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "none": ({}, []),
    "only Doitong's": ({"doitong": DOITONG}, ["doitong"]),
    "none for a gateway": (
        {
            "doitong": {"gateway": True},
            "modelslab": {"gateway": True},
            "dashscope": {"gateway": True},
        },
        [],
    ),
    "none for asking": ({"doitong": {"keys": {"a": "k"}}, "dashscope": {"keys": {"a": "k"}}}, []),
    "beside the gateway": ({"doitong": {**DOITONG, "gateway": True}}, ["doitong"]),
    "a table with nothing in it": ({"modelslab": {}, "dashscope": {}}, []),
    "all": (
        {"doitong": DOITONG, "modelslab": DOITONG, "dashscope": EVENTS},
        ["dashscope", "doitong", "modelslab"],
    ),
}


@pytest.mark.parametrize(("providers", "doors"), DOORS.values(), ids=DOORS)
def test_a_door_opens_where_it_was_configured(providers: dict[str, Any], doors: list[str]) -> None:
    """A provider may be there for the gateway or for asking only, and then nothing is posted."""
    config = from_tree({"public_url": PUBLIC_URL, "providers": providers})
    assert sorted(verifiers(config)) == doors


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "Doitong without anything": ({"doitong": {}}, "no webhook secret is configured"),
    "an empty secret": (
        {"doitong": {"secrets": {"a": "good", "b": " "}}},
        "providers.doitong.secrets: the webhook secret labelled 'b' is empty",
    ),
    "an empty secret beside the gateway": (
        {"doitong": {"secrets": {"a": ""}, "gateway": True}},
        "providers.doitong.secrets: the webhook secret labelled 'a' is empty",
    ),
    "an empty secret for tokens": (
        {"modelslab": {"secrets": {"a": ""}}},
        "providers.modelslab.secrets: the webhook secret labelled 'a' is empty",
    ),
    "an empty token": (
        {"dashscope": {"events": True, "secrets": {"a": ""}}},
        "providers.dashscope.secrets: the webhook secret labelled 'a' is empty",
    ),
    "events without an address": (
        {"dashscope": {"events": True}},
        "providers.dashscope.events = true needs public_url",
    ),
    "events of anybody": (
        {"dashscope": {"events": True}},
        "providers.dashscope.events = true needs the token of your EventBridge rule",
    ),
    "events without certificates": (
        {"dashscope": {"events": True, "secrets": {"a": "b"}, "certificate_hosts": []}},
        "providers.dashscope.certificate_hosts is empty",
    ),
}


@pytest.mark.parametrize(("providers", "says"), MISTAKES.values(), ids=MISTAKES)
def test_a_door_that_could_not_be_guarded_stays_shut(providers: dict[str, Any], says: str) -> None:
    """The start fails with the setting's name, rather than each webhook later."""
    tree = {"public_url": "" if "public_url" in says else PUBLIC_URL, "providers": providers}
    with pytest.raises(ConfigError, match=re.escape(says)):
        verifiers(from_tree(tree))


@dataclass(frozen=True, kw_only=True, slots=True)
class Events:
    """A running role that takes events in, and where their certificate is."""

    role: Role
    origin: Origin

    def headers(self, url: str = ADDRESS, body: bytes = BODY, **how: Any) -> Pairs:
        """Signed just now, unless said otherwise."""
        given = {"certificate_url": self.origin.url("/a.pem"), "at": clock.now(), **how}
        return signed(url, body, **given)

    async def post(self, headers: Pairs, body: bytes = BODY, path: str = HERE) -> Answer:
        """One event over a connection of its own."""
        return await ask(self.role.port, forged(body, *headers, path=path.encode()))


@asynccontextmanager
async def taking_events(folder: Path, **listen: Any) -> AsyncIterator[Events]:
    """The role `receive` with DashScope's door, and an origin that has the certificate."""
    async with serve_origin() as origin:
        origin.answers["/a.pem"] = answer(body=certificate(clock.now()))
        tables = {
            "public_url": PUBLIC_URL,
            "egress": {
                "allow_http": True,
                "allow_ports": [origin.port],
                "allow_cidrs": ["127.0.0.1/32"],
            },
            "providers": {
                "doitong": {"secrets": {"new": SECRET}},
                "dashscope": {
                    "events": True,
                    "certificate_hosts": ["127.0.0.1"],
                    "secrets": {"rule": "rule token", "next": "hush-hush"},
                },
            },
        }
        async with receiving(folder, tables, **listen) as role:
            yield Events(role=role, origin=origin)


@pytest.fixture
async def events(tmp_path: Path) -> AsyncIterator[Events]:
    """With ordinary settings."""
    async with taking_events(tmp_path) as found:
        yield found


def said(answer: Answer) -> tuple[int, str]:
    """Status and sentence."""
    return answer.status, answer.body.decode().strip()


async def test_a_signed_event_is_stored_as_it_came(events: Events) -> None:
    """The first has its certificate fetched, the others do not."""
    answers = [
        await events.post(events.headers(body=body), body) for body in (BODY, BODY + b" ", b"[]")
    ]
    assert [said(it) for it in answers] == [(202, "stored")] * 3
    stored = [(it.source, it.verified_by, it.path_token, it.body) for it in events.role.stored()]
    assert stored[0] == ("dashscope", "eventbridge", "", BODY)
    assert [body for *_, body in stored] == [BODY, BODY + b" ", b"[]"]
    assert len(events.origin.requests) == 1


@pytest.mark.parametrize("token", ["a stranger's", "", None])
async def test_an_event_of_a_strangers_rule_is_refused(events: Events, token: str | None) -> None:
    """EventBridge signs for all its customers; only our rules have our token."""
    assert (await events.post(events.headers(token=token))).status == 401
    assert events.origin.requests == []


@pytest.mark.parametrize(
    "body", [b"\x00\xff", b'{"source":"acs.oss","type":"oss:ObjectCreated"}', b"{" * 5000]
)
async def test_an_authentic_event_of_others_is_acknowledged(events: Events, body: bytes) -> None:
    """The bus carries all sorts, and none of them may be sent again and again."""
    assert (await events.post(events.headers(body=body), body)).status == 202
    assert [it.body for it in events.role.stored()] == [body]


@pytest.mark.parametrize("query", ["?", "?rule=1", "?a=%2b+/&b=?x", "?b=2&a=1"])
async def test_the_query_is_signed_as_it_was_received(events: Events, query: str) -> None:
    """Not decoded, not sorted; another one is refused."""
    headers = events.headers(ADDRESS + query)
    assert said(await events.post(headers, path=HERE + query + "1")) == (401, WRONG)
    assert said(await events.post(headers, path=HERE)) == (401, WRONG)
    assert said(await events.post(headers, path=HERE + query)) == (202, "stored")


async def test_a_replay_is_acknowledged_and_kept_once(events: Events) -> None:
    """Within the minute it is a duplicate, signed anew too; later it is refused."""
    headers = events.headers()
    again = events.headers(at=clock.now() + timedelta(seconds=1))
    late = events.headers(at=clock.now() - timedelta(seconds=61))
    answers = [await events.post(it) for it in (headers, headers, again, late)]
    assert [it.status for it in answers] == [202, 200, 200, 401]
    assert len(events.role.stored()) == 1


async def test_an_event_that_is_not_authentic_is_refused_and_set_aside(events: Events) -> None:
    """Like any wrong signature; and no token of a rule reaches a file."""
    headers = with_header(events.headers(token="hush-hush"), b"x-eventbridge-hash-method", b"SHA1")
    assert said(await events.post(headers)) == (401, WRONG)
    good = events.headers(body=b"{}", token="hush-hush")
    assert (await events.post(good, b"{}")).status == 202
    events.role.stop.set()
    await events.role.ended()
    [(why, peer, _, body)] = events.role.refused()
    assert (why, peer, body) == (WRONG, "127.0.0.1", BODY)
    for file in (events.role.inbox, events.role.inbox.with_name("quarantine.db")):
        written = everything_on_disk(file)
        assert TOKEN in written
        assert b"hush-hush" not in written


@pytest.mark.parametrize("trouble", [answer(404), answer(302, location="/b.pem"), answer()])
async def test_while_a_certificate_cannot_be_had_events_are_asked_for_again(
    tmp_path: Path, trouble: bytes
) -> None:
    """503 with Retry-After, which is no failure of the sender's; afterwards the same is taken."""
    async with taking_events(tmp_path, failures_per_minute=1) as events:
        good, events.origin.answers["/a.pem"] = events.origin.answers["/a.pem"], trouble
        headers = events.headers()
        answers = [await events.post(headers) for _ in range(3)]
        events.origin.answers["/a.pem"] = good
        assert [said(it) for it in answers] == [(503, CANNOT_BE_HAD)] * 3
        assert {it.headers["retry-after"] for it in answers} == {"5"}
        assert (await events.post(headers)).status == 202
        events.role.stop.set()
        await events.role.ended()
        assert refused(events.role.inbox.with_name("quarantine.db")) == []


async def test_nobody_else_waits_for_a_certificate(events: Events) -> None:
    """While an origin is silent, webhooks and forged events are answered."""
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def held_back(writer: asyncio.StreamWriter) -> None:
        asked.set()
        await go_on.wait()
        writer.write(answer(body=certificate(clock.now())))

    events.origin.answers["/a.pem"] = held_back
    waiting = asyncio.ensure_future(events.post(events.headers()))
    await asked.wait()
    assert (await ask(events.role.port, webhook(b"{}"))).status == 202
    assert (await events.post([])).status == 401
    assert not waiting.done()
    go_on.set()
    assert (await waiting).status == 202


async def test_no_certificate_is_fetched_for_a_request_that_is_wrong_anyway(
    events: Events,
) -> None:
    """What the headers alone give away costs us no request."""
    elsewhere = events.origin.url("/a.pem", host="localhost")
    late = clock.now() - timedelta(seconds=61)
    for headers in (events.headers(certificate_url=elsewhere), events.headers(at=late), []):
        assert (await events.post(headers)).status == 401
    assert events.origin.requests == []


values = st.binary(max_size=60).filter(lambda value: not {0, 10, 13} & {*value})
NAMES = [name for name, _ in signed("", b"", certificate_url="", at=NOON)]


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changed=st.dictionaries(st.sampled_from(NAMES), values, min_size=1, max_size=3))
async def test_no_headers_are_ever_our_fault(events: Events, changed: dict[bytes, bytes]) -> None:
    """Whatever is written into them, the answer is the sender's to mend: 4xx."""
    headers = events.headers()
    for name, value in changed.items():
        headers = with_header(headers, name, value)
    assert 400 <= (await events.post(headers)).status < 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Door:
    """DashScope's door with its clocks in the test's hands."""

    door: EventBridge
    seconds: Seconds
    now: FrozenClock
    url: str

    async def verify(self, *, key: Any = OURS) -> str:
        """The reason why an event signed now is refused, if it is."""
        headers = signed(ADDRESS, BODY, certificate_url=self.url, at=self.now(), key=key)
        verdict = self.door.verify(headers, BODY, HERE)
        return (verdict if isinstance(verdict, Verdict) else await verdict).reason


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    async with serve_origin() as origin:
        origin.answers["/a.pem"] = answer(body=certificate(NOON))
        yield origin


@pytest.fixture
def door(origin: Origin) -> Door:
    policy = EgressPolicy(
        allow_http=True,
        allow_ports=frozenset({origin.port}),
        allow_networks=(ip_network("127.0.0.1"),),
    )
    seconds, now = Seconds(), FrozenClock()
    terms = Terms(certificate_hosts=("127.0.0.1",), policy=policy)
    certificates = Certificates(policy, seconds)
    door = EventBridge(PUBLIC_URL, terms, certificates, now)
    return Door(door=door, seconds=seconds, now=now, url=origin.url("/a.pem"))


async def test_a_certificate_replaced_is_noticed_within_a_minute(
    origin: Origin, door: Door
) -> None:
    """A signature that no longer fits has it fetched anew, but not for every forgery."""
    assert await door.verify() == ""
    origin.answers["/a.pem"] = answer(body=certificate(NOON, ANOTHER))
    assert await door.verify(key=ANOTHER) == WRONG
    door.seconds.at += DOUBT_SECONDS
    assert await door.verify(key=ANOTHER) == ""
    assert await door.verify() == WRONG
    assert len(origin.requests) == 2


async def test_a_doubt_that_cannot_be_settled_stays_a_no(origin: Origin, door: Door) -> None:
    """The certificate at hand says so, and good events go on."""
    assert await door.verify() == ""
    origin.answers["/a.pem"] = answer(500)
    door.seconds.at += DOUBT_SECONDS
    assert await door.verify(key=ANOTHER) == WRONG
    assert await door.verify() == ""


async def test_a_certificate_that_expires_is_fetched_anew(origin: Origin, door: Door) -> None:
    """Its end comes while we keep it; the next one stands under the same URL."""
    assert await door.verify() == ""
    now = door.now.advance(days=2)
    door.seconds.at += DOUBT_SECONDS
    assert await door.verify() == "the certificate is not valid now"
    origin.answers["/a.pem"] = answer(body=certificate(now))
    door.seconds.at += DOUBT_SECONDS
    assert await door.verify() == ""
