"""HMAC by another library than the receiver's, so that the two check each other."""

from cryptography.hazmat.primitives import hashes, hmac


def hmac_sha256_hex(key: bytes, message: bytes) -> str:
    """HMAC-SHA256 of `message` in lower-case hex (RFC 2104)."""
    mac = hmac.HMAC(key, hashes.SHA256())
    mac.update(message)
    return mac.finalize().hex()
