"""An exchange with a provider as it may be kept: decoded, its keys cut out, its account named."""

from __future__ import annotations

from collections.abc import Iterable

from archiver.errors import UnreadableError
from receiver.accounts import Accounts
from receiver.confidential import without_keys
from receiver.decoding import decoded
from receiver.exchange import Exchange, Request
from receiver.providers.base import Provider


def overheard(
    provider: Provider,
    accounts: Accounts,
    request: Request,
    *,
    status: int,
    headers: Iterable[tuple[bytes, bytes]],
    body: bytes,
) -> Exchange:
    """The exchange of a request and its answer, whose `body` is the wire's bytes."""
    headers = tuple(headers)
    api_key = provider.api_key(request)
    request_type = request.header("Content-Type")
    types = (value for name, value in headers if name.lower() == b"content-type")
    answer_type = next(types, b"").decode("latin-1")
    try:
        answer = decoded(headers, body)
    except UnreadableError:
        answer = body  # absorb will say that nobody can read it
    return Exchange(
        method=request.method,
        # No provider says anything of a generation in a query, and some want the key there.
        path=without_keys(request.path.partition("?")[0].encode(), "", api_key).decode(),
        request_type=request_type,
        request=without_keys(request.body, request_type, api_key),
        status=status,
        answer=without_keys(answer, answer_type, api_key),
        account=accounts.fingerprint(provider.name, api_key) if api_key else "",
    )
