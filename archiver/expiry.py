"""A signed URL says when it dies; this room reads it.

Every family of signed URLs is one row of `FAMILIES`. A URL dies at the earliest moment that any
row reads in it, so that Azure's two limits, or a row that reads too much, can only make us hurry.
A link may still die sooner (its object deleted, its temporary credentials ended), never later.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from urllib.parse import parse_qsl

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# A number standing alone is a moment only between 2001-09-09 and 2100-01-01.
_PLAUSIBLE_EPOCHS = range(1_000_000_000, 4_102_444_800)

# A pattern and no JSON parser: nothing that a URL says may recurse, and only this pair matters.
_POLICY_MOMENT = re.compile(rb'"DateLessThan"\s*:\s*\{\s*"AWS:EpochTime"\s*:\s*([0-9]+)\s*\}')


def expires_at(url: str) -> datetime | None:
    """When a signed URL says it dies (aware UTC), or None when it does not say.

    Never raises: what cannot be read, or lies outside the calendar, is not said. Of a parameter
    given twice the first counts; the names' case does not.
    """
    query = url.partition("#")[0].partition("?")[2]
    parameters = {name.lower(): value for name, value in reversed(parse_qsl(query))}
    spoken = [family for name in parameters for family in _BEGINNING_WITH.get(name, ())]
    moments = [_moment(family, parameters) for family in spoken]
    return min([moment for moment in moments if moment is not None], default=None)


class Family(NamedTuple):
    """One vendor's way of signing: `rule` reads the moment from the values of `says`, in order.

    The row holds only where the parameters `beside` stand in the URL too.
    """

    name: str
    says: tuple[str, ...]
    beside: tuple[str, ...]
    rule: Callable[..., datetime]


def _moment(family: Family, parameters: Mapping[str, str]) -> datetime | None:
    if not all(name in parameters for name in (*family.says, *family.beside)):
        return None
    try:
        return family.rule(*[parameters[name] for name in family.says])
    except (ValueError, OverflowError):
        return None


def _number(digits: str) -> int:
    """Plain ASCII digits only: int() alone would also take "+1", "1_0" and "١"."""
    if not (digits.isascii() and digits.isdigit()):
        raise ValueError
    return int(digits)


def _epoch(seconds: str) -> datetime:
    return _EPOCH + timedelta(seconds=_number(seconds))


def _plausible_epoch(seconds: str) -> datetime:
    if _number(seconds) not in _PLAUSIBLE_EPOCHS:
        raise ValueError
    return _epoch(seconds)


def _hex_epoch(seconds: str) -> datetime:
    return _plausible_epoch(str(int(seconds, 16)))


def _iso(moment: str) -> datetime:
    """ISO 8601, basic or extended, with or without a time; without a zone it is UTC."""
    parsed = datetime.fromisoformat(moment)
    return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _lifetime(signed_at: str, seconds: str) -> datetime:
    return _iso(signed_at) + timedelta(seconds=_number(seconds))


def _window(start_and_end: str) -> datetime:
    return _epoch(start_and_end.partition(";")[2])


def _policy(encoded: str) -> datetime:
    """CloudFront writes base64 with - _ ~ where others write + = /."""
    policy = b64decode(encoded.translate(str.maketrans("-_~", "+=/")))
    return min(_epoch(seconds.decode()) for seconds in _POLICY_MOMENT.findall(policy))


FAMILIES = (
    # Amazon S3 "Authenticating Requests: Using Query Parameters (AWS Signature Version 4)"
    Family("S3 SigV4", ("x-amz-date", "x-amz-expires"), (), _lifetime),
    # Google Cloud Storage "V4 signing process"
    Family("GCS V4", ("x-goog-date", "x-goog-expires"), (), _lifetime),
    # Volcengine TOS "URL 中包含签名"
    Family("TOS", ("x-tos-date", "x-tos-expires"), (), _lifetime),
    # Alibaba OSS "Include V4 signatures in URLs"; the SDK writes seconds after x-oss-date ...
    Family("OSS V4", ("x-oss-date", "x-oss-expires"), (), _lifetime),
    # ... while error page 0002-00000215 calls the same parameter a UNIX timestamp.
    Family("OSS V4, epoch", ("x-oss-expires",), (), _plausible_epoch),
    # S3 "Query String Request Authentication Alternative", OSS "Include V1 signatures in URLs",
    # GCS "V2 signing process", CloudFront "signed URL using a canned policy", and look-alikes:
    # they differ in the name of the key's id only.
    Family("S3 SigV2, OSS V1, GCS V2, CloudFront canned", ("expires",), ("signature",), _epoch),
    # CloudFront "Create a signed URL using a custom policy"
    Family("CloudFront custom", ("policy",), ("signature", "key-pair-id"), _policy),
    # Azure Storage "Create a service SAS" and "Create a user delegation SAS"
    Family("Azure SAS", ("se",), ("sig",), _iso),
    Family("Azure user delegation key", ("ske",), ("sig",), _iso),
    # Tencent COS "Request Signature": start;end
    Family("COS", ("q-sign-time",), (), _window),
    # Discord "Signed Attachment CDN URLs"
    Family("Discord", ("ex",), ("is", "hm"), _hex_epoch),
    # Ideogram and many a CDN
    Family("bare exp", ("exp",), (), _plausible_epoch),
)

_BEGINNING_WITH = {
    name: [family for family in FAMILIES if family.says[0] == name]
    for name in {family.says[0] for family in FAMILIES}
}
