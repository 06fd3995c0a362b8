"""Which providers' webhooks are taken in, and how each is told from a forgery."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime

from archiver import clock
from archiver.egress import EgressPolicy
from archiver.errors import ConfigError
from receiver.certificates import Certificates
from receiver.eventbridge import Claim, Terms, judge, read_claim
from receiver.path_tokens import PathTokens
from receiver.provider_tables import Api, DashScope
from receiver.settings import Config
from receiver.signatures import DOITONG_HEADER, Headers, Verdict, Verifier
from receiver.webhook import Source

_ASK_AGAIN = Verdict(
    verified_by=None, reason="the certificate cannot be had, try again", ask_again=True
)


def verifiers(config: Config, *, now: Callable[[], datetime] = clock.now) -> dict[str, Source]:
    """The door of every source that may be heard from; raises ConfigError, naming the setting.

    A provider that is only reached through the gateway, or only asked, has none. `now` is the time
    by which a request's age is judged, where it matters.
    """
    providers = config.providers
    doors: dict[str, Source] = {}
    doitong, modelslab, dashscope = providers.doitong, providers.modelslab, providers.dashscope
    if doitong and (_has_secrets(doitong, "doitong") or not (doitong.gateway or doitong.keys)):
        doors["doitong"] = Verifier(DOITONG_HEADER, doitong.secrets)
    if modelslab and _has_secrets(modelslab, "modelslab"):
        doors["modelslab"] = PathTokens(modelslab.secrets)
    if dashscope and dashscope.events:
        doors["dashscope"] = _event_bridge(config, dashscope, now)
    return doors


class EventBridge:
    """DashScope's events, which Alibaba Cloud's EventBridge posts and signs.

    `public_url` is the address that EventBridge was given, for that is what it signs. A kept
    certificate answers at once; one that must be fetched is waited for, and if it cannot be had
    the sender is asked to try again, for nothing is known of the request yet.
    """

    def __init__(
        self,
        public_url: str,
        terms: Terms,
        certificates: Certificates,
        now: Callable[[], datetime],
    ) -> None:
        self._address = f"{public_url.rstrip('/')}/webhooks/dashscope"
        self._terms = terms
        self._certificates = certificates
        self._now = now

    def verify(self, headers: Headers, body: bytes, target: str) -> Verdict | Awaitable[Verdict]:
        """See `webhook.Source`."""
        claim = read_claim(headers, self._terms, self._now())
        if isinstance(claim, Verdict):
            return claim
        url = self._address + "".join(target.partition("?")[1:])
        certificate = self._certificates.kept(claim.certificate_url)
        if certificate is None:
            return self._fetch_and_judge(claim, url, body, _ASK_AGAIN)
        verdict = judge(claim, certificate, url, body, self._now())
        if verdict.verified_by is None and self._certificates.may_have_changed(
            claim.certificate_url
        ):
            return self._fetch_and_judge(claim, url, body, verdict)
        return verdict

    async def _fetch_and_judge(
        self, claim: Claim, url: str, body: bytes, otherwise: Verdict
    ) -> Verdict:
        certificate = await self._certificates.fetch(claim.certificate_url, claim.certificate_host)
        if certificate is None:
            return otherwise
        return judge(claim, certificate, url, body, self._now())


def _has_secrets(table: Api, name: str) -> bool:
    for label, secret in table.secrets.items():
        if not secret.strip():
            raise ConfigError(
                f"providers.{name}.secrets: the webhook secret labelled {label!r} is empty"
            )
    return bool(table.secrets)


def _event_bridge(config: Config, dashscope: DashScope, now: Callable[[], datetime]) -> EventBridge:
    if not config.public_url:
        raise ConfigError(
            "providers.dashscope.events = true needs public_url, which EventBridge signs:"
            ' set public_url = "https://…", the address without /webhooks/dashscope'
        )
    if not _has_secrets(dashscope, "dashscope"):
        raise ConfigError(
            "providers.dashscope.events = true needs the token of your EventBridge rule, for"
            " EventBridge signs anybody's events: put it into providers.dashscope.secrets"
        )
    if not dashscope.certificate_hosts:
        raise ConfigError(
            "providers.dashscope.certificate_hosts is empty, so no event could be verified"
        )
    policy = EgressPolicy(
        allow_http=config.egress.allow_http,
        allow_ports=frozenset(config.egress.allow_ports),
        allow_networks=config.egress.networks,
        proxy=config.egress.proxy_url,
    )
    return EventBridge(
        config.public_url,
        Terms(
            certificate_hosts=dashscope.certificate_hosts,
            policy=policy,
            tokens=tuple(dashscope.secrets.values()),
        ),
        Certificates(policy, clock.monotonic),
        now,
    )
