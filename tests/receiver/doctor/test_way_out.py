"""The ways out: the guard tries itself, and providers are asked what costs nothing."""

from __future__ import annotations

import asyncio
import json
import socket
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from archiver.egress import EgressPolicy
from archiver.models import Fault
from receiver.doctor import way_out
from receiver.doctor.finding import Verdict
from receiver.doctor.way_out import judge_proxies, judge_refusals, refusals
from tests.archiver.origin import answer, serve_origin
from tests.receiver.doctor.patients import patient, verdicts

NOBODYS = "00000000-0000-4000-8000-000000000000"


def test_the_guard_refuses_what_is_inside(tmp_path: Path) -> None:
    """By the very client that fetches; a name that leads inside is none better."""
    [judged] = way_out.egress(patient(tmp_path))
    assert judged.verdict is Verdict.OK
    for host in ("127.0.0.1", "169.254.169.254", "[::1]", "loopback.example"):
        assert host in judged.sentence


async def test_a_guard_that_lets_somebody_pass_is_seen() -> None:
    """Whether he was answered or only not stopped."""
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    open_ = EgressPolicy(allow_ports=frozenset({port}), allow_networks=(ip_network("127.0.0.0/8"),))
    found = await refusals(open_, ["127.0.0.1", "loopback.example", "169.254.169.254"])
    assert found["169.254.169.254"] is Fault.FORBIDDEN
    assert found["127.0.0.1"] is not Fault.FORBIDDEN
    assert found["loopback.example"] is not Fault.FORBIDDEN
    judged = judge_refusals(found)
    assert judged.verdict is Verdict.FAIL
    assert "127.0.0.1, loopback.example pass" in judged.sentence


def test_what_the_operator_has_opened_is_told_and_not_tried(tmp_path: Path) -> None:
    """It may be meant, for a test; nothing that stands inside is asked for anything."""
    opened = patient(tmp_path, egress={"allow_http": True, "allow_cidrs": ["127.0.0.0/8"]})
    found = list(way_out.egress(opened))
    assert verdicts(found) == [Verdict.WARN] * 2
    assert "lead to 127.0.0.1" in found[1].sentence


@pytest.mark.parametrize(
    ("environ", "verdict"),
    [
        ({}, Verdict.OK),
        ({"HTTPS_PROXY": ""}, Verdict.OK),
        ({"https_proxy": "http://p:3128"}, Verdict.WARN),
        ({"HTTP_PROXY": "http://u:hush@p:3128"}, Verdict.WARN),
    ],
)
def test_a_proxy_that_nobody_goes_through(environ: dict[str, str], verdict: Verdict) -> None:
    """Its address is not told, for there may be a password in it."""
    judged = judge_proxies(environ, is_s3=True)
    assert judged.verdict is verdict
    assert "3128" not in judged.sentence


# What a provider answers to a question after nobody's generation, and what that says of the key.
ANSWERS = {
    "dashscope: unknown": (
        "dashscope", 200, {"output": {"task_id": NOBODYS, "task_status": "UNKNOWN"}}, Verdict.OK,
    ),
    "dashscope: no key": (
        "dashscope", 401, {"code": "InvalidApiKey", "message": "Invalid API-key."}, Verdict.FAIL,
    ),
    "dashscope: down": ("dashscope", 503, {}, Verdict.WARN),
    "modelslab: no key": (
        "modelslab", 200, {"status": "error", "message": "Invalid API Key"}, Verdict.FAIL,
    ),
    "modelslab: unknown": (
        "modelslab", 200, {"status": "error", "message": "request not found"}, Verdict.OK,
    ),
    "doitong: no key": ("doitong", 403, {"errors": [{"message": "no"}]}, Verdict.FAIL),
}  # fmt: skip
PATHS = {
    "dashscope": f"/api/v1/tasks/{NOBODYS}",
    "modelslab": f"/api/v6/images/fetch/{NOBODYS}",
    "doitong": "/graphql",
}


@pytest.mark.parametrize(("name", "status", "says", "verdict"), ANSWERS.values(), ids=ANSWERS)
async def test_a_key_is_asked_about(
    tmp_path: Path, name: str, status: int, says: dict[str, Any], verdict: Verdict
) -> None:
    """By a question that costs nothing; the key itself is never told."""
    async with serve_origin() as provider:
        provider.answers[PATHS[name]] = answer(
            status, json.dumps(says).encode(), Content_Type="application/json"
        )
        table = {"base_url": provider.url(""), "keys": {"main": "sk-hush"}}
        if name == "doitong":
            table["status_query"] = "query($id: ID!) { generation(id: $id) { id } }"
        asked = patient(tmp_path, online=True, providers={name: table})
        [judged] = await asyncio.to_thread(list, way_out.online(asked))
        [request] = provider.requests
    assert judged.verdict is verdict
    assert judged.sentence.startswith(f"providers.{name}.keys.main")
    assert "hush" not in f"{judged}"
    assert PATHS[name] in request


async def test_nobody_is_asked_without_being_told_to(tmp_path: Path) -> None:
    """And where there is no such question, it is said."""
    keys = {"doitong": {"keys": {"main": "k"}}}
    assert list(way_out.online(patient(tmp_path, providers=keys))) == []
    asked = patient(tmp_path, online=True, providers=keys)
    [judged] = await asyncio.to_thread(list, way_out.online(asked))
    assert "no question" in judged.sentence


async def test_a_provider_that_is_not_there_is_a_warning(tmp_path: Path) -> None:
    """It says nothing of the key."""
    async with serve_origin() as provider:
        url = provider.url("")
    table = {"dashscope": {"base_url": url, "keys": {"main": "k"}}}
    asked = patient(tmp_path, online=True, providers=table)
    assert verdicts(await asyncio.to_thread(list, way_out.online(asked))) == [Verdict.WARN]
