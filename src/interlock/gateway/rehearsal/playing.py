"""Plays a recorded session through the gateway's own execution, in memory.

Single-llm: each recorded call is one line `CALL tool {...}` of a user; the demo model
obeys it, and whatever CALL lines come back in a tool result. Dual-llm: each recorded
program runs as it is, nothing is planned; results are data to it.

Tools never run: a call that would have left is answered with the recorded result, where
there is one for exactly this call, and else with `(dry run)`.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from interlock.gateway.config import SessionConfig
from interlock.gateway.context import CallContext
from interlock.gateway.dual.state import Conversation, KeptProgram, encode_conversation
from interlock.gateway.execution import Execution
from interlock.gateway.records import DecisionRecord, SessionRecord
from interlock.gateway.rehearsal.injection import follows, poisoned
from interlock.gateway.rehearsal.memory import MemoryRecorder, WholeAnswer
from interlock.gateway.rehearsal.model import Asked, Attempt, Origin
from interlock.gateway.rehearsal.recorded import Call, key_of
from interlock.gateway.session import Sessions
from interlock.gateway.session_state import SessionState, encode_state
from interlock.identity.model import KeyInfo
from interlock.kernel.ids import new_id
from interlock.policy.model import Verdict
from interlock.providers.wire.relay import client

__all__ = ["DRY_RUN", "DualPlay", "Progress", "SinglePlay", "Stage"]

DRY_RUN = "(dry run)"
_LIFETIME_S = 3600.0
_MODEL = "demo"

Progress = Callable[[int, int], None]
"""Told (done, of)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """The gateway of one rehearsal, with a forked session in its memory."""

    execution: Execution
    recorder: MemoryRecorder
    close: Callable[[], None]
    key: KeyInfo
    config: SessionConfig
    session_id: str
    now: float
    """Seconds since the epoch."""
    evidence: bool
    """Whether a rule asks where the values of arguments come from."""

    def fork(self, arch: str, conversation: Conversation | None = None) -> None:
        """Puts the session in its memory: as it began, less what it was told."""
        state = SessionState(
            id=self.session_id,
            owner=Sessions.owner_of(self.key),
            key_id=self.key.id,
            account_id=self.key.account_id,
            endpoint=self.config.endpoint,
            created_at=self.now,
            updated_at=self.now,
            arch=arch,
            dual=b"" if conversation is None else encode_conversation(conversation),
        )
        self.recorder.session(
            SessionRecord(
                id=state.id,
                key_id=state.key_id,
                account_id=state.account_id,
                endpoint=state.endpoint,
                created_at=self.now,
                updated_at=self.now,
                expires_at=self.now + _LIFETIME_S,
                closed=False,
                state=encode_state(state),
            )
        )

    async def ask(self, body: Mapping[str, Any]) -> tuple[dict[str, Any], list[DecisionRecord]]:
        """One request: the assistant's message, and what was decided on the way to it."""
        data = json.dumps({"model": _MODEL, **body}).encode()
        sink = WholeAnswer()
        before = len(self.recorder.decisions)
        context = CallContext(
            request_id=new_id("req"),
            key=self.key,
            config=self.config,
            head=client("chat").peek(data),
            provider="demo",
            byok=None,
            endpoint="rehearsal",
            session_header=self.session_id,
        )
        await self.execution.run(context, sink)
        message: dict[str, Any] = json.loads(sink.body)["choices"][0]["message"]
        return message, self.recorder.decisions[before:]


@dataclass(slots=True, kw_only=True)
class SinglePlay:
    """A single-llm session, call by call."""

    stage: Stage
    calls: Sequence[Call]
    text: str
    asked: Sequence[Asked]
    target: int
    """Index of the call whose result carries the text."""
    attempts: list[Attempt] = field(default_factory=list)

    async def run(self, progress: Progress) -> None:
        """Plays it."""
        self.stage.fork("single-llm")
        for index, call in enumerate(self.calls):
            await self._step(index, call)
            progress(index + 1, len(self.calls))

    async def _step(self, index: int, call: Call) -> None:
        names = dict.fromkeys([call.tool, *(one.tool for one in self.asked)])
        tools = [{"type": "function", "function": {"name": name}} for name in names]
        line = f"CALL {call.tool} {json.dumps(dict(call.args))}"
        messages = [{"role": "user", "content": said} for said in (*self._words(), line)]
        planned = True
        made: dict[str, Attempt] = {}
        while True:
            message, decisions = await self.stage.ask({"messages": messages, "tools": tools})
            for record in decisions:
                attempt = _attempt(record, index + 1, "recorded" if planned else "injected")
                if planned:
                    attempt.before = call.verdict or None
                    attempt.placeholders = call.placeholders
                planned = False
                made[attempt.call_id] = attempt
                self.attempts.append(attempt)
            messages.append(message)
            called = message.get("tool_calls") or []
            if not called:
                return
            for one in called:
                attempt = made[one["id"]]
                attempt.poisoned = index == self.target and attempt.origin == "recorded"
                attempt.result = self.text if attempt.poisoned else DRY_RUN
                messages.append(_result(one["id"], attempt.result))

    def _words(self) -> list[str]:
        """What the user is taken to have said, for rules that ask; the real words are not kept.

        What calls carried that were let through: more than the user said, perhaps, which
        lets an injected call do rather more than less. On one line, so that none of it is a
        line the model obeys.
        """
        if not self.stage.evidence:
            return []
        told = [call.args for call in self.calls if call.allowed and not call.placeholders]
        texts = dict.fromkeys(text for args in told for text in _scalars(args))
        return [" ".join(f"Words: {' ; '.join(texts)}".split())] if texts else []


