"""Does what a turn wants done, until it hands calls to the client or is over.

Models are asked through `gateway.roles`, every call of a program is decided by
`gateway.deciding`, and the interpreter runs on a thread of its own, so that a long program
does not keep other requests waiting.

Source: gateway.md section 10; architecture.md section 2.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from interlock.dual.turn import (
    Ask,
    CallRequest,
    ClearSession,
    Command,
    Decide,
    Label,
    Question,
    Restrict,
    Suspend,
    Turn,
)
from interlock.dual.turn import (
    Final as TurnFinal,
)
from interlock.gateway.context import CallContext
from interlock.gateway.deciding import Decider, Outcome
from interlock.gateway.dual.replies import Reply
from interlock.gateway.dual.state import Conversation
from interlock.gateway.evidence import evidence_of
from interlock.gateway.ids import new_call_id
from interlock.gateway.roles import Roles, Said
from interlock.gateway.rules import PLANNER_SOURCE, Rules
from interlock.gateway.session import LiveSession
from interlock.kernel.errors import InterlockError
from interlock.policy.denial import history_entry
from interlock.policy.errors import PolicyError
from interlock.policy.model import DEFAULT_LABELS, Labels
from interlock.policy.model import ToolCall as PolicyCall
from interlock.policy.provenance import Evidence, Passage
from interlock.policy.restrict import loosening
from interlock.policy.syntax.parser import parse
from interlock.providers.wire.halves import has_halves, mended_text, read_mended
from interlock.providers.wire.model import Message, Request, Text, ToolCall

__all__ = ["Driver", "Handed", "Work"]

_log = logging.getLogger("interlock.gateway")
_PLANNING: Final = frozenset({"pllm", "rllm", "grllm", "tllm", "selector", "policy_llm"})
"""Roles that speak with the first model of a pair; the others have the second (section 3)."""
_THREADS: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Handed:
    """A call as it goes to the client."""

    request: CallRequest
    our_id: str
    arguments: str
    """JSON text, with what guards took out."""


@dataclass(slots=True, kw_only=True)
class Work:
    """One request while it is answered."""

    ctx: CallContext
    session: LiveSession
    conversation: Conversation
    rules: Rules
    reply: Reply
    models: tuple[str, str]
    """Planner and quarantined model."""
    sampling: Request
    """The request's own sampling, for the planner."""
    hidden: Mapping[str, str]
    """Tools that may not be called, with the reason (pinning)."""
    upstream_s: float = 0.0
    asked: bool = False
    """A model has answered in this request."""
    denied: bool = False
    suspended: bytes = b""
    """The turn as it waits for the client."""
    ids: dict[int, str] = field(default_factory=dict)
    """Our ids of calls, by their number in the turn."""
    arguments: dict[int, str] = field(default_factory=dict)
    found: Evidence | None = None
    """Made when the first call needs it."""
    recompile: Callable[[], Rules] | None = None
    """The rules again, after policy was added to the session."""

    def evidence(self) -> Evidence:
        """Where the values of this conversation come from."""
        if self.found is None:
            self.found = evidence_of(self.ctx.head, (), self.session)
        return self.found


class _PlanEvidence:
    """Where the arguments of one call of a program come from."""

    def __init__(self, evidence: Evidence, planned: frozenset[str]) -> None:
        self._evidence = evidence
        self._planned = planned

    def of(self, args: Mapping[str, Any]) -> dict[str, Labels]:
        """See `Evidence.of_plan`."""
        planned = self._planned.intersection(args)
        return self._evidence.of_plan(args, planned)

    def passages(self) -> list[Passage]:
        """See `Evidence.passages`."""
        return self._evidence.passages()


