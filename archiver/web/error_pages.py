"""What went wrong, as a page where somebody looks at pages."""

from __future__ import annotations

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from archiver.web.rendering import Pages

_TITLES = {
    400: "That cannot be asked",
    403: "Not for you",
    404: "Nothing is here",
    405: "Not like this",
    429: "Not so fast",
    503: "Not now",
}


def wants_page(request: web.Request) -> bool:
    """Whether a browser asks, and for something that is no part of the API."""
    asks_html = "text/html" in request.headers.get("Accept", "")
    return asks_html and not request.path.startswith("/api/")


def error_pages(pages: Pages) -> Middleware:
    """The middleware that makes pages of problem documents; it goes around all others."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        is_problem = response.content_type == "application/problem+json"
        if not (is_problem and isinstance(response, web.Response) and wants_page(request)):
            return response
        assert isinstance(response.body, bytes)
        page = pages.page(
            "problem",
            status=response.status,
            title=_TITLES.get(response.status, "Something went wrong"),
            detail=msgspec.json.decode(response.body)["detail"],
        )
        page.headers.update(_beside_content(response))
        page.headers.add("Vary", "Accept")
        return page

    return check


def _beside_content(response: web.Response) -> dict[str, str]:
    """Whatever else an answer says: when to come again, how to log in, and the like."""
    said = response.headers.items()
    return {name: value for name, value in said if not name.startswith("Content-")}
