"""The law of all parsers: what they make of a delivery can be believed, kept and shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from archiver.errors import UnreadableError
from archiver.ledger import keep_all
from archiver.manifest import render
from archiver.manifest_parser import parse
from archiver.merging import MAX_SLOTS, merge
from archiver.models import Delivery, DeliveryRef, Generation, Heard, Observation
from receiver.exchange import Exchange, encode
from receiver.providers import PROVIDERS, observations
from receiver.providers.balances import balance
from tests.clocks import NOON
from tests.fuzz.shelf import undone

REF = DeliveryRef(inbox="inbox", position=1)
# Between a request and its answer.
CUT = b"\n----\n"
WAYS = {heard.value: heard for heard in Heard}


def law_of(provider: str) -> Callable[[bytes], None]:
    """The law of the parser of that name."""

    def law(data: bytes) -> None:
        """Unreadable, for a reason that is no page long, or fit to be merged, kept and shown."""
        delivery = delivery_of(provider, data)
        if delivery is None:
            return
        try:
            said = observations(delivery)
            balance(delivery)
        except UnreadableError as error:
            assert 0 < len(str(error)) < 400
            return
        assert said == observations(delivery)
        for observation in said:
            _fit(observation, provider)
        _kept(said)

    return law


def delivery_of(provider: str, data: bytes) -> Delivery | None:
    """`pushed`, or `remembered ID`, or `polled METHOD PATH STATUS` on a line; then the body.

    An exchange's request and answer have a line of hyphens between them; without one it is taken
    for an exchange as the inbox would hold it.
    """
    line, _, body = data.partition(b"\n")
    way, *more = line.decode("utf-8", "replace").split(" ")
    heard = WAYS.get(way)
    if heard is None:
        return None
    if heard in (Heard.POLLED, Heard.OVERHEARD) and CUT in body:
        method, path, status = (*more, "GET", "/", "")[:3] if len(more) > 2 else ("GET", "/", "")
        request, _, answer = body.partition(CUT)
        code = int(status) if status.isascii() and status.isdigit() and len(status) < 4 else 200
        said = Exchange(
            method=method, path=path, status=code, request=request, answer=answer, account="7f"
        )
        body = encode(said)
    return Delivery(
        ref=REF,
        source=provider,
        heard=heard,
        path_token=more[0] if more and more[0] else "an-id",
        received_at=NOON,
        peer="192.0.2.1",
        verified_by="2026-11",
        headers=(),
        body=body,
    )


def _fit(observation: Observation, provider: str) -> None:
    assert observation.provider == provider
    assert observation.generation_id.strip()
    assert len({seen.index for seen in observation.slots}) <= MAX_SLOTS
    assert all(seen.index >= 0 for seen in observation.slots)
    links = [seen.url for seen in (*observation.slots, *observation.inputs) if seen.url]
    assert all(it.lower().startswith(("http://", "https://", "data:")) for it in links)
    for failure in (observation.failure, *(seen.failure for seen in observation.slots)):
        assert failure is None or 0 < len(failure.message) <= 500
        assert failure is None or len(failure.code) <= 500
    for moment in (observation.created_at, observation.completed_at):
        assert moment is None or moment.tzinfo is not None


def _kept(said: tuple[Observation, ...]) -> None:
    """Merged, written into a real catalog, read from there and from a manifest; twice is once."""
    known: dict[str, Generation] = {}
    for observation in said:
        known[observation.generation_id] = _merged(
            known.get(observation.generation_id), observation
        )
    with undone() as tables:
        keep_all(tables, [(None, generation) for generation in known.values()], now=NOON)
        for generation_id in known:
            kept = tables.generations.load(said[0].provider, generation_id)
            assert kept is not None
            assert all(_merged(kept, it) == kept for it in said if it.generation_id == kept.id)
            promised = replace(kept, hinted_at=None, sealed_revision=kept.revision)
            assert parse(render(kept), key=kept.key) == promised


def _merged(before: Generation | None, observation: Observation) -> Generation:
    lifetime = PROVIDERS[observation.provider].link_lifetime
    return merge(before, observation, heard_in=REF, received_at=NOON, link_lifetime=lifetime)
