"""Keys live for ever, so their shapes and laws are written down here."""

import hashlib
import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from archiver.keys import (
    backup_at,
    backup_catalog_key,
    backup_inbox_key,
    backup_index_key,
    backup_prefix,
    blob_key,
    manifest_key,
    thumb_key,
)

DIGEST = bytes.fromhex("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")
HEX = DIGEST.hex()

ANY_TEXT = st.text(st.characters(exclude_categories=()), min_size=1)
IDS = ANY_TEXT | st.text("aA.%_-/é", min_size=1, max_size=4) | st.text("ab", min_size=198)

# A generation's id, and the name its manifest has.
NAMES = {
    "12345678": "12345678",
    "0a1b-2c3d_4e": "0a1b-2c3d_4e",
    "Task-A": "%54ask-%41",
    "..": "%2e%2e",
    "../../etc/passwd": "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "a b%20\0\n": "a%20b%2520%00%0a",
    "é": "%c3%a9",
    "e\u0301": "e%cc%81",
    "\ud800": "%ed%a0%80",
    "x" * 200: "x" * 200,
    "x" * 201: "sha256." + hashlib.sha256(b"x" * 201).hexdigest(),
    "." * 67: "sha256." + hashlib.sha256(b"." * 67).hexdigest(),
}


def test_blob_and_thumbnail_lie_under_their_digest() -> None:
    """The layout of the bucket, to the letter."""
    assert f"blobs/sha256/9f/{HEX}.png" == blob_key(DIGEST, "png")
    assert f"thumbs/sha256/9f/{HEX}.webp" == thumb_key(DIGEST)


@pytest.mark.parametrize("extension", ["", "PNG", ".png", "p/g", "png\n", "longer", "pñg"])
def test_refuses_an_extension_that_is_none(extension: str) -> None:
    """Only one to five of a-z and 0-9 end a blob's key."""
    with pytest.raises(ValueError, match="extension"):
        blob_key(DIGEST, extension)


@pytest.mark.parametrize("digest", [b"", DIGEST[:31], DIGEST + b"\0", HEX.encode()])
def test_refuses_a_digest_that_is_none(digest: bytes) -> None:
    """Only 32 bytes name a blob or its thumbnail."""
    with pytest.raises(ValueError, match="32 bytes"):
        blob_key(digest, "png")
    with pytest.raises(ValueError, match="32 bytes"):
        thumb_key(digest)


@pytest.mark.parametrize(("generation_id", "name"), NAMES.items())
def test_a_manifest_is_named_by_the_escaped_id(generation_id: str, name: str) -> None:
    """Plain ids stay readable, everything else is escaped, and long ones are hashed."""
    encoded = generation_id.encode("utf-8", "surrogatepass")
    shard = hashlib.sha256(encoded).hexdigest()[:2]
    assert f"manifests/doitong/{shard}/{name}.json" == manifest_key("doitong", generation_id)


def test_a_provider_is_escaped_like_an_id() -> None:
    """No provider's name can climb out of its folder either."""
    assert manifest_key("../X", "1").startswith("manifests/%2e%2e%2f%58/")


@pytest.mark.parametrize(("provider", "generation_id"), [("", "1"), ("doitong", "")])
def test_refuses_to_name_nothing(provider: str, generation_id: str) -> None:
    """Without a provider or an id there is no manifest."""
    with pytest.raises(ValueError, match="needs a provider and an id"):
        manifest_key(provider, generation_id)


@given(provider=IDS, generation_id=IDS)
def test_a_key_is_harmless_everywhere(provider: str, generation_id: str) -> None:
    """No text makes a key that is long, relative, hidden, upper-case or more than ASCII."""
    key = manifest_key(provider, generation_id)
    name = r"(?:[a-z0-9_-]|%[0-9a-f]{2}){1,200}|sha256\.[0-9a-f]{64}"
    assert re.fullmatch(rf"manifests/(?:{name})/[0-9a-f]{{2}}/(?:{name})\.json", key)
    assert key == key.casefold()


@given(one=st.tuples(IDS, IDS), other=st.tuples(IDS, IDS))
@example(("p", "Task"), ("p", "task"))
@example(("p", "é"), ("p", "e\u0301"))
@example(("p", "\ud83d\ude00"), ("p", "😀"))
@example(("p", "x" * 201), ("p", "sha256." + hashlib.sha256(b"x" * 201).hexdigest()))
@example(("p", "%41"), ("p", "A"))
@example(("a/b", "c"), ("a", "b/c"))
def test_two_generations_never_share_a_key(one: tuple[str, str], other: tuple[str, str]) -> None:
    """Different (provider, id) means different keys, even where case does not count."""
    assume(one != other)
    assert manifest_key(*one).casefold() != manifest_key(*other).casefold()


def test_a_backup_lies_under_its_second_in_utc() -> None:
    """So that backups sort by age, and every object of one is found by its beginning."""
    at = datetime(2026, 11, 21, 23, 5, 9, tzinfo=timezone(timedelta(hours=8)))
    assert backup_prefix(at) == "backups/20261121t150509z/"
    assert backup_index_key(at) == "backups/20261121t150509z/index.json"
    assert backup_catalog_key(at) == "backups/20261121t150509z/catalog.db.gz"
    assert backup_inbox_key(at, "receive") == "backups/20261121t150509z/inbox/receive.db.gz"
    assert backup_inbox_key(at, "My Inbox.1").endswith("inbox/%4dy%20%49nbox%2e1.db.gz")
    keys = (backup_index_key(at), backup_catalog_key(at), backup_inbox_key(at, "receive"))
    assert {backup_at(key) for key in keys} == {datetime(2026, 11, 21, 15, 5, 9, tzinfo=UTC)}


@pytest.mark.parametrize(
    "key",
    [
        "backups/20261121t150509z",
        "backups/2026112t150509z/index.json",
        "backups/20261321t150509z/index.json",
        "backups/my own/index.json",
        "blobs/20261121t150509z/index.json",
        "20261121t150509z/index.json",
    ],
)
def test_what_is_no_part_of_a_backup(key: str) -> None:
    """Whatever else lies there is left alone."""
    assert backup_at(key) is None
