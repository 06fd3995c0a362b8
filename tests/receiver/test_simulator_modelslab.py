"""The practice ModelsLab on its good days: every endpoint, every fetch, and who may ask."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st

from receiver.simulator import Simulator
from receiver.simulator.modelslab import studio
from receiver.simulator.modelslab.errors import RefusalError
from receiver.simulator.modelslab.forms import REQUIRED, read_fields, read_submission
from tests.receiver.providers.samples import sample

ENTERPRISE = "/api/v1/enterprise/text2img"
COMMUNITY = "/api/v6/images/text2img"
GOOD = {"prompt": "A red fox", "model_id": "flux"}
IMAGES = {
    "init_image": "https://pictures.example/a.png",
    "mask_image": "https://pictures.example/b.png",
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@dataclass
class Practice:
    """A simulator, somebody who hears webhooks, and a client that speaks to the former."""

    simulator: Simulator
    client: aiohttp.ClientSession
    webhook_url: str
    answer_webhooks_with: int
    heard: list[bytes] = field(default_factory=list)
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    async def hear(self, request: web.Request) -> web.Response:
        self.heard.append(await request.read())
        self.reached.set()
        return web.Response(status=self.answer_webhooks_with)

    async def post(
        self, path: str, *faults: str, key: str = "practice", **fields: Any
    ) -> tuple[int, Any]:
        """HTTP status and document of one request; a path may be a whole URL."""
        url = path if path.startswith("http") else self.simulator.base_url + path
        headers = {"X-Simulate": ",".join(faults)}
        async with self.client.post(url, json={"key": key, **fields}, headers=headers) as answer:
            return answer.status, await answer.json()

    async def ask(self, *faults: str, path: str = COMMUNITY, **fields: Any) -> dict[str, Any]:
        """The answer to a submission, and all its work done."""
        status, answer = await self.post(path, *faults, **{**GOOD, **fields})
        assert status in (200, 400), answer
        await self.simulator.idle()
        return answer

    async def fetch(self, answer: dict[str, Any]) -> dict[str, Any]:
        """What the answer's own `fetch_result` says now."""
        return (await self.post(answer["fetch_result"]))[1]

    async def get(self, url: str) -> tuple[int, bytes]:
        async with self.client.get(url) as answer:
            return answer.status, await answer.read()

    def row(self) -> dict[str, Any]:
        """The report of the one generation."""
        [row] = self.simulator.report()
        return row

    def says(self) -> list[dict[str, Any]]:
        return [json.loads(body) for body in self.heard]


@asynccontextmanager
async def practising(*, answers: int = 200, **settings: Any) -> AsyncIterator[Practice]:
    """A simulator that draws at once, with everything around it that a test needs."""
    async with (
        aiohttp.ClientSession() as client,
        Simulator(b"", **{"drawing_seconds": 0, "random_seed": 7, **settings}) as simulator,
    ):
        practice = Practice(simulator, client, "", answers)
        application = web.Application()
        application.router.add_post("/webhooks/modelslab/{token}", practice.hear)
        async with TestServer(application, host="127.0.0.1") as server:
            practice.webhook_url = str(server.make_url("/webhooks/modelslab/token"))
            yield practice


def documented(case: str) -> Any:
    """The body of a sample from the documents."""
    return json.loads(sample(f"modelslab/{case}").body)


async def test_the_documented_request_gets_the_documented_answer() -> None:
    """The page's own request succeeds with the page's own keys, in its order and of its types."""
    body = sample("modelslab/enterprise-request").body
    expected = documented("enterprise-success")
    async with practising() as practice:
        url = practice.simulator.base_url + ENTERPRISE
        headers = {"Content-Type": "application/json", "X-Simulate": "instant"}
        async with practice.client.post(url, data=body, headers=headers) as answer:
            raw = await answer.read()
            assert (answer.status, answer.content_type) == (200, "application/json")
        given = json.loads(raw)
        assert b"http:\\/\\/127.0.0.1" in raw  # as PHP writes slashes
        for said, meant in ((given, expected), (given["meta"], expected["meta"])):
            assert list(meant) == list(said)
            assert {k: type(v) for k, v in meant.items()} == {k: type(v) for k, v in said.items()}
        unchanged = ("prompt", "scheduler", "W", "H", "guidance_scale", "steps", "n_samples", "vae")
        assert [expected["meta"][k] for k in unchanged] == [given["meta"][k] for k in unchanged]
        assert given["meta"]["negative_prompt"] == expected["meta"]["negative_prompt"]
        await practice.get(given["output"][0])
        row = practice.row()
        assert (str(given["id"]), "enterprise_api_key", "success") == (
            row["id"],
            row["account"],
            row["state"],
        )


