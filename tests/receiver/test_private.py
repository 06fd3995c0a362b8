"""The private listener: requests that are remembered, and the counts of all roles."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import ClientSession
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from archiver import clock
from archiver.catalog import Catalog
from archiver.catalog.schema import migrate
from archiver.ledger import keep
from archiver.models import GenerationState, Heard
from receiver.private import MAX_ID_LENGTH, MAX_REQUEST_BYTES
from receiver.providers import observations
from tests.archiver.disks import everything_on_disk
from tests.archiver.heard import DRAWN, REQUEST, failed, hear
from tests.receiver.roles_in_process import Role, serving
from tests.receiver.wire import Answer, ask, connected, head, length, webhook
from tests.service import SECRET, Service, eventually, no_room_to_write, running

FLAT = b'{"service": "flux-pro", "prompt": "a red fox"}'
NESTED = b'{"variables": {"input": {"provider": "flux-pro", "input": {"text": "a red fox"}}}}'


@pytest.fixture
async def role(tmp_path: Path) -> AsyncIterator[Role]:
    """The role `web`, before there is any catalog."""
    async with serving(tmp_path) as running_role:
        yield running_role


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The whole service, for what takes more than one role."""
    with running(tmp_path_factory.mktemp("service")) as whole:
        yield whole


def put(
    generation_id: str, body: bytes, *headers: tuple[bytes, bytes], provider: str = "doitong"
) -> bytes:
    """The request that remembers a generation."""
    path = f"/api/v1/generations/{provider}/{quote(generation_id, safe='')}".encode()
    return head(length(body), *headers, method=b"PUT", path=path) + body


def get(path: str) -> bytes:
    """A question."""
    return head(method=b"GET", path=path.encode())


async def metrics(service: Service) -> dict[str, float]:
    """The metrics page, by name and labels."""
    answer = await ask(service.private, get("/metrics"))
    assert answer.headers["content-type"].startswith("text/plain; version=")
    lines = (line.rpartition(" ") for line in answer.body.decode().splitlines())
    return {name: float(value) for name, _, value in lines if not name.startswith("#")}


def problem(answer: Answer) -> tuple[int, str]:
    """Status and detail of a problem document (RFC 9457)."""
    assert answer.headers["content-type"] == "application/problem+json"
    document = json.loads(answer.body)
    assert document["status"] == answer.status
    return answer.status, document["detail"]


async def test_a_request_is_remembered_as_it_was_given(role: Role) -> None:
    """202 once it is in the inbox, under the id that the path gave; nobody's token is kept."""
    token = (b"Authorization", b"Bearer hush")
    assert (await ask(role.port, put("abc", FLAT, token))).status == 202
    [delivery] = role.stored()
    assert (delivery.source, delivery.heard) == ("doitong", Heard.REMEMBERED)
    assert (delivery.path_token, delivery.body) == ("abc", FLAT)
    assert (delivery.peer, delivery.headers) == ("127.0.0.1", ())
    assert b"hush" not in everything_on_disk(role.inbox)


async def test_what_is_known_is_not_remembered_twice(role: Role) -> None:
    """200 for the same request of the same generation; another of either is another delivery."""
    wires = [put("abc", FLAT), put("abc", FLAT), put("abc", NESTED), put("other", FLAT)]
    assert [(await ask(role.port, wire)).status for wire in wires] == [202, 200, 202, 202]
    assert [delivery.path_token for delivery in role.stored()] == ["abc", "abc", "other"]


async def test_a_generation_is_watched_whose_request_nobody_has(role: Role) -> None:
    """An empty body says that it exists; the provider may tell the rest."""
    assert (await ask(role.port, put("abc", b""))).status == 202

    [seen] = observations(role.stored()[0])
    assert (seen.generation_id, seen.state) == ("abc", GenerationState.QUEUED)


async def test_a_request_is_remembered_without_its_key(role: Role) -> None:
    """Some providers want it among the parameters, and whoever submitted may pass it on to us."""
    body = b'{"key": "sk-0123456789", "prompt": "a fox", "negative_prompt": "not sk-0123456789"}'
    assert (await ask(role.port, put("abc", body, provider="modelslab"))).status == 202

    assert b"a fox" in (role.stored()[0].body or b"")
    assert b"sk-0123456789" not in everything_on_disk(role.inbox)


