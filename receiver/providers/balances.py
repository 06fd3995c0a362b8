"""What a delivery says of its account's credit, for the providers that tell."""

from __future__ import annotations

from collections.abc import Callable

from archiver.models import Delivery, Heard
from receiver import exchange
from receiver.decoding import decoded
from receiver.exchange import Exchange
from receiver.providers.base import Balance
from receiver.providers.doitong_credits import read_balance

_EXCHANGES = (Heard.POLLED, Heard.OVERHEARD)
# The others refuse in words alone.
_READ: dict[str, Callable[[Exchange], Balance | None]] = {"doitong": read_balance}


def balance(delivery: Delivery) -> Balance | None:
    """The balance that an exchange tells of, if of any; raises UnreadableError."""
    if delivery.heard not in _EXCHANGES:
        return None
    read = _READ.get(delivery.source)
    if read is None or delivery.body is None:
        return None
    return read(exchange.decode(decoded(delivery.headers, delivery.body)))