SUBMISSIONS = [
    ("/api/v3/text2img", "/api/v3/fetch/"),
    ("/api/v3/img2img", "/api/v3/fetch/"),
    ("/api/v3/inpaint", "/api/v3/fetch/"),
    ("/api/v3/super_resolution", "/api/v3/fetch/"),
    ("/api/v4/dreambooth", "/api/v3/dreambooth/fetch/"),
    ("/api/v4/dreambooth/img2img", "/api/v3/dreambooth/fetch/"),
    ("/api/v4/dreambooth/inpaint", "/api/v3/dreambooth/fetch/"),
    ("/api/v5/controlnet", "/api/v5/fetch/"),
    ("/api/v6/images/text2img", "/api/v6/images/fetch/"),
    ("/api/v6/images/img2img", "/api/v6/images/fetch/"),
    ("/api/v6/images/inpaint", "/api/v6/images/fetch/"),
    ("/api/v6/realtime/text2img", "/api/v6/realtime/fetch/"),
    ("/api/v6/image_editing/super_resolution", "/api/v6/image_editing/fetch/"),
    ("/api/v6/image_editing/outpaint", "/api/v6/image_editing/fetch/"),
    ("/api/v7/images/text-to-image", "/api/v7/images/fetch/"),
    ("/api/v7/images/image-to-image", "/api/v7/images/fetch/"),
    ("/api/v1/enterprise/text2img", "/api/v1/enterprise/fetch/"),
    ("/api/v1/enterprise/images/text2img", "/api/v1/enterprise/images/fetch/"),
    ("/api/v1/enterprise/qwen/text2img", "/api/v1/enterprise/qwen/fetch/"),
]


@pytest.mark.parametrize(("path", "fetch_prefix"), SUBMISSIONS)
async def test_every_endpoint_is_asked_and_fetched_alike(path: str, fetch_prefix: str) -> None:
    """It says processing with all that is needed to come back, and any fetch finds the picture."""
    async with practising() as practice:
        fetch_url = practice.simulator.base_url + fetch_prefix
        answer = await practice.ask(path=path, **IMAGES)
        assert (answer["status"], answer["output"]) == ("processing", [])
        assert answer["fetch_result"] == f"{fetch_url}{answer['id']}"
        assert isinstance(answer["id"], int)
        assert isinstance(answer["eta"], float)
        by_path = await practice.fetch(answer)
        by_body = await practice.post(fetch_url.rstrip("/"), request_id=str(answer["id"]))
        assert (200, by_path) == by_body
        assert ("success", answer["id"]) == (by_path["status"], by_path["id"])
        assert "meta" not in by_path
        assert answer["future_links"] == by_path["output"]
        [(status, picture)] = [await practice.get(url) for url in by_path["output"]]
        assert status == 200
        [slot] = practice.row()["pictures"]
        assert {"sha256": hashlib.sha256(picture).hexdigest(), "downloads": 1} == slot


async def test_what_is_drawn_depends_on_its_seed_and_slot() -> None:
    """Four samples are four pictures, the same seed repeats them, and no seed takes any."""
    async with practising() as practice:
        for seed in (7, "7", None, ""):
            await practice.ask(samples="4", seed=seed, width="64", height=32)
        digests = [
            [slot["sha256"] for slot in row["pictures"]] for row in practice.simulator.report()
        ]
        assert [len(set(four)) for four in digests] == [4] * 4
        assert digests[0] == digests[1]
        assert len({tuple(four) for four in digests}) == 3


async def test_future_links_work_once_the_picture_is_there() -> None:
    """Before that they answer 404, and a fetch says processing with an empty text for output."""
    async with practising(drawing_seconds=3600) as practice:
        _, answer = await practice.post(COMMUNITY, **GOOD)
        [status, _] = await practice.get(answer["future_links"][0])
        waiting = await practice.fetch(answer)
        # By the time that this one is drawn, the other would be, if it did not wait.
        await practice.post(COMMUNITY, "instant", **GOOD)
        assert (await practice.fetch(answer))["status"] == "processing"
    assert status == 404
    assert {"status": "processing", "id": answer["id"], "output": ""}.items() <= waiting.items()
    assert 3000 < waiting["eta"] <= 3600


