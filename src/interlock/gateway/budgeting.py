"""Holds every model call of a request against the budgets of its caller.

Callers without a budget pay a few dictionary lookups. For the others the call reserves what it
may cost - its text, the longest answer it asks for, the price of its model - and what all
models it asked did cost takes the place of that when the request ends, however it ends.
"""

from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
from msgspec import Struct

from interlock.gateway.context import CallContext, Sink
from interlock.gateway.door import Executor
from interlock.gateway.ledger import cost_of, estimate_tokens
from interlock.gateway.records import UsageRecord
from interlock.kernel.errors import InterlockError
from interlock.limits.budgets.model import Estimate
from interlock.limits.budgets.service import Budgets, Held
from interlock.providers.model import Price, Upstreams
from interlock.providers.wire.model import Usage

__all__ = ["BUDGET_HEADER", "BudgetCounter", "Budgeted", "held"]

BUDGET_HEADER: Final = "X-Interlock-Budget"
"""Tells a caller that a budget is nearly or wholly used; one per budget."""
_OUTPUT: Final = 1_000
"""Tokens an answer is taken to have when the request says nothing."""
_MOST_OUTPUT: Final = 200_000


class _Asked(Struct):
    """What a request says about the length of its answer, in any of the three formats."""

    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    max_output_tokens: int | None = None
    n: int | None = None


class BudgetCounter:
    """Counts what requests use against what they hold: a `UsageCounter`."""

    def __init__(self, budgets: Budgets) -> None:
        self._budgets = budgets

    def used(self, record: UsageRecord) -> None:
        """See `UsageCounter.used`."""
        self._budgets.used(
            record.request_id,
            tokens=record.input_tokens + record.output_tokens,
            usd=record.cost,
        )


class Budgeted:
    """An executor whose requests keep within budgets."""

    def __init__(self, inner: Executor, budgets: Budgets, upstreams: Upstreams) -> None:
        self._inner = inner
        self._budgets = budgets
        self._upstreams = upstreams

    def run(self, ctx: CallContext, sink: Sink) -> Coroutine[Any, Any, None]:
        """Answers one request on `sink`; raises what `Budgets.hold` raises before it begins."""
        if not self._budgets.needs(ctx.key):
            return self._inner.run(ctx, sink)  # type: ignore[return-value] # a coroutine there too
        return self._within(ctx, sink)

    async def _within(self, ctx: CallContext, sink: Sink) -> None:
        async with held(self._budgets, self._upstreams, ctx) as mine:
            if mine is not None:
                for text in mine.warnings:
                    sink.note(BUDGET_HEADER, text)
            await self._inner.run(ctx, sink)


@asynccontextmanager
async def held(
    budgets: Budgets, upstreams: Upstreams, ctx: CallContext
) -> AsyncIterator[Held | None]:
    """Reserves for a request and settles it; None where no budget holds.

    Sets the model that is asked instead, where a budget says so.
    """
    needs = budgets.needs(ctx.key)
    if not needs:
        yield None
        return
    mine = await budgets.hold(ctx.request_id, ctx.key, needs, _estimate(ctx, upstreams))
    ctx.instead = mine.model
    try:
        yield mine
    finally:
        budgets.settle(mine)


def _estimate(ctx: CallContext, upstreams: Upstreams) -> Estimate:
    asked = _asked(ctx.head.body)
    given = asked.max_output_tokens or asked.max_completion_tokens or asked.max_tokens or _OUTPUT
    answers = min(max(asked.n or 1, 1), 128)
    output = min(max(given, 0), _MOST_OUTPUT) * answers
    usage = Usage(input=estimate_tokens(len(ctx.head.body)), output=output)
    price = _price(ctx, upstreams)
    return Estimate(
        usd=0.0 if price is None else cost_of(usage, price),
        tokens=float(usage.input + usage.output),
    )


def _asked(body: bytes) -> _Asked:
    try:
        return msgspec.json.decode(body, type=_Asked)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _Asked()  # who reads the body says what is wrong with it


def _price(ctx: CallContext, upstreams: Upstreams) -> Price | None:
    """The price of the first deployment that would answer; None: unknown."""
    try:
        route = upstreams.resolve(
            ctx.provider, ctx.head.model.split(",", 1)[0].strip(), byok=ctx.byok
        )
    except InterlockError:
        return None  # who sends the request says what is wrong with its model
    return next((one.price for group in route.groups for one in group), None)