class Driver:
    """Performs the commands of turns."""

    def __init__(self, *, roles: Roles, decider: Decider) -> None:
        self._roles = roles
        self._decider = decider
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="program")

    def close(self) -> None:
        """Ends the threads; programs that still run are given up."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def drive(self, work: Work, turn: Turn) -> list[Handed] | TurnFinal:
        """Goes on with a turn until it waits for the client, or is over.

        Raises InterlockError when the very first model cannot be asked and the client has
        got nothing yet: the turn is as it was before, and the request can be repeated.
        """
        while True:
            command = await self._next(turn)
            match command:
                case Ask():
                    await self._ask(work, turn, command.asks)
                case Decide():
                    for call in command.calls:
                        if not await self._decide(work, turn, call):
                            break  # the rest of the batch is void
                case Label():
                    await self._label(work, turn, command)
                case Restrict():
                    turn.restricted(command.no, self._restrict(work, command))
                case ClearSession():
                    work.session.clear_labels()
                    turn.session_labels = work.session.policy.labels
                    turn.cleared()
                case Suspend():
                    return [self._hand(work, call) for call in command.calls]
                case TurnFinal():
                    return command

    async def _next(self, turn: Turn) -> Command:
        """The turn's next command; nobody touches the turn before its program has stopped.

        A program is bounded in steps, so a cancelled request waits for it.
        """
        running = asyncio.get_running_loop().run_in_executor(self._threads, turn.next)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.wait([running])
            raise

    # models

    async def _ask(self, work: Work, turn: Turn, asks: tuple[Question, ...]) -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._question(work, ask)) for ask in asks]
        for ask, task in zip(asks, tasks, strict=True):
            said = task.result()
            if isinstance(said, InterlockError):
                if not work.asked and not work.reply.begun:
                    raise said
                _log.warning("the %s could not be asked: %s", ask.role, said.error_code)
                turn.ask_failed(ask.no, said.error_code, said.message)
            else:
                turn.answered(ask.no, said.text, cut=said.cut)
        work.asked = True

    async def _question(self, work: Work, ask: Question) -> Said | InterlockError:
        """The model's answer, or why there is none."""
        planner, quarantined = work.models
        model = ask.model or (planner if ask.role in _PLANNING else quarantined)
        defaults = Request(model=model, messages=[])
        if ask.role == "pllm":
            defaults = msgspec.structs.replace(work.sampling, model=model)
        messages = [Message(role="system", parts=[Text(text=ask.system)])]
        messages += [
            Message(role=one.role, parts=[Text(text=mended_text(one.text))]) for one in ask.messages
        ]
        schema = None if ask.schema is None else dict(ask.schema)
        began = asyncio.get_running_loop().time()
        try:
            said = await self._roles.complete(
                work.ctx, ask.role, messages, defaults=defaults, schema=schema, again=ask.again
            )
        except InterlockError as exc:
            return exc
        work.upstream_s += asyncio.get_running_loop().time() - began
        if ask.role == "pllm" and work.ctx.config.response_format.stream_thoughts:
            await work.reply.think(said.thoughts or said.text.partition("```")[0].strip())
        return said

    # calls

    async def _decide(self, work: Work, turn: Turn, call: CallRequest) -> bool:
        """Decides one call and tells the turn; whether it may be made."""
        session = work.session
        our_id = "" if call.internal else self._new_id(work)
        labels = {name: _under(held, call.control) for name, held in call.labels.items()}
        if call.control is not DEFAULT_LABELS:
            labels.update({n: call.control for n in call.args if n not in labels})
        outcome = await self._decider.call(
            work.ctx,
            work.rules,
            session,
            ToolCall(id=str(call.no), name=call.tool, arguments=_arguments(call.args)),
            our_id,
            hidden=work.hidden.get(call.tool),
            labels=labels,
            control=call.control,
            lineage=call.lineage,
            external=not call.internal,
            evidence=lambda: _PlanEvidence(work.evidence(), call.planned),
        )
        turn.session_labels = session.policy.labels
        entry = _entry(call, outcome, our_id)
        if outcome.allowed:
            if outcome.arguments is not None:
                work.arguments[call.no] = outcome.arguments
            if our_id:
                work.ids[call.no] = our_id
            if call.internal and outcome.arguments is not None:
                turn.revise(call.no, msgspec.json.decode(outcome.arguments))
            turn.allowed(call.no, entry)
            return True
        work.denied = True
        blocked = outcome.decision is not None and outcome.decision.verdict.allowed
        turn.denied(
            call.no,
            outcome.message,
            hard=outcome.hard,
            entry=entry,
            code="classifier_blocked" if blocked else "policy_violation",
        )
        return False

    def _new_id(self, work: Work) -> str:
        state = work.session.state
        return new_call_id(state.id, work.ctx.key.call_ids, state.counter)

    def _hand(self, work: Work, call: CallRequest) -> Handed:
        our_id = work.ids[call.no]
        arguments = work.arguments.get(call.no) or _arguments(call.args)
        return Handed(request=call, our_id=our_id, arguments=arguments)

    async def _label(self, work: Work, turn: Turn, command: Label) -> None:
        call = command.call
        asked = PolicyCall(tool=call.tool, args=call.args, labels=call.labels, control=call.control)
        our_id = "" if call.internal else self._id_of(work, call.no)
        labels = await self._decider.labelled(
            work.ctx,
            work.rules,
            work.session,
            asked,
            value=command.value,
            initial=command.initial,
            our_id=our_id,
            failed=command.failed,
        )
        turn.session_labels = work.session.policy.labels
        turn.labelled(command.no, labels)

    def _id_of(self, work: Work, no: int) -> str:
        """Our id of a call of the turn, made in this request or an earlier one."""
        known = work.ids.get(no)
        if known is not None:
            return known
        pending = work.conversation.pending
        return next((our_id for our_id, number in pending.items() if number == no), "?")

    def _restrict(self, work: Work, command: Restrict) -> str | None:
        """Adds policy to the session; returns why not, if not."""
        conversation = work.conversation
        before = (conversation.generated, list(conversation.restrictions))
        try:
            if command.origin == "auto_gen":
                conversation.generated = command.code
            else:
                _check_restricts(command.code)
                conversation.restrictions.append(command.code)
            assert work.recompile is not None  # noqa: S101 - set by the service
            work.rules = work.recompile()
        except PolicyError as exc:
            conversation.generated, conversation.restrictions = before
            return exc.message
        return None


