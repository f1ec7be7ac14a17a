"""Which of the two ways a request is executed."""

from collections.abc import Coroutine
from typing import Any

from interlock.gateway.context import CallContext, Sink
from interlock.gateway.dual.service import DualLlm
from interlock.gateway.single import SingleLlm

__all__ = ["Execution"]


class Execution:
    """Hands a request to the architecture of its session config."""

    def __init__(self, single: SingleLlm, dual: DualLlm) -> None:
        self._single = single
        self._dual = dual

    def run(self, ctx: CallContext, sink: Sink) -> Coroutine[Any, Any, None]:
        """Answers one request on `sink`; see `SingleLlm.run` and `DualLlm.run`."""
        if ctx.config.arch == "single-llm":
            return self._single.run(ctx, sink)
        return self._dual.run(ctx, sink)