async def test_a_form_is_as_good_as_json() -> None:
    """The overview says form-encoded, and clients that do it are understood."""
    async with practising() as practice:
        form = {"key": "practice", "samples": "2", "prompt": "Ein Fuchs & ein Häschen"}
        url = practice.simulator.base_url + "/api/v3/text2img"
        async with practice.client.post(url, data=form) as answer:
            given = await answer.json()
        await practice.simulator.idle()
        fetch_url = practice.simulator.base_url + "/api/v3/fetch"
        asked = {"key": "practice", "request_id": str(given["id"])}
        async with practice.client.post(fetch_url, data=asked) as answer:
            assert len((await answer.json())["output"]) == 2
        assert form["prompt"] == practice.row()["prompt"]


async def test_json_may_begin_with_a_byte_order_mark() -> None:
    """And an upscaling may call its picture `url`, as version 3 does."""
    async with practising() as practice:
        fields = {"key": "practice", "url": IMAGES["init_image"]}
        url = practice.simulator.base_url + "/api/v3/super_resolution"
        async with practice.client.post(
            url, data=b"\xef\xbb\xbf" + json.dumps(fields).encode()
        ) as it:
            assert (await it.json())["status"] == "processing"


@pytest.mark.parametrize(
    ("path", "fields", "case"),
    [
        (ENTERPRISE, {"key": "wrong", **GOOD}, "error-invalid-key"),
        (ENTERPRISE, GOOD, "error-invalid-key"),
        (ENTERPRISE, {"key": "practice", "model_id": "flux"}, "error-validation"),
        (ENTERPRISE, {"key": "practice", "prompt": "A red fox"}, "error-model-id"),
        ("/api/v3/fetch/1", {"key": ""}, "error-invalid-key"),
    ],
)
async def test_errors_are_the_documented_ones(path: str, fields: Any, case: str) -> None:
    """In HTTP 200, word for word, and nothing is begun."""
    async with practising() as practice:
        url = practice.simulator.base_url + path
        async with practice.client.post(url, json=fields) as answer:
            assert (200, documented(case)) == (answer.status, await answer.json())
        assert practice.simulator.report() == []


@pytest.mark.parametrize(
    ("fields", "name", "reason"),
    [
        ({"samples": 5}, "samples", "must be between 1 and 4"),
        ({"samples": "0"}, "samples", "must be between 1 and 4"),
        ({"width": "1025"}, "width", "must be between 1 and 1024"),
        ({"num_inference_steps": 51}, "num_inference_steps", "must be between 1 and 50"),
        ({"guidance_scale": float("nan")}, "guidance_scale", "must be between 1 and 20"),
        ({"height": "tall"}, "height", "must be a number"),
        ({"height": 64.5}, "height", "must be an integer"),
        ({"prompt": ["a fox"]}, "prompt", "must be a string"),
        ({"prompt": "\ud83e"}, "prompt", "must be a string"),
        ({"webhook": "ftp://here"}, "webhook", "format is invalid"),
        ({"webhook": "http://["}, "webhook", "format is invalid"),
    ],
)
async def test_a_field_at_fault_is_named(fields: Any, name: str, reason: str) -> None:
    """`message` is then a dict, as it is for a missing prompt."""
    async with practising() as practice:
        answer = await practice.ask(**fields)
        message = {name: [f"The {name.replace('_', ' ')} {reason}."]}
        assert {"status": "error", "message": message} == answer
        assert practice.simulator.report() == []


async def test_an_account_sees_its_own_only() -> None:
    """Another key's id, one that never was, and an endless one are all not found, in HTTP 200."""
    async with practising(api_keys=["practice", "practice-2"]) as practice:
        answer = await practice.ask()
        not_found = (200, {"status": "error", "message": "Request not found"})
        assert not_found == await practice.post(answer["fetch_result"], key="practice-2")
        assert not_found == await practice.post("/api/v3/fetch/1")
        assert not_found == await practice.post(f"/api/v3/fetch/{'9' * 5000}")
        _, refused = await practice.post(answer["fetch_result"], key="practice-3")
        assert documented("error-invalid-key") == refused
        _, nameless = await practice.post("/api/v6/images/fetch")
        assert nameless["message"] == {"request_id": ["The request id field is required."]}


