"""The ways out of the house: the guard before links of strangers, proxies, providers' answers."""

from __future__ import annotations

import asyncio
import os
import re
import socket
from collections.abc import Collection, Iterator, Mapping
from contextlib import AsyncExitStack

from aiohttp.abc import AbstractResolver, ResolveResult

from archiver.egress import ANY_HOST, Egress, EgressPolicy
from archiver.egress.policy import is_permitted_address
from archiver.errors import FetchError
from archiver.models import Fault, Generation
from receiver.doctor.finding import Judged, fail, ok, warn
from receiver.doctor.patient import Patient
from receiver.provider_tables import Api
from receiver.providers import PROVIDERS
from receiver.roles.archive import egress_policy
from receiver.upstream import Upstream, UpstreamError

# This machine, a cloud's keys, this machine once more, and a name that leads to it.
_INSIDE = {"127.0.0.1": "127.0.0.1", "169.254.169.254": "169.254.169.254", "[::1]": "::1"}
_LEADS_INSIDE = "loopback.example"

_PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
_NO_SUCH_ID = "00000000-0000-4000-8000-000000000000"
_SECONDS = 20.0
# One of them says it with the status of what is well.
_REFUSAL = re.compile(rb"invalid.{0,20}\bkey|unauthori[sz]ed", re.IGNORECASE)


def egress(patient: Patient) -> Iterator[Judged]:
    """Whether a link that leads inside is refused, by the very client that fetches."""
    policy = egress_policy(patient.config)
    opened = [host for host, it in _INSIDE.items() if is_permitted_address(it, policy)]
    if policy.allow_http:
        yield warn("egress.allow_http lets links be fetched unencrypted", "set it to false")
    if opened:
        yield warn(
            f"egress.allow_cidrs lets links lead to {', '.join(opened)}",
            "take that network out, unless this is a test",
        )
        return
    # Where a name leads is found out, and judged, by the proxy.
    hosts = _INSIDE if policy.proxy else (*_INSIDE, _LEADS_INSIDE)
    yield judge_refusals(asyncio.run(refusals(policy, hosts)))


async def refusals(policy: EgressPolicy, hosts: Collection[str]) -> Mapping[str, Fault | None]:
    """What becomes of a link to each host; None: it was fetched."""
    port = min(policy.allow_ports, default=443)
    found: dict[str, Fault | None] = {}
    async with Egress(policy, resolver=_Inward()) as client:
        for host in hosts:
            try:
                async with client.get(f"https://{host}:{port}/", ANY_HOST):
                    found[host] = None
            except FetchError as error:
                found[host] = error.fault
    return found


def judge_refusals(found: Mapping[str, Fault | None]) -> Judged:
    """How links that lead inside were answered."""
    passed = [host for host, fault in found.items() if fault is not Fault.FORBIDDEN]
    if passed:
        return fail(
            f"the guard let a link to {', '.join(passed)} pass",
            "stop the service and report this: anybody's link may read what is inside",
        )
    return ok(f"links that lead to {', '.join(found)} are refused")


def proxies(patient: Patient) -> Iterator[Judged]:
    """Whether somebody believes that a proxy is in between."""
    yield judge_proxies(os.environ, is_s3=patient.config.bucket.url.startswith("s3:"))


def judge_proxies(environ: Mapping[str, str], *, is_s3: bool) -> Judged:
    """The environment, as whoever started this process has set it."""
    names = [name for name in (*_PROXIES, *map(str.lower, _PROXIES)) if environ.get(name)]
    if not names:
        return ok("no proxy is set")
    half = ", and only listings and presigned URLs of the bucket heed it" if is_s3 else ""
    return warn(
        f"{' and '.join(names)} is set, but links and providers are asked directly{half}",
        "let this machine reach them by itself (links perhaps by egress.proxy), and take the"
        " variable out of its environment",
    )


def online(patient: Patient) -> Iterator[Judged]:
    """Whether providers take our keys: asked after a generation that is none, which is free."""
    if patient.online:
        yield from asyncio.run(_answers(patient))


async def _answers(patient: Patient) -> list[Judged]:
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(Upstream())
        return [
            await _answer(patient, upstream, name, api, label, key)
            for name, api in patient.config.providers.all.items()
            for label, key in api.keys.items()
        ]


async def _answer(
    patient: Patient, upstream: Upstream, name: str, api: Api, label: str, key: str
) -> Judged:
    setting, provider = f"providers.{name}.keys.{label}", PROVIDERS[name]
    nobodys = Generation(provider=name, id=_NO_SUCH_ID, first_heard_at=patient.now())
    request = provider.ask(nobodys, key, api)
    if request is None:
        return ok(f"{setting}: {name} has no question that costs nothing")
    try:
        answer = await upstream.ask(api.base_url, request, seconds=_SECONDS)
    except UpstreamError as error:
        return warn(f"{setting}: {error}", f"see that this machine reaches {api.base_url}")
    return judge_answer(setting, answer.status, answer.body)


def judge_answer(setting: str, status: int, body: bytes) -> Judged:
    """What a provider answered to a question after a generation that is none."""
    if status in (401, 403) or _REFUSAL.search(body):
        return fail(
            f"{setting} is refused ({status})",
            "see that it is right, of the region of base_url, and its account in good standing",
        )
    if status >= 500 or status == 429:
        return warn(f"{setting}: the provider answers {status}", "try again later")
    return ok(f"{setting} is taken ({status})")


class _Inward(AbstractResolver):
    """A name server that leads everybody to this machine."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """See AbstractResolver."""
        return [
            ResolveResult(
                hostname=host, host="127.0.0.1", port=port, family=socket.AF_INET, proto=0, flags=0
            )
        ]

    async def close(self) -> None:
        """Nothing to let go of."""
