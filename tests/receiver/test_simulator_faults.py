"""The practice provider on its bad days: each fault does what it says, alone and together."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import aiohttp
import pytest

from receiver.simulator import FAULTS as FAULTS_BY_PROVIDER
from tests.receiver.test_simulator import SECRET, Practice, practising

FAULTS = FAULTS_BY_PROVIDER["doitong"]
BODY = {
    "query": "mutation { generate(input: {provider: flux, input: {text: fox}}) { id } }",
}


async def finished(practice: Practice, *faults: str) -> tuple[str, list[dict[str, Any]]]:
    """Ask under these faults, wait, and return the id and what the webhooks said."""
    generation_id = await practice.ask(*faults)
    await practice.simulator.idle()
    return generation_id, [heard.says for heard in practice.listener.heard]


async def fetched(practice: Practice, url: str, verb: str = "GET") -> tuple[int, str, bytes]:
    """Status, content type and body of a link."""
    async with practice.client.request(verb, url) as answer:
        return answer.status, answer.content_type, await answer.read()


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("no_credit", 402, "INSUFFICIENT_CREDITS"),
        ("rate_limited", 429, "RATE_LIMITED"),
        ("server_error", 500, "INTERNAL_SERVER_ERROR"),
    ],
)
async def test_a_submission_can_be_refused(fault: str, status: int, code: str) -> None:
    """The documented status and code come back, and nothing is begun."""
    async with practising() as practice:
        refused, answer = await practice.post("/graphql", BODY, **{"X-Simulate": fault})
        assert (status, code) == (refused, answer["errors"][0]["extensions"]["code"])
        assert practice.simulator.report() == []


async def test_no_credit_says_how_many_are_missing() -> None:
    """The 402 has the documented form, numbers included."""
    async with practising() as practice:
        _, answer = await practice.post("/graphql", BODY, **{"X-Simulate": "no_credit"})
    assert answer == {
        "errors": [
            {
                "message": "Insufficient credits for this operation",
                "extensions": {
                    "code": "INSUFFICIENT_CREDITS",
                    "creditsRequired": 20,
                    "creditsAvailable": 10,
                },
            }
        ]
    }


async def test_rate_limited_leaves_nothing_in_the_window() -> None:
    """A client that reads the documented headers sees that it must wait."""
    async with practising() as practice:
        url = practice.simulator.base_url + "/graphql"
        headers = {"Authorization": "Bearer practice", "X-Simulate": "rate_limited"}
        async with practice.client.post(url, json=BODY, headers=headers) as answer:
            assert answer.headers["X-RateLimit-Remaining"] == "0"


async def test_an_unknown_fault_is_refused_with_all_known_ones() -> None:
    """A misspelt fault would quietly test nothing."""
    async with practising() as practice:
        status, answer = await practice.post("/graphql", BODY, **{"X-Simulate": "twice,dead_lnik"})
        message = answer["errors"][0]["message"]
        assert (status, re.search(r"names (\S+);", message)[1]) == (400, "dead_lnik")
        assert all(name in message for name in FAULTS)
        assert practice.simulator.report() == []


@pytest.mark.parametrize(
    ("fault", "code"),
    [("failed", "GENERATION_FAILED"), ("moderated", "CONTENT_POLICY_VIOLATION")],
)
async def test_a_generation_can_fail(fault: str, code: str) -> None:
    """The webhook says failed, names no link, and only moderation speaks of policy."""
    async with practising() as practice:
        generation_id, [says] = await finished(practice, fault)
        assert ("failed", None, code) == (says["status"], says["url"], says["error"]["code"])
        assert (fault == "moderated") == ("policy" in says["error"]["message"])
        row = practice.report_of(generation_id)
        assert (row["state"], row["sha256"]) == ("failed", None)
        assert (await practice.look(generation_id))["status"] == "failed"


async def test_twice_repeats_the_same_bytes() -> None:
    """Two deliveries, one body, both signed."""
    async with practising() as practice:
        await finished(practice, "twice")
        first, second = practice.listener.heard
        assert (first.body, first.signature) == (second.body, second.signature)
        assert first.is_signed_with(SECRET)


async def test_out_of_order_ends_with_a_stale_word() -> None:
    """First completed, then processing without a link."""
    async with practising() as practice:
        _, says = await finished(practice, "out_of_order")
    assert [said["status"] for said in says] == ["completed", "processing"]
    assert (says[1]["url"], says[1]["completedAt"]) == (None, None)


async def test_late_keeps_a_finished_picture_to_itself() -> None:
    """A status query finds the picture before the webhook is sent, and the webhook still comes."""
    async with practising(late_seconds=3600) as practice:
        generation_id = await practice.ask("late")
        while (await practice.look(generation_id))["status"] == "processing":
            pass
        # Whatever was sent for the first by now would be heard before the second.
        other_id = await practice.ask()
        await practice.listener.reached.wait()
        assert [heard.says["id"] for heard in practice.listener.heard] == [other_id]
    async with practising(late_seconds=0.01) as practice:
        _, says = await finished(practice, "late")
        assert [said["status"] for said in says] == ["completed"]


async def test_never_leaves_it_to_the_status_query() -> None:
    """No webhook comes, and the picture is there."""
    async with practising() as practice:
        generation_id, says = await finished(practice, "never")
        assert says == []
        found = await practice.look(generation_id)
        status, _, _ = await fetched(practice, found["url"])
        assert (found["status"], status) == ("completed", 200)


async def test_wrong_secret_never_signs_rightly() -> None:
    """The one delivery does not verify; a 401 settles it."""
    async with practising(answers=(401,)) as practice:
        generation_id, _ = await finished(practice, "wrong_secret")
        [heard] = practice.listener.heard
        assert not heard.is_signed_with(SECRET)
        assert practice.report_of(generation_id)["webhook_attempts"] == [
            {"says": "completed", "answered": 401}
        ]


async def test_dead_link_has_expired_on_arrival() -> None:
    """403 in the storage service's own words, and the status query has no better link."""
    async with practising() as practice:
        generation_id, [says] = await finished(practice, "dead_link")
        status, content_type, body = await fetched(practice, says["url"])
        assert (status, content_type) == (403, "application/xml")
        assert body.endswith(
            b"<Error><Code>AccessDenied</Code><Message>Request has expired.</Message></Error>"
        )
        assert says["url"] == (await practice.look(generation_id))["url"]
        assert practice.report_of(generation_id)["downloads"] == 0


