"""Looks for what is wrong with a configuration beyond its form: what some role would refuse."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from urllib.parse import urlsplit

from archiver.blobs.place import place_of
from archiver.egress import EgressPolicy
from archiver.egress.policy import is_permitted_address
from archiver.errors import ConfigError
from receiver.access import require_tokens
from receiver.config import host_and_port
from receiver.settings import Config
from receiver.signing import trust_of
from receiver.sources import verifiers

NO_PROVIDER = """no provider is configured, so there is nothing to receive. Put into holdfast.toml:

    [providers.doitong]
    secrets = { "2026-11" = "the webhook secret from Doitong's dashboard" }

or try `holdfast demo`, which brings a provider of its own."""

# Of the wing that draws, which this one does not import.
_RENDER_SETTINGS = "fallback_renderer.settings"


def require_sources(config: Config) -> None:
    """Sees that there is anything to hear of; raises ConfigError."""
    apis = config.providers.all.values()
    if not verifiers(config) and not any(api.gateway or api.keys for api in apis):
        raise ConfigError(NO_PROVIDER)


def mistakes(config: Config) -> list[str]:
    """Everything that is wrong, a sentence each; none if every role could start with it.

    Nothing is connected to, and nothing written.
    """
    return list(_complaints(config))


def _complaints(config: Config) -> Iterator[str]:
    checks: tuple[Callable[[Config], object], ...] = (
        require_sources,
        trust_of,
        _check_bucket,
        _check_private,
        _check_receiver,
        _check_render,
    )
    for check in checks:
        try:
            check(config)
        except ConfigError as error:
            yield str(error)


def _check_bucket(config: Config) -> None:
    place_of(config.bucket.url)


def _check_private(config: Config) -> None:
    host, _ = host_and_port(config.listen.private, "listen.private")
    require_tokens(host, config.tokens)


def _check_receiver(config: Config) -> None:
    """An address is known before anything is sent; where a name leads shows when it is."""
    notify = config.notify
    host = urlsplit(notify.url).hostname or ""
    try:
        address = ip_address(host)
    except ValueError:
        return
    policy = EgressPolicy(allow_networks=notify.networks)
    if not is_permitted_address(str(address), policy):
        raise ConfigError(
            f"notify.url leads to {host}, which is not public; if that is meant, add its network "
            "to notify.allow_cidrs"
        )


def _check_render(config: Config) -> None:
    if config.render.get("checkpoints"):
        importlib.import_module(_RENDER_SETTINGS).from_settings(config.render)
