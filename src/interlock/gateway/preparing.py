"""Preparing a request: results in, tools checked, and what the upstream's body must change.

Source: gateway.md sections 7 and 8.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from interlock.gateway.config import FsmConfig
from interlock.gateway.context import CallContext
from interlock.gateway.deciding import Decider
from interlock.gateway.errors import (
    MissingToolResultsError,
    SessionArchMismatchError,
    ToolNotAllowedError,
)
from interlock.gateway.ids import parse_call_id, upstream_alias
from interlock.gateway.ledger import Meter
from interlock.gateway.pinning import ToolPins
from interlock.gateway.responses import ResponseStore
from interlock.gateway.roles import Roles
from interlock.gateway.rounds import Run
from interlock.gateway.rules import Rules
from interlock.gateway.session import LiveSession, SessionNotFoundError
from interlock.providers.wire.exchange import Edits, Head, Reinsert
from interlock.providers.wire.model import Text, ToolCall
from interlock.providers.wire.registry import FORMATS
from interlock.providers.wire.relay.called import given_results, last_called
from interlock.providers.wire.relay.offered import responses_tools

__all__ = ["Preparer", "check_turn", "count_turn"]

_WRAPPED = b"is_sequrity_var"


class Preparer:
    """Makes a request ready to be sent; the caller holds the session's lock."""

    def __init__(
        self, *, decider: Decider, pins: ToolPins, responses: ResponseStore, roles: Roles
    ) -> None:
        self._decider = decider
        self._pins = pins
        self._responses = responses
        self._roles = roles

    async def prepare(
        self, ctx: CallContext, session: LiveSession, rules: Rules, meter: Meter
    ) -> Run:
        """What a request starts with. Raises InterlockError for what may not be sent."""
        head, config = ctx.head, ctx.config
        if session.state.arch != config.arch:
            raise SessionArchMismatchError(session.state.arch, config.arch)
        earlier: tuple[Sequence[Any], Sequence[Any] | None] = ((), None)
        if head.previous_response_id:
            earlier = await self._responses.history(ctx)
        if head.results and not head.new_user_message:
            _check_complete(head, session, earlier[0])
        turn = count_turn(session, config.fsm, head)
        tags: set[str] = set()
        results: dict[str, str] = {}
        for item in head.results:
            text, found = await self._decider.result(ctx, rules, session, item)
            tags |= found
            if text is not None:
                results[item.call_id] = text
        if (reused := earlier[1]) is not None:
            # Offered once more, they are pinned and decided once more: labels may have come.
            head.tools = responses_tools(list(reused))
        hidden: Mapping[str, str] = {}
        if head.tools:
            hidden = await self._pins.check(ctx.key, head.tools)
        if head.tools or head.implied:
            await self._offers(ctx, session, rules)
        edits = await self._edits(ctx, session, rules, results, earlier)
        return Run(
            ctx=ctx,
            session=session,
            rules=rules,
            meter=meter,
            edits=edits,
            hidden=hidden,
            tags=tags,
            turn=turn,
        )

    async def _offers(self, ctx: CallContext, session: LiveSession, rules: Rules) -> None:
        """Tools the provider runs itself are decided when they are offered."""
        for tool in (*ctx.head.tools, *ctx.head.implied):
            if not tool.hosted:
                continue
            reason = await self._decider.offer(ctx, rules, session, tool.name, tool.kind)
            if reason is not None:
                raise ToolNotAllowedError(tool.name, reason)

    async def _edits(
        self,
        ctx: CallContext,
        session: LiveSession,
        rules: Rules,
        results: dict[str, str],
        earlier: tuple[Sequence[Any], Sequence[Any] | None],
    ) -> Edits:
        head = ctx.head
        prepend, tools = earlier
        reinsert: list[Reinsert] = []
        mapping: Callable[[str], str] | None = None
        if head.has_history or prepend:
            await self._earlier(ctx, rules, prepend, results)
            calls = session.state.calls

            def upstream_id(call_id: str) -> str:
                ours = parse_call_id(call_id)
                if ours is None:
                    return call_id
                known = calls.get(ours.canonical)
                return known.upstream_id if known is not None else upstream_alias(ours.canonical)

            mapping = upstream_id
            for item in session.state.denied:
                call = ToolCall(
                    id=item.upstream_id,
                    name=item.name,
                    namespace=item.namespace,
                    arguments=item.arguments,
                )
                after = upstream_id(item.after)
                reinsert.append(Reinsert(after_call_id=after, call=call, denial=item.message))
        dropped: frozenset[str] = frozenset()
        if head.tools and ctx.config.fsm.min_num_tools_for_filtering is not None:
            dropped = await self._filtered(ctx)
        return Edits(
            upstream_id=mapping,
            results=results,
            reinsert=reinsert,
            prepend=prepend,
            tools=tools,
            drop_tools=dropped,
            overrides=ctx.config.llm.get("pllm", {}),
            ask_usage=head.stream and not head.wants_usage,
            native_client=ctx.native_client,
        )

    async def _earlier(
        self, ctx: CallContext, rules: Rules, prepend: Sequence[Any], results: dict[str, str]
    ) -> None:
        """Adds the results of earlier turns, which the client resends as its tools gave them."""
        head = ctx.head
        if rules.guards is None and _WRAPPED not in head.body and not prepend:
            return
        taken_in = {item.call_id for item in head.results}
        for call_id, text in given_results(head.format, head.body, prepend):
            if call_id not in taken_in and call_id not in results:
                shown = await self._decider.shown(ctx, rules, text)
                if shown is not None:
                    results[call_id] = shown

    async def _filtered(self, ctx: CallContext) -> frozenset[str]:
        """Tools the TLLM step leaves out (`min_num_tools_for_filtering`)."""
        least = ctx.config.fsm.min_num_tools_for_filtering
        if least is None or len(ctx.head.tools) < least or not ctx.head.new_user_message:
            return frozenset()
        functions = [tool for tool in ctx.head.tools if tool.kind == "function"]
        if len(functions) < least:
            return frozenset()
        query = _last_user_text(ctx.head)
        about = [(tool.name, tool.description) for tool in functions]
        kept = await self._roles.filter_tools(ctx, query, about)
        if kept is None:
            return frozenset()
        return frozenset(tool.name for tool in functions if tool.name not in kept)


