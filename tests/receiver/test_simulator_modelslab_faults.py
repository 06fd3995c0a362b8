"""The practice ModelsLab on its bad days: each fault does what it says."""

from __future__ import annotations

import hashlib
from base64 import b64decode
from io import BytesIO
from typing import Any

import aiohttp
import pytest
from PIL import Image

from receiver.simulator import FAULTS
from tests.receiver.test_simulator_modelslab import (
    COMMUNITY,
    GOOD,
    Practice,
    documented,
    practising,
)


async def looked(practice: Practice, *faults: str, **fields: Any) -> dict[str, Any]:
    """What a fetch says of a generation that ended under these faults."""
    return await practice.fetch(await practice.ask(*faults, **fields))


@pytest.mark.parametrize(
    ("fault", "status", "expected"),
    [
        ("rate_limited", 200, documented("error-rate-limit")),
        (
            "no_credit",
            402,
            {
                "status": "error",
                "message": "Insufficient credits. Please add more credits to continue.",
            },
        ),
        (
            "server_error",
            500,
            {"status": "error", "message": "Internal server error. Please try again."},
        ),
    ],
)
async def test_a_submission_can_be_refused(fault: str, status: int, expected: Any) -> None:
    """The documented words come back, and nothing is begun."""
    async with practising() as practice:
        assert await practice.post(COMMUNITY, fault, **GOOD) == (status, expected)
        assert practice.simulator.report() == []


async def test_faults_may_stand_in_the_prompt() -> None:
    """A client that can send no header says it in words, which stay in the prompt."""
    async with practising() as practice:
        prompt = "A red fox simulate:failed,never in the snow"
        answer = await looked(practice, prompt=prompt)
        row = practice.row()
    assert (answer["status"], row["prompt"]) == ("failed", prompt)
    assert row["faults"] == ["failed", "never"]


async def test_an_unknown_fault_is_refused_with_all_known_ones() -> None:
    """A misspelt fault would quietly test nothing."""
    async with practising() as practice:
        status, answer = await practice.post(COMMUNITY, "instant,dead_lnik", **GOOD)
        assert (status, answer["status"]) == (400, "error")
        assert "dead_lnik" in answer["message"]
        assert all(name in answer["message"] for name in FAULTS["modelslab"])
        assert practice.simulator.report() == []


async def test_instant_answers_with_the_picture() -> None:
    """Version 6 adds its three keys to the documented success, and a webhook is told as well."""
    async with practising(drawing_seconds=3600) as practice:
        answer = await practice.ask("instant", webhook=practice.webhook_url)
        names = ["status", "generationTime", "id", "output", "proxy_links"]
        assert list(answer) == [*names, "nsfw_content_detected", "webhook_status", "meta"]
        assert (answer["status"], answer["nsfw_content_detected"]) == ("success", False)
        assert answer["proxy_links"] == answer["output"]
        assert (await practice.get(answer["output"][0]))[0] == 200
        assert [says["output"] for says in practice.says()] == [answer["output"]]


async def test_a_failure_has_an_id_when_it_is_fetched() -> None:
    """The fetch and the webhook name the generation and say no more than the documents do."""
    async with practising() as practice:
        answer = await practice.ask("failed", webhook=practice.webhook_url, track_id=None)
        fetched = await practice.fetch(answer)
        assert fetched == {**documented("failed"), "id": answer["id"]}
        told = {"status": "failed", "id": str(answer["id"])}
        assert practice.says() == [{**told, "message": "Failed, Try Again", "track_id": None}]
        assert practice.row()["state"] == "failed"


async def test_an_instant_failure_is_the_documented_one() -> None:
    """Without an id, word for word."""
    async with practising() as practice:
        assert await practice.ask("failed", "instant") == documented("failed")


def is_blank(picture: bytes) -> bool:
    with Image.open(BytesIO(picture)) as image:
        return len(image.convert("RGB").getcolors(1 << 24)) == 1


