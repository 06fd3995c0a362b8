"""What Doitong says of an account's credit, by "Error response format"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from receiver.exchange import Exchange
from receiver.providers.base import Balance
from receiver.providers.doitong_graphql import read_batch
from receiver.providers.values import as_list, as_mapping, as_number


def read_balance(exchange: Exchange) -> Balance | None:
    """The balance that an answer of INSUFFICIENT_CREDITS tells of; None if it tells of none."""
    found = (
        _balance(as_mapping(as_mapping(error).get("extensions")), exchange.account)
        for answer in read_batch(exchange.answer)
        for error in as_list(answer.get("errors"))
    )
    return next(filter(None, found), None)


def _balance(extensions: Mapping[str, Any], account: str) -> Balance | None:
    required = as_number(extensions.get("creditsRequired"))
    available = as_number(extensions.get("creditsAvailable"))
    if extensions.get("code") != "INSUFFICIENT_CREDITS" or required is None or available is None:
        return None
    return Balance(required=required, available=available, account=account)