UNREADABLE = {
    "blanks": b" ",
    "no JSON": b"a red fox",
    "no UTF-8": b'{"prompt": "\xff"}',
    "no object": b"[]",
    "no prompt": b'{"service": "flux-pro"}',
    "an empty prompt": b'{"prompt": " "}',
    "a bottomless pit": b'{"input":' * 50_000,
}


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE)
async def test_what_cannot_be_understood_is_refused_at_once(role: Role, body: bytes) -> None:
    """400 while there is still somebody to tell; unlike a provider, he can mend it."""
    status, detail = problem(await ask(role.port, put("abc", body)))
    assert (status, role.stored()) == (400, [])
    assert detail.startswith(("the body is", "the request has no prompt"))


async def test_a_provider_that_nobody_knows_is_not_found(role: Role) -> None:
    """404 names those who are known."""
    answer = await ask(role.port, put("abc", FLAT, provider="midjourney"))
    known = "doitong, modelslab, dashscope"
    assert problem(answer) == (404, f"no provider is called 'midjourney'; known: {known}")


async def test_an_id_is_remembered_up_to_its_longest(role: Role) -> None:
    """400 for one character more."""
    longest, longer = "é" * MAX_ID_LENGTH, "é" * (MAX_ID_LENGTH + 1)
    assert (await ask(role.port, put(longest, FLAT))).status == 202
    status, _ = problem(await ask(role.port, put(longer, FLAT)))
    assert (status, [it.path_token for it in role.stored()]) == (400, [longest])


@pytest.mark.parametrize("blank", ["%20", "%09%0A", "%1C", "%E3%80%80", "a%00"])
@pytest.mark.parametrize("body", [FLAT, b""])
async def test_an_id_that_nobody_can_see_is_refused(role: Role, blank: str, body: bytes) -> None:
    """400: nobody could type it to find the generation again."""
    path = f"/api/v1/generations/doitong/{blank}".encode()
    status, detail = problem(
        await ask(role.port, head(length(body), method=b"PUT", path=path) + body)
    )
    assert (status, role.stored()) == (400, [])
    assert detail == "a generation's id is more than white space, and has no U+0000"


async def test_a_request_too_large_is_refused(role: Role) -> None:
    """413, for no request is that long."""
    padding = b" " * (MAX_REQUEST_BYTES + 1 - len(FLAT))
    assert (await ask(role.port, put("abc", FLAT + padding[1:]))).status == 202
    assert (await ask(role.port, put("abc", FLAT + padding))).status == 413
    assert len(role.stored()) == 1


async def test_half_a_request_is_not_remembered(role: Role) -> None:
    """Who leaves in the middle has said nothing."""
    async with connected(role.port) as wire:
        await wire.send(put("abc", FLAT)[:-1])
        wire.writer.write_eof()
        assert await wire.rest() == b""
    assert role.stored() == []


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    generation_id=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40).filter(
        lambda text: text not in (".", "..")
    ),
    body=st.binary(max_size=100) | st.sampled_from([FLAT, NESTED]),
)
async def test_no_id_and_no_request_are_ever_our_fault(
    role: Role, generation_id: str, body: bytes
) -> None:
    """Whatever is put, the answer is 2xx and it is in the inbox, or 400 and it is not."""
    status = (await ask(role.port, put(generation_id, body))).status
    stored = (generation_id, body) in [(it.path_token, it.body) for it in role.stored()]
    assert status in (200, 202, 400)
    assert stored == (status != 400)


async def test_it_is_ready_only_with_a_catalog(role: Role) -> None:
    """What it is for cannot be done without one, though it lives and remembers."""
    answers = {path: (await ask(role.port, get(path))).status for path in ("/healthz", "/readyz")}
    assert answers == {"/healthz": 200, "/readyz": 503}


async def test_who_would_draw_waits_for_a_catalog(role: Role) -> None:
    """503 until the role that makes it has made it; nobody else begins one."""
    claim = b'{"worker": "one"}'
    path = b"/api/v1/jobs/claim"
    wire = head(length(claim), method=b"POST", path=path) + claim
    assert problem(await ask(role.port, wire))[0] == 503
    assert not role.config.catalog.path.exists()
    migrate(role.config.catalog.path)
    assert (await ask(role.port, wire)).status == 204