@pytest.mark.parametrize(
    ("fault", "flag", "blank"),
    [
        ("moderated", True, [True, True, True]),
        ("partly_moderated", [True, False, False], [True, False, False]),
    ],
)
async def test_what_is_moderated_is_blank(fault: str, flag: Any, blank: list[bool]) -> None:
    """It succeeds, with blank pictures where there was something to hide, and it is flagged."""
    async with practising() as practice:
        answer = await looked(practice, fault, samples=3, width=64, height=64)
        pictures = [(await practice.get(url))[1] for url in answer["output"]]
        assert (answer["status"], answer["nsfw_content_detected"]) == ("success", flag)
        assert [is_blank(picture) for picture in pictures] == blank
        digests = [hashlib.sha256(picture).hexdigest() for picture in pictures]
        assert [slot["sha256"] for slot in practice.row()["pictures"]] == digests


async def test_a_flag_is_said_at_enterprise_endpoints_too() -> None:
    """Where the documented success has no such key, a flagged one has."""
    async with practising() as practice:
        path = "/api/v1/enterprise/text2img"
        assert (await looked(practice, "moderated", path=path))["nsfw_content_detected"] is True
        assert "nsfw_content_detected" not in await looked(practice, path=path)


async def test_partial_loses_a_middle_slot() -> None:
    """Its place stays empty; where it was the only one, all is lost."""
    async with practising() as practice:
        answer = await looked(practice, "partial", samples=4)
        assert [bool(url) for url in answer["output"]] == [True, True, False, True]
        digests = [slot["sha256"] for slot in practice.row()["pictures"]]
        assert [slot for slot, digest in enumerate(digests) if digest is None] == [2]
        assert (await looked(practice, "partial"))["status"] == "failed"


async def test_inline_pictures_are_in_the_answer() -> None:
    """`output` holds base64 text and no links."""
    async with practising() as practice:
        [text] = (await looked(practice, "inline"))["output"]
        digest = hashlib.sha256(b64decode(text, validate=True)).hexdigest()
        assert practice.row()["pictures"] == [{"sha256": digest, "downloads": 0}]


async def test_odd_status_is_processing_in_http_400() -> None:
    """Only what says processing has it, to the submission and to the fetch."""
    async with practising(drawing_seconds=3600) as practice:
        status, answer = await practice.post(COMMUNITY, "odd_status", **GOOD)
        assert (status, answer["status"]) == (400, "processing")
        status, answer = await practice.post(answer["fetch_result"])
        assert (status, answer["status"]) == (400, "processing")
    async with practising() as practice:
        answer = await practice.ask("odd_status")
        assert (await practice.post(answer["fetch_result"]))[0] == 200


async def test_misspelt_messages() -> None:
    """`messege` in place of `message`, in answers and webhooks."""
    async with practising() as practice:
        answer = await practice.ask("misspelt,failed", webhook=practice.webhook_url)
        for said in (answer, await practice.fetch(answer), *practice.says()):
            assert ("messege" in said, "message" in said) == (True, False)


async def test_stuck_is_processing_for_ever() -> None:
    """And the simulator does not wait for it."""
    async with practising() as practice:
        answer = await looked(practice, "stuck", webhook=practice.webhook_url)
        assert (answer["status"], practice.row()["state"]) == ("processing", "processing")
        assert practice.heard == []


async def test_throttled_fetches_are_refused_for_a_while() -> None:
    """429 with retry_after as often as configured, then the truth."""
    async with practising(troubled_queries=2) as practice:
        answer = await practice.ask("throttled")
        for _ in range(2):
            status, refused = await practice.post(answer["fetch_result"])
            assert (status, refused["status"], refused["retry_after"]) == (429, "error", 30)
        assert (await practice.fetch(answer))["status"] == "success"


async def test_html_status_is_a_page_for_a_while() -> None:
    """502 and HTML as often as configured, then the truth."""
    async with practising(troubled_queries=1) as practice:
        answer = await practice.ask("html_status")
        fields = {"key": "practice"}
        async with practice.client.post(answer["fetch_result"], json=fields) as refused:
            assert (refused.status, refused.content_type) == (502, "text/html")
        assert (await practice.fetch(answer))["status"] == "success"


