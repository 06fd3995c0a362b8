"""Answers that the provider can no longer give are given in its place, to whom they belong."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs
from yarl import URL

from archiver.blobs.folder import FolderBlobs
from archiver.models import Generation, Origin, Slot, SlotState
from receiver import exchange
from receiver.accounts import open_accounts
from tests.receiver.providers.holdings import PICTURE, asset, generation
from tests.receiver.roles_in_process import Role, passing_on
from tests.receiver.test_gateway import KEY, Provider, provider
from tests.receiver.test_pictures import known
from tests.receiver.test_simulator_dashscope_sdk import spoken

__all__ = ["provider"]  # the fixture

TASK = "/api/v1/tasks/t1"
DRAWN = asset(Origin.FALLBACK)
MODERATION = {"code": "DataInspectionFailed", "message": "inappropriate content"}
DEAD = "https://dashscope-result-bj.oss-cn-beijing.aliyuncs.com/a.png?Expires=1&Signature=s"
LIVE = DEAD.replace("Expires=1&", "Expires=4102444800&")


def told(status: str, **output: Any) -> dict[str, Any]:
    """DashScope's answer about a task."""
    return {"request_id": "r", "output": {"task_id": "t1", "task_status": status, **output}}


def of_caller(folder: Path, *slots: Any, name: str = "dashscope", **more: Any) -> Generation:
    """A generation of the account whose key is `KEY`."""
    account = open_accounts(folder).fingerprint(name, KEY)
    return generation(name, "t1", *(slots or (asset(),)), **{"account": account, **more})


@asynccontextmanager
async def healing(
    folder: Path,
    upstream: Provider,
    *held: Generation,
    heal: str = "lost",
    **tables: Any,
) -> AsyncIterator[Role]:
    """A gateway to all providers, over an archive that holds these; `heal` is DashScope's."""
    blobs = FolderBlobs(folder / "bucket")
    await blobs.put(asset().blob_key, PICTURE, media_type="image/png", metadata={})
    (await known(folder, *held)).close()
    table = {"base_url": f"http://127.0.0.1:{upstream.port}", "gateway": True, "heal": "lost"}
    providers = {"dashscope": {**table, "heal": heal}, "modelslab": table, "doitong": table}
    async with passing_on(folder, providers=providers, **tables) as role:
        yield role


async def ask(
    role: Role,
    path: str = f"/dashscope{TASK}",
    *,
    key: str = KEY,
    method: str = "GET",
    headers: dict[str, str] | None = None,
    **said: Any,
) -> tuple[str | None, Any]:
    """Whose answer it is, and the answer."""
    headers = {"Authorization": f"Bearer {key}", **(headers or {})}
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, f"{role.url}/gateway{path}", headers=headers, **said) as answer,
    ):
        return answer.headers.get("X-Holdfast-Source"), await answer.json()


