"""Providers are told an address only where what comes to it would be believed."""

from __future__ import annotations

from typing import Any

import pytest

from receiver.config import from_tree
from receiver.doors import webhook_url
from receiver.path_tokens import PathTokens

BASE = "https://archive.example"
KEY = b"holdfast-0123456789abcdef"
SECRETS = {"secrets": {"new": "whsec new", "old": "whsec old"}}


@pytest.mark.parametrize(
    ("provider", "tree", "expected"),
    [
        (
            "doitong",
            {"public_url": BASE, "providers": {"doitong": SECRETS}},
            f"{BASE}/webhooks/doitong",
        ),
        ("doitong", {"providers": {"doitong": SECRETS}}, None),
        ("doitong", {"public_url": BASE, "providers": {"doitong": {}}}, None),
        ("modelslab", {"public_url": BASE, "providers": {"modelslab": {}}}, None),
        ("dashscope", {"public_url": BASE, "providers": {"dashscope": {"events": True}}}, None),
    ],
)
def test_webhook_url(provider: str, tree: dict[str, Any], expected: str | None) -> None:
    """A place of ours that is known and verified, or none."""
    assert webhook_url(from_tree(tree), provider, KEY) == expected


def test_modelslab_gets_a_token() -> None:
    """Its webhooks are unsigned, so the end of the path is what is verified."""
    config = from_tree({"public_url": f"{BASE}/", "providers": {"modelslab": SECRETS}})
    url = webhook_url(config, "modelslab", KEY)
    assert url is not None

    verdict = PathTokens(SECRETS["secrets"]).verify((), b"{}", url.removeprefix(BASE))

    assert url.startswith(f"{BASE}/webhooks/modelslab/")
    assert verdict.verified_by == "new"
    assert webhook_url(config, "modelslab", KEY[:-1] + b"0") != url
