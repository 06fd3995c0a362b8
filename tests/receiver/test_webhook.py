"""One webhook over a real socket: every answer of the table, and what each leaves behind."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archiver.inbox.sqlite import SqliteInboxReader
from receiver.path_tokens import mint
from tests.archiver.disks import everything_on_disk
from tests.receiver.roles_in_process import Role, receiving
from tests.receiver.wire import (
    CHUNKED,
    LAST_CHUNK,
    SECRET,
    Answer,
    ask,
    chunked,
    connected,
    forged,
    head,
    length,
    signature,
    webhook,
)
from tests.service import SECRET as SERVICE_SECRET
from tests.service import no_room_to_write, running

BODY = b'{"id":"abc123","status":"completed","url":"https://cdn.doitong.com/a.jpg?Signature=x"}'
NAME, RIGHT = signature(BODY)


@pytest.fixture
async def role(tmp_path: Path) -> AsyncIterator[Role]:
    """The role `receive` with ordinary settings."""
    async with receiving(tmp_path) as running:
        yield running


@pytest.fixture
async def hasty_role(tmp_path: Path) -> AsyncIterator[Role]:
    """The role `receive` with no patience for those who do not go on."""
    async with receiving(tmp_path, read_seconds=0.05, keepalive_seconds=0.05) as running:
        yield running


def said(answer: Answer) -> tuple[int, str]:
    """Status and sentence."""
    return answer.status, answer.body.decode().strip()


async def test_a_signed_webhook_is_stored_as_it_came(role: Role) -> None:
    """202 comes only once all of it is in the inbox, with the label of the secret."""
    answer = await ask(role.port, webhook(BODY, (b"X-Extra", b"caf\xe9")))
    [delivery] = role.stored()
    assert said(answer) == (202, "stored")
    assert (delivery.body, delivery.peer, delivery.verified_by) == (BODY, "127.0.0.1", "new")
    assert (b"X-Extra", b"caf\xe9") in delivery.headers


async def test_any_of_the_secrets_verifies(role: Role) -> None:
    """While a secret is being rotated the one before is as good, and the row says which it was."""
    answer = await ask(role.port, webhook(BODY, secret="whsec before"))
    assert (answer.status, [it.verified_by for it in role.stored()]) == (202, ["old"])


async def test_a_duplicate_is_acknowledged_and_kept_once(role: Role) -> None:
    """The same body is known, whatever its headers say; another body is another delivery."""
    again = (b"X-Request-Id", b"another")
    wires = [webhook(BODY), webhook(BODY), webhook(BODY, again), webhook(BODY + b" ")]
    assert [(await ask(role.port, wire)).status for wire in wires] == [202, 200, 200, 202]
    assert [it.body for it in role.stored()] == [BODY, BODY + b" "]


async def test_of_twins_sent_at_once_one_is_stored(role: Role) -> None:
    """Fifty at the same moment, in one commit or many: one 202, one row."""
    answers = await asyncio.gather(*(ask(role.port, webhook(BODY)) for _ in range(50)))
    assert sorted(answer.status for answer in answers) == [200] * 49 + [202]
    assert len(role.stored()) == 1


@pytest.mark.parametrize("body", [b"\x00\xff", b"{}", b"[" * 5000, b"null", b'{"id":' + b"9" * 99])
async def test_an_authentic_body_that_nobody_can_read_is_stored(role: Role, body: bytes) -> None:
    """The acknowledgement depends on no parser."""
    assert (await ask(role.port, webhook(body))).status == 202
    assert [it.body for it in role.stored()] == [body]


async def test_a_compressed_body_is_verified_and_kept_as_wire_bytes(role: Role) -> None:
    """The signature covers what was sent, so nothing is decompressed; a signature over the
    plain text is wrong."""
    packed, encoding = gzip.compress(BODY), (b"Content-Encoding", b"gzip")
    over_wire = await ask(role.port, webhook(packed, encoding))
    over_plain = await ask(role.port, forged(packed, encoding, (NAME, RIGHT)))
    not_gzip = await ask(role.port, webhook(b"not gzip", encoding))
    assert [over_wire.status, over_plain.status, not_gzip.status] == [202, 401, 202]
    assert [it.body for it in role.stored()] == [packed, b"not gzip"]


async def test_a_chunked_body_is_put_together(role: Role) -> None:
    """How the body was cut up on the wire makes no difference."""
    pieces = [BODY[:10], BODY[10:11], BODY[11:]]
    answer = await ask(role.port, head((NAME, RIGHT), CHUNKED) + chunked(pieces) + LAST_CHUNK)
    assert (answer.status, [it.body for it in role.stored()]) == (202, [BODY])


async def test_requests_that_follow_in_one_breath_are_all_answered(role: Role) -> None:
    """Several webhooks in one packet are answered one by one, in order."""
    async with connected(role.port) as wire:
        await wire.send(webhook(BODY) + forged(BODY) + webhook(BODY))
        assert [(await wire.answer()).status for _ in range(3)] == [202, 401, 200]


MALFORMED = "the signature is not sha256=<64 hex digits>"
REFUSED = {
    "missing": ([], "no signature header"),
    "empty": ([b""], MALFORMED),
    "only the prefix": ([b"sha256="], MALFORMED),
    "no prefix": ([RIGHT.removeprefix(b"sha256=")], MALFORMED),
    "another prefix": ([RIGHT.replace(b"sha256", b"sha1")], MALFORMED),
    "cut short": ([RIGHT[:-1]], MALFORMED),
    "too long": ([RIGHT + b"0"], MALFORMED),
    "a byte beyond ASCII": ([b"sha256=\xe9" + RIGHT[8:]], MALFORMED),
    "UTF-8": ([b"sha256=" + "é".encode() * 32], MALFORMED),
    "full-width digits": ([b"sha256=" + "０".encode() * 64], MALFORMED),
    "two in one": ([RIGHT + b", " + RIGHT], MALFORMED),
    "twice the same": ([RIGHT, RIGHT], "more than one signature header"),
    "a wrong one first": ([b"sha256=" + b"0" * 64, RIGHT], "more than one signature header"),
    "another body's": ([signature(b"another")[1]], "the signature matches none of our secrets"),
    "another secret's": (
        [signature(BODY, "guessed")[1]],
        "the signature matches none of our secrets",
    ),
}


@pytest.mark.parametrize(("values", "reason"), REFUSED.values(), ids=REFUSED)
async def test_a_webhook_that_is_not_authentic_is_refused_and_set_aside(
    role: Role, values: list[bytes], reason: str
) -> None:
    """401 says why; the inbox stays empty and the quarantine holds the request as it came."""
    answer = await ask(role.port, forged(BODY, *((NAME, value) for value in values)))
    role.stop.set()
    await role.ended()
    [(why, peer, headers, body)] = role.refused()
    assert said(answer) == (401, reason)
    assert role.stored() == []
    assert (why, peer, body) == (reason, "127.0.0.1", BODY)
    assert all(value in headers for value in values)


async def test_a_header_of_another_case_and_capital_digits_are_as_good(role: Role) -> None:
    """Header names know no case (RFC 9110 §5.1), nor do hex digits."""
    capital = RIGHT[:7] + RIGHT[7:].upper()
    assert (await ask(role.port, forged(BODY, (NAME.lower(), capital)))).status == 202


async def test_no_secret_header_reaches_a_file(role: Role) -> None:
    """What could open a door is cut out before it is written, of the stored and of the refused."""
    names = [b"Authorization", b"Cookie", b"X-API-Key", b"Proxy-Authorization"]
    names += [b"x-amz-security-token", b"COOKIE"]
    secrets = [(name, b"hush-%d" % number) for number, name in enumerate(names)]
    assert (await ask(role.port, webhook(BODY, *secrets, (b"X-Plain", b"hello")))).status == 202
    assert (await ask(role.port, forged(BODY + b" ", *secrets))).status == 401
    role.stop.set()
    await role.ended()
    for file in (role.inbox, role.inbox.with_name("quarantine.db")):
        written = everything_on_disk(file)
        assert b"(cut out)" in written
        assert b"hush" not in written
    [delivery] = role.stored()
    assert [name for name, _ in delivery.headers if name in names] == names
    assert (b"X-Plain", b"hello") in delivery.headers


async def test_an_empty_body_is_refused_for_good(role: Role) -> None:
    """There is nothing in it to verify, however it is signed."""
    wires = [webhook(b""), head(signature(b"")), head(signature(b""), CHUNKED) + LAST_CHUNK]
    answers = [await ask(role.port, wire) for wire in wires]
    assert {(400, "the body is empty")} == {said(answer) for answer in answers}
    assert role.stored() == []


async def test_a_source_that_nobody_configured_is_unknown(role: Role) -> None:
    """404, without reading the body or trying its signature."""
    paths = [b"/webhooks/modelslab", b"/webhooks/doitong%20", b"/webhooks/Doitong"]
    answers = [
        await ask(role.port, forged(BODY, (NAME, RIGHT), path=path).removesuffix(BODY))
        for path in paths
    ]
    assert {(404, "unknown source")} == {said(answer) for answer in answers}


async def test_a_body_that_comes_too_slowly_is_given_up(tmp_path: Path) -> None:
    """408 after `read_seconds`, the connection is closed, and nothing is stored."""
    async with receiving(tmp_path, read_seconds=0.1) as role, connected(role.port) as wire:
        answer = await wire.ask(webhook(BODY)[:-1])
        assert said(answer) == (408, "the body came too slowly")
        assert answer.headers["connection"] == "close"
        await wire.send(BODY[-1:])
        assert await wire.rest() == b""
        assert role.stored() == []


async def test_a_body_is_taken_up_to_the_limit_and_no_further(tmp_path: Path) -> None:
    """413 for one byte more, declared or in chunks; a declared one is not waited for."""
    full, over = b"x" * 1000, b"x" * 1001
    end = LAST_CHUNK
    wires = [
        webhook(full),
        head(signature(full), CHUNKED) + chunked([full[:600], full[600:]]) + end,
        head(signature(over), length(over)),
        head(signature(over), CHUNKED) + chunked([over[:600], over[600:]]),
        head((b"Content-Length", b"9" * 18)),
    ]
    async with receiving(tmp_path, max_body_bytes=1000) as role:
        answers = [await ask(role.port, wire) for wire in wires]
        assert [answer.status for answer in answers] == [202, 200, 413, 413, 413]
        assert {"close"} == {answer.headers["connection"] for answer in answers[2:]}
        assert [it.body for it in role.stored()] == [full]


async def test_what_follows_a_body_too_large_is_no_request(tmp_path: Path) -> None:
    """The unread rest of a refused body is never taken for another webhook."""
    hidden = webhook(BODY)
    async with receiving(tmp_path, max_body_bytes=10) as role, connected(role.port) as wire:
        answer = await wire.ask(head(length(hidden)) + hidden + webhook(b"next"))
        assert answer.status == 413
        assert await wire.rest() == b""
        assert role.stored() == []


async def test_who_waits_to_be_bidden_is_bidden(role: Role) -> None:
    """`Expect: 100-continue` is answered before the body is sent; other expectations are not
    ours to meet, and no reason to lose a webhook."""
    expecting = head((NAME, RIGHT), length(BODY), (b"Expect", b"100-Continue"))
    async with connected(role.port) as wire:
        assert (await wire.ask(expecting)).status == 100
        assert (await wire.ask(BODY)).status == 202
    assert (await ask(role.port, webhook(BODY, (b"Expect", b"\x80")))).status == 200


async def test_a_sender_that_leaves_in_the_middle_has_sent_nothing(role: Role) -> None:
    """Half a body is no delivery, and the next connection is served as ever."""
    async with connected(role.port) as wire:
        await wire.send(webhook(BODY)[:-1])
        wire.writer.write_eof()
        assert b" 202 " not in await wire.rest()
    assert (await ask(role.port, webhook(b"next"))).status == 202
    assert [it.body for it in role.stored()] == [b"next"]


async def exhausted(port: int, *headers: tuple[bytes, bytes], limit: int) -> Answer:
    """Guesses until one is refused before its body is read; the count begins anew each minute."""
    for guess in range(2 * limit + 1):
        answer = await ask(port, forged(b"guess %d" % guess, *headers))
        if answer.status != 401:
            assert guess >= limit
            return answer
    raise AssertionError("nobody was turned away")


async def test_who_keeps_guessing_is_turned_away_before_the_body_is_read(tmp_path: Path) -> None:
    """429 with Retry-After, also to a request whose body was announced but never sent."""
    async with receiving(tmp_path, failures_per_minute=3, read_seconds=0.1) as role:
        answer = await exhausted(role.port, limit=3)
        assert said(answer) == (429, "too many wrong requests")
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        unread = await ask(role.port, head(length(BODY)))
        if unread.status == 408:  # the minute has just ended, and with it the count
            await exhausted(role.port, limit=3)
            unread = await ask(role.port, head(length(BODY)))
        assert unread.status == 429


async def test_right_signatures_are_never_too_many(tmp_path: Path) -> None:
    """Only failures count."""
    async with receiving(tmp_path, failures_per_minute=3) as role:
        wires = [webhook(b"%d" % number) for number in range(10)]
        assert {202} == {(await ask(role.port, wire)).status for wire in wires}


FORWARDED = b"X-Forwarded-For"


async def test_forwarded_addresses_are_believed_of_trusted_proxies_only(tmp_path: Path) -> None:
    """Anybody can write the header; only the part that our own proxies appended counts."""
    claims = (FORWARDED, b"192.0.2.1, 203.0.113.7"), (FORWARDED, b"10.0.0.9")
    junk = (FORWARDED, b"\xe9\xff, not an address")
    trusting = {"trusted_proxies": ["127.0.0.0/8", "10.0.0.0/8"]}
    peers = []
    for folder, listen in ("plain", {"trusted_proxies": []}), ("trusting", trusting):
        async with receiving(tmp_path / folder, **listen) as role:
            await ask(role.port, webhook(b"1", *claims))
            await ask(role.port, webhook(b"2", junk))
            peers.append([it.peer for it in role.stored()])
    assert peers == [["127.0.0.1", "127.0.0.1"], ["203.0.113.7", "127.0.0.1"]]


async def test_one_guesser_behind_a_proxy_does_not_shut_out_the_others(tmp_path: Path) -> None:
    """Failures are counted for the forwarded address, so a neighbour is still heard."""
    settings = {"trusted_proxies": ["127.0.0.1/32"], "failures_per_minute": 2}
    async with receiving(tmp_path, **settings) as role:
        assert (await exhausted(role.port, (FORWARDED, b"203.0.113.7"), limit=2)).status == 429
        assert (await ask(role.port, webhook(BODY, (FORWARDED, b"203.0.113.8")))).status == 202


printable = st.binary(max_size=60).filter(lambda value: not {0, 10, 13} & {*value})
names = st.from_regex(rb"[A-Za-z-]{1,20}", fullmatch=True) | st.sampled_from(
    [NAME, FORWARDED, b"Content-Encoding", b"Content-Type", b"Expect", b"Upgrade", b"Connection"]
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(headers=st.lists(st.tuples(names, printable), max_size=5), body=st.binary(max_size=300))
async def test_no_headers_and_no_body_are_ever_our_fault(
    role: Role, headers: list[tuple[bytes, bytes]], body: bytes
) -> None:
    """Whatever a stranger writes into headers and body, the answer is his to mend: 4xx."""
    answer = await ask(role.port, forged(body, *headers))
    assert 400 <= answer.status < 500


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(noise=st.binary(min_size=1, max_size=200), at=st.integers(0, 400), cut=st.integers(0, 30))
async def test_no_damage_to_the_wire_is_ever_our_fault(
    hasty_role: Role, noise: bytes, at: int, cut: int
) -> None:
    """A signed webhook damaged anywhere is answered 2xx or 4xx, or closed; what was answered 2xx
    is in the inbox."""
    whole = webhook(BODY)
    async with connected(hasty_role.port) as wire:
        await wire.send(whole[:at] + noise + whole[at + cut :])
        status = (await wire.reader.readline())[9:10]
    assert status in (b"2", b"4", b"")
    if status == b"2":
        assert BODY in [it.body for it in hasty_role.stored()]


TOKEN = mint(SECRET, b"one")
TOKENED = {"doitong": {"secrets": {"a": SECRET}}, "modelslab": {"secrets": {"b": SECRET}}}


@pytest.fixture
async def tokened_role(tmp_path: Path) -> AsyncIterator[Role]:
    """The role `receive` with ModelsLab's door, too."""
    async with receiving(tmp_path, {"providers": TOKENED}) as running:
        yield running


