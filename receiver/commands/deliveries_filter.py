"""Which deliveries are meant: options that the commands about deliveries share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from archiver import clock
from archiver.catalog import CatalogReader
from archiver.errors import HoldfastError
from receiver.commands.adopt import span
from receiver.commands.output import typed
from receiver.delivery_lines import DeliveryFilter, DeliveryState
from receiver.providers import PROVIDERS

EXIT_CODES = (
    "Exit codes: 0 well, 1 an error, or what was verified is not taken in yet, 2 wrong usage."
)

F = TypeVar("F", bound=Callable[..., Any])


class NoSuchGenerationError(HoldfastError):
    """Nobody ever spoke of the generation that was typed."""


_OPTIONS = (
    click.option("--source", type=click.Choice(sorted(PROVIDERS)), help="Heard from this one."),
    click.option("--state", type=click.Choice([state.value for state in DeliveryState])),
    click.option("--since", metavar="24h", help="Heard within: 24h, 90m, 2d."),
    click.option("--generation", metavar="PROVIDER/ID", help="That spoke of this generation."),
)


def delivery_filter_options(command: F) -> F:
    """Adds them to a command, which takes them as keywords and hands them to `delivery_filter`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def delivery_filter(archive: CatalogReader, said: dict[str, Any]) -> DeliveryFilter:
    """What was typed, as a filter; raises UsageError and NoSuchGenerationError."""
    try:
        since = clock.now() - span(said["since"]) if said["since"] else None
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--since") from error
    name = typed(said["generation"] or "")
    return DeliveryFilter(
        source=said["source"],
        state=DeliveryState(said["state"]) if said["state"] else None,
        since=since,
        generation=_key(archive, name) if name else None,
    )


def _key(archive: CatalogReader, name: str) -> int:
    provider, _, generation_id = name.partition("/")
    with archive.view() as tables:
        generation = tables.generations.load(provider, generation_id)
    if generation is None or generation.key is None:
        raise NoSuchGenerationError(f"nothing is known of {name!r}: say PROVIDER/GENERATION-ID")
    return generation.key
