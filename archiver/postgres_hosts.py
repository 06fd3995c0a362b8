"""Which of several servers that a URL names is asked first: the one that was found last.

Of the others one may be gone, and whoever asks it waits in vain, for each connection anew.
"""

from __future__ import annotations

from collections.abc import Mapping

_LISTS = ("host", "hostaddr", "port")
_DEFAULT_PORT = "5432"

Place = tuple[str, str]


def is_several(parameters: Mapping[str, object]) -> bool:
    """Whether the parameters of a connection name more than one server."""
    return _count(_lists(parameters)) > 1


def found_first(parameters: Mapping[str, object], found: Place | None) -> dict[str, str]:
    """The parameters that put the server at this host and port before the others; none where it is
    not among them, or the only one."""
    lists = _lists(parameters)
    count = _count(lists)
    places = [_place(lists, number) for number in range(count)]
    if count < 2 or found not in places:
        return {}
    first = places.index(found)
    order = [first, *(number for number in range(count) if number != first)]
    return {
        name: ",".join(values[number] for number in order)
        for name, values in lists.items()
        if len(values) == count
    }


def _lists(parameters: Mapping[str, object]) -> dict[str, list[str]]:
    said = {name: str(parameters.get(name) or "") for name in _LISTS}
    return {name: text.split(",") for name, text in said.items() if text}


def _count(lists: Mapping[str, list[str]]) -> int:
    return max((len(values) for values in lists.values()), default=0)


def _place(lists: Mapping[str, list[str]], number: int) -> Place:
    """A single port is that of all."""
    hosts = lists.get("host") or lists.get("hostaddr") or [""]
    ports = lists.get("port") or [_DEFAULT_PORT]
    port = ports[number] if number < len(ports) else ports[-1]
    return hosts[number] if number < len(hosts) else "", port or _DEFAULT_PORT
