"""Which session a request belongs to.

Source: gateway.md section 7.2.
"""

from collections.abc import Sequence

from interlock.gateway.context import CallContext
from interlock.gateway.errors import MixedSessionsError, ToolCallNotFoundError
from interlock.gateway.ids import CallId, parse_call_id
from interlock.gateway.responses import ResponseStore
from interlock.gateway.session import LiveSession, SessionNotFoundError, Sessions
from interlock.kernel.clock import Clock
from interlock.providers.wire.relay.called import called_ids

__all__ = ["SessionFinder"]


class SessionFinder:
    """Finds the session of a request, or begins one."""

    def __init__(self, *, sessions: Sessions, responses: ResponseStore, clock: Clock) -> None:
        self._sessions = sessions
        self._responses = responses
        self._clock = clock

    async def session_of(self, ctx: CallContext) -> LiveSession:
        """The session of the request, a new one if nothing names one (gateway.md, 7.2)."""
        head = ctx.head
        named: list[CallId] = []
        by_call: LiveSession | None = None
        if head.results:
            named = [call for item in head.results if (call := parse_call_id(item.call_id))]
        if ctx.place is not None:
            session = await self._sessions.of_place(ctx.place, ctx.key, ctx.config.endpoint)
            _check_known(session, named)
            return session
        if named:
            by_call = await self._of_calls(ctx, named)
        if ctx.session_header:
            session = await self._sessions.get(ctx.session_header, ctx.key, ctx.config.endpoint)
            if by_call is not None and by_call is not session:
                raise ToolCallNotFoundError(named[0].canonical)
            return session
        if by_call is not None:
            return by_call
        if head.previous_response_id:
            found = await self._responses.session_of(ctx, head.previous_response_id)
            if found is not None:
                return await self._sessions.get(found, ctx.key, ctx.config.endpoint)
        elif head.conversation:
            # The provider keeps the history, so nothing else in the request names it.
            hint = f"conversation\0{head.conversation}"
            return await self._sessions.of_client(hint, ctx.key, ctx.config.endpoint)
        if ctx.client_session and ctx.config.endpoint == "code":
            hint = ctx.client_session
            return await self._sessions.of_client(hint, ctx.key, ctx.config.endpoint)
        if head.has_history:
            earlier = await self._of_history(ctx)
            if earlier is not None:
                return earlier
        now = self._clock.now().timestamp()
        return self._sessions.create(ctx.key, ctx.config.endpoint, now)

    async def _of_history(self, ctx: CallContext) -> LiveSession | None:
        """The session of the newest call of ours in the history, if it still goes on.

        A client that names no session but resends a conversation with our calls in it
        keeps the labels of that conversation.
        """
        head = ctx.head
        for call_id in called_ids(head.format, head.body):
            ours = parse_call_id(call_id)
            if ours is None:
                continue
            try:
                return await self._sessions.of_call(ours, ctx.key, ctx.config.endpoint)
            except SessionNotFoundError:
                return None
        return None

    async def _of_calls(self, ctx: CallContext, named: Sequence[CallId]) -> LiveSession:
        if len({call.suffix for call in named}) > 1:
            raise MixedSessionsError
        session = await self._sessions.of_call(named[0], ctx.key, ctx.config.endpoint)
        _check_known(session, named)
        return session


def _check_known(session: LiveSession, named: Sequence[CallId]) -> None:
    """Raises ToolCallNotFoundError for a call the session did not make."""
    for call in named:
        if call.canonical not in session.state.calls:
            raise ToolCallNotFoundError(call.canonical)
