"""Values between the gateway and the upstreams: routes, calls, replies, faults.

Durations are seconds, sizes are bytes, prices are US dollars per million tokens.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Protocol

from interlock.kernel.errors import ErrorKind, InterlockError
from interlock.providers.wire.exchange import FormatName

__all__ = [
    "Operation",
    "Price",
    "Reply",
    "Route",
    "Suffix",
    "Target",
    "UpstreamError",
    "Upstreams",
]

Operation = Literal["generate", "embeddings", "models", "count_tokens"]
Suffix = Literal["chat/completions", "messages", "responses", "generate"]
"""Last part of a gateway path; it decides the default provider."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """Price of a model, US dollars per million tokens."""

    input: float = 0.0
    output: float = 0.0
    cache_read: float | None = None
    """None: same as input."""
    cache_write: float | None = None
    """None: same as input."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One deployment that can serve the request: where, as what, in which format."""

    provider: str
    """Name as configured (`openai`, `demo`, `ollama`, ...)."""
    deployment: str
    """Stable id for metrics, breakers and cooldown."""
    model: str
    """Model name the upstream knows."""
    formats: tuple[FormatName, ...]
    """Formats the upstream speaks, preferred first."""
    price: Price | None = None
    weight: float = 1.0
    """Share of the traffic of its group."""
    key: str | None = None
    """Name (not the secret) of the only key of the provider's pool to use; None: any."""

    def speaks(self, wanted: FormatName) -> FormatName:
        """The client's own format if the upstream knows it, else the preferred one."""
        return wanted if wanted in self.formats else self.formats[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What a (provider, model) pair resolves to; cached, immutable."""

    provider: str
    model: str
    groups: tuple[tuple[Target, ...], ...]
    """Ordered fail-over groups; within a group deployments are chosen by weight."""
    byok: str | None = field(default=None, repr=False)
    """The caller's own provider key: used for every attempt, never stored."""


class UpstreamError(InterlockError):
    """An upstream failed, after all attempts that were allowed.

    `status` is the upstream's (None: it never answered), `body` its answer cut to
    64 KiB with keys redacted, `retry_after_s` its hint. `code` is one of
    upstream_error, upstream_timeout, upstream_unreachable, upstream_truncated,
    upstream_malformed, upstream_too_large, upstream_authentication_error,
    rate_limit_exceeded, overloaded.
    """

    kind: ClassVar[ErrorKind] = ErrorKind.UPSTREAM
    code: ClassVar[str] = "upstream_error"

    def __init__(
        self,
        message: str,
        *,
        code: str = "upstream_error",
        kind: ErrorKind = ErrorKind.UPSTREAM,
        status: int | None = None,
        body: bytes = b"",
        retry_after_s: float | None = None,
        target: Target | None = None,
        attempts: int = 1,
    ) -> None:
        super().__init__(message, code=code, kind=kind, retry_after_s=retry_after_s)
        self.status = status
        self.body = body
        self.target = target
        self.attempts = attempts
        """Requests sent for it, over all targets."""


class Reply(Protocol):
    """A good upstream answer (status 2xx), open until it is read to the end or closed.

    The connection goes back to its pool when the body was read to its end, and is
    closed when `close` comes first (client gone): the upstream sees that at once.
    """

    status: int
    target: Target
    attempts: int

    @property
    def headers(self) -> Mapping[str, str]:
        """The answer's headers, lower-case names."""
        ...

    async def read(self) -> bytes:
        """The whole body. Raises UpstreamError: truncated, too large, idle time-out."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """Body pieces as they come. Raises UpstreamError as `read`."""
        ...

    def subscribe(
        self, on_data: Callable[[bytes], None], on_end: Callable[[UpstreamError | None], None]
    ) -> None:
        """Pushes pieces the moment they arrive, instead of `read` or `chunks`.

        What is already there is pushed before it returns. `on_end` is called exactly once,
        last; None: the body was complete. Neither may raise. Not called after `close`.
        """
        ...

    def pause(self) -> None:
        """Subscribers: take no more for now; the upstream is slowed down, never buffered."""
        ...

    def resume(self) -> None:
        """Undoes `pause`."""
        ...

    def close(self) -> None:
        """Gives the body up; idempotent."""
        ...

    def clean(self, said: bytes) -> bytes:
        """What the upstream said went wrong, without the keys it was sent."""
        ...


class Upstreams(Protocol):
    """The providers as the gateway sees them."""

    def resolve(
        self,
        provider: str | None,
        model: str,
        *,
        operation: Operation = "generate",
        byok: str | None = None,
        suffix: Suffix = "chat/completions",
    ) -> Route:
        """Targets for a model name or alias; `provider` None: the default for `suffix`.

        With `byok` only the provider asked for is ever a target, whatever an alias says.

        Raises (InterlockError): not_found for an unknown provider, `provider_not_configured`
        (unavailable) for one without upstream, `model_not_allowed` (invalid) when the
        allow-list lacks the model and there is no `byok`; `operation_unsupported`
        (unsupported) when the provider has no such call; `byok_not_allowed` (forbidden).
        """
        ...

    def default_provider(self, suffix: Suffix, *, byok: bool = False) -> str:
        """Provider of a path that names none.

        The one set for the suffix, else the published default if it can be used, else a
        configured one (preferring those that speak the suffix's format), else `demo`. With
        the caller's own key: never one the caller could not have meant.
        """
        ...

    async def send(
        self,
        route: Route,
        build: Callable[[Target, FormatName], bytes],
        *,
        want: FormatName,
        operation: Operation = "generate",
        stream: bool = False,
        headers: Sequence[tuple[str, str]] = (),
    ) -> Reply:
        """Sends to the best target, failing over while the caller has seen nothing.

        `build` makes the body for a target and is called once per target tried.
        `headers` are passed on as they are (already filtered by the gateway). For a
        stream it returns when the first body bytes are there. Raises UpstreamError;
        cancelling it closes the upstream connection at once.
        """
        ...

    def models(self, provider: str | None) -> Sequence[str]:
        """Model names and aliases the server offers, for `GET .../v1/models`."""
        ...
