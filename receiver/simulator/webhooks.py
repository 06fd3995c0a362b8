"""What makes a Doitong webhook Doitong's: its headers."""

from __future__ import annotations

from receiver.simulator.signing import hmac_sha256_hex


def signature(secret: bytes, body: bytes) -> str:
    """The documented value of `X-Doitong-Signature` for these raw bytes."""
    return f"sha256={hmac_sha256_hex(secret, body)}"


def headers(secret: bytes, body: bytes) -> dict[str, str]:
    """Every header of one delivery."""
    return {
        "Content-Type": "application/json",
        "User-Agent": "Doitong-Practice/1",
        "X-Doitong-Signature": signature(secret, body),
    }
