"""Recognises a request head that the parser has accepted before on the same connection.

A client repeats its head with every request; only `content-length` changes. Parsing it
again costs more than anything else about reading a request, so a connection keeps the
bytes of the last one and compares.

INVARIANT: `body_of` gives a body only for bytes that the parser would have read as
exactly this head, but for the value of its one `content-length`, and that body. What
differs in any other byte, or did not arrive whole, is the parser's.
"""

import re

from interlock.web.hot_request import HotHead

__all__ = ["MAX_HEAD_BYTES", "KnownHead"]

MAX_HEAD_BYTES = 16 << 10
"""Longer ones are parsed each time: every open connection keeps one."""

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,9})\r\n", re.IGNORECASE)
_MAX_DIGITS = 9
_SPECIAL = frozenset({b"expect", b"transfer-encoding", b"upgrade"})
"""Headers that change how a request or its connection is handled."""


class KnownHead:
    """A head cut in two around the value of its `content-length`."""

    __slots__ = ("_after", "_before", "_limit", "head")

    def __init__(self, head: HotHead, before: bytes, after: bytes, limit: int) -> None:
        self.head = head
        self._before = before
        self._after = after
        self._limit = limit

    @classmethod
    def of(cls, data: bytes, head: HotHead, *, body_limit: int) -> "KnownHead | None":
        """Of the bytes that the parser has just read `head` from; None: parse it again.

        `data` must begin where the request began. Only heads of one line per header
        with a `content-length` and without anything that asks for more than an answer
        are kept.
        """
        end = data.find(b"\r\n\r\n") + 4
        if not 4 <= end <= MAX_HEAD_BYTES:
            return None
        text = data[:end]
        lines = len(head.headers) + 2
        names = [name for name, _ in head.headers]
        found = _LENGTH.search(text)
        if (
            text.count(b"\n") != lines
            or text.count(b"\r\n") != lines
            or text.count(b"\r") != lines
            or names.count(b"content-length") != 1
            or not _SPECIAL.isdisjoint(names)
            or found is None
        ):
            return None
        return cls(head, text[: found.start(1)], text[found.end(1) :], body_limit)

    def body_of(self, data: bytes) -> bytes | None:
        """The body, if `data` is exactly one request with this head."""
        before, after = self._before, self._after
        if not data.startswith(before):
            return None
        start = len(before)
        end = data.find(b"\r", start, start + _MAX_DIGITS + 1)
        digits = data[start:end]
        if end < 0 or not digits.isdigit() or not data.startswith(after, end):
            return None
        body = data[end + len(after) :]
        size = int(digits)
        return body if size == len(body) and size <= self._limit else None
