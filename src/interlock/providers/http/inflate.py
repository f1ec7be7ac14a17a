"""Undoing a compression nobody asked for (we send `accept-encoding: identity`).

Bounded: one piece off the network never becomes more than `MAX_PIECE_BYTES`, so a
small hostile answer cannot fill the memory.
"""

import zlib

__all__ = ["MAX_PIECE_BYTES", "InflateError", "Inflater"]

MAX_PIECE_BYTES = 16 << 20
_GZIP = 16 + zlib.MAX_WBITS


class InflateError(Exception):
    """The compressed body is damaged, or grows beyond all measure."""

    def __init__(self, message: str, *, too_large: bool = False) -> None:
        super().__init__(message)
        self.too_large = too_large


class Inflater:
    """Incremental gzip or deflate decoder for one body."""

    __slots__ = ("_gzip", "_inner", "_started")

    def __init__(self, *, gzip: bool) -> None:
        self._gzip = gzip
        self._inner = zlib.decompressobj(_GZIP if gzip else zlib.MAX_WBITS)
        self._started = False

    @classmethod
    def for_coding(cls, coding: bytes) -> "Inflater | None":
        """A decoder for a Content-Encoding value; None for identity.

        Raises:
            InflateError: a coding we neither offered nor know, or several.
        """
        name = coding.strip().lower()
        if name in (b"", b"identity"):
            return None
        if name in (b"gzip", b"x-gzip"):
            return cls(gzip=True)
        if name == b"deflate":
            return cls(gzip=False)
        msg = "content-encoding is not one of gzip, deflate, identity"
        raise InflateError(msg)

    def feed(self, data: bytes) -> bytes:
        """Decoded bytes for the next piece. Raises InflateError."""
        if not self._started:
            self._started = True
            if not self._gzip and not _zlib_header(data):
                self._inner = zlib.decompressobj(-zlib.MAX_WBITS)
        out = bytearray()
        while data:
            room = MAX_PIECE_BYTES - len(out)
            try:
                out += self._inner.decompress(data, room + 1)
            except zlib.error:
                msg = "compressed body is damaged"
                raise InflateError(msg) from None
            if len(out) > MAX_PIECE_BYTES or self._inner.unconsumed_tail:
                msg = "compressed body grows too much"
                raise InflateError(msg, too_large=True)
            data = self._inner.unused_data
            if data and not self._gzip:
                msg = "compressed body has trailing bytes"
                raise InflateError(msg)
            if data:
                self._inner = zlib.decompressobj(_GZIP)
        return bytes(out)

    def complete(self) -> bool:
        """Whether the compressed data ended where it said it would."""
        return self._inner.eof or not self._started


def _zlib_header(data: bytes) -> bool:
    """Whether deflate data has the zlib wrapper (RFC 1950); some servers leave it out."""
    if data[0] & 0x0F != 8:
        return False
    return len(data) < 2 or ((data[0] << 8) | data[1]) % 31 == 0
