"""Reaching an upstream through an HTTP proxy: one CONNECT, then TLS inside.

Only https upstreams go through a proxy, and only proxies reached over plain HTTP are
known; that is what `HTTPS_PROXY` means everywhere.
"""

import asyncio
import base64
import re
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from interlock.providers.http.errors import TransportError
from interlock.providers.http.head import Origin

__all__ = ["Proxy", "open_tunnel"]

_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})(?: |\r\n)")
_MAX_ANSWER_BYTES = 16 << 10


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy: where it listens, and who we are to it."""

    host: str
    port: int
    credentials: str | None = field(default=None, repr=False)
    """`user:password`, or None."""

    @classmethod
    def parse(cls, url: str) -> "Proxy":
        """A proxy from `http://[user:password@]host:port`.

        Raises:
            ValueError: another scheme, or no host.
        """
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            msg = "not a URL of the form http://[user:password@]host:port"
            raise ValueError(msg)
        credentials = None
        if parts.username is not None:
            credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        return cls(parts.hostname, parts.port or 80, credentials)


class _Handshake(asyncio.Protocol):
    """Waits for the proxy's answer to CONNECT."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._seen = b""

    def data_received(self, data: bytes) -> None:
        self._seen += data
        end = self._seen.find(b"\r\n\r\n")
        if end < 0:
            if len(self._seen) > _MAX_ANSWER_BYTES:
                self._fail("proxy sent an endless answer")
            return
        found = _STATUS.match(self._seen)
        if found is None or end + 4 != len(self._seen):
            self._fail("proxy did not answer in HTTP")
        elif not found[1].startswith(b"2"):
            self._fail(f"proxy refused the connection with status {found[1].decode()}")
        elif not self.answer.done():
            self.answer.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail("proxy closed the connection")

    def _fail(self, message: str) -> None:
        if not self.answer.done():
            self.answer.set_exception(
                TransportError(message, code="upstream_unreachable", stage="connect")
            )


async def open_tunnel(proxy: Proxy, origin: Origin) -> asyncio.Transport:
    """A transport to `origin` through `proxy`, before TLS.

    Raises OSError (proxy not reachable) or TransportError (proxy refused).
    """
    loop = asyncio.get_running_loop()
    transport, handshake = await loop.create_connection(_Handshake, proxy.host, proxy.port)
    try:
        host = f"[{origin.host}]" if ":" in origin.host else origin.host
        target = f"{host}:{origin.port}"
        lines = f"CONNECT {target} HTTP/1.1\r\nhost: {target}\r\n"
        if proxy.credentials is not None:
            token = base64.b64encode(proxy.credentials.encode()).decode("ascii")
            lines += f"proxy-authorization: Basic {token}\r\n"
        transport.write(f"{lines}\r\n".encode("ascii"))
        await handshake.answer
    except BaseException:
        handshake.answer.cancel()
        transport.abort()
        raise
    return transport
