"""Accounts are told apart by fingerprints that give no key away."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from archiver.errors import ConfigError
from receiver.accounts import Accounts, open_accounts


def test_the_same_key_is_the_same_account_for_ever(tmp_path: Path) -> None:
    """As long as the archive's folder is the same."""
    first, again = open_accounts(tmp_path), open_accounts(tmp_path)

    assert first.fingerprint("dashscope", "sk-1") == again.fingerprint("dashscope", "sk-1")
    assert first.fingerprint("dashscope", "sk-1") != first.fingerprint("dashscope", "sk-2")
    assert first.fingerprint("dashscope", "sk-1") != first.fingerprint("modelslab", "sk-1")


def test_another_archive_knows_it_by_another_name(tmp_path: Path) -> None:
    """So a row that leaks does not tell whose key it was."""
    one, other = open_accounts(tmp_path / "one"), open_accounts(tmp_path / "other")

    assert one.fingerprint("dashscope", "sk-1") != other.fingerprint("dashscope", "sk-1")


def test_the_secret_is_its_owners(tmp_path: Path) -> None:
    """Nobody else may read it."""
    open_accounts(tmp_path)

    assert (tmp_path / "accounts.key").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["accounts.key"]


def test_whoever_asks_first_all_agree(tmp_path: Path) -> None:
    """Several roles start at once in an empty folder."""
    with ThreadPoolExecutor(8) as pool:
        opened = pool.map(lambda _: open_accounts(tmp_path), range(32))
        names = {accounts.fingerprint("doitong", "sk") for accounts in opened}

    assert len(names) == 1


def test_a_folder_that_holds_nothing_is_an_error(tmp_path: Path) -> None:
    """Told by its path."""
    (tmp_path / "file").touch()

    with pytest.raises(ConfigError, match=r"accounts\.key"):
        open_accounts(tmp_path / "file")


@pytest.mark.parametrize(
    ("account", "expected"),
    [("of b", "sk-b"), (None, "sk-a"), ("of c", None)],
    ids=["its own", "unknown: the first", "not configured"],
)
def test_the_key_to_ask_with(account: str | None, expected: str | None) -> None:
    """An account's own key, or none: another's would be told that nobody knows the generation."""
    accounts = Accounts(b"secret")
    named = {f"of {label}": accounts.fingerprint("dashscope", f"sk-{label}") for label in "abc"}
    keys = {"one": "sk-a", "two": "sk-b"}

    assert accounts.key_of("dashscope", keys, named[account] if account else None) == expected
    assert accounts.key_of("dashscope", {}, None) is None


def test_a_derived_key_is_of_its_archive_and_purpose(tmp_path: Path) -> None:
    """The same each time, and another for anything else."""
    here, there = open_accounts(tmp_path / "here"), open_accounts(tmp_path / "there")
    again = open_accounts(tmp_path / "here")
    assert here.derived_key("links") == again.derived_key("links")
    keys = [here.derived_key("links"), here.derived_key("other"), there.derived_key("links")]
    assert len({*keys}) == 3
