"""What the practice provider accepts: the documented requests word for word, and nothing broken."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest

from tests.receiver.test_simulator import ASK, BEARER, GOOD, practising

CURL_BODY = """{
    "query": "mutation Generate($input: GenerateInput!) { generate(input: $input) { id status type provider url metadata creditCost } }",
    "variables": {
      "input": {
        "type": "IMAGE",
        "provider": "%s",
        "input": {
          "text": "A futuristic city with flying cars and neon lights"
        },
        "options": {
          "width": 1024,
          "height": 1024
        }
      }
    }
  }"""  # noqa: E501 (the provider's own line)

JAVASCRIPT_QUERY = """
      mutation GenerateImage($input: ImageGenerationInput!) {
        generateImage(input: $input) {
          id
          url
          width
          height
        }
      }
    """

PYTHON_QUERY = """
mutation Generate($input: GenerateInput!) {
  generate(input: $input) {
    id
    status
    type
    provider
    url
    metadata
    creditCost
  }
}
"""

PLAYGROUND_QUERY = """mutation Generate($input: GenerateInput!) {
  generate(input: $input) {
    id
    status
    type
    provider
    url
    metadata
    creditCost
    createdAt
  }
}"""

CITY = "A futuristic city with flying cars and neon lights"
SERVICES = {"stable-diffusion": "sd-2.1", "flux-pro": "flux-pro-1.1"}


def generate_input(service: str, **more_options: str) -> dict[str, Any]:
    """The documented variables of `generate`."""
    options = {"width": 1024, "height": 1024, **more_options}
    return {"type": "IMAGE", "provider": service, "input": {"text": CITY}, "options": options}


@pytest.mark.parametrize("service", SERVICES)
async def test_the_documented_generate_requests_are_accepted(service: str) -> None:
    """curl's, Python's and the playground's requests get the fields that they select, in order."""
    version = SERVICES[service]
    full = {"input": generate_input(service, version=version, quality="high")}
    bodies = (
        json.loads(CURL_BODY % service),
        {"query": PYTHON_QUERY, "variables": {"input": generate_input(service)}},
        {"query": PLAYGROUND_QUERY, "variables": full},
    )
    selected = ["id", "status", "type", "provider", "url", "metadata", "creditCost"]
    async with practising() as practice:
        for body, names in zip(bodies, [selected, selected, [*selected, "createdAt"]], strict=True):
            status, answer = await practice.post("/graphql", body)
            accepted = answer["data"]["generate"]
            assert (200, names) == (status, list(accepted))
            assert ("processing", "IMAGE", service, None, 20) == (
                accepted["status"],
                accepted["type"],
                accepted["provider"],
                accepted["url"],
                accepted["creditCost"],
            )
            assert accepted["metadata"] == {"duration": None, "width": 1024, "height": 1024}


@pytest.mark.parametrize("service", SERVICES)
async def test_the_documented_generate_image_request_is_accepted(service: str) -> None:
    """JavaScript's request selects no status and gets none."""
    asked = {"service": service, "prompt": CITY, "width": 1024, "height": 1024}
    body = {"query": JAVASCRIPT_QUERY, "variables": {"input": asked}}
    async with practising() as practice:
        status, answer = await practice.post("/graphql", body)
        [known] = practice.simulator.report()
    expected = {"id": known["id"], "url": None, "width": 1024, "height": 1024}
    assert (200, {"data": {"generateImage": expected}}) == (status, answer)


