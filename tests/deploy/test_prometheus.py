"""What Prometheus and Grafana are given, held against a real page, by the real programs."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import AsyncIterator, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import aiohttp
import click
import pytest
import yaml
from prometheus_client import REGISTRY

from archiver import metrics
from receiver.answers import RESULTS
from receiver.cli import main
from tests.deploy.programs import DEPLOY, free_port, program, run
from tests.receiver.wire import ask, head, webhook
from tests.service import SECRET, Service, eventually, running

FOLDER = DEPLOY / "prometheus"
RULES = [
    rule
    for group in yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]
DASHBOARD = json.loads((DEPLOY / "grafana" / "holdfast.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
SHOWN = [
    target["expr"].replace("$instance", ".*") for panel in PANELS for target in panel["targets"]
]


@pytest.fixture
def promtool() -> str:
    """The checker."""
    return program("promtool", "prometheus")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The whole of it."""
    with running(tmp_path_factory.mktemp("service")) as whole:
        yield whole


@pytest.fixture
async def page(service: Service) -> str:
    """The metrics of a service that has heard a webhook and answered every kind of stranger."""
    spoken = webhook(b'{"id": "one", "status": "failed"}', secret=SECRET)
    for wire in (spoken, spoken, webhook(b"forged", secret="wrong"), head(path=b"/webhooks/evil")):
        await ask(service.public, wire)

    async def told() -> str | None:
        body = (await ask(service.private, head(method=b"GET", path=b"/metrics"))).body.decode()
        return body if "holdfast_last_verified" in body and "holdfast_heartbeat" in body else None

    return await eventually(told)


def test_the_rules_are_rules(promtool: str) -> None:
    """Prometheus takes them, and the configuration that names them."""
    assert f"{len(RULES)} rules found" in run(promtool, "check", "rules", FOLDER / "alerts.yml")
    run(promtool, "check", "config", FOLDER / "prometheus.yml")


def test_each_alert_fires_on_what_it_is_for(promtool: str) -> None:
    """And none on a good day; the cases stand beside the rules, where an operator may add one."""
    cases = (FOLDER / "alerts_test.yml").read_text()
    assert [rule["alert"] for rule in RULES if rule["alert"] not in cases] == []
    run(promtool, "test", "rules", "alerts_test.yml", cwd=FOLDER)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_says_what_to_type(rule: dict[str, Any]) -> None:
    """How bad it is, what it is about, and a command; ours are commands that there are."""
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert set(rule["annotations"]) == {"summary", "description", "command"}
    for command in rule["annotations"]["command"].split(";"):
        name, *words = shlex.split(command)
        if name == "holdfast":
            parse(main, words)


def parse(command: click.Command, words: list[str]) -> None:
    """Raises click.UsageError for what a person could not type."""
    while isinstance(command, click.Group):
        _, found, words = command.resolve_command(click.Context(command), words)
        assert found is not None
        command = found
    command.make_context("holdfast", words)


def named(expression: str) -> set[str]:
    """The metrics of ours that an expression names, by the names of their families."""
    names = re.findall(r"holdfast_[a-z_]+", expression)
    return {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in names}


def known(page: str) -> set[str]:
    """What is on a page, or will be once it happens."""
    families = {family.name for family in REGISTRY.collect()}
    assert {it._name for it in vars(metrics).values() if hasattr(it, "_name")} <= families
    on_page = re.findall(r"^# TYPE (\S+)", page, re.MULTILINE)
    return families | {name.removesuffix("_total") for name in on_page}


# What is only there once something waits or was done for the first time.
LATER = {"holdfast_first_loss_timestamp_seconds", "holdfast_backup_timestamp_seconds"}


async def test_what_is_named_exists(page: str) -> None:
    """No alert waits for a metric, and no panel shows one, that nobody tells."""
    used = set().union(*(named(text) for text in (*(rule["expr"] for rule in RULES), *SHOWN)))
    assert used - known(page) - LATER == set()
    ours = {name for name in known(page) if name.startswith("holdfast_")}
    assert ours - set().union(*map(named, SHOWN)) == set()  # and the dashboard shows them all


async def test_the_page_keeps_to_the_conventions(page: str, promtool: str) -> None:
    """Base units, `_total`, a help text for each, in the words of Prometheus's own linter."""
    assert run(promtool, "check", "metrics", stdin=page) == ""


