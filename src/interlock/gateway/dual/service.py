"""Dual-llm execution of a request: which turn it begins or resumes, and what it is answered.

A turn begins with a user's message, waits for the client at every external call, and ends
with an answer. Between two requests it is bytes in the session: whoever gets the next
request, this process or another, days later, goes on from there. A request that repeats
results gets the answer it had, and runs nothing again.

Source: gateway.md sections 7, 10, 13.
"""

import asyncio
import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from interlock.dual.turn import Answer, Message, Turn, TurnInput
from interlock.dual.turn import Final as TurnFinal
from interlock.dual.turn.transcript import compare, unsure
from interlock.gateway.config import SessionConfig
from interlock.gateway.context import CallContext, Sink
from interlock.gateway.dual.driving import Driver, Handed, Work
from interlock.gateway.dual.intake import Intake, dual_config, read_request
from interlock.gateway.dual.replies import Reply
from interlock.gateway.dual.state import (
    Conversation,
    KeptReply,
    called,
    decode_conversation,
    encode_conversation,
)
from interlock.gateway.dual.writing import policy_writer
from interlock.gateway.errors import (
    HistoryMismatchError,
    MissingToolResultsError,
    NothingToAnswerError,
    SessionArchMismatchError,
    ToolCallNotFoundError,
)
from interlock.gateway.ids import parse_call_id
from interlock.gateway.ledger import Meter
from interlock.gateway.parts import Parts
from interlock.gateway.preparing import check_turn, count_turn
from interlock.gateway.rules import Rules
from interlock.gateway.scopes import permitted
from interlock.gateway.session import LiveSession
from interlock.kernel.ids import new_id, random_bytes
from interlock.providers.model import Target
from interlock.providers.wire.exchange import ResultIn
from interlock.providers.wire.halves import mended_text
from interlock.providers.wire.model import Failure, Request, ToolCall, Usage

__all__ = ["DualLlm"]

_log = logging.getLogger("interlock.gateway")
_CONFIGS: Final = 256
_LIVE_TURNS: Final = 128
_LIVE_TURN_BYTES: Final = 256 << 10
_NOWHERE: Final = Target(provider="", deployment="", model="", formats=("chat",))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """What one request wants of its session."""

    name: str
    """Of the results and the message it brings: equal for a request that is repeated."""
    fresh: Mapping[str, ResultIn]
    """Results of outstanding calls, by our ids."""
    resumes: bool
    """All outstanding calls have results: the suspended turn goes on."""
    begins: bool
    """A new user message: a new turn begins, after the suspended one if that goes on."""
    kept: KeptReply | None
    """The answer it was given before."""


