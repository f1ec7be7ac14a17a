"""The door for calls from inside: chats, agents and tasks ask models and run tools here.

They pass what a client's request passes: allow-list, limits, policy, guards, decision log,
ledger. The caller runs the tools it was allowed to call and hands their results in with its
next question; a session that belongs to the place (a thread, a run) carries the labels.

Source: architecture.md section 2, spines 2 and 3.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from interlock.gateway.answering import AnswerSink
from interlock.gateway.config import SessionConfig
from interlock.gateway.context import CallContext, Sink
from interlock.gateway.deciding import Decider
from interlock.gateway.ids import new_call_id
from interlock.gateway.records import DecisionRecord
from interlock.gateway.rules import Rules, RulesCache
from interlock.gateway.session import LiveSession, Sessions
from interlock.identity.model import KeyInfo
from interlock.kernel.ids import new_id
from interlock.limits.service import Limits
from interlock.providers.wire.exchange import ResultIn
from interlock.providers.wire.model import ToolCall
from interlock.providers.wire.relay import client

__all__ = ["Answer", "Called", "Door", "Permit", "Question"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a model is asked, in the words of Chat Completions."""

    place: str
    """What the session belongs to, e.g. `conversation:<id>:<root>`: unguessable, never from
    a client."""
    model: str
    messages: Sequence[Mapping[str, Any]]
    tools: Sequence[Mapping[str, Any]] = ()
    provider: str | None = None
    """None: the default one."""
    options: Mapping[str, Any] | None = None
    """Further members of the body: `temperature`, `max_tokens`, `stop`, `response_format`."""
    endpoint: str = "chat/completions"
    """What the ledger calls it."""
    trace_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """A call the model made and the policy allowed. The asker runs it."""

    id: str
    name: str
    arguments: str
    """JSON text; a guard or a person may have changed it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the model said."""

    text: str
    calls: tuple[Called, ...]
    finish_reason: str
    """`stop`, `length`, `tool_calls` or `content_filter`."""
    usage: Mapping[str, Any] | None
    """`{prompt_tokens, completion_tokens, total_tokens}`; None when nobody counted."""
    model: str
    session_id: str
    request_id: str
    decisions: tuple[DecisionRecord, ...]
    """All that were made on the way, denied ones included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """What became of one call that somebody wants to make without a model."""

    allowed: bool
    message: str
    """Why not."""
    arguments: str
    """What to run it with."""
    call_id: str
    decision: DecisionRecord | None


class Executor(Protocol):
    """Answers a request: `gateway.execution.Execution`."""

    def run(self, ctx: CallContext, sink: Sink) -> Awaitable[None]:
        """Answers on the sink, or raises while nothing was sent."""
        ...


class Door:
    """Model and tool calls of the product itself."""

    def __init__(
        self,
        *,
        executor: Executor,
        sessions: Sessions,
        rules: RulesCache,
        decider: Decider,
        limits: Limits,
        config_of: Callable[[KeyInfo], SessionConfig],
        default_provider: Callable[[], str],
    ) -> None:
        """`config_of` gives the same object for the same caller: rules are cached by it."""
        self._executor = executor
        self._sessions = sessions
        self._rules = rules
        self._decider = decider
        self._limits = limits
        self._config_of = config_of
        self._default_provider = default_provider

    async def ask(
        self, key: KeyInfo, question: Question, *, told: Callable[[str], None] | None = None
    ) -> Answer:
        """Asks a model; `told` gets the text piece by piece as it arrives.

        Cancelling closes the call to the provider at once.

        Raises:
            InterlockError: a limit, an unknown model, a provider that fails. What was told
                by then stays told.
        """
        body: dict[str, Any] = {
            "model": question.model,
            "messages": list(question.messages),
            **(question.options or {}),
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if question.tools:
            body["tools"] = list(question.tools)
        decisions: list[DecisionRecord] = []
        ctx = self._context(key, question, msgspec.json.encode(body), decisions)
        pending = self._limits.admit(key)
        if pending is not None:
            await pending
        sink = AnswerSink(told)
        await self._executor.run(ctx, sink)
        said = sink.said()
        if said.calls:
            # Whoever runs them may be another process by then: it must know them.
            await self._sessions.settle()
        return Answer(
            text=said.text,
            calls=tuple(
                Called(id=one.id, name=one.name, arguments=one.arguments) for one in said.calls
            ),
            finish_reason=said.finish_reason,
            usage=said.usage,
            model=said.model or question.model,
            session_id=sink.session_id,
            request_id=ctx.request_id,
            decisions=tuple(decisions),
        )

    async def permit(self, key: KeyInfo, place: str, tool: str, arguments: str) -> Permit:
        """Decides a call that a person makes directly; hand its result to `result`.

        `arguments` is the text of one JSON object.
        """
        decisions: list[DecisionRecord] = []
        ctx, rules, session = await self._at(key, place, decisions)
        async with self._sessions.locked(session):
            our_id = new_call_id(session.id, key.call_ids, session.state.counter)
            call = ToolCall(id=our_id, name=tool, arguments=arguments)
            outcome = await self._decider.call(ctx, rules, session, call, our_id)
        if not outcome.allowed:
            await self._decider.settle()
        return Permit(
            allowed=outcome.allowed,
            message=outcome.message,
            arguments=outcome.arguments or arguments,
            call_id=our_id,
            decision=decisions[0] if decisions else None,
        )

    async def result(
        self, key: KeyInfo, place: str, call_id: str, text: str, *, failed: bool = False
    ) -> str:
        """Takes in what a permitted call gave: labels the place. Returns the text to show."""
        ctx, rules, session = await self._at(key, place, [])
        given = ResultIn(call_id=call_id, text=text, is_error=failed)
        async with self._sessions.locked(session):
            shown, _ = await self._decider.result(ctx, rules, session, given)
        return text if shown is None else shown

    async def _at(
        self, key: KeyInfo, place: str, decisions: list[DecisionRecord]
    ) -> tuple[CallContext, Rules, LiveSession]:
        question = Question(place=place, model="-", messages=[], endpoint="tool")
        body = b'{"model":"-","messages":[]}'
        ctx = self._context(key, question, body, decisions)
        rules = self._rules.of(ctx.config, key)
        session = await self._sessions.of_place(place, key, ctx.config.endpoint)
        return ctx, rules, session

    def _context(
        self, key: KeyInfo, question: Question, body: bytes, decisions: list[DecisionRecord]
    ) -> CallContext:
        return CallContext(
            request_id=new_id("req"),
            key=key,
            config=self._config_of(key),
            head=client("chat").peek(body),
            provider=question.provider or self._default_provider(),
            byok=None,
            endpoint=question.endpoint,
            place=question.place,
            decided=decisions.append,
            trace_id=question.trace_id,
        )