async def test_what_is_no_endpoint_is_not_found() -> None:
    """A mistyped path gets a 404 in JSON, as from the real one."""
    async with practising() as practice:
        status, answer = await practice.post("/api/v6/images/text2image", **GOOD)
    assert (status, answer["status"]) == (404, "error")


@pytest.mark.parametrize("yes", ["yes", "true", True])
async def test_base64_is_text_behind_links(yes: Any) -> None:
    """`base64: yes` puts the picture's base64 text behind the links; the report knows the truth."""
    async with practising() as practice:
        [url] = (await practice.fetch(await practice.ask(base64=yes)))["output"]
        assert url.endswith(".base64")
        _, text = await practice.get(url)
        digest = hashlib.sha256(b64decode(text, validate=True)).hexdigest()
        assert [{"sha256": digest, "downloads": 1}] == practice.row()["pictures"]


async def test_a_webhook_is_told_once_and_not_signed() -> None:
    """The documented payload, whose id is text; a refusal is not repeated, for nobody promises."""
    async with practising(answers=503) as practice:
        answer = await practice.ask(webhook=practice.webhook_url, track_id="order_12345", seed=5)
        fetched = await practice.fetch(answer)
        [says] = practice.says()
        names = ["status", "id", "output", "generationTime", "track_id", "meta"]
        assert names == list(says)
        assert ("success", str(answer["id"]), fetched["output"], "order_12345", 5) == (
            says["status"],
            says["id"],
            says["output"],
            says["track_id"],
            says["meta"]["seed"],
        )
        assert practice.row()["webhook_attempts"] == [{"says": "success", "answered": 503}]


async def test_a_receiver_that_is_not_there_is_tried_once() -> None:
    """The report says that nobody answered."""
    async with practising() as practice:
        with_nobody = "http://127.0.0.1:1/"
        await practice.ask(webhook=with_nobody)
        assert practice.row()["webhook_attempts"] == [{"says": "success", "answered": None}]


async def test_links_die() -> None:
    """After their life plain links answer 404, and nothing in the URL says when."""
    async with practising(link_life_seconds=0) as practice:
        answer = await practice.ask()
        [url] = (await practice.fetch(answer))["output"]
        assert "?" not in url
        assert (await practice.get(url))[0] == 404


async def test_pictures_are_drawn_beside_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing happens in another thread, so that answers never wait for it."""
    threads = []

    def noting(prompt: str, width: int, height: int, seed: int) -> bytes:
        threads.append(threading.current_thread())
        return b"a picture"

    monkeypatch.setattr(studio, "draw", noting)
    async with practising() as practice:
        await practice.ask()
    assert len(threads) == 1
    assert threading.main_thread() not in threads


async def test_a_hundred_pictures_at_once() -> None:
    """Under a burst every generation has its own id, and its own pictures behind its links."""
    async with practising() as practice:
        prompts = [f"fox number {number}" for number in range(100)]
        answers = await asyncio.gather(
            *(practice.post(COMMUNITY, **{**GOOD, "prompt": each, "width": 32}) for each in prompts)
        )
        await practice.simulator.idle()
        digests = {}
        for _, answer in answers:
            [url] = (await practice.fetch(answer))["output"]
            digests[str(answer["id"])] = hashlib.sha256((await practice.get(url))[1]).hexdigest()
        report = practice.simulator.report()
    assert {row["id"]: row["pictures"][0]["sha256"] for row in report} == digests
    assert len(set(digests.values())) == 100
    assert sorted(prompts) == sorted(row["prompt"] for row in report)


@given(
    endpoint=st.sampled_from(sorted(REQUIRED)),
    fields=st.dictionaries(
        st.sampled_from(["prompt", "init_image", "mask_image", "url", "seed", "samples", "webhook"])
        | st.text(),
        JSON,
    ),
)
def test_no_request_breaks_the_reader(endpoint: str, fields: dict[str, Any]) -> None:
    """Whatever is asked is read, with something to draw, or refused."""
    with suppress(RefusalError):
        submission = read_submission(("v3", endpoint), fields)
        assert submission.subject.encode()
        assert 1 <= submission.samples <= 4


@given(body=st.binary() | st.just(b'{"a":' * 100_000) | JSON.map(lambda d: json.dumps(d).encode()))
def test_no_body_breaks_the_reader(body: bytes) -> None:
    """Whatever is posted is read as fields, or refused as having no key."""
    with suppress(RefusalError):
        assert isinstance(read_fields(body), dict)