@dataclass(slots=True, kw_only=True)
class DualPlay:
    """A dual-llm session, program by program."""

    stage: Stage
    conversation: Conversation
    calls: Sequence[Call]
    text: str | None
    """None: the programs run as they are, to see which calls they make by themselves."""
    asked: Sequence[Asked]
    into: str | Call | None
    """Tool, or recorded call, whose result carries the text; None: the first result."""
    known: set[tuple[str, str]]
    """Calls that are made without the text too."""
    attempts: list[Attempt] = field(default_factory=list)
    endings: list[str] = field(default_factory=list)
    _entered: bool = False
    _results: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    _verdicts: dict[tuple[str, str], str] = field(default_factory=dict)
    _before: int = 0
    """Equal calls to let pass before the one that `into` names."""

    async def run(self, progress: Progress) -> None:
        """Plays it."""
        self._prepare()
        given = self.conversation
        fork = Conversation(
            tools=given.tools,
            generated=given.generated,
            generation_tried=True,
            restrictions=given.restrictions,
        )
        self.stage.fork("dual-llm", fork)
        programs = [one for one in given.programs if one.source]
        messages: list[dict[str, Any]] = []
        for number, program in enumerate(programs):
            await self._turn(program, messages)
            progress(number + 1, len(programs))

    def _prepare(self) -> None:
        results: dict[tuple[str, str], list[str]] = defaultdict(list)
        for call in self.calls:
            key = key_of(call.tool, call.args)
            self._verdicts.setdefault(key, call.verdict)
            if call is self.into:
                self._before = len(results[key])
            if call.result is not None:
                results[key].append(call.result)
        self._results = {key: texts for key, texts in results.items() if texts}

    async def _turn(self, program: KeptProgram, messages: list[dict[str, Any]]) -> None:
        ask = f"Run the program of turn {program.turn}."
        if not messages:
            # All at once: which of them began which turn is not kept.
            said = [one.text for one in self.conversation.messages if one.role == "user"]
            ask = "\n".join([*said, ask])
        messages.append({"role": "user", "content": ask})
        body = {
            "user_provided_program": program.source,
            "context_vars": json.loads(program.variables or "{}"),
        }
        made: dict[str, Attempt] = {}
        while True:
            message, decisions = await self.stage.ask({**body, "messages": messages})
            for record in decisions:
                attempt = self._attempt(record, program.turn)
                made[attempt.call_id] = attempt
                self.attempts.append(attempt)
            messages.append(message)
            called = message.get("tool_calls") or []
            if not called:
                self.endings.append(message.get("content") or "")
                return
            for one in called:
                attempt = made[one["id"]]
                attempt.result = self._answer(attempt)
                messages.append(_result(one["id"], attempt.result))

    def _attempt(self, record: DecisionRecord, turn: int) -> Attempt:
        key = key_of(record.tool, record.args or {})
        origin: Origin = "recorded"
        if self._entered and key not in self.known:
            args = record.args or {}
            told = any(follows(one, record.tool, args) for one in self.asked)
            origin = "injected" if told and record.call_id else "changed"
        attempt = _attempt(record, turn, origin)
        attempt.before = self._verdicts.get(key) or None
        return attempt

    def _answer(self, attempt: Attempt) -> str:
        """What the tool says: what it said to exactly this call, with the text in its place."""
        texts = self._results.get(key_of(attempt.tool, attempt.args), [])
        original = texts[0] if texts else None
        if len(texts) > 1:
            texts.pop(0)
        if self.text is not None and not self._entered and self._is_target(attempt):
            self._entered = attempt.poisoned = True
            return poisoned(original, self.text)
        return DRY_RUN if original is None else original

    def _is_target(self, attempt: Attempt) -> bool:
        if self.into is None or isinstance(self.into, str):
            return self.into in {None, attempt.tool}
        if key_of(self.into.tool, self.into.args) != key_of(attempt.tool, attempt.args):
            return False
        self._before -= 1
        return self._before < 0


def _attempt(record: DecisionRecord, turn: int, origin: Origin) -> Attempt:
    return Attempt(
        turn=turn,
        tool=record.tool,
        args=record.args or {},
        origin=origin,
        allowed=Verdict(record.verdict).allowed,
        verdict=record.verdict,
        reason=record.reason,
        call_id=record.call_id or "",
        rule=record.rule,
        rule_text=record.rule_text,
        rule_line=record.rule_line,
        policy=record.policy,
        lineage=record.lineage,
    )


def _scalars(tree: object) -> Iterator[str]:
    """The texts and numbers in a value, as somebody would say them."""
    todo = [tree]
    while todo:
        value = todo.pop()
        if isinstance(value, Mapping):
            todo += reversed(list(value.values()))
        elif isinstance(value, list):
            todo += reversed(value)
        elif isinstance(value, str | int | float) and not isinstance(value, bool):
            yield str(value)


def _result(call_id: str, text: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": text}