def _check_complete(head: Head, session: LiveSession, prepend: Sequence[Any]) -> None:
    """Raises MissingToolResultsError when only some of several calls of ours are answered."""
    called = head.called or last_called(prepend)
    if len(called) < 2:
        return
    calls = session.state.calls
    answered = {ours.canonical for r in head.results if (ours := parse_call_id(r.call_id))}
    missing = [
        ours.canonical
        for call_id in called
        if (ours := parse_call_id(call_id))
        and ours.canonical in calls
        and ours.canonical not in answered
    ]
    if missing:
        raise MissingToolResultsError(missing)


def _last_user_text(head: Head) -> str:
    """What the user last said, as text."""
    request = FORMATS[head.format].decode_request(msgspec.json.decode(head.body))
    for message in reversed(request.messages):
        if message.role == "user":
            return "\n".join(part.text for part in message.parts if isinstance(part, Text))
    return ""


def count_turn(session: LiveSession, fsm: FsmConfig, head: Head) -> str:
    """A user message starts a turn; limits and resets per turn apply here.

    Clients repeat a request that timed out or failed. As long as it has not been
    answered that is the same turn: it is not counted again, and labels that its
    results have brought are not cleared again. Returns the digest of a request that
    begins such a turn, else an empty text.
    """
    if not head.new_user_message:
        return ""
    state = session.state
    if fsm.max_n_turns is None and fsm.clear_session_meta == "never":
        state.turns += 1
        return ""
    turn = _digest(head)
    if state.unfinished == turn:
        return turn
    if _used_up(session, fsm):
        raise SessionNotFoundError(session.id)
    if fsm.clear_session_meta != "never" and state.turns:
        session.clear_labels()
    if fsm.max_n_turns is not None:
        session.remember = True
    state.turns += 1
    state.unfinished = turn
    return turn


def check_turn(session: LiveSession, fsm: FsmConfig, head: Head) -> None:
    """Raises SessionNotFoundError where `count_turn` will, before anything is done."""
    used_up = head.new_user_message and _used_up(session, fsm)
    if used_up and session.state.unfinished != _digest(head):
        raise SessionNotFoundError(session.id)


def _used_up(session: LiveSession, fsm: FsmConfig) -> bool:
    return fsm.max_n_turns is not None and session.state.turns >= fsm.max_n_turns


def _digest(head: Head) -> str:
    return hashlib.blake2b(head.body, digest_size=16).hexdigest()
