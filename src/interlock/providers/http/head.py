"""Request heads: origins, fixed prefixes, and header lines nobody can inject into."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar
from urllib.parse import urlsplit

from interlock.kernel.errors import ErrorKind, InterlockError

__all__ = ["BadHeaderError", "Origin", "Prepared", "header_lines"]

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_TARGET = re.compile(r"[\x21-\x7e]+")


class BadHeaderError(InterlockError):
    """A header that must not be written to a connection; the value is not repeated."""

    kind: ClassVar[ErrorKind] = ErrorKind.INVALID
    code: ClassVar[str] = "invalid_header"

    def __init__(self, name: str) -> None:
        shown = name if _NAME.fullmatch(name) else "?"
        super().__init__(
            f"header `{shown}` holds characters that may not stand in a header", param=shown
        )


@dataclass(frozen=True, slots=True)
class Origin:
    """Where connections go: scheme, host and port."""

    scheme: str
    host: str
    port: int

    @classmethod
    def parse(cls, url: str) -> "Origin":
        """The origin of an absolute http or https URL.

        Raises:
            ValueError: not such a URL, or a port out of range.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            msg = "not an http or https URL"
            raise ValueError(msg)
        port = parts.port
        if port is None:
            port = 443 if parts.scheme == "https" else 80
        return cls(parts.scheme, parts.hostname, port)

    @property
    def authority(self) -> str:
        """Value of the Host header: the port only where it is not the default."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = 443 if self.scheme == "https" else 80
        return host if self.port == default else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


@dataclass(frozen=True, slots=True)
class Prepared:
    """The part of a request that is the same every time; made once per endpoint.

    `prefix` is the request line and the fixed headers, without a credential and
    without the lines that depend on the body.
    """

    method: str
    path: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    prefix: bytes = field(repr=False)

    @classmethod
    def make(
        cls, method: str, origin: Origin, path: str, headers: Iterable[tuple[str, str]] = ()
    ) -> "Prepared":
        """Builds the prefix. Raises BadHeaderError (also for a path with blanks or controls)."""
        if not _TARGET.fullmatch(path) or not path.startswith("/"):
            raise BadHeaderError("path")
        fixed = tuple(headers)
        host = f"{method} {path} HTTP/1.1\r\nhost: {origin.authority}\r\n".encode("ascii")
        return cls(method, path, fixed, host + header_lines(fixed))


def header_lines(headers: Iterable[tuple[str, str]]) -> bytes:
    """Header lines as bytes (latin-1), each ended by CR LF.

    Raises:
        BadHeaderError: a name that is no token, or a value with CR, LF, NUL, other
            control characters, or characters beyond latin-1.
    """
    lines = []
    for name, value in headers:
        if _NAME.fullmatch(name) is None or _VALUE.fullmatch(value) is None:
            raise BadHeaderError(name)
        lines.append(f"{name}: {value}\r\n")
    return "".join(lines).encode("latin-1")