async def test_missing_answers_404() -> None:
    """The link is well signed and nothing lies behind it."""
    async with practising() as practice:
        _, [says] = await finished(practice, "missing")
        status, _, body = await fetched(practice, says["url"])
        assert (status, b"NoSuchKey" in body) == (404, True)


async def test_html_answers_200_with_a_page() -> None:
    """A page where a picture should be."""
    async with practising() as practice:
        _, [says] = await finished(practice, "html")
        status, content_type, body = await fetched(practice, says["url"])
        assert (status, content_type, body[:9]) == (200, "text/html", b"<!doctype")


async def test_cut_serves_half_a_picture_as_a_whole_one() -> None:
    """HTTP is content with it; only the picture's own structure tells."""
    async with practising() as practice:
        generation_id, [whole] = await finished(practice)
        _, _, picture = await fetched(practice, whole["url"])
        practice.listener.heard.clear()
        _, [says] = await finished(practice, "cut")
        status, _, body = await fetched(practice, says["url"])
        assert (200, picture[: len(picture) // 2]) == (status, body)
        shas = {row["sha256"] for row in practice.simulator.report()}
        assert {practice.report_of(generation_id)["sha256"]} == shas


async def test_truncated_breaks_off_in_the_middle() -> None:
    """Content-Length promises more than comes, and it does not count as a download."""
    async with practising() as practice:
        generation_id, [says] = await finished(practice, "truncated")
        with pytest.raises(aiohttp.ClientPayloadError):
            await fetched(practice, says["url"])
        assert practice.report_of(generation_id)["downloads"] == 0


async def test_slow_link_trickles() -> None:
    """A piece comes long before the whole, and the whole is right for whoever waits."""
    async with practising(slow_link_seconds=3600) as practice:
        generation_id, [says] = await finished(practice, "slow_link")
        async with practice.client.get(says["url"]) as answer:
            first = await answer.content.readany()
            assert 0 < len(first) < answer.content_length
        assert practice.report_of(generation_id)["downloads"] == 0
    async with practising(slow_link_seconds=0.01) as practice:
        generation_id, [says] = await finished(practice, "slow_link")
        _, _, body = await fetched(practice, says["url"])
        assert body.startswith((b"\xff\xd8", b"\x89PNG"))
        assert practice.report_of(generation_id)["downloads"] == 1


async def test_faults_compose() -> None:
    """Told late and twice, in the wrong order, with a wrong secret, of a dead link: all at once."""
    faults = ("twice", "out_of_order", "wrong_secret", "dead_link", "late")
    async with practising(late_seconds=0) as practice:
        generation_id, says = await finished(practice, *faults)
        assert [said["status"] for said in says] == ["completed", "completed", "processing"]
        assert not any(heard.is_signed_with(SECRET) for heard in practice.listener.heard)
        assert (await fetched(practice, says[0]["url"]))[0] == 403
        assert sorted(faults) == practice.report_of(generation_id)["faults"]


@pytest.mark.parametrize("verb", ["HEAD", "PUT", "DELETE"])
async def test_a_link_is_good_for_get_alone(verb: str) -> None:
    """The signature covers the verb, so HEAD on a good link is 403."""
    async with practising() as practice:
        _, [says] = await finished(practice)
        assert (await fetched(practice, says["url"], verb))[0] == 403
        assert (await fetched(practice, says["url"]))[0] == 200


async def test_an_altered_link_is_refused() -> None:
    """Whoever prolongs a link, or asks for another picture with it, does not hold the key."""
    async with practising() as practice:
        _, [says] = await finished(practice)
        later = re.sub(r"Expires=(\d+)", lambda match: f"Expires={int(match[1]) + 1}", says["url"])
        for url in (later, says["url"].replace(says["id"], "abc123xyz"), says["url"] + "&x=1"):
            status, _, body = await fetched(practice, url)
            assert (status, b"SignatureDoesNotMatch" in body) == (403, True)
        status, _, body = await fetched(practice, says["url"].partition("?")[0])
        assert (status, b"AccessDenied" in body) == (403, True)


async def test_links_die_with_their_life() -> None:
    """A link that lives no time is expired when it is heard, without any fault."""
    async with practising(link_life_seconds=0) as practice:
        _, [says] = await finished(practice)
        status, _, body = await fetched(practice, says["url"])
        assert (status, b"Request has expired." in body) == (403, True)


async def test_every_fault_is_taken_and_the_simulator_stays_sound() -> None:
    """Each name of the table is accepted by itself and leaves the next request unharmed."""
    async with practising(late_seconds=0) as practice:
        refused = {"no_credit", "rate_limited", "server_error"}
        await asyncio.gather(*(practice.ask(name) for name in FAULTS.keys() - refused))
        await practice.simulator.idle()
        states = {row["faults"][0]: row["state"] for row in practice.simulator.report()}
        troubled = {"failed", "moderated"}
        assert {
            name: "failed" if name in troubled else "completed" for name in FAULTS.keys() - refused
        } == states