async def test_no_label_is_a_strangers_to_choose(page: str) -> None:
    """Few series, whatever comes: no id, URL, address or word of a webhook is a label."""
    assert len(re.findall(r"^holdfast_", page, re.MULTILINE)) < 250
    for word in ("evil", "one", "forged", "127.0.0.1", "http"):
        assert f'"{word}' not in page
    results = re.findall(r'provider="doitong",result="(\w+)"', page)
    assert sorted(results) == sorted(RESULTS.values())  # those of 0 as well


async def test_every_process_says_that_it_is_not_stuck(page: str) -> None:
    """Each role by its name, whether or not it has anything to do."""
    seen = re.findall(r'^holdfast_role_seen_timestamp_seconds{role="(\w+)"}', page, re.MULTILINE)
    assert sorted(seen) == ["archive", "receive", "web"]


def test_the_dashboard_is_one(promtool: str, tmp_path: Path) -> None:
    """Every panel has its place, its own number, the chosen data source, and what it shows."""
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    places = [set(_cells(panel["gridPos"])) for panel in DASHBOARD["panels"]]
    assert [pair for pair in combinations(places, 2) if pair[0] & pair[1]] == []
    variables = {it["name"]: it["type"] for it in DASHBOARD["templating"]["list"]}
    assert variables == {"datasource": "datasource", "instance": "query"}
    for panel in PANELS:
        sources = [it["datasource"]["uid"] for it in (panel, *panel["targets"])]
        assert set(sources) == {"${datasource}"}
    rules = [{"record": f"shown:{n}", "expr": expr} for n, expr in enumerate(SHOWN)]
    file = tmp_path / "shown.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "shown", "rules": rules}]}))
    assert f"{len(SHOWN)} rules found" in run(promtool, "check", "rules", file)


def _cells(place: dict[str, int]) -> Iterator[tuple[int, int]]:
    assert place["x"] + place["w"] <= 24
    for x in range(place["x"], place["x"] + place["w"]):
        for y in range(place["y"], place["y"] + place["h"]):
            yield x, y


@pytest.fixture
async def prometheus(service: Service, tmp_path: Path) -> AsyncIterator[aiohttp.ClientSession]:
    """A server that scrapes the service by our configuration; a session of its API."""
    server, port = program("prometheus", "prometheus"), free_port()
    config = (FOLDER / "prometheus.yml").read_text()
    assert "127.0.0.1:8081" in config
    config = config.replace("127.0.0.1:8081", f"127.0.0.1:{service.private}")
    (tmp_path / "prometheus.yml").write_text(config.replace("interval: 15s", "interval: 1s"))
    (tmp_path / "alerts.yml").write_text((FOLDER / "alerts.yml").read_text())
    command = (
        server,
        f"--config.file={tmp_path}/prometheus.yml",
        f"--storage.tsdb.path={tmp_path}/data",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    )
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
                yield session
        finally:
            process.kill()


async def answer(prometheus: aiohttp.ClientSession, path: str, **query: str) -> Any:
    """What the API says; None while it does not answer."""
    try:
        async with prometheus.get(path, params=query) as response:
            said = await response.json()
    except (aiohttp.ClientConnectionError, aiohttp.ContentTypeError):
        return None
    assert said["status"] == "success", said
    return said["data"]


async def test_a_real_prometheus_understands_it_all(
    prometheus: aiohttp.ClientSession, page: str
) -> None:
    """It scrapes the service, evaluates every rule without a fault, and answers every panel."""

    async def scraped() -> Any:
        found = await answer(prometheus, "/api/v1/query", query="holdfast_build_info")
        return found["result"] if found and found["result"] else None

    async def evaluated() -> Any:
        data = await answer(prometheus, "/api/v1/rules")
        health = [rule["health"] for group in data["groups"] for rule in group["rules"]]
        return health if "unknown" not in health else None

    assert [it["metric"]["job"] for it in await eventually(scraped)] == ["holdfast"]
    assert await eventually(evaluated) == ["ok"] * len(RULES)
    for expression in SHOWN:
        await answer(prometheus, "/api/v1/query", query=expression)
    (up,) = (await answer(prometheus, "/api/v1/query", query='up{job="holdfast"}'))["result"]
    assert up["value"][1] == "1"
    alerts = (await answer(prometheus, "/api/v1/alerts"))["alerts"]
    assert [it for it in alerts if it["state"] == "firing"] == []
