"""Whether an answer says anything that the one before did not: clients ask the same all day."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from archiver.models import Observation

_REMEMBERED = 50_000


class News:
    """Remembers what was last said of each generation, of so many as were spoken of last."""

    def __init__(self, remembered: int = _REMEMBERED) -> None:
        self._remembered = remembered
        self._last: OrderedDict[tuple[str, str, str | None], int] = OrderedDict()

    def is_new(self, said: Iterable[Observation]) -> bool:
        """Whether anything of it is new."""
        # Each is noted, not only those before the first that is new.
        return sum(self._note(observation) for observation in said) > 0

    def forget(self, said: Iterable[Observation]) -> None:
        """As if it had never been said, for it could not be kept."""
        for observation in said:
            self._last.pop(_name(observation), None)

    def _note(self, observation: Observation) -> bool:
        name, says = _name(observation), hash(observation)
        known = self._last.pop(name, None)
        self._last[name] = says
        if len(self._last) > self._remembered:
            self._last.popitem(last=False)
        return known != says


def _name(observation: Observation) -> tuple[str, str, str | None]:
    return observation.provider, observation.generation_id, observation.account
