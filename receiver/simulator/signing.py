"""HMAC by another library than the receiver's, so that the two check each other."""

from base64 import b64encode

from cryptography.hazmat.primitives import hashes, hmac


def hmac_sha256_hex(key: bytes, message: bytes) -> str:
    """HMAC-SHA256 of `message` in lower-case hex (RFC 2104)."""
    mac = hmac.HMAC(key, hashes.SHA256())
    mac.update(message)
    return mac.finalize().hex()


def hmac_sha1_base64(key: bytes, message: bytes) -> str:
    """HMAC-SHA1 of `message` in base64, as OSS signs its links (RFC 2104, RFC 4648)."""
    mac = hmac.HMAC(key, hashes.SHA1())  # noqa: S303 (OSS signs with it)
    mac.update(message)
    return b64encode(mac.finalize()).decode()
