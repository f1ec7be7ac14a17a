"""Turns what happened in a request into its usage record: tokens, price, times.

Source: gateway.md section 17. Prices are US dollars per million tokens.
"""

import time
from typing import Protocol

from msgspec import Struct

from interlock.gateway.context import CallContext
from interlock.gateway.records import Recorder, UsageRecord
from interlock.kernel.clock import Clock
from interlock.providers.model import Price, Target
from interlock.providers.wire.model import Usage

__all__ = ["Ledger", "Meter", "UsageCounter", "added", "cost_of", "estimate_tokens"]

_MILLION = 1_000_000.0
_CHARS_PER_TOKEN = 4


class UsageCounter(Protocol):
    """Where usage is counted: metrics, limits."""

    def used(self, record: UsageRecord) -> None:
        """One more request."""
        ...


class Meter(Struct, kw_only=True):
    """Running totals of one request."""

    began: float
    """`time.perf_counter()` at the start."""
    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0
    cost: float | None = None
    estimated: bool = False
    attempts: int = 0
    upstream_s: float = 0.0
    first_byte_s: float | None = None
    target: Target | None = None
    sent: int = 0
    """Bytes handed to the client, for estimates."""
    dropped: tuple[str, ...] = ()
    metered: bool = False

    def add(self, usage: Usage, target: Target) -> None:
        """Adds the tokens of one upstream answer."""
        self.metered = True
        self.target = target
        self.input += usage.input
        self.output += usage.output
        self.cache_read += usage.cache_read
        self.cache_write += usage.cache_write
        self.reasoning += usage.reasoning
        self.estimated = self.estimated or usage.estimated
        if target.price is not None:
            self.cost = (self.cost or 0.0) + cost_of(usage, target.price)

    def total(self) -> Usage:
        """The sum, as reported to the client."""
        return Usage(
            input=self.input,
            output=self.output,
            cache_read=self.cache_read,
            cache_write=self.cache_write,
            reasoning=self.reasoning,
            estimated=self.estimated,
        )


def added(one: Usage, other: Usage) -> Usage:
    """The sum of two usages; estimated when either is."""
    return Usage(
        input=one.input + other.input,
        output=one.output + other.output,
        cache_read=one.cache_read + other.cache_read,
        cache_write=one.cache_write + other.cache_write,
        reasoning=one.reasoning + other.reasoning,
        estimated=one.estimated or other.estimated,
    )


def estimate_tokens(size: int) -> int:
    """Tokens of `size` bytes of text, when the upstream does not say."""
    return (size + _CHARS_PER_TOKEN - 1) // _CHARS_PER_TOKEN


def cost_of(usage: Usage, price: Price) -> float:
    """US dollars for the tokens of one answer; cached input has prices of its own."""
    read = price.input if price.cache_read is None else price.cache_read
    write = price.input if price.cache_write is None else price.cache_write
    plain = max(0, usage.input - usage.cache_read - usage.cache_write)
    return (
        plain * price.input
        + usage.cache_read * read
        + usage.cache_write * write
        + usage.output * price.output
    ) / _MILLION


class Ledger:
    """Writes usage records."""

    def __init__(
        self, *, recorder: Recorder, clock: Clock, counters: tuple[UsageCounter, ...]
    ) -> None:
        self._recorder = recorder
        self._clock = clock
        self._counters = counters

    def close(
        self,
        ctx: CallContext,
        meter: Meter,
        *,
        session_id: str | None,
        status: int,
        error: str | None = None,
        role: str = "main",
    ) -> None:
        """Writes the record of a finished request, once."""
        target = meter.target
        record = UsageRecord(
            request_id=ctx.request_id,
            at=self._clock.now().timestamp(),
            account_id=ctx.key.account_id,
            key_id=ctx.key.id,
            session_id=session_id,
            surface=ctx.key.surface,
            endpoint=ctx.endpoint,
            provider=target.provider if target is not None else (ctx.provider or ""),
            model=ctx.head.model,
            upstream_model=target.model if target is not None else "",
            role=role,
            stream=ctx.head.stream,
            status=status,
            error=error,
            input_tokens=meter.input,
            output_tokens=meter.output,
            cache_read_tokens=meter.cache_read,
            cache_write_tokens=meter.cache_write,
            reasoning_tokens=meter.reasoning,
            cost=meter.cost,
            estimated=meter.estimated,
            attempts=meter.attempts,
            duration_s=time.perf_counter() - meter.began,
            first_byte_s=meter.first_byte_s,
            upstream_s=meter.upstream_s,
            trace_id=ctx.trace_id,
            dropped=meter.dropped,
        )
        self._recorder.usage(record)
        for counter in self._counters:
            counter.used(record)
