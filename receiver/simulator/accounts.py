"""Whose key is good, and whose generations it therefore sees: a key is an account's name here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Accounts:
    """The accounts of a provider; without any `keys`, every key but `wrong` is one."""

    keys: frozenset[str] = frozenset()

    def knows(self, key: str) -> bool:
        """Whether this key opens an account."""
        return key in self.keys if self.keys else key not in {"", "wrong"}