class DualLlm:
    """Answers requests in dual-llm mode."""

    def __init__(self, parts: Parts, *, turn_s: float, turn_bytes: int) -> None:
        """What there is one of in the server, and two bounds.

        `turn_s` is how long one request may plan and compute, in seconds; `turn_bytes` is how
        large a suspended turn may be.
        """
        self._sessions = parts.sessions
        self._rules = parts.rules
        self._upstreams = parts.upstreams
        self._ledger = parts.ledger
        self._pins = parts.pins
        self._responses = parts.responses
        self._clock = parts.clock
        self._outcome_of = parts.outcome_of
        self._turn_s = turn_s
        self._turn_bytes = turn_bytes
        self._decider = parts.decider
        self._finder = parts.finder()
        self._driver = Driver(roles=parts.roles, decider=parts.decider)
        self._live: OrderedDict[str, tuple[bytes, Turn]] = OrderedDict()
        self._grown: OrderedDict[tuple[str, str, str], SessionConfig] = OrderedDict()

    def close(self) -> None:
        """Stops what still computes."""
        self._driver.close()

    async def run(self, ctx: CallContext, sink: Sink) -> None:
        """Answers one request on `sink`.

        Raises InterlockError while nothing was sent. Cancelled when the client goes away:
        the session is then as it was before the request, less the labels it gained.
        """
        meter = Meter(began=time.perf_counter())
        session_id: str | None = None
        status, error = 200, None
        try:
            intake = read_request(ctx.head)
            self._check_models(ctx)
            session = await self._finder.session_of(ctx)
            session_id = session.id
            async with self._sessions.locked(session):
                reply, kept, usage = await self._answer(ctx, sink, session, intake, meter)
            # Nobody gets what could be forgotten: a call would be made twice.
            await self._sessions.settle()
            error = await self._say(ctx, session, reply, kept, usage)
        except BaseException as exc:
            status, error = self._outcome_of(exc)
            raise
        finally:
            self._ledger.close(ctx, meter, session_id=session_id, status=status, error=error)

    def _check_models(self, ctx: CallContext) -> None:
        """Every model the session may use is one the caller may use. Raises InterlockError."""
        candidates = ctx.config.fsm.dual.get("pllm_candidate_models") or ()
        for model in dict.fromkeys((*_pair(ctx.model), *candidates)):
            permitted(self._upstreams.resolve(ctx.provider, model, byok=ctx.byok), ctx.key)

    async def _answer(
        self, ctx: CallContext, sink: Sink, session: LiveSession, intake: Intake, meter: Meter
    ) -> tuple[Reply, KeptReply, Usage]:
        """Finds the answer, with the session's lock held: where and what to say, what it took."""
        state = session.state
        if not state.dual and not session.remember:
            state.arch = "dual-llm"
        if state.arch != ctx.config.arch:
            raise SessionArchMismatchError(state.arch, ctx.config.arch)
        conversation = decode_conversation(state.dual) if state.dual else Conversation()
        reply = self._reply(ctx, sink, session)
        step = _read_step(ctx, conversation, intake)
        if step.kept is not None:
            return reply, step.kept, Usage()
        messages, diverged = _conversation(conversation, intake, ctx.config)
        if diverged and ctx.config.fsm.history_mismatch_policy == "restart_turn" and step.resumes:
            step = replace(step, resumes=False, begins=True)
            messages = messages[: 1 + _last(messages, "user")]
        work = await self._work(ctx, session, conversation, reply, intake)
        turn: Turn | None = None
        outcome: list[Handed] | TurnFinal | None = None
        if step.resumes:
            turn = self._resumed(session.id, conversation.turn)
            for call_id, item in step.fresh.items():
                turn.result(conversation.pending[call_id], item.text, item.is_error)
            if step.begins:
                check_turn(session, ctx.config.fsm, ctx.head)
            reply.begin()
            outcome = await self._drive(work, turn)
            if step.begins and isinstance(outcome, TurnFinal):
                said = _said(outcome.answer, ctx.config)
                messages.insert(1 + _last(messages, "tool"), said)
        if step.begins:
            count_turn(session, ctx.config.fsm, ctx.head)
            conversation.pending, conversation.turn = {}, b""
            work.ids, work.arguments = {}, {}
            reply.begin()
            turn = self._begin(work, intake, messages, diverged=diverged)
            outcome = await self._drive(work, turn)
        assert turn is not None and outcome is not None  # noqa: S101, PT018 - one of the two ran
        if work.denied:
            await self._decider.settle()
        if turn.policy_problem:
            _log.warning("a generated policy was dropped: %s", turn.policy_problem)
        meter.upstream_s = work.upstream_s
        kept = self._finish(
            work, turn, outcome, messages=messages, step=step.name, diverged=diverged
        )
        return reply, kept, ctx.spent or Usage()

    # beginning

    def _reply(self, ctx: CallContext, sink: Sink, session: LiveSession) -> Reply:
        answer_id = session.id
        if ctx.head.format != "chat":
            answer_id = new_id("msg" if ctx.head.format == "messages" else "resp")
        return Reply(
            ctx,
            sink,
            session_id=session.id,
            answer_id=answer_id,
            model=",".join(_pair(ctx.model)),
            created=int(self._clock.now().timestamp()),
        )

    async def _work(
        self,
        ctx: CallContext,
        session: LiveSession,
        conversation: Conversation,
        reply: Reply,
        intake: Intake,
    ) -> Work:
        hidden: Mapping[str, str] = {}
        if ctx.head.tools:
            hidden = await self._pins.check(ctx.key, ctx.head.tools)
        if intake.tools is not None:
            conversation.tools = list(intake.tools)

        def compiled() -> Rules:
            return self._rules.of(self._config(ctx.config, conversation), ctx.key)

        return Work(
            ctx=ctx,
            session=session,
            conversation=conversation,
            rules=compiled(),
            reply=reply,
            models=_pair(ctx.model),
            sampling=_sampling(intake.request),
            hidden=hidden,
            recompile=compiled,
        )

    def _config(self, config: SessionConfig, conversation: Conversation) -> SessionConfig:
        """The config with the policy the session gained; the same object for the same policy."""
        if not conversation.generated and not conversation.restrictions:
            return config
        added = "\n".join(conversation.restrictions)
        slot = (config.digest, conversation.generated, added)
        known = self._grown.get(slot)
        if known is None:
            policy = replace(config.policy, generated=conversation.generated, restrictions=added)
            digest = hashlib.blake2b("\0".join(slot).encode(), digest_size=16).hexdigest()
            known = self._grown[slot] = replace(config, policy=policy, digest=digest)
            while len(self._grown) > _CONFIGS:
                self._grown.popitem(last=False)
        return known

    def _begin(
        self, work: Work, intake: Intake, messages: Sequence[Message], *, diverged: bool
    ) -> Turn:
        conversation, config = work.conversation, work.ctx.config
        auto_gen = config.policy.auto_gen and not conversation.generation_tried
        conversation.generation_tried = conversation.generation_tried or auto_gen
        return Turn.begin(
            TurnInput(
                messages=tuple(messages),
                tools=tuple(conversation.tools),
                config=dual_config(config),
                planner_model=work.models[0],
                now=self._clock.now().timestamp(),
                seed=int.from_bytes(random_bytes(6)),
                auto_gen=auto_gen,
                user_program=intake.program,
                context_vars=intake.context_vars,
                cache=conversation.cache,
                planner_history=tuple(conversation.planner_history),
                session_labels=work.session.policy.labels,
                history_mismatch=diverged,
                parallel_tool_calls=intake.request.parallel_tool_calls is not False,
            ),
            writer=policy_writer,
        )

    async def _drive(self, work: Work, turn: Turn) -> list[Handed] | TurnFinal:
        try:
            async with asyncio.timeout(self._turn_s):
                outcome = await self._driver.drive(work, turn)
        except TimeoutError:
            turn.stop("timeout", f"the turn took longer than {self._turn_s:g} s")
            return _over(turn)
        if isinstance(outcome, TurnFinal):
            return outcome
        work.suspended = turn.dump()
        if len(work.suspended) > self._turn_bytes:
            turn.stop(
                "program_error",
                f"the program holds {len(work.suspended) >> 10} KiB while it waits for a tool; "
                f"{self._turn_bytes >> 10} KiB can be kept",
            )
            return _over(turn)
        return outcome

    def _resumed(self, session_id: str, stored: bytes) -> Turn:
        """A suspended turn: as it still stands in memory, else from what was stored of it.

        Taken out, so that a request that fails half-way leaves none that is ahead of the store.
        """
        known = self._live.pop(session_id, None)
        if known is not None and known[0] == stored:
            return known[1]
        return Turn.load(stored, writer=policy_writer)

    def _keep_live(self, session_id: str, stored: bytes, turn: Turn) -> None:
        """Holds a suspended turn in memory: most go on in the process that began them.

        Large ones are not worth the room: what they compute costs more than reading them.
        """
        if len(stored) > _LIVE_TURN_BYTES:
            return
        self._live[session_id] = (stored, turn)
        while len(self._live) > _LIVE_TURNS:
            self._live.popitem(last=False)

    # ending

    def _finish(
        self,
        work: Work,
        turn: Turn,
        outcome: list[Handed] | TurnFinal,
        *,
        messages: Sequence[Message],
        step: str,
        diverged: bool,
    ) -> KeptReply:
        """Puts what became of the turn into the session; returns what is to be said."""
        conversation, config = work.conversation, work.ctx.config
        conversation.keep_cache(dict(turn.cache))
        if isinstance(outcome, TurnFinal):
            answer = outcome.answer
            if diverged and not answer.history_mismatch:
                answer = replace(answer, history_mismatch=True)
            conversation.turn, conversation.pending = b"", {}
            conversation.planner_history = list(turn.planner_history)
            conversation.replace_messages([*messages, _said(answer, config)])
            kept = KeptReply(
                step=step,
                text=_text(answer, config),
                failure=None
                if answer.error is None
                else (answer.error.code, mended_text(answer.error.message)),
            )
            self._close_if_done(work)
        else:
            conversation.turn = work.suspended
            self._keep_live(work.session.id, work.suspended, turn)
            conversation.pending = {one.our_id: one.request.no for one in outcome}
            calls = [(one.our_id, one.request.tool, one.arguments) for one in outcome]
            derived = [one.request.derived for one in outcome]
            asking = Message(role="assistant", calls=called(calls, derived=derived))
            conversation.replace_messages([*messages, asking])
            kept = KeptReply(step=step, calls=calls)
        conversation.remember(kept)
        if turn.program is not None:
            conversation.keep_program(work.session.state.turns, turn.program, turn.context_vars)
        conversation.keep_config(config)
        work.session.state.unfinished = ""
        work.session.state.dual = encode_conversation(conversation)
        work.session.remember = True
        return kept

    def _close_if_done(self, work: Work) -> None:
        """The last turn a session is allowed has its answer: nothing may follow."""
        limit = work.ctx.config.fsm.max_n_turns
        if limit is not None and work.session.state.turns >= limit:
            work.session.state.closed = True

    async def _say(
        self, ctx: CallContext, session: LiveSession, reply: Reply, kept: KeptReply, usage: Usage
    ) -> str | None:
        """Says an answer, new or repeated. Returns the code of one that tells of a failure."""
        reply.begin()
        if kept.calls:
            calls = [ToolCall(id=one[0], name=one[1], arguments=one[2]) for one in kept.calls]
            await reply.calls(calls, usage)
        else:
            failure = None
            if kept.failure is not None:
                failure = Failure(code=kept.failure[0], message=kept.failure[1])
            await reply.say(kept.text, usage, failure)
        self._keep_response(ctx, session, reply)
        return None if kept.failure is None else kept.failure[0]

    def _keep_response(self, ctx: CallContext, session: LiveSession, reply: Reply) -> None:
        if reply.body is not None:
            target = replace(_NOWHERE, provider=ctx.provider or "")
            self._responses.keep(ctx, session.id, msgspec.json.encode(reply.body), target)


