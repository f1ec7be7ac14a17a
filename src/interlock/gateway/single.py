"""Single-LLM execution: one model plans and acts, the gateway decides its tool traffic.

`SingleLlm.run` answers one request: `finding` its session, `preparing` what is sent, then
one of the two drivers, `whole` or `streamed`, over `rounds`. Same format on both sides and
nothing to change: the body goes out as received and the answer comes back as received;
only tool calls are held until they are decided.

Source: gateway.md sections 7 and 9; architecture.md section 5.
"""

import time

from interlock.gateway.context import CallContext, Sink
from interlock.gateway.errors import DualOnlyError
from interlock.gateway.ledger import Meter
from interlock.gateway.parts import Parts
from interlock.gateway.preparing import Preparer
from interlock.gateway.rounds import Rounds
from interlock.gateway.rules import Rules
from interlock.gateway.session import LiveSession
from interlock.gateway.streamed import StreamedAnswers
from interlock.gateway.whole import WholeAnswers

__all__ = ["SingleLlm"]


class SingleLlm:
    """Answers requests in single-llm mode."""

    def __init__(self, parts: Parts) -> None:
        self._sessions = parts.sessions
        self._rules = parts.rules
        self._ledger = parts.ledger
        self._outcome_of = parts.outcome_of
        self._finder = parts.finder()
        self._preparer = Preparer(
            decider=parts.decider, pins=parts.pins, responses=parts.responses, roles=parts.roles
        )
        rounds = Rounds(sessions=parts.sessions, decider=parts.decider, upstreams=parts.upstreams)
        self._whole = WholeAnswers(rounds=rounds, responses=parts.responses)
        self._streamed = StreamedAnswers(rounds=rounds, responses=parts.responses)

    async def run(self, ctx: CallContext, sink: Sink) -> None:
        """Answers one request on `sink`.

        Raises InterlockError while nothing was sent; later failures end the stream in
        the client's format. Cancelled when the client goes away: the upstream call is
        closed at once and what was used so far is recorded.
        """
        meter = Meter(began=time.perf_counter())
        session_id: str | None = None
        status, error = 200, None
        try:
            if ctx.head.dual_only:
                raise DualOnlyError(ctx.head.dual_only[0])
            rules = self._rules.of(ctx.config, ctx.key)
            session = await self._finder.session_of(ctx)
            session_id = session.id
            error = await self._answer(ctx, sink, session, rules, meter)
        except BaseException as exc:
            status, error = self._outcome_of(exc)
            raise
        finally:
            self._ledger.close(ctx, meter, session_id=session_id, status=status, error=error)

    async def _answer(
        self, ctx: CallContext, sink: Sink, session: LiveSession, rules: Rules, meter: Meter
    ) -> str | None:
        """Prepares, sends, decides, stores. Returns the code of an in-stream failure."""
        async with self._sessions.locked(session):
            run = await self._preparer.prepare(ctx, session, rules, meter)
        if ctx.head.stream:
            return await self._streamed.run(run, sink)
        await self._whole.run(run, sink)
        return None
