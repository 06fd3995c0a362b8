"""Started by a service manager: the listening sockets it hands over, and telling it how we stand.

The protocols are sd_listen_fds(3) and sd_notify(3). A socket that the manager holds stays open
while the whole service is started again, so that nobody is refused even then.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, MutableMapping
from contextlib import suppress

from archiver.clock import monotonic
from archiver.errors import ConfigError

LISTENERS = ("public", "private", "gateway")
_FIRST_FD = 3
_LISTEN_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
_NOTIFY_VARIABLE = "NOTIFY_SOCKET"


def handed_over(environ: Mapping[str, str], pid: int) -> dict[str, int]:
    """The descriptor of each listener that was handed to the process `pid`, by its name.

    Without names the first is the public one. Raises ConfigError for what cannot be told apart.
    """
    if environ.get("LISTEN_PID") != str(pid):
        return {}
    count = environ.get("LISTEN_FDS", "")
    if not (count.isascii() and count.isdecimal()):
        raise ConfigError(f"LISTEN_FDS = {count!r} is no number: let a service manager set it")
    given = environ.get("LISTEN_FDNAMES")
    names = given.split(":") if given else LISTENERS[: int(count)]
    if len(names) != int(count) or len({*names} & {*LISTENERS}) != len(names):
        raise ConfigError(
            f"{count} sockets called {given!r} were handed over: let one .socket unit at most say "
            "FileDescriptorName=public and one FileDescriptorName=private, each with a single "
            "ListenStream=HOST:PORT"
        )
    return {name: _FIRST_FD + index for index, name in enumerate(names)}


def adopt(descriptors: Mapping[str, int]) -> dict[str, socket.socket]:
    """The sockets behind descriptors; raises ConfigError unless each listens on an IP address."""
    sockets = {}
    for name, descriptor in descriptors.items():
        listener = _listener(descriptor)
        if listener is None:
            raise ConfigError(
                f"the socket {name} that was handed over (descriptor {descriptor}) is no listening "
                "TCP socket: let its .socket unit say ListenStream=HOST:PORT, and not Accept=yes"
            )
        sockets[name] = listener
    return sockets


def take_over(environ: MutableMapping[str, str]) -> dict[str, socket.socket]:
    """The sockets handed to this process by name; no child hears of them from `environ`."""
    try:
        return adopt(handed_over(environ, os.getpid()))
    finally:
        for variable in _LISTEN_VARIABLES:
            environ.pop(variable, None)


class Notifier:
    """Tells the service manager how the service stands, if one wants to hear; no child does."""

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        address = environ.pop(_NOTIFY_VARIABLE, "")
        # An @ stands for the zero byte that begins an abstract name (unix(7)).
        self._address = "\0" + address[1:] if address.startswith("@") else address

    def ready(self) -> None:
        """All roles serve."""
        self._tell(b"READY=1")

    def reloading(self) -> None:
        """The configuration is being read anew; `ready` says when that is over."""
        self._tell(b"RELOADING=1\nMONOTONIC_USEC=%d" % (monotonic() * 1_000_000))

    def stopping(self) -> None:
        """The roles have been told to end."""
        self._tell(b"STOPPING=1")

    def _tell(self, state: bytes) -> None:
        if not self._address:
            return
        # A manager that does not listen is its own trouble, and no reason to fail.
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.sendto(state, self._address)


def _listener(descriptor: int) -> socket.socket | None:
    try:
        given = socket.socket(fileno=descriptor)
    except OSError:
        return None
    ip = given.family in (socket.AF_INET, socket.AF_INET6) and given.type == socket.SOCK_STREAM
    if ip and given.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        return given
    given.close()
    return None