def _check_restricts(code: str) -> None:
    """Raises PolicyError unless the code is SQRT that can only restrict (10.6)."""
    loose = loosening(parse(code, PLANNER_SOURCE), code, PLANNER_SOURCE)
    if loose:
        raise PolicyError(loose)


def _under(held: Labels, control: Labels) -> Labels:
    return held if control is DEFAULT_LABELS else held.merge(control)


def _arguments(args: Mapping[str, Any]) -> str:
    """Arguments as JSON text; integers of any size, unlike the fast encoder's.

    Lone halves of surrogate pairs, which no client could read, are replaced.
    """
    text = json.dumps(args, ensure_ascii=True, separators=(", ", ": "))
    if has_halves(text.encode()):
        mended = read_mended(text.encode())
        text = json.dumps(mended, ensure_ascii=True, separators=(", ", ": "))
    return text


def _entry(call: CallRequest, outcome: Outcome, our_id: str) -> Mapping[str, Any]:
    """The call's entry of `policy_check_history` (10.8)."""
    call_id = our_id or None
    if outcome.decision is not None:
        entry = history_entry(outcome.decision, step=call.step, tool_call_id=call_id)
        if not outcome.allowed and outcome.decision.verdict.allowed:
            entry = {**entry, "final_verdict": outcome.verdict, "reason": "guard"}
        return {**entry, "line": call.line, "decision_id": outcome.decision_id}
    return {
        "step": call.step,
        "tool": call.tool,
        "tool_call_id": call_id,
        "final_verdict": outcome.verdict,
        "denied": [],
        "allowed": [],
        "default": None,
        "reason": "error",
        "line": call.line,
        "decision_id": outcome.decision_id,
    }
