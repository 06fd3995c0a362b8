"""What may be said of a result URL without giving it away: its digest, host and public part."""

import re
from datetime import datetime
from hashlib import sha256
from urllib.parse import urlsplit

from archiver.models import DeliveryRef, Link

# Longer than any media type.
_DATA_CHARACTERS = 100

# What nearly every link looks like; of these `urlsplit` could tell no more.
_PLAIN = re.compile(r"(https?://([a-z0-9.-]+)/[!\"$->@-~]*)(?:[?#]|\Z)")


def url_sha256(url: str) -> bytes:
    """The digest by which a URL is known wherever the URL itself may not be written."""
    return sha256(url.encode("utf-8", "surrogatepass")).digest()


def public_part(url: str) -> tuple[str, str]:
    """`(location, host)`: the URL without user, query and fragment, and its lower-case host.

    Total: what cannot be split gives two empty strings (the guard of `egress` refuses it later).
    A `data:` URL (RFC 2397) is the picture itself, so no more than its media type is told.
    """
    plain = _PLAIN.match(url)
    if plain:
        return plain[1], plain[2]
    if url[:5].lower() == "data:":
        return url[:_DATA_CHARACTERS].partition(",")[0].partition(";")[0].lower(), ""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "", ""
    place = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{place}{port}{parts.path}", host


def link(url: str, *, heard_in: DeliveryRef, expires_at: datetime) -> Link:
    """The Link of a URL; the URL itself stays in the delivery that brought it."""
    location, host = public_part(url)
    return Link(
        url_sha256=url_sha256(url),
        location=location,
        host=host,
        expires_at=expires_at,
        heard_in=heard_in,
    )
