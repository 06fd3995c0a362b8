"""The vendor's own client against the practice ModelsLab, with nothing changed but the address."""

from __future__ import annotations

import asyncio
import hashlib
import warnings
from typing import Any

import pytest

from receiver.simulator import Simulator
from tests.receiver.test_simulator_modelslab import Practice, practising

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it is written for an older pydantic
    from modelslab_py.core.apis.community import Community
    from modelslab_py.core.apis.image_editing import Image_editing
    from modelslab_py.core.apis.realtime import Realtime
    from modelslab_py.core.client import Client
    from modelslab_py.schemas.community import Text2Image
    from modelslab_py.schemas.image_editing import SuperResolutionSchema
    from modelslab_py.schemas.realtime import RealtimeText2ImageSchema

pytestmark = pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince20")


def client_of(simulator: Simulator, **settings: Any) -> Client:
    """The SDK's client; out of the box, it asks ten times a minute apart for what is no success."""
    client = Client(api_key="practice", **{"fetch_retry": 1, "fetch_timeout": 0, **settings})
    client.base_url = f"{simulator.base_url}/api/"
    return client


async def drawn(practice: Practice, api: Any, **fields: Any) -> tuple[dict[str, Any], Any]:
    """The answers to a submission and, once all is done, to a fetch of it."""
    asked = Text2Image(**{"prompt": "A red fox", "model_id": "flux", **fields})
    answer = await asyncio.to_thread(api.text_to_image, asked)
    await practice.simulator.idle()
    # As text, for of a number the SDK makes no path.
    return answer, await asyncio.to_thread(api.fetch, str(answer["id"]))


@pytest.mark.parametrize("enterprise", [False, True])
async def test_the_sdk_draws_and_fetches(enterprise: bool) -> None:
    """What it is told is processing it finds, and the links hold what was drawn."""
    async with practising() as practice:
        api = Community(client=client_of(practice.simulator), enterprise=enterprise)
        fields = {"samples": 2, "webhook": practice.webhook_url, "track_id": "order_12345"}
        answer, fetched = await drawn(practice, api, **fields)
        assert (answer["status"], fetched["status"]) == ("processing", "success")
        pictures = [(await practice.get(url))[1] for url in fetched["output"]]
        assert [slot["sha256"] for slot in practice.row()["pictures"]] == [
            hashlib.sha256(picture).hexdigest() for picture in pictures
        ]
        assert [says["track_id"] for says in practice.says()] == ["order_12345"]


async def test_the_sdk_gets_a_picture_at_once() -> None:
    """The fast endpoint's success, and a picture made larger, which has no prompt."""
    async with practising() as practice:
        client = client_of(practice.simulator)
        asked = RealtimeText2ImageSchema(prompt="A red fox simulate:instant")
        answer = await asyncio.to_thread(Realtime(client=client).text_to_image, asked)
        assert (await practice.get(answer["output"][0]))[0] == 200
        larger = SuperResolutionSchema(init_image="https://a.example/simulate:instant")
        answer = await asyncio.to_thread(Image_editing(client=client).super_resolution, larger)
        assert (await practice.get(answer["output"][0]))[0] == 200


async def test_the_sdk_asks_on_after_a_failure() -> None:
    """It takes a failure for something that may yet succeed, and returns it in the end."""
    async with practising() as practice:
        client = client_of(practice.simulator, fetch_retry=3)
        posted, post = [], client.post
        client.post = lambda url, data: posted.append(url) or post(url, data)
        api = Community(client=client)
        answer, fetched = await drawn(practice, api, prompt="A red fox simulate:failed")
        assert [url.count("/fetch/") for url in posted] == [0, 1, 1, 1]
        assert fetched == {
            "status": "failed",
            "id": answer["id"],
            "message": "Failed, Try Again",
            "output": "",
        }


async def test_the_sdk_raises_for_what_is_not_http_200() -> None:
    """Processing in HTTP 400 is lost to it, and so is a throttled fetch."""
    async with practising(troubled_queries=1) as practice:
        api = Community(client=client_of(practice.simulator))
        with pytest.raises(Exception, match=r"status code 400.*processing"):
            await drawn(practice, api, prompt="A red fox simulate:odd_status")
        with pytest.raises(Exception, match=r"status code 429.*Rate limit"):
            await drawn(practice, api, prompt="A red fox simulate:throttled")


async def test_the_sdk_returns_errors_as_answers() -> None:
    """An invalid key is an answer like any other, in HTTP 200."""
    async with practising(api_keys=["another"]) as practice:
        api = Community(client=client_of(practice.simulator))
        asked = Text2Image(prompt="A red fox", model_id="flux")
        answer = await asyncio.to_thread(api.text_to_image, asked)
        assert (answer["status"], answer["message"]) == ("error", "Invalid Api Key")
