"""The client of one origin: a pool of connections and a door with a limit.

A reused connection that dies before the first byte of an answer was stale: the request
goes out once more on a fresh connection, and the caller never knows. Everything else
that fails is the caller's to judge (`TransportError.stage`).
"""

import asyncio
import ssl
from dataclasses import dataclass
from functools import lru_cache

from interlock.providers.http.connection import Connection
from interlock.providers.http.errors import TransportError
from interlock.providers.http.exchange import Exchange
from interlock.providers.http.gate import Gate
from interlock.providers.http.head import Origin, Prepared
from interlock.providers.http.tunnel import Proxy, open_tunnel
from interlock.providers.http.watchdog import Watchdog

__all__ = ["HttpClient", "HttpSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSettings:
    """Limits of one client. Times are seconds."""

    connect_s: float = 10.0
    first_byte_s: float = 300.0
    idle_s: float = 120.0
    keep_alive_s: float = 30.0
    """How long an unused connection is kept."""
    max_connections: int | None = 512
    queue_s: float = 10.0
    """How long a request may wait for one of them."""
    max_body_bytes: int = 64 << 20
    """Limit of an answer that is read as a whole; streams have none."""
    ca_file: str | None = None
    """PEM file of the only authorities to trust, instead of the system's."""
    proxy: Proxy | None = None


class HttpClient:
    """See the module. Must be used from one event loop."""

    def __init__(self, origin: Origin, settings: HttpSettings, *, watchdog: Watchdog) -> None:
        self.origin = origin
        self._settings = settings
        self._watchdog = watchdog
        self._gate = Gate(settings.max_connections, watchdog)
        self._idle: dict[Connection, None] = {}
        self._open: set[Connection] = set()
        self._watched = False
        self._tls = _tls(settings.ca_file) if origin.scheme == "https" else None
        self.deadline = 0.0
        """When the oldest unused connection has been kept long enough."""

    @property
    def idle(self) -> int:
        """Connections that wait for a request."""
        return len(self._idle)

    @property
    def connections(self) -> int:
        """All open connections."""
        return len(self._open)

    @property
    def busy(self) -> int:
        """Requests under way."""
        return self._gate.inside

    async def request(
        self, prepared: Prepared, lines: bytes, body: bytes, *, streaming: bool, deadline: float
    ) -> Exchange:
        """Sends a request and waits for its answer.

        `lines` are the headers of this request alone (credential included). Streaming: returns with
        the first body bytes of a 2xx answer, else (and always for other statuses) with
        the whole body. `deadline` (watchdog's clock) holds until the body has ended.

        Raises TransportError. Cancelled: the connection is closed at once.
        """
        gate = self._gate
        if not gate.try_enter():
            until = min(self._watchdog.now() + self._settings.queue_s, deadline)
            if not await gate.enter(deadline=until):
                raise TransportError(
                    f"all {gate.inside} connections to the upstream are busy",
                    code="overloaded",
                    stage="connect",
                )
        try:
            if body or prepared.method != "GET":
                head = b"%b%bcontent-length: %d\r\n\r\n" % (prepared.prefix, lines, len(body))
            else:
                head = b"%b%b\r\n" % (prepared.prefix, lines)
            pooled = self._pooled()
            connection = pooled or await self._connect(deadline)
            exchange = self._launch(connection, head, body, streaming, deadline)
            try:
                await exchange.opened()
            except TransportError as fault:
                if pooled is None or fault.error_code != "upstream_unreachable":
                    raise
                if fault.stage == "body":
                    raise
                connection = await self._connect(deadline)
                exchange = self._launch(connection, head, body, streaming, deadline)
                await exchange.opened()
        except BaseException:
            gate.leave()
            raise
        if exchange.done:
            gate.leave()
        else:
            exchange.released = gate.leave
        return exchange

    def close(self) -> None:
        """Closes every connection; exchanges under way fail as truncated or unreachable."""
        for connection in list(self._open):
            connection.shut()
        self._idle.clear()
        self._watchdog.forget(self)
        self._watched = False

    # -- what connections and the watchdog call ---------------------------------

    def reusable(self, connection: Connection) -> None:
        """A connection is idle and clean."""
        now = connection.idle_since = self._watchdog.now()
        self._idle[connection] = None
        if not self._watched:
            self._watched = True
            self.deadline = now + self._settings.keep_alive_s
            self._watchdog.watch(self)

    def gone(self, connection: Connection) -> None:
        """A connection is closed or closing."""
        self._idle.pop(connection, None)
        self._open.discard(connection)

    def expire(self, now: float) -> None:
        """The watchdog's call: closes connections nobody needed for long."""
        self._watched = False
        keep_s = self._settings.keep_alive_s
        for connection in [c for c in self._idle if c.idle_since + keep_s <= now]:
            connection.abandon()
        if self._idle:
            self._watched = True
            self.deadline = next(iter(self._idle)).idle_since + keep_s
            self._watchdog.watch(self)

    # -- inside -------------------------------------------------------------------

    def _launch(
        self, connection: Connection, head: bytes, body: bytes, streaming: bool, deadline: float
    ) -> Exchange:
        settings = self._settings
        exchange = Exchange(
            self._watchdog,
            streaming=streaming,
            limit=settings.max_body_bytes,
            first_byte_s=settings.first_byte_s,
            idle_s=settings.idle_s,
            deadline=deadline,
        )
        connection.start(exchange, head, body)
        return exchange

    def _pooled(self) -> Connection | None:
        """The connection used last, if it looks alive; the others are likelier to be stale."""
        oldest = self._watchdog.now() - self._settings.keep_alive_s
        while self._idle:
            connection, _ = self._idle.popitem()
            if connection.usable() and connection.idle_since > oldest:
                return connection
            connection.abandon()
        return None

    async def _connect(self, deadline: float) -> Connection:
        wait_s = min(self._settings.connect_s, deadline - self._watchdog.now())
        try:
            async with asyncio.timeout(wait_s):
                return await self._dial()
        except TimeoutError:
            raise TransportError(
                f"no connection to {self.origin} within {max(wait_s, 0):g} s",
                code="upstream_timeout",
                stage="connect",
            ) from None
        except ssl.SSLCertVerificationError as error:
            raise TransportError(
                f"certificate of {self.origin} is not trusted: {error.verify_message}",
                code="upstream_unreachable",
                stage="connect",
                permanent=True,
            ) from None
        except OSError as error:
            raise TransportError(
                f"no connection to {self.origin}: {error.strerror or type(error).__name__}",
                code="upstream_unreachable",
                stage="connect",
            ) from None

    async def _dial(self) -> Connection:
        loop = asyncio.get_running_loop()
        origin, proxy, connection = self.origin, self._settings.proxy, Connection(self)
        if self._tls is None:
            await loop.create_connection(lambda: connection, origin.host, origin.port)
        elif proxy is None:
            await loop.create_connection(
                lambda: connection,
                origin.host,
                origin.port,
                ssl=self._tls,
                server_hostname=origin.host,
            )
        else:
            plain = await open_tunnel(proxy, origin)
            try:
                secure = await loop.start_tls(
                    plain, connection, self._tls, server_hostname=origin.host
                )
            except BaseException:
                plain.abort()
                raise
            if secure is None:
                raise ConnectionResetError
            connection.attach(secure)
        self._open.add(connection)
        return connection


@lru_cache(maxsize=16)
def _tls(ca_file: str | None) -> ssl.SSLContext:
    """A client context: system authorities, or those of `ca_file` alone; HTTP/1.1 only."""
    context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context