class TestWhen:
    """What is answered for, and what is passed on as it is."""

    @pytest.mark.parametrize(
        ("heal", "answer", "status", "source"),
        [
            ("lost", told("UNKNOWN"), 200, "archive"),
            ("lost", {"code": "NotFound", "message": "no such task"}, 404, "archive"),
            ("lost", told("SUCCEEDED", results=[{"url": DEAD}]), 200, "archive"),
            ("lost", told("SUCCEEDED", results=[{"url": LIVE}]), 200, None),
            ("lost", told("SUCCEEDED", results=[{"url": DEAD}, {"url": LIVE}]), 200, None),
            ("lost", told("FAILED", code="InternalError", message="m"), 200, None),
            ("failed", told("FAILED", code="InternalError", message="m"), 200, "archive"),
            ("failed", told("UNKNOWN"), 200, "archive"),
            ("failed", told("RUNNING"), 200, None),
            ("failed", told("CANCELED"), 200, None),
            ("failed", {"code": "InvalidApiKey", "message": "m"}, 401, None),
            ("failed", told("UNKNOWN"), 503, None),
            ("off", told("UNKNOWN"), 200, None),
        ],
    )
    async def test_only_what_is_lost(
        self,
        tmp_path: Path,
        provider: Provider,
        heal: str,
        answer: dict[str, Any],
        status: int,
        source: str | None,
    ) -> None:
        """Or has failed, where the table says so; anything else is the provider's own word."""
        provider.says(answer, status=status)
        async with healing(tmp_path, provider, of_caller(tmp_path), heal=heal) as role:
            found, body = await ask(role)
        assert found == source
        assert (body == answer) is (source is None)

    async def test_whose_it_is(self, tmp_path: Path, provider: Provider) -> None:
        """Another account's, or nobody's that we know of, is not given out."""
        provider.says(told("UNKNOWN"))
        async with healing(tmp_path, provider, of_caller(tmp_path)) as role:
            assert (await ask(role, key="sk-of-somebody-else"))[0] is None
            assert (await ask(role, headers={"Authorization": "none"}))[0] is None
            assert (await ask(role))[0] == "archive"

    async def test_a_generation_without_an_account_is_nobodys(
        self, tmp_path: Path, provider: Provider
    ) -> None:
        """It was heard of by a webhook alone."""
        provider.says(told("UNKNOWN"))
        async with healing(tmp_path, provider, of_caller(tmp_path, account=None)) as role:
            assert (await ask(role))[0] is None

    @pytest.mark.parametrize(
        ("held", "moderated", "answer", "source"),
        [
            (DRAWN, False, told("UNKNOWN"), "fallback"),
            (DRAWN, True, told("UNKNOWN"), None),
            (asset(), True, told("UNKNOWN"), "archive"),
            (DRAWN, False, told("FAILED", code="InternalError", message="m"), "fallback"),
            (DRAWN, False, told("FAILED", **MODERATION), None),
        ],
    )
    async def test_no_drawing_where_moderation_spoke(
        self,
        tmp_path: Path,
        provider: Provider,
        held: Any,
        moderated: bool,
        answer: dict[str, Any],
        source: str | None,
    ) -> None:
        """Be it long known or said in this very answer; a drawing is never passed off as theirs."""
        provider.says(answer)
        one = of_caller(tmp_path, held, moderated=moderated)
        async with healing(tmp_path, provider, one, heal="failed") as role:
            assert (await ask(role))[0] == source

    async def test_nothing_is_healed_of_nothing(self, tmp_path: Path, provider: Provider) -> None:
        """Neither a generation that we do not know, nor one without a picture."""
        provider.says(told("UNKNOWN"))
        async with healing(tmp_path, provider, of_caller(tmp_path, None)) as role:
            assert (await ask(role))[0] is None
        provider.says({"output": {"task_id": "t2", "task_status": "UNKNOWN"}})
        async with healing(tmp_path, provider) as role:
            assert (await ask(role, "/dashscope/api/v1/tasks/t2"))[0] is None

    async def test_a_picture_that_went_in_is_none_that_came_out(
        self, tmp_path: Path, provider: Provider
    ) -> None:
        """The request's own pictures are held as well, and are no result."""
        named = Slot(index=-7, role="image", state=SlotState.ARCHIVED, assets=(asset(),))
        for slots, source in (((None,), None), ((asset(),), "archive")):
            folder = tmp_path / str(source)
            one = of_caller(folder, *slots)
            one = replace(one, slots=(named, *one.slots))
            provider.says(told("UNKNOWN"))
            async with healing(folder, provider, one) as role:
                healed_by, answer = await ask(role)
            assert healed_by == source
            results = answer["output"].get("results", [])
            assert len(results) == (1 if source else 0)

    async def test_without_a_catalog(self, tmp_path: Path, provider: Provider) -> None:
        """The provider's answers pass, and that is told once."""
        provider.says(told("UNKNOWN"))
        with capture_logs() as lines:
            async with healing(tmp_path, provider, of_caller(tmp_path)) as role:
                (tmp_path / "catalog.db").write_bytes(b"no catalog at all" * 1000)
                assert [await ask(role) for _ in range(2)] == [(None, told("UNKNOWN"))] * 2
        assert [line["event"] for line in lines].count("answers are not healed") == 1


