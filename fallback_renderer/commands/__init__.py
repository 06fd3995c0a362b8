"""The commands of this wing, a file each; `holdfast` finds them by the names of their modules."""

from __future__ import annotations

from typing import Protocol

import msgspec

from fallback_renderer.settings import Configuration


class ConfigFile(Protocol):
    """What `holdfast` gives to a command: where the configuration is to be read from."""

    def load(self) -> object:
        """The whole configuration."""


def configuration(file: ConfigFile) -> Configuration:
    """As much of the configuration as drawing goes by; raises ConfigError."""
    return msgspec.convert(file.load(), Configuration, from_attributes=True)
