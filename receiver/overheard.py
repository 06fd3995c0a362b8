"""An exchange with a provider as it may be kept: decoded, its keys cut out, its account named."""

from __future__ import annotations

from collections.abc import Iterable

from archiver.errors import UnreadableError
from receiver.accounts import Accounts
from receiver.confidential import without_keys
from receiver.decoding import decoded
from receiver.exchange import Exchange, Request
from receiver.providers.base import Provider

# Pictures as base64 text are the largest that there are.
_MAX_ANSWER_BYTES = 64 << 20


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
    secrets = _shown(request, api_key)
    request_type = request.header("Content-Type")
    types = (value for name, value in headers if name.lower() == b"content-type")
    answer_type = next(types, b"").decode("latin-1")
    try:
        answer = decoded(headers, body, max_bytes=_MAX_ANSWER_BYTES)
    except UnreadableError:
        answer = b""  # what cannot be read cannot be searched for keys
    return Exchange(
        method=request.method,
        # No provider says anything of a generation in a query, and some want the key there.
        path=without_keys(request.path.partition("?")[0].encode(), "", secrets).decode(),
        request_type=request_type,
        request=without_keys(_plain(request), request_type, secrets),
        status=status,
        answer=without_keys(answer, answer_type, secrets),
        account=accounts.fingerprint(provider.name, api_key) if api_key else "",
    )


def _shown(request: Request, api_key: str | None) -> frozenset[str]:
    """Every secret that a request shows, in whichever header and by whatever scheme."""
    authorization = request.header("Authorization").split(None, 1)
    named = (api_key, *authorization[-1:], request.header("X-API-Key"))
    return frozenset(secret.strip() for secret in named if secret)


def _plain(request: Request) -> bytes:
    encoding = request.header("Content-Encoding").encode("latin-1", "replace")
    try:
        headers = ((b"content-encoding", encoding),)
        return decoded(headers, request.body, max_bytes=_MAX_ANSWER_BYTES)
    except UnreadableError:
        return b""
