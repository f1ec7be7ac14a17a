"""A good answer as the gateway gets it, over whichever transport it came."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from interlock.kernel.errors import ErrorKind
from interlock.providers.errors import transport_error
from interlock.providers.http.errors import TransportError
from interlock.providers.http.exchange import Exchange, HeaderView
from interlock.providers.model import Target, UpstreamError
from interlock.providers.redaction import without_keys

__all__ = ["UpstreamReply", "passable_headers"]

_PASSED = frozenset(
    {
        "request-id",
        "x-request-id",
        "retry-after",
        "retry-after-ms",
        "openai-processing-ms",
        "openai-version",
        "openai-organization",
        "cf-ray",
        "apim-request-id",
        "x-ms-region",
        "x-envoy-upstream-service-time",
    }
)
_PASSED_PREFIXES = ("x-ratelimit-", "anthropic-ratelimit-", "ratelimit-")


def passable_headers(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    """The upstream's headers a client may find useful: request ids and rate limits."""
    return [
        (name, value)
        for name, value in headers.items()
        if name in _PASSED or name.startswith(_PASSED_PREFIXES)
    ]


class _Chunks:
    """Iterates the body; a piece that is there costs no suspension."""

    __slots__ = ("_reply", "_take")

    def __init__(self, reply: "UpstreamReply", exchange: Exchange) -> None:
        self._reply = reply
        self._take = exchange.take

    def __aiter__(self) -> "_Chunks":
        return self

    async def __anext__(self) -> bytes:
        try:
            data = await self._take()
        except TransportError as fault:
            raise self._reply.error(fault) from None
        if data:
            return data
        raise StopAsyncIteration


class _Push:
    """An exchange's sink that calls two functions."""

    __slots__ = ("_on_data", "_on_end", "_reply", "data")

    def __init__(
        self,
        reply: "UpstreamReply",
        on_data: Callable[[bytes], None],
        on_end: Callable[[UpstreamError | None], None],
    ) -> None:
        self._reply = reply
        self.data = on_data
        self._on_end = on_end

    def end(self, fault: TransportError | None) -> None:
        self._on_end(None if fault is None else self._reply.error(fault))


class UpstreamReply:
    """See `model.Reply`."""

    __slots__ = ("_exchange", "_key", "_limit", "_more", "attempts", "status", "target")

    def __init__(  # noqa: PLR0917 - made in one place, for every answer
        self,
        exchange: Exchange,
        target: Target,
        attempts: int,
        limit: int,
        key: str = "",
        more: Sequence[str] = (),
    ) -> None:
        """`key` is the one that was used, `more` what else must not be shown."""
        self._key = key
        self._more = more
        self._exchange = exchange
        self._limit = limit
        self.status = exchange.status
        self.target = target
        self.attempts = attempts

    @property
    def headers(self) -> Mapping[str, str]:
        """See `model.Reply.headers`."""
        return HeaderView(self._exchange.raw)

    async def read(self) -> bytes:
        """See `model.Reply.read`."""
        exchange = self._exchange
        if exchange.done and exchange.fault is None:
            return exchange.collected()
        pieces = []
        size = 0
        async for piece in _Chunks(self, exchange):
            pieces.append(piece)
            size += len(piece)
            if size > self._limit:
                self.close()
                raise UpstreamError(
                    f"`{self.target.provider}`: answer is larger than {self._limit} bytes",
                    code="upstream_too_large",
                    kind=ErrorKind.UPSTREAM,
                    status=self.status,
                    target=self.target,
                    attempts=self.attempts,
                )
        return b"".join(pieces)

    def chunks(self) -> AsyncIterator[bytes]:
        """See `model.Reply.chunks`."""
        return _Chunks(self, self._exchange)

    def subscribe(
        self, on_data: Callable[[bytes], None], on_end: Callable[[UpstreamError | None], None]
    ) -> None:
        """See `model.Reply.subscribe`."""
        self._exchange.subscribe(_Push(self, on_data, on_end))

    def pause(self) -> None:
        """See `model.Reply.pause`."""
        self._exchange.pause()

    def resume(self) -> None:
        """See `model.Reply.resume`."""
        self._exchange.resume()

    def close(self) -> None:
        """See `model.Reply.close`."""
        self._exchange.close()

    def clean(self, said: bytes) -> bytes:
        """See `model.Reply.clean`."""
        return without_keys(said, (self._key, *self._more))

    def error(self, fault: TransportError) -> UpstreamError:
        """A failure in the middle of the body, in the words of the contract."""
        error, _ = transport_error(fault, self.target, unanswered=False)
        error.status = self.status
        error.attempts = self.attempts
        return error
