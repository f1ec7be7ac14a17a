"""Single-LLM execution: one model plans and acts, the gateway decides its tool traffic.

`SingleLlm.run` answers one request: `finding` its session, `preparing` what is sent, then
one of the two drivers, `whole` or `streamed`, over `rounds`. Same format on both sides and
nothing to change: the body goes out as received and the answer comes back as received;
only tool calls are held until they are decided.

Source: gateway.md sections 7 and 9; architecture.md section 5.
"""

import asyncio
import time
from collections.abc import Callable

from interlock.gateway.context import CallContext, Sink
from interlock.gateway.deciding import Decider
from interlock.gateway.errors import DualOnlyError
from interlock.gateway.finding import SessionFinder
from interlock.gateway.ledger import Ledger, Meter
from interlock.gateway.pinning import ToolPins
from interlock.gateway.preparing import Preparer
from interlock.gateway.responses import ResponseStore
from interlock.gateway.roles import Roles
from interlock.gateway.rounds import Rounds
from interlock.gateway.rules import Rules, RulesCache
from interlock.gateway.session import LiveSession, Sessions
from interlock.gateway.streamed import StreamedAnswers
from interlock.gateway.whole import WholeAnswers
from interlock.kernel.clock import Clock
from interlock.kernel.errors import InterlockError
from interlock.providers.model import Upstreams

__all__ = ["SingleLlm"]

_CLIENT_GONE = 499


class SingleLlm:
    """Answers requests in single-llm mode."""

    def __init__(
        self,
        *,
        sessions: Sessions,
        rules: RulesCache,
        decider: Decider,
        upstreams: Upstreams,
        ledger: Ledger,
        pins: ToolPins,
        responses: ResponseStore,
        roles: Roles,
        clock: Clock,
        status_of: Callable[[InterlockError], int],
    ) -> None:
        self._sessions = sessions
        self._rules = rules
        self._ledger = ledger
        self._status_of = status_of
        self._finder = SessionFinder(sessions=sessions, responses=responses, clock=clock)
        self._preparer = Preparer(decider=decider, pins=pins, responses=responses, roles=roles)
        rounds = Rounds(sessions=sessions, decider=decider, upstreams=upstreams)
        self._whole = WholeAnswers(rounds=rounds, responses=responses)
        self._streamed = StreamedAnswers(rounds=rounds, responses=responses)

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
        except asyncio.CancelledError:
            status, error = _CLIENT_GONE, "client_gone"
            raise
        except InterlockError as exc:
            status, error = self._status_of(exc), exc.error_code
            raise
        except Exception:
            status, error = 500, "internal_error"
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