def to_token(token: str, body: bytes = BODY, *headers: tuple[bytes, bytes]) -> bytes:
    """A webhook as ModelsLab sends it: the path is all there is to it."""
    return forged(body, *headers, path=f"/webhooks/modelslab/{token}".encode())


async def test_an_unsigned_webhook_is_known_by_its_path(tokened_role: Role) -> None:
    """It is stored with the nonce of its token; the same body under another is another."""
    tokens = [TOKEN, TOKEN, TOKEN + "?a=b", mint(SECRET, b"two")]
    answers = [await ask(tokened_role.port, to_token(token)) for token in tokens]
    assert [it.status for it in answers] == [202, 200, 200, 202]
    stored = [(it.source, it.verified_by, it.path_token) for it in tokened_role.stored()]
    assert stored == [("modelslab", "b", "b25l"), ("modelslab", "b", "dHdv")]


WRONG_PATHS = {
    "a wrong token": (TOKEN[:-1] + "-", 401, "the path's token was made with none of our secrets"),
    "no token": ("hello", 401, "the path does not end in a token of the form <nonce>.<mac>"),
    "an escape": (TOKEN.replace(".", "%2e"), 401, None),
    "an escape that is none": (TOKEN + "%", 401, None),
    "an escaped zero": (TOKEN + "%00", 401, None),
    "bytes that are no text": ("%ff%fe." + TOKEN, 401, None),
    "a path further": ("x/" + TOKEN, 404, None),
    "an escaped slash": ("x%2F" + TOKEN, 404, None),
    "nothing": ("", 404, None),
}