def _over(turn: Turn) -> TurnFinal:
    """The answer of a turn that was stopped."""
    command = turn.next()
    assert isinstance(command, TurnFinal)  # noqa: S101 - a stopped turn is over
    return command


def _pair(model: str) -> tuple[str, str]:
    planner, _, quarantined = model.partition(",")
    return planner.strip(), quarantined.strip() or planner.strip()


def _read_step(ctx: CallContext, conversation: Conversation, intake: Intake) -> _Step:
    """What the request wants of the session (7.4).

    Raises ToolCallNotFoundError, MissingToolResultsError and NothingToAnswerError.
    """
    pending = conversation.pending
    # An answer of ours at the end is no message of the user's, however much stands before it.
    ends = bool(intake.messages) and intake.messages[-1].role == "assistant"
    asks = ctx.head.new_user_message and not ends
    results = _ours(ctx.head.results)
    name = _name(results, intake, asks)
    fresh = {call_id: item for call_id, item in results.items() if call_id in pending}
    if results and not fresh:
        kept = conversation.reply_to(name)
        if kept is not None:
            return _Step(name=name, fresh={}, resumes=False, begins=False, kept=kept)
        if not asks:
            raise ToolCallNotFoundError(next(iter(results)))
    missing = [call_id for call_id in pending if call_id not in fresh]
    if missing and not asks and (fresh or ends):
        raise MissingToolResultsError(missing)
    resumes = bool(fresh) and not missing
    said = intake.program or any(one.role == "user" and one.text for one in intake.messages)
    if not (resumes or asks) or (asks and not said):
        raise NothingToAnswerError
    return _Step(name=name, fresh=fresh, resumes=resumes, begins=asks, kept=None)