async def test_dropped_is_accepted_without_an_answer() -> None:
    """The connection dies, the same again is answered, and there are two generations."""
    async with practising() as practice:
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await practice.ask("dropped")
        assert (await looked(practice, "dropped"))["status"] == "success"
        assert [row["state"] for row in practice.simulator.report()] == ["success", "success"]


async def test_purged_is_forgotten_after_its_end() -> None:
    """Then it is not found, as if it had never been; the pictures' links go on working."""
    async with practising(purge_seconds=3600) as practice:
        assert (await looked(practice, "purged"))["status"] == "success"
    async with practising(purge_seconds=0) as practice:
        answer = await practice.ask("purged")
        assert await practice.fetch(answer) == {"status": "error", "message": "Request not found"}
        assert (await practice.get(answer["future_links"][0]))[0] == 200
        assert (await looked(practice))["status"] == "success"  # nothing else is forgotten


async def test_refreshed_links_outdate_the_earlier_ones() -> None:
    """Each fetch gives new links; only the last ones work, and the downloads are counted on."""
    async with practising() as practice:
        answer = await practice.ask("refreshed", samples=2)
        first, second = [(await practice.fetch(answer))["output"] for _ in range(2)]
        links = [*answer["future_links"], *first, *second]
        statuses = [(await practice.get(url))[0] for url in links]
        assert statuses == [*(404, 404), *(404, 404), *(200, 200)]
        assert [slot["downloads"] for slot in practice.row()["pictures"]] == [1, 1]


async def test_dead_links_are_dead_at_once() -> None:
    """404 for a link that was given a moment ago."""
    async with practising() as practice:
        [url] = (await looked(practice, "dead_link"))["output"]
        assert (await practice.get(url))[0] == 404


async def test_twice_is_the_same_webhook_again() -> None:
    """Two deliveries, one body."""
    async with practising() as practice:
        await practice.ask("twice", webhook=practice.webhook_url)
        first, second = practice.heard
        assert first == second
        assert len(practice.row()["webhook_attempts"]) == 2


async def test_never_leaves_it_to_the_fetch() -> None:
    """No webhook comes, and the picture is there."""
    async with practising() as practice:
        answer = await looked(practice, "never", webhook=practice.webhook_url)
        assert (answer["status"], practice.heard) == ("success", [])


async def test_late_comes_after_the_picture() -> None:
    """A fetch finds the picture while the webhook waits, and it does come."""
    async with practising(late_seconds=3600) as practice:
        fields = {**GOOD, "webhook": practice.webhook_url}
        _, answer = await practice.post(COMMUNITY, "late", **fields)
        while (await practice.fetch(answer))["status"] == "processing":
            pass
        # Whatever was sent for the first by now would be heard before the second.
        _, other = await practice.post(COMMUNITY, "instant", **fields)
        await practice.reached.wait()
        assert [says["id"] for says in practice.says()] == [str(other["id"])]
    async with practising(late_seconds=0.01) as practice:
        await practice.ask("late", webhook=practice.webhook_url)
        assert [says["status"] for says in practice.says()] == ["success"]


async def test_a_forged_link_is_on_another_host() -> None:
    """Only the webhook names it; a fetch names the provider's own."""
    async with practising() as practice:
        answer = await looked(practice, "forged_link", webhook=practice.webhook_url)
        [says] = practice.says()
        assert says["output"][0].startswith("https://forged.invalid/")
        assert answer["output"][0].startswith(practice.simulator.base_url)


async def test_the_cdn_has_its_bad_days() -> None:
    """What all providers' links may suffer, these do: one stands for all."""
    async with practising() as practice:
        [url] = (await looked(practice, "html"))["output"]
        async with practice.client.get(url) as answer:
            assert (answer.status, answer.content_type) == (200, "text/html")