@pytest.mark.parametrize(("end", "status", "text"), WRONG_PATHS.values(), ids=WRONG_PATHS)
async def test_a_path_that_we_did_not_make_opens_nothing(
    tokened_role: Role, end: str, status: int, text: str | None
) -> None:
    """Whatever it holds: 401, or 404 where there is no such place."""
    answer = await ask(tokened_role.port, to_token(end))
    assert (answer.status, text or said(answer)[1]) == (status, said(answer)[1])
    assert tokened_role.stored() == []


async def test_a_token_missing_is_a_token_wrong(tokened_role: Role) -> None:
    """And one too many opens no other door."""
    answer = await ask(tokened_role.port, forged(BODY, path=b"/webhooks/modelslab"))
    other = await ask(
        tokened_role.port,
        forged(BODY, signature(BODY), path=f"/webhooks/doitong/{TOKEN}".encode()),
    )
    assert (answer.status, other.status) == (401, 404)


async def test_no_token_that_opens_the_door_reaches_a_file(tokened_role: Role) -> None:
    """Proxies repeat the path in headers; neither the inbox nor the quarantine keeps it."""
    wrong = mint("a secret of yesterday", b"one")
    for token, status in ((TOKEN, 202), (wrong, 401)):
        repeated = (b"X-Original-URI", f"/webhooks/modelslab/{token}".encode())
        answer = await ask(tokened_role.port, to_token(token, BODY, repeated, (b"X-A", b"hello")))
        assert answer.status == status
    tokened_role.stop.set()
    await tokened_role.ended()
    [(_, _, headers, body)] = tokened_role.refused()
    assert (b"hello" in headers, body) == (True, BODY)
    for file in (tokened_role.inbox, tokened_role.inbox.with_name("quarantine.db")):
        written = everything_on_disk(file)
        assert b"X-Original-URI" in written
        assert not any(token.partition(".")[2].encode() in written for token in (TOKEN, wrong))