@pytest.mark.parametrize("service", SERVICES)
async def test_the_documented_rest_parameters_are_accepted(service: str) -> None:
    """The flat parameters under X-API-Key get the documented answer, key for key."""
    async with practising() as practice:
        body = {
            "service": service,
            "prompt": CITY,
            "width": 1024,
            "height": 1024,
            "version": SERVICES[service],
            "webhookUrl": practice.webhook_url,
        }
        key = {"X-API-Key": "practice"}
        status, answer = await practice.post("/v1/text_to_image", body, **key)
        await practice.simulator.idle()
        accepted = answer["data"]["generateimage"]
        assert (status, list(accepted)) == (200, ["id", "status", "url", "webhookUrl", "createdAt"])
        assert ("processing", None, practice.webhook_url) == (
            accepted["status"],
            accepted["url"],
            accepted["webhookUrl"],
        )
        assert [accepted["id"]] == [heard.says["id"] for heard in practice.listener.heard]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ([], "BAD_USER_INPUT"),
        ({}, "BAD_USER_INPUT"),
        ({"query": ASK}, "BAD_USER_INPUT"),
        ({"query": ASK, "variables": []}, "BAD_USER_INPUT"),
        ({"query": ASK, "variables": [1]}, "BAD_USER_INPUT"),
        ({"query": "mutation {"}, "GRAPHQL_PARSE_FAILED"),
        ({"query": "mutation { paint { id } }"}, "GRAPHQL_VALIDATION_FAILED"),
        ({"query": "{ job(id: 1) { id } }"}, "GRAPHQL_VALIDATION_FAILED"),
        ({"query": "{ generation(id: 1) { seed } }"}, "GRAPHQL_VALIDATION_FAILED"),
        ({"query": ASK.replace("{ id status url }", "")}, "GRAPHQL_VALIDATION_FAILED"),
        ({"query": ASK.replace("url", "url { host }")}, "GRAPHQL_VALIDATION_FAILED"),
        ({"query": ASK, "variables": {"input": {**GOOD, "input": {}}}}, "BAD_USER_INPUT"),
    ],
)
async def test_a_bad_request_is_refused_and_begins_nothing(body: object, code: str) -> None:
    """400 in the documented error form, and no generation."""
    async with practising() as practice:
        status, answer = await practice.post("/graphql", body)
        assert (400, code) == (status, answer["errors"][0]["extensions"]["code"])
        assert practice.simulator.report() == []


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b"[" * 100_000])
async def test_what_is_not_json_is_refused(raw: bytes) -> None:
    """400 in the documented error form for any bytes."""
    async with practising() as practice:
        url = practice.simulator.base_url + "/graphql"
        async with practice.client.post(url, data=raw, headers=BEARER) as answer:
            code = (await answer.json())["errors"][0]["extensions"]["code"]
            assert (answer.status, code) == (400, "BAD_USER_INPUT")


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/graphql", {}),
        ("/graphql", {"Authorization": "Bearer other"}),
        ("/graphql", {"X-API-Key": "practice"}),
        ("/v1/text_to_image", {}),
        ("/v1/text_to_image", {"X-API-Key": "other"}),
        ("/v1/text_to_image", BEARER),
    ],
)
async def test_only_the_documented_key_header_opens(path: str, headers: dict[str, str]) -> None:
    """401 in the documented form, rate limit headers included, for a missing or wrong key."""
    async with practising() as practice:
        url = practice.simulator.base_url + path
        async with practice.client.post(url, json={}, headers=headers) as answer:
            code = (await answer.json())["errors"][0]["extensions"]["code"]
            assert (answer.status, code) == (401, "UNAUTHENTICATED")
            limits = [answer.headers[f"X-RateLimit-{name}"] for name in ("Limit", "Remaining")]
            assert limits == ["6000", "5999"]
            assert answer.headers["X-RateLimit-Reset"].isdigit()


async def test_an_idempotency_key_is_billed_once() -> None:
    """The same key gets the same generation, another key another one."""
    async with practising() as practice:
        body = {"query": ASK, "variables": {"input": GOOD}}
        ids = [
            (await practice.post("/graphql", body, **{"Idempotency-Key": key}))[1]["data"][
                "generate"
            ]["id"]
            for key in ("one", "one", "two")
        ]
        assert ids[0] == ids[1] != ids[2]
        assert [ids[0], ids[2]] == [row["id"] for row in practice.simulator.report()]


async def test_the_curl_line_of_the_front_page_works() -> None:
    """What the page tells a newcomer to type is accepted."""
    async with practising() as practice:
        async with practice.client.get(practice.simulator.base_url) as answer:
            page = await answer.text()
        words = shlex.split(page[page.index("curl ") : page.index("X-Simulate is")])
        headers = dict(
            words[at + 1].split(": ", 1) for at, word in enumerate(words) if word == "-H"
        )
        body = json.loads(words[words.index("-d") + 1])
        async with practice.client.post(words[1], json=body, headers=headers) as answer:
            accepted = (await answer.json())["data"]["generate"]
        assert list(accepted) == ["id", "status"]
        assert practice.report_of(accepted["id"])["faults"] == ["twice"]