async def test_what_is_drawn_elsewhere_comes_by_the_private_listener(role: Role) -> None:
    """A picture much larger than any other request, beside whatever else is asked."""
    migrate(role.config.catalog.path)
    catalog = Catalog(role.config.catalog.path)
    await catalog.start()
    lost = hear(failed(), REQUEST)
    kept = await catalog.write(lambda tables: keep(tables, None, lost, now=clock.now()))
    picture = BytesIO()
    Image.effect_noise((1500, 1500), 90).save(picture, "PNG")
    body = picture.getvalue()
    assert len(body) > MAX_REQUEST_BYTES
    async with ClientSession(f"http://127.0.0.1:{role.port}") as far:
        async with far.post("/api/v1/jobs/claim", json={"worker": "a GPU far away"}) as answer:
            commission = await answer.json()
        job = f"/api/v1/jobs/{commission['job_id']}"
        async with far.put(
            f"{job}/content?fence={commission['fence']}", data=BytesIO(body)
        ) as answer:
            assert answer.status == 204
        completed = {
            "fence": commission["fence"],
            "rendering": asdict(DRAWN),
            "sha256": sha256(body).hexdigest(),
            "size_bytes": len(body),
        }
        async with far.post(f"{job}/complete", json=completed) as answer:
            assert answer.status == 204
        number = kept.slots[0].number
        async with far.get(f"/api/v1/assets/{number}/content") as answer:
            assert (await answer.read(), answer.content_type) == (body, "image/png")
    await catalog.close()


async def test_a_commit_that_fails_is_told_and_mends_by_itself(tmp_path: Path) -> None:
    """503 with Retry-After while the disk is full, and the same request is new afterwards."""
    with running(tmp_path, roles=["web"]) as service:
        assert (await ask(service.private, put("abc", FLAT))).status == 202
        with no_room_to_write(service.pid("web")):
            full = await ask(service.private, put("abc", NESTED))
        assert full.headers["retry-after"] == "5"
        status, detail = problem(full)
        assert (status, "cannot commit" in detail) == (503, True)
        assert (await ask(service.private, put("abc", NESTED))).status == 202


async def test_what_was_remembered_and_what_was_pushed_become_one(service: Service) -> None:
    """A request put before its webhook comes is told with it, as one generation."""
    assert (await ask(service.private, put("one", FLAT))).status == 202
    announced = webhook(b'{"id": "one", "status": "processing"}', secret=SECRET)
    assert (await ask(service.public, announced)).status == 202

    async def told() -> dict[str, Any] | None:
        answer = await ask(service.private, get("/api/v1/generations/doitong/one"))
        story = json.loads(answer.body)
        return story if len(story.get("deliveries", ())) == 2 else None

    story = await eventually(told)
    assert [it["heard"] for it in story["deliveries"]] == ["remembered", "pushed"]
    assert (story["params"], story["state"]) == ({"prompt": "a red fox"}, "running")


async def test_metrics_count_what_every_role_did(service: Service) -> None:
    """One page for all processes, also for one that died meanwhile; no stranger's word in it."""
    port, spoken = service.public, webhook(b'{"id": "two", "status": "failed"}', secret=SECRET)
    before = await metrics(service)
    wires = [spoken, spoken, webhook(b"unreadable", secret=SECRET), head(path=b"/webhooks/evil")]
    assert [(await ask(port, wire)).status for wire in wires] == [202, 200, 202, 404]
    stored, known, strange = (
        f'holdfast_deliveries_total{{provider="{provider}",result="{result}"}}'
        for provider, result in (
            ("doitong", "stored"),
            ("doitong", "known"),
            ("unknown", "unknown"),
        )
    )

    async def told(counts_known: int) -> dict[str, float] | None:
        counts = await metrics(service)
        answered = counts.get(known, 0) - before.get(known, 0) == counts_known
        return counts if answered and counts.get("holdfast_unparsed_deliveries") == 1 else None

    await eventually(lambda: told(1))
    service.kill("receive")
    assert (await ask(port, spoken)).status == 200

    after = await eventually(lambda: told(2))
    grown = {name: value - before.get(name, 0) for name, value in after.items()}
    assert (grown[known], grown[strange]) == (2, 1)
    assert grown[stored] >= 2  # what was answered before this test may be told only now
    assert grown["holdfast_ingest_commit_seconds_count"] == 4
    assert grown['holdfast_absorbed_total{outcome="understood"}'] == 1
    assert grown['holdfast_absorbed_total{outcome="unparsed"}'] == 1
    assert grown['holdfast_slots{state="dead"}'] == 1
    assert not any("evil" in name for name in after)
    # Who comes after a dead one counts on where it ended, so there are no more files to be read.
    files = {path.name for path in (service.config_file.parent / "metrics").glob("counter_*")}
    assert files == {f"counter_{role}.db" for role in ("receive", "archive", "web")}