DOORS = {
    "doitong": {"secrets": {"a": SECRET}},
    "modelslab": {"secrets": {"b": SECRET}},
    "dashscope": {"events": True, "secrets": {"rule": "token"}},
}
PATHS = ["/webhooks/doitong", "/webhooks/modelslab/hello", "/webhooks/dashscope"]


@pytest.mark.parametrize("path", [path.encode() for path in PATHS])
async def test_every_door_has_the_same_guards(tmp_path: Path, path: bytes) -> None:
    """400, 405, 408, 413, 401 with a copy in the quarantine, 429: whoever is posted to."""
    tables = {"public_url": "https://hooks.example.org", "providers": DOORS}
    limits = {"failures_per_minute": 2, "max_body_bytes": 100, "read_seconds": 0.1}
    async with receiving(tmp_path, tables, **limits) as role:
        wires = [
            forged(b"", path=path),
            head(method=b"GET", path=path),
            head(length(BODY), path=path),
            head(length(b"x" * 101), path=path),
            forged(BODY, path=path),
        ]
        answers = [(await ask(role.port, wire)).status for wire in wires]
        assert answers == [400, 405, 408, 413, 401]
        guesses = [(await ask(role.port, forged(b"%d" % n, path=path))).status for n in range(5)]
        assert 429 in guesses
        role.stop.set()
        await role.ended()
        assert BODY in [body for *_, body in role.refused()]
        assert role.stored() == []


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(end=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=80))
async def test_no_path_is_ever_our_fault(tokened_role: Role, end: str) -> None:
    """Whatever a stranger writes where a token should be, the answer is his to mend."""
    for path in (end, TOKEN + end + "x", end + TOKEN):
        answer = await ask(tokened_role.port, to_token(path))
        assert 200 <= answer.status < 500


