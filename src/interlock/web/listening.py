"""The sockets a server listens on, opened before anything else happens.

A port that is taken is the most frequent fault of a first start. It must be found before
the start makes an administrator, whose password is shown only once and only by a server
that serves.
"""

import os
import socket
from collections.abc import Sequence
from typing import ClassVar

from interlock.kernel.errors import ErrorKind, InterlockError

__all__ = ["ListenError", "open_sockets"]


class ListenError(InterlockError):
    """Raised when an address cannot be listened on."""

    kind: ClassVar[ErrorKind] = ErrorKind.INVALID
    code: ClassVar[str] = "cannot_listen"

    def __init__(self, host: str, port: int, reason: str) -> None:
        super().__init__(
            f"cannot listen on {host} port {port}: {reason}",
            hint="`--port 0` takes a free port, `--host` another address of this machine",
        )


def open_sockets(host: str, port: int) -> Sequence[socket.socket]:
    """Bound sockets, one for each address of `host`; the caller closes them.

    They do not accept yet: nobody is served before the server listens. With port 0 all of
    them have the port the first one got. Blocks while a host name is looked up.

    Raises:
        ListenError: the host is unknown, or the port is taken or not allowed.
    """
    opened: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        for family, kind, protocol, _, address in dict.fromkeys(found):
            same = opened[0].getsockname()[1] if opened else port
            place = (address[0], same, *address[2:])
            opened.append(_bound(family, kind, protocol, place))
    except OSError as error:
        for one in opened:
            one.close()
        reason = str(error.strerror or error)
        raise ListenError(host, port, reason[:1].lower() + reason[1:]) from error
    return opened


def _bound(family: int, kind: int, protocol: int, address: tuple[object, ...]) -> socket.socket:
    one = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":
            # A port of which old connections are still being closed is free.
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        one.bind(address)
    except OSError:
        one.close()
        raise
    return one
