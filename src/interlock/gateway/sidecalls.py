"""Model calls that are not conversations: embeddings and token counting.

They pass the same door: allow-list, key, retries, metering. No policy applies because
no tool call can come of them.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import msgspec

from interlock.gateway.context import CallContext
from interlock.gateway.ledger import Ledger, Meter, estimate_tokens
from interlock.gateway.scopes import permitted
from interlock.kernel.errors import ErrorKind, InterlockError
from interlock.providers.model import Operation, Target, Upstreams
from interlock.providers.wire.errors import InvalidRequestError, MalformedAnswerError
from interlock.providers.wire.exchange import FormatName
from interlock.providers.wire.model import Usage

__all__ = ["SideCalls", "object_body"]


def object_body(body: bytes) -> dict[str, Any]:
    """A request body that must be a JSON object naming a model. Raises InvalidRequestError."""
    try:
        tree = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise InvalidRequestError(f"Invalid JSON: {exc}") from None
    if not isinstance(tree, dict):
        raise InvalidRequestError("the body must be a JSON object")
    if not isinstance(tree.get("model"), str) or not tree["model"]:
        raise InvalidRequestError("`model` must be a non-empty string", param="model")
    return tree


class SideCalls:
    """Relays embeddings and token counts."""

    def __init__(
        self,
        *,
        upstreams: Upstreams,
        ledger: Ledger,
        status_of: Callable[[InterlockError], int],
    ) -> None:
        self._upstreams = upstreams
        self._ledger = ledger
        self._status_of = status_of

    async def embeddings(self, ctx: CallContext) -> bytes:
        """The upstream's answer to an embeddings request, metered.

        Raises InvalidRequestError, MalformedAnswerError and UpstreamError.
        """
        tree = object_body(ctx.head.body)
        if "input" not in tree:
            raise InvalidRequestError("`input` is required", param="input")
        data, target, meter = await self._relay(ctx, tree, "embeddings")
        status, error = 200, None
        try:
            answer = msgspec.json.decode(data)
            tokens = answer.get("usage", {}).get("prompt_tokens")
        except (msgspec.DecodeError, AttributeError):
            status, error = 502, "upstream_malformed"
            raise MalformedAnswerError("the upstream's embeddings are not a JSON object") from None
        finally:
            if error is not None:
                self._ledger.close(ctx, meter, session_id=None, status=status, error=error)
        if not isinstance(tokens, int):
            size = len(msgspec.json.encode(tree["input"]))
            meter.add(Usage(input=estimate_tokens(size), estimated=True), target)
        else:
            meter.add(Usage(input=tokens), target)
        self._ledger.close(ctx, meter, session_id=None, status=200)
        return data

    async def count_tokens(self, ctx: CallContext) -> bytes | None:
        """The upstream's own count; None when it cannot count and we must estimate."""
        tree = object_body(ctx.head.body)
        try:
            route = self._upstreams.resolve(
                ctx.provider, tree["model"], operation="count_tokens", byok=ctx.byok
            )
        except InterlockError as exc:
            if exc.error_kind is not ErrorKind.UNSUPPORTED:
                raise
            return None
        if not any("messages" in target.formats for group in route.groups for target in group):
            return None
        try:
            data, _, _ = await self._relay(ctx, tree, "count_tokens")
        except InterlockError:
            return None
        return data

    async def _relay(
        self, ctx: CallContext, tree: dict[str, Any], operation: Operation
    ) -> tuple[bytes, Target, Meter]:
        meter = Meter(began=time.perf_counter())

        def build(target: Target, name: FormatName) -> bytes:
            del name
            if target.model == tree["model"]:
                return ctx.head.body
            return msgspec.json.encode({**tree, "model": target.model})

        try:
            route = self._upstreams.resolve(
                ctx.provider, tree["model"], operation=operation, byok=ctx.byok
            )
            reply = await self._upstreams.send(
                permitted(route, ctx.key),
                build,
                want=ctx.head.format,
                operation=operation,
                headers=ctx.forward,
            )
            meter.attempts, meter.target = reply.attempts, reply.target
            try:
                data = await reply.read()
            finally:
                reply.close()
        except asyncio.CancelledError:
            self._ledger.close(ctx, meter, session_id=None, status=499, error="client_gone")
            raise
        except InterlockError as exc:
            status = self._status_of(exc)
            self._ledger.close(ctx, meter, session_id=None, status=status, error=exc.error_code)
            raise
        meter.upstream_s = time.perf_counter() - meter.began
        return data, reply.target, meter