async def test_a_commit_that_fails_is_told_and_mends_by_itself(tmp_path: Path) -> None:
    """While the disk is full every webhook is answered 503 and none is kept; when there is room
    again the same ones are new. What was answered 2xx is there, and nothing else."""
    bodies = [b"webhook %d" % number for number in range(5)]
    with running(tmp_path, roles=["receive"]) as service:
        wires = [webhook(body, secret=SERVICE_SECRET) for body in bodies]
        assert (await ask(service.public, wires[0])).status == 202
        with no_room_to_write(service.pid("receive")):
            full = [await ask(service.public, wire) for wire in wires[1:]]
            ready = await ask(service.public, head(method=b"GET", path=b"/readyz"))
        again = [await ask(service.public, wire) for wire in wires]
        assert {(503, "not stored, try again")} == {said(answer) for answer in full}
        assert {"5"} == {answer.headers["retry-after"] for answer in (*full, ready)}
        assert ready.status == 503
        assert [answer.status for answer in again] == [200, 202, 202, 202, 202]
        assert (await ask(service.public, head(method=b"GET", path=b"/readyz"))).status == 200
        service.logged("deliveries are refused", role="receive")
        service.logged("deliveries are taken in again", role="receive", refused=4)
        assert service.stop() == 0
    reader = SqliteInboxReader(tmp_path / "inbox" / "receive.db")
    assert bodies == [delivery.body for delivery in reader.after(0, limit=100)]
    reader.close()