def _ours(results: Sequence[ResultIn]) -> dict[str, ResultIn]:
    """The trailing results of calls of ours, by the id as it was given out; the first of each."""
    found: dict[str, ResultIn] = {}
    for item in results:
        call = parse_call_id(item.call_id)
        if call is not None:
            found.setdefault(call.canonical, item)
    return found


def _name(results: Mapping[str, ResultIn], intake: Intake, asks: bool) -> str:
    """Names what a request asks for: these calls' results, and this message after them."""
    said = intake.messages[-1].text if asks and intake.messages else ""
    digest = hashlib.blake2b(digest_size=16)
    for call_id in sorted(results):
        digest.update(call_id.encode() + b"\0")
    digest.update(said.encode("utf-8", "replace"))
    return digest.hexdigest()


def _conversation(
    conversation: Conversation, intake: Intake, config: SessionConfig
) -> tuple[list[Message], bool]:
    """The whole conversation with the request's new messages, and whether it diverged (7.5).

    Raises HistoryMismatchError where the config says so.
    """
    stored, incoming = conversation.messages, intake.messages
    if not stored:
        return list(unsure(incoming)), False
    found = compare(stored, incoming)
    if found.kind == "diverged":
        how = config.fsm.history_mismatch_policy
        if how == "reject":
            raise HistoryMismatchError
        if how == "continue":
            return list(unsure(incoming)), True
    frames = [one for one in incoming if one.role in {"system", "developer"}]
    before = stored[: found.common]
    if frames:
        before = [*frames, *(one for one in before if one.role not in {"system", "developer"})]
    new = [one for one in incoming[found.new_from :] if one.role not in {"system", "developer"}]
    return [*before, *unsure(new)], found.kind == "diverged"


def _said(answer: Answer, config: SessionConfig) -> Message:
    """A turn's answer as a message of the conversation."""
    return Message(role="assistant", text=_text(answer, config), derived=answer.derived)


def _text(answer: Answer, config: SessionConfig) -> str:
    """A turn's answer as its reader gets it; programs can make texts that UTF-8 cannot say."""
    return mended_text(answer.content_text(dual_config(config).response_format))


def _last(messages: Sequence[Message], role: str) -> int:
    """Index of the last message of a role; that of the last message when there is none."""
    found = (i for i in range(len(messages) - 1, -1, -1) if messages[i].role == role)
    return next(found, len(messages) - 1)


def _sampling(request: Request) -> Request:
    """The request's own sampling, without anything it says or offers."""
    return Request(
        model=request.model,
        messages=[],
        max_tokens=request.max_tokens,
        temperature=request.temperature,
        top_p=request.top_p,
        top_k=request.top_k,
        seed=request.seed,
        frequency_penalty=request.frequency_penalty,
        presence_penalty=request.presence_penalty,
        reasoning=request.reasoning,
        service_tier=request.service_tier,
    )