class TestWhat:
    """The answer, and what its links lead to."""

    async def test_the_links_lead_to_the_pictures(self, tmp_path: Path, provider: Provider) -> None:
        """By the name that the client called us; without a key, and from any address."""
        provider.says(told("UNKNOWN"))
        nobody = {"allow_cidrs": ["10.0.0.0/8"], "clients": {"a": "2" * 64}}
        async with healing(tmp_path, provider, of_caller(tmp_path)) as role:
            host = f"localhost:{role.port}"
            _, answer = await ask(role, headers={"Host": host})
            [result] = answer["output"]["results"]
            assert result["url"].startswith(f"http://{host}/gateway/pictures/1.png?expires=")
            _, secure = await ask(role, headers={"X-Forwarded-Proto": "https"})
            assert secure["output"]["results"][0]["url"].startswith("https://127.0.0.1:")
        path = URL(result["url"]).raw_path_qs
        async with (
            healing(tmp_path, provider, gateway=nobody) as role,
            aiohttp.ClientSession() as session,
        ):
            async with session.get(URL(role.url + path, encoded=True)) as found:
                assert (found.status, await found.read()) == (200, PICTURE)
                assert found.headers["Content-Type"] == "image/png"
            async with session.get(URL(role.url + path[:-4] + "AAAA", encoded=True)) as found:
                assert found.status == 404

    async def test_what_the_provider_said_is_kept(self, tmp_path: Path, provider: Provider) -> None:
        """Our own answer is no news of theirs."""
        provider.says(told("UNKNOWN"))
        async with healing(tmp_path, provider, of_caller(tmp_path)) as role:
            assert (await ask(role))[0] == (await ask(role))[0] == "archive"
            [delivery] = role.stored()
        assert json.loads(exchange.decode(delivery.body or b"").answer) == told("UNKNOWN")

    async def test_modelslab(self, tmp_path: Path, provider: Provider) -> None:
        """A fetch, its key in the body."""
        provider.says({"status": "error", "message": "Request not found"})
        path, body = "/modelslab/api/v6/images/fetch/t1", {"key": KEY}
        async with healing(tmp_path, provider, of_caller(tmp_path, name="modelslab")) as role:
            source, answer = await ask(role, path, key="", method="POST", json=body)
        assert (source, answer["status"], len(answer["output"])) == ("archive", "success", 1)

    async def test_doitong(self, tmp_path: Path, provider: Provider) -> None:
        """A status query, by whatever alias."""
        provider.says({"data": {"job": None}})
        query = {"query": 'query { job: generation(id: "t1") { status url } }'}
        async with healing(tmp_path, provider, of_caller(tmp_path, name="doitong")) as role:
            source, answer = await ask(role, "/doitong/graphql", method="POST", json=query)
        assert (source, answer["data"]["job"]["status"]) == ("archive", "completed")


FETCH = f"""
import json, os, dashscope
from urllib.request import urlopen

dashscope.base_http_api_url = os.environ["DASHSCOPE_HTTP_BASE_URL"].replace(
    "/api/v1", "/gateway/dashscope/api/v1"
)
waited = dashscope.ImageSynthesis.wait("t1", api_key="{KEY}")
read = [urlopen(result.url).read().hex() for result in waited.output.results if result.url]
print(json.dumps([waited, read]))
"""


async def test_the_vendors_own_client(tmp_path: Path, provider: Provider) -> None:
    """Reads a healed answer as a success, and a slot that we do not hold as one that failed."""
    provider.says(told("UNKNOWN"))
    one = of_caller(tmp_path, asset(), None)
    async with healing(tmp_path, provider, one) as role:
        waited, read = await spoken(FETCH, role.url)
    assert (waited["status_code"], waited["output"]["task_status"]) == (200, "SUCCEEDED")
    assert read == [PICTURE.hex()]
    assert [bool(result["url"]) for result in waited["output"]["results"]] == [True, False]
    assert waited["output"]["results"][1]["code"] == "InternalError"
    assert waited["usage"]["image_count"] == 1
